//! Certificates for agents: a token enrols a new node, a signature renews a known one. The decision stands in the log
//! before the certificate is made; a repeated request of the same node is answered again.

use quinn::Connection;
use tallyman_aggregator_core::ingest::Reason;
use tallyman_aggregator_core::limits::RENEWAL_SKEW_MS_MAX;
use tallyman_aggregator_core::registry::{Command, NodeStatus};
use tallyman_common::ids::NodeId;
use tallyman_common::message::{CertificateGrant, CertificateRequest, Message, Refused};
use tallyman_common::sign::{PublicKey, Purpose};
use tallyman_common::time::WallMs;
use tokio::time::timeout;

use super::faults;
use super::frames::{read_message, say_last};
use super::quic::{CLOSE_DONE, Context};
use crate::handle::CommandError;
use crate::limits::{ENROL_BYTES_MAX, HANDSHAKE_MAX};
use crate::tokens;

/// Numbers of refusals that concern certificates alone; the rest are [`Reason`]'s.
const REFUSED_TOKEN: u16 = 40;
const REFUSED_CLOCK: u16 = 41;
const REFUSED_REQUEST: u16 = 42;

/// Answers the one request of a connection.
pub async fn serve(context: &Context, connection: &Connection) {
    let peer = connection.remote_address();
    match timeout(HANDSHAKE_MAX, exchange(context, connection)).await {
        Ok(Ok(())) => {}
        Ok(Err(words)) => context.failed(peer, "enrolment", &format!("certificate request: {words}")),
        Err(_) => context.failed(peer, "slow", "a certificate request did not come in time"),
    }
    connection.close(CLOSE_DONE, b"");
}

async fn exchange(context: &Context, connection: &Connection) -> Result<(), String> {
    let (mut send, mut recv) = connection.accept_bi().await.map_err(|e| faults::words(&e).1)?;
    let request = match read_message(&mut recv, ENROL_BYTES_MAX).await {
        Ok(Message::CertificateRequest(request)) => request,
        Ok(_) => return Err("the first word must be a certificate request".to_owned()),
        Err(error) => return Err(error.to_string()),
    };
    let peer = connection.remote_address();
    // Taken only now: whoever connects and says nothing must not keep others waiting. Never closed.
    let _place = context.enrols.acquire().await;
    let answer = match grant(context, &request, &peer.ip().to_string()).await {
        Ok(grant) => {
            context.handle.metrics().certificates.inc();
            let (node, renewal) = (grant.node, request.token.is_empty());
            tracing::info!(%peer, %node, host = %request.host_name, renewal, "certificate given");
            Message::CertificateGrant(grant)
        }
        Err(refused) => {
            let words = format!("host {}: no certificate: {}", request.host_name, refused.text);
            context.failed(peer, "enrolment", &words);
            Message::Refused(refused)
        }
    };
    say_last(&mut send, &answer).await;
    Ok(())
}

async fn grant(
    context: &Context,
    request: &CertificateRequest,
    source: &str,
) -> Result<CertificateGrant, Refused> {
    let now = context.handle.now();
    check_signature(request)?;
    check_clock(request.wall, now)?;
    let node = NodeId::of_key(&request.signing_key);
    if request.token.is_empty() {
        check_renewal(context, request, node)?;
    } else {
        enrol(context, request, node, source).await?;
    }
    let signed = context
        .authority
        .sign_node(&request.csr_der, &request.signing_key, now);
    let (certificate_der, expires) = signed.map_err(|e| refused(REFUSED_REQUEST, e.to_string()))?;
    Ok(CertificateGrant {
        node,
        certificate_der,
        ca_der: context.authority.certificate().to_vec(),
        expires,
    })
}

fn check_signature(request: &CertificateRequest) -> Result<(), Refused> {
    let key = PublicKey::from_bytes(&request.signing_key);
    let signature = request.signature.as_slice().try_into();
    let holds = match (key, signature) {
        (Some(key), Ok(signature)) => key.verifies(Purpose::Certificate, &request.signed_bytes(), signature),
        _ => false,
    };
    let text = "the request is not signed by the key that it names";
    holds
        .then_some(())
        .ok_or_else(|| refused(Reason::Signature.number(), text.to_owned()))
}

fn check_clock(theirs: WallMs, ours: WallMs) -> Result<(), Refused> {
    let skew_ms = theirs.0.abs_diff(ours.0);
    if skew_ms <= RENEWAL_SKEW_MS_MAX {
        return Ok(());
    }
    let side = if theirs > ours { "ahead of" } else { "behind" };
    let text = format!(
        "the clock of this host is {} s {side} the aggregator's: set it (`timedatectl set-ntp true`) and try again",
        skew_ms / 1_000
    );
    Err(refused(REFUSED_CLOCK, text))
}

fn check_renewal(context: &Context, request: &CertificateRequest, node: NodeId) -> Result<(), Refused> {
    if request.node != node {
        let reason = Reason::OtherNode;
        return Err(refused(
            reason.number(),
            "the signing key is not this node's".to_owned(),
        ));
    }
    let registry = context.handle.registry();
    let reason = match registry.nodes.get(&node).map(|n| n.status) {
        Some(NodeStatus::Active) => return Ok(()),
        Some(_) => Reason::EndedNode,
        None => Reason::UnknownNode,
    };
    Err(refused(
        reason.number(),
        format!("{}: it gets no certificate", reason.text()),
    ))
}

async fn enrol(
    context: &Context,
    request: &CertificateRequest,
    node: NodeId,
    source: &str,
) -> Result<(), Refused> {
    let command = Command::EnrolNode {
        token: tokens::digest(&request.token),
        node,
        signing_key: request.signing_key,
        host_name: request.host_name.clone(),
    };
    let done = context
        .handle
        .command(format!("node:{node}"), source.to_owned(), command)
        .await;
    match done {
        Ok(_) => Ok(()),
        Err(CommandError::Rejected(rejected)) => Err(refused(REFUSED_TOKEN, rejected.to_string())),
        Err(CommandError::Unavailable(e)) => Err(refused(Reason::Unavailable.number(), e.to_string())),
    }
}

fn refused(reason: u16, text: String) -> Refused {
    Refused { reason, text }
}
