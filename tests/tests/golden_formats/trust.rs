//! Decisions about who may speak as a node, for the file of all decisions; and whether a command is in that file.

use tallyman_aggregator_core::registry::Command;
use tallyman_aggregator_core::registry::clones::{CloneEvidence, CloneHost};
use tallyman_common::ids::{Digest, Nonce};

use super::sample;

/// One of each.
pub fn commands() -> Vec<Command> {
    let (node, spool) = (sample::node(), sample::SPOOL);
    let host = |n: u8| CloneHost {
        process: Nonce([n; 16]),
        address: format!("192.0.2.{n}:40000"),
    };
    let note = |evidence| Command::NoteClone {
        node,
        evidence,
        hosts: vec![host(2), host(1)],
    };
    let resolve = |keep| Command::ResolveClone {
        node,
        keep,
        reason: "host 2 was made from a copy".to_owned(),
    };
    vec![
        Command::CreateReplacementToken {
            id: "join-1".to_owned(),
            hash: Digest([0xbb; 32]),
            node,
            expires: sample::at(5),
        },
        note(CloneEvidence::Alternating),
        note(CloneEvidence::Batch { spool, seq: 7 }),
        resolve(Some(Nonce([1; 16]))),
        resolve(None),
    ]
}

/// A new command does not compile until it is here; then it belongs into the file.
pub fn is_in_the_file(command: &Command) -> bool {
    match command {
        Command::CreateToken { .. }
        | Command::RevokeToken { .. }
        | Command::CreateNodeToken { .. }
        | Command::EnrolNode { .. }
        | Command::RetireNode { .. }
        | Command::RevokeNode { .. }
        | Command::SetTenant(_)
        | Command::SetSeller(_)
        | Command::SetAccount(_)
        | Command::SetTerms { .. }
        | Command::AddPriceBook { .. }
        | Command::ReleaseBatch { .. }
        | Command::DiscardBatch { .. }
        | Command::ReplaceCells { .. }
        | Command::NoteRestore { .. }
        | Command::SettleRestore { .. }
        | Command::ReadmitNode { .. }
        | Command::GiveUpBatches { .. }
        | Command::JudgeHole(_)
        | Command::WithdrawJudgement { .. }
        | Command::SealHour { .. }
        | Command::CreateReplacementToken { .. }
        | Command::NoteClone { .. }
        | Command::ResolveClone { .. }
        // Its acts are in a file of their own.
        | Command::Money(_) => true,
    }
}
