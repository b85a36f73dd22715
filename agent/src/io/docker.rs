//! What Docker says of containers: names and labels, never counters.
//!
//! Subscribed from a moment before the list on, then listed, then listed again every so often, so that nothing is missed
//! in between. Labels come from the create event, for an inspection comes too late for short lives; the image's own
//! labels are looked up beside them, so that a label which comes from the image is not believed. Docker's absence stops
//! no metering.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{ContainerSummary, EventMessage};
use bollard::query_parameters::{EventsOptions, ListContainersOptions};
use futures_util::StreamExt;
use tallyman_agent_core::Description;
use tallyman_agent_core::sources::identity::ContainerId;
use tallyman_common::time::WallMs;
use tokio::time::{interval, timeout};

use crate::limits::{BACKOFF_FIRST, DOCKER_ANSWER_MAX, DOCKER_LIST, DOCKER_PAUSE, IMAGES_MAX};

type Labels = BTreeMap<String, String>;

/// Why Docker says nothing.
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    /// No socket, or nobody behind it.
    #[error("Docker at {socket}: {reason}")]
    Unreachable {
        /// Which socket.
        socket: PathBuf,
        /// What the client said.
        reason: Error,
    },
    /// No answer in time.
    #[error("Docker at {0} does not answer")]
    Silent(PathBuf),
    /// A message can't be read. It is passed over by following anew from after it.
    #[error("a message of Docker at {socket} can't be read: {reason}")]
    Message {
        /// Which socket.
        socket: PathBuf,
        /// What the client said.
        reason: Error,
    },
    /// The stream of events ended: Docker stops, or starts anew.
    #[error("Docker at {0} ended its stream of events")]
    Ended(PathBuf),
}

/// A session with Docker.
pub struct Session {
    socket: PathBuf,
    docker: Docker,
    /// Labels of images by id; an id names the same labels for ever.
    images: BTreeMap<String, Labels>,
    /// Containers that were described in this session.
    described: BTreeSet<ContainerId>,
}

impl Session {
    /// Reaches Docker's socket and agrees on a version.
    pub async fn open(socket: &Path) -> Result<Self, DockerError> {
        let unreachable = |reason| DockerError::Unreachable {
            socket: socket.to_owned(),
            reason,
        };
        let path = socket.to_string_lossy();
        let seconds = DOCKER_ANSWER_MAX.as_secs();
        let docker =
            Docker::connect_with_unix(&path, seconds, bollard::API_DEFAULT_VERSION).map_err(unreachable)?;
        let docker = timeout(DOCKER_ANSWER_MAX, docker.negotiate_version()).await;
        let docker = docker.map_err(|_| DockerError::Silent(socket.to_owned()))?;
        Ok(Self {
            socket: socket.to_owned(),
            docker: docker.map_err(unreachable)?,
            images: BTreeMap::new(),
            described: BTreeSet::new(),
        })
    }

    /// Descriptions of all containers that run and were not described yet.
    pub async fn list(&mut self) -> Result<Vec<Description>, DockerError> {
        let answer = self.docker.list_containers(None::<ListContainersOptions>);
        let answer = timeout(DOCKER_ANSWER_MAX, answer).await;
        let listed = answer.map_err(|_| DockerError::Silent(self.socket.clone()))?;
        let listed = listed.map_err(|reason| DockerError::Unreachable {
            socket: self.socket.clone(),
            reason,
        })?;
        let mut descriptions = Vec::new();
        let mut present = BTreeSet::new();
        for summary in listed {
            let Some(container) = summary.id.as_deref().and_then(container_id) else {
                continue;
            };
            present.insert(container);
            if !self.described.contains(&container) {
                descriptions.extend(self.of_summary(container, summary).await);
            }
        }
        self.described.retain(|id| present.contains(id));
        self.described.extend(descriptions.iter().map(|d| d.container));
        Ok(descriptions)
    }

