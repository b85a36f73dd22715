//! Orders from the command line to the running agent: a Unix socket in the state folder, for its owner alone, one line of
//! JSON each way. Only what can't be done beside the running agent goes this way.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as Caller;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tallyman_agent_core::{BatchRange, Resend};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader as AsyncReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;

use crate::inbox::{InboxSender, Input};
use crate::limits::ORDER_BYTES_MAX;

/// Name of the socket in the state folder.
const SOCKET: &str = "agent.sock";

/// An order.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    /// Send these batches again; none: only say how it goes.
    Resend(Vec<BatchRange>),
}

/// The answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Resend { progress: Resend, connected: bool },
    Failed(String),
}

/// How a resend goes, and whether an aggregator is there for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Batches.
    pub resend: Resend,
    /// A session stands.
    pub connected: bool,
}

/// Serves orders until the process ends. Without the socket metering goes on all the same.
pub async fn serve(state: PathBuf, inbox: InboxSender) {
    let path = state.join(SOCKET);
    let listener = match bind(&path) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(socket = %path.display(), %error, "no orders are taken: the socket can't be made");
            return std::future::pending().await;
        }
    };
    loop {
        match listener.accept().await {
            // One after the other: whoever orders is a person.
            Ok((stream, _)) => {
                if let Err(error) = converse(stream, &inbox).await {
                    tracing::warn!(%error, "an order came to nothing");
                }
            }
            Err(error) => {
                tracing::error!(%error, "no more orders are taken");
                return std::future::pending().await;
            }
        }
    }
}

/// The lock on the state folder makes this process the only one: what an earlier one left is removed.
fn bind(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn converse(stream: UnixStream, inbox: &InboxSender) -> io::Result<()> {
    let (reading, mut writing) = stream.into_split();
    let mut line = String::new();
    AsyncReader::new(reading.take(ORDER_BYTES_MAX))
        .read_line(&mut line)
        .await?;
    let answer = match serde_json::from_str(&line) {
        Ok(Order::Resend(ranges)) => resend(ranges, inbox).await,
        Err(error) => Answer::Failed(format!(
            "the running agent does not understand this order ({error}): are both of one version?"
        )),
    };
    let mut text = serde_json::to_string(&answer).map_err(io::Error::other)?;
    text.push('\n');
    writing.write_all(text.as_bytes()).await
}

async fn resend(ranges: Vec<BatchRange>, inbox: &InboxSender) -> Answer {
    let (reply, answer) = oneshot::channel();
    let ended = || Answer::Failed("the agent is about to end".to_owned());
    if inbox.send(Input::Resend(ranges, reply)).await.is_err() {
        return ended();
    }
    match answer.await {
        Ok(Progress { resend, connected }) => Answer::Resend {
            progress: resend,
            connected,
        },
        Err(_) => ended(),
    }
}

/// Orders a resend of the agent that runs on a state folder, or only asks how it goes.
pub fn order_resend(state: &Path, ranges: Vec<BatchRange>) -> Result<Progress> {
    let path = state.join(SOCKET);
    let mut caller = match Caller::connect(&path) {
        Ok(caller) => caller,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            bail!(
                "{}: {error}: run this as root or as the service's user",
                path.display()
            )
        }
        Err(_) => bail!(
            "no agent runs on {}: start it first, it is the one that sends (`--dry-run` only looks)",
            state.display()
        ),
    };
    let mut line = serde_json::to_string(&Order::Resend(ranges))?;
    line.push('\n');
    caller.write_all(line.as_bytes()).context("the running agent")?;
    let mut answer = String::new();
    BufReader::new(caller)
        .read_line(&mut answer)
        .context("the running agent")?;
    match serde_json::from_str(&answer).context("the running agent is of another version")? {
        Answer::Resend { progress, connected } => Ok(Progress {
            resend: progress,
            connected,
        }),
        Answer::Failed(reason) => bail!(reason),
    }
}
