//! Nodes that two hosts spoke for, for the operator who decides which one is the node.

use serde::Serialize;
use tallyman_common::ids::NodeId;

use super::text::instant_text;
use crate::registry::Registry;
use crate::registry::clones::{CloneCase, CloneEvidence};

/// A case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CloneView {
    /// Node.
    pub node: String,
    /// Host name at enrolment.
    pub host_name: String,
    /// `open` or `resolved`.
    pub status: &'static str,
    /// When it was first noticed.
    pub opened: String,
    /// What showed it, in words.
    pub evidence: Vec<String>,
    /// Who spoke as the node.
    pub hosts: Vec<HostView>,
    /// How it ended.
    pub resolution: Option<ResolutionView>,
}

/// One process that spoke as the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostView {
    /// Names the process: what a resolution keeps.
    pub process: String,
    /// Where it came from last.
    pub address: String,
    /// It is refused.
    pub refused: bool,
}

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ResolutionView {
    /// When.
    pub at: String,
    /// Who said so.
    pub actor: String,
    /// The process that is the node; `all` when none is refused.
    pub keep: String,
    /// Why.
    pub reason: String,
}

/// All cases, open ones first.
pub fn clones(registry: &Registry) -> Vec<CloneView> {
    let cases = registry
        .clones
        .iter()
        .flat_map(|(node, cases)| cases.iter().map(|case| (*node, case)));
    let mut views: Vec<CloneView> = cases.map(|(node, case)| view(registry, node, case)).collect();
    views.sort_by_key(|view| view.status);
    views
}

fn view(registry: &Registry, node: NodeId, case: &CloneCase) -> CloneView {
    let host = registry.nodes.get(&node).map(|n| n.host_name.clone());
    CloneView {
        node: node.to_string(),
        host_name: host.expect("only known nodes are noted"),
        status: if case.end.is_none() { "open" } else { "resolved" },
        opened: instant_text(case.opened),
        evidence: case.evidence.iter().map(words).collect(),
        hosts: case
            .hosts
            .iter()
            .map(|host| HostView {
                process: host.process.to_string(),
                address: host.address.clone(),
                refused: registry.is_fenced(node, host.process),
            })
            .collect(),
        resolution: case.end.as_ref().map(|end| ResolutionView {
            at: instant_text(end.at),
            actor: end.actor.clone(),
            keep: end
                .keep
                .map_or_else(|| "all".to_owned(), |process| process.to_string()),
            reason: end.reason.clone(),
        }),
    }
}

fn words(evidence: &CloneEvidence) -> String {
    match evidence {
        CloneEvidence::Alternating => {
            "an older process spoke again after a newer one had begun: both are alive".to_owned()
        }
        CloneEvidence::Batch { spool, seq } => format!(
            "batch {seq} of spool {spool} contradicts one that was taken: it is held in the quarantine"
        ),
    }
}