    /// Follows Docker until it ends or falls silent; `tell` takes each description. Containers made from `since` on are
    /// described by their events, also when the subscription itself comes later: Docker keeps the newest events.
    pub async fn follow(mut self, since: WallMs, tell: &mut impl AsyncFnMut(Description)) -> DockerError {
        let options = EventsOptions {
            since: Some(format!("{}.{:03}", since.0 / 1_000, since.0 % 1_000)),
            filters: Some(asked_events()),
            ..EventsOptions::default()
        };
        let mut events = std::pin::pin!(self.docker.clone().events(Some(options)));
        // The first tick is due at once.
        let mut list = interval(DOCKER_LIST);
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(event)) => {
                        if let Some(description) = self.of_event(event).await {
                            tell(description).await;
                        }
                    }
                    Some(Err(reason)) => return DockerError::Message { socket: self.socket, reason },
                    None => return DockerError::Ended(self.socket),
                },
                _ = list.tick() => match self.list().await {
                    Ok(descriptions) => {
                        for description in descriptions {
                            tell(description).await;
                        }
                    }
                    Err(error) => return error,
                },
            }
        }
    }

    async fn of_summary(&mut self, container: ContainerId, summary: ContainerSummary) -> Option<Description> {
        let image_labels = self.image_labels(summary.image_id.as_deref()?).await?;
        let name = summary.names.iter().flatten().next();
        Some(Description {
            container,
            name: name.map_or_else(String::new, |name| name.trim_start_matches('/').to_owned()),
            labels: summary.labels.into_iter().flatten().collect(),
            image_labels,
        })
    }

    async fn of_event(&mut self, event: EventMessage) -> Option<Description> {
        let actor = event.actor?;
        let container = container_id(actor.id.as_deref()?)?;
        let mut labels: Labels = actor.attributes.into_iter().flatten().collect();
        // Docker's own words stand between the labels, and win over labels of these names.
        let (name, image) = (labels.remove("name")?, labels.remove("image")?);
        labels.remove("oldName");
        let image_labels = self.image_labels(&image).await?;
        self.described.insert(container);
        Some(Description {
            container,
            name,
            labels,
            image_labels,
        })
    }

    /// Labels of an image by its name or id. An image that can't be asked gives none, and then the container is not
    /// described: what its labels say could come from the image.
    async fn image_labels(&mut self, image: &str) -> Option<Labels> {
        if let Some(labels) = self.images.get(image) {
            return Some(labels.clone());
        }
        let answer = timeout(DOCKER_ANSWER_MAX, self.docker.inspect_image(image)).await;
        let inspected = match answer {
            Ok(Ok(inspected)) => inspected,
            Ok(Err(error)) => {
                tracing::warn!(%image, %error, "the labels of an image can't be read; its containers wait for them");
                return None;
            }
            Err(_) => {
                tracing::warn!(%image, "Docker does not answer for an image; its containers wait for it");
                return None;
            }
        };
        let labels = inspected.config.and_then(|config| config.labels);
        let labels: Labels = labels.into_iter().flatten().collect();
        if self.images.len() >= IMAGES_MAX {
            self.images.clear();
        }
        // Under its id alone: a name can mean another image tomorrow.
        if let Some(id) = inspected.id {
            self.images.insert(id, labels.clone());
        }
        Some(labels)
    }
}

fn asked_events() -> HashMap<String, Vec<String>> {
    let events = ["create", "rename"].map(str::to_owned).to_vec();
    let types = vec!["container".to_owned()];
    HashMap::from([("type".to_owned(), types), ("event".to_owned(), events)])
}

fn container_id(text: &str) -> Option<ContainerId> {
    ContainerId::parse(text.as_bytes())
}

/// Pause before the next attempt to reach Docker: short after a session that stood, longer with each failure.
pub fn pause_after(failures: u32) -> Duration {
    match failures {
        0 => DOCKER_PAUSE,
        _ => (BACKOFF_FIRST * (1 << (failures - 1).min(5))).min(DOCKER_LIST),
    }
}

#[cfg(test)]
#[path = "docker_tests.rs"]
mod tests;
