//! Certificates from the aggregator: the first one against a token, later ones against the signing key.
//!
//! An expired certificate is renewed like any other: the signature counts, so that no outage strands a node.

use tallyman_common::ids::{Digest, NodeId};
use tallyman_common::message::{CertificateGrant, CertificateRequest, Message};
use tallyman_common::sign::Purpose;
use tokio::time::timeout;

use crate::io::clock::wall;
use crate::io::host::host_name;
use crate::io::keys::{Enrolment, KeyFolder};
use crate::io::quic::{Link, LinkError, ServerAddress, enrolment_tls, read_message, renewal_tls};
use crate::limits::{ANSWER_BYTES_MAX, CONNECT_MAX};

/// Enrols this node: makes its keys where there are none, and keeps what is granted. Asked again with another token
/// it is the same node.
pub async fn enrol(
    server: &ServerAddress,
    fingerprint: Digest,
    token: String,
    keys: &KeyFolder,
) -> Result<Enrolment, LinkError> {
    keys.make_signing_key()?;
    let request = request(keys, token, NodeId::default())?;
    let grant = ask(server, enrolment_tls(fingerprint)?, request).await?;
    if Digest::of(&[&grant.ca_der]) != fingerprint {
        let words = "the aggregator gave another authority than the one with this fingerprint";
        return Err(LinkError::Protocol(words.to_owned()));
    }
    check_node(keys, &grant)?;
    Ok(keys.keep(&grant, &server.to_string(), wall())?)
}

/// Renews the certificate when two thirds of its life are over; whether it was.
pub async fn renew_if_due(server: &ServerAddress, keys: &KeyFolder) -> Result<bool, LinkError> {
    let enrolment = keys.enrolment()?;
    if !enrolment.is_to_be_renewed(wall()) {
        return Ok(false);
    }
    let request = request(keys, String::new(), enrolment.node)?;
    let grant = ask(server, renewal_tls(keys)?, request).await?;
    check_node(keys, &grant)?;
    keys.keep(&grant, &enrolment.server, wall())?;
    Ok(true)
}

fn request(keys: &KeyFolder, token: String, node: NodeId) -> Result<CertificateRequest, LinkError> {
    let key = keys.signing_key()?;
    let mut request = CertificateRequest {
        token,
        node,
        signing_key: key.public().to_bytes(),
        csr_der: keys.request()?,
        host_name: host_name(),
        wall: wall(),
        signature: Vec::new(),
    };
    request.signature = key.sign(Purpose::Certificate, &request.signed_bytes()).to_vec();
    Ok(request)
}

async fn ask(
    server: &ServerAddress,
    tls: rustls::ClientConfig,
    request: CertificateRequest,
) -> Result<CertificateGrant, LinkError> {
    let link = Link::open(server, tls).await?;
    let exchange = async {
        let (mut send, mut recv) = link.connection.open_bi().await?;
        send.write_all(&Message::CertificateRequest(request).encode())
            .await?;
        // Refused only when the stream is finished already.
        drop(send.finish());
        read_message(&mut recv, ANSWER_BYTES_MAX).await
    };
    let answer = timeout(CONNECT_MAX, exchange).await;
    link.close("").await;
    match answer.map_err(|_| LinkError::Silent)?? {
        Message::CertificateGrant(grant) => Ok(grant),
        Message::Refused(refused) => Err(LinkError::Protocol(format!("refused: {}", refused.text))),
        _ => Err(LinkError::Protocol(
            "the aggregator's answer is no certificate".to_owned(),
        )),
    }
}

/// A certificate for another node would make every batch be refused.
fn check_node(keys: &KeyFolder, grant: &CertificateGrant) -> Result<(), LinkError> {
    if grant.node == NodeId::of_key(&keys.signing_key()?.public().to_bytes()) {
        Ok(())
    } else {
        Err(LinkError::Protocol(format!(
            "the aggregator gave a certificate for another node, {}",
            grant.node
        )))
    }
}
