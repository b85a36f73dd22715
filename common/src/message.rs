//! What agent and aggregator say to each other over QUIC. Each message is length (u32) ‖ kind (u16) ‖ body; kinds
//! that this release does not know are skipped, so that either side can be the newer one.

use bincode::{Decode, Encode};

use crate::codec::{self, CodecError, take, take_u32};
use crate::ids::{BootId, Digest, NodeId, Nonce, Seq, SpoolId, StoreId};
use crate::meter::Meter;
use crate::time::{BootMs, WallMs};
use crate::wire::FRAME_BYTES_MAX;

/// Application protocol of metering connections.
pub const ALPN_INGEST: &[u8] = b"tallyman-ingest/1";
/// Application protocol of enrolment and renewal; the only one without a client certificate.
pub const ALPN_ENROL: &[u8] = b"tallyman-enrol/1";
/// The most bytes of one message.
pub const MESSAGE_BYTES_MAX: usize = FRAME_BYTES_MAX + 64;
/// The largest UDP payload that either side sends or takes: a jumbo frame of 9,000 bytes less the headers of IPv6 and
/// UDP. QUIC finds what the path carries (RFC 8899), mostly 1,500; where it carries more, fewer packets cost less.
pub const DATAGRAM_BYTES_MAX: u16 = 8_952;

/// The agent's first word on a connection.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Hello {
    /// Oldest and newest wire version that the agent writes.
    pub versions: (u16, u16),
    /// Who.
    pub node: NodeId,
    /// The open spool.
    pub spool: SpoolId,
    /// This process' life.
    pub nonce: Nonce,
    /// Boot of the host.
    pub boot: BootId,
    /// Newest durable batch; 0 when there is none.
    pub last_seq: Seq,
    /// All batches up to this one were acknowledged, as far as the agent knows.
    pub acked_upto: Seq,
    /// The agent's clock, so that skew can be told at once.
    pub wall: WallMs,
    /// Version of the program, for people.
    pub agent_version: String,
}

/// The aggregator's answer.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Welcome {
    /// Which data folder answers.
    pub store: StoreId,
    /// Version to write.
    pub version: u16,
    /// All batches of the spool up to this one are durable here; 0 for none.
    pub watermark: Seq,
    /// Header digest of the batch at the watermark; zeros at 0.
    pub watermark_digest: Digest,
    /// Batches above the watermark that are durable too, as half-open ranges.
    pub above: Vec<(Seq, Seq)>,
    /// The aggregator's clock.
    pub wall: WallMs,
    /// When the data folder was last restored from a backup; 0 for never. Acknowledgements of before may be of batches
    /// that it lacks now.
    pub restored: WallMs,
}

/// Durable: the agent may drop the batch in time (I3, I4).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Ack {
    /// In which spool.
    pub spool: SpoolId,
    /// Which batch.
    pub seq: Seq,
    /// All batches up to this one are durable.
    pub upto: Seq,
    /// The batch was there before: sending it again changed nothing.
    pub known: bool,
}

/// What the agent does with a batch that was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Verdict {
    /// Send it again later.
    Retry,
    /// Keep it until an operator at the aggregator decides; go on with the next.
    Hold,
}

/// Not taken.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Nack {
    /// In which spool.
    pub spool: SpoolId,
    /// Which batch.
    pub seq: Seq,
    /// Stable number of the reason (docs/FORMATS.md).
    pub reason: u16,
    /// What to do.
    pub verdict: Verdict,
    /// Words for the agent's log.
    pub text: String,
}

/// One current reading of the live view.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct LiveRow {
    /// Owner kind and name.
    pub owner: (u8, String),
    /// What.
    pub meter: Meter,
    /// Dimensions.
    pub dims: Vec<(String, String)>,
    /// Usage since the last closed window, base units; never billed.
    pub since_window: u128,
}

/// Current readings: unsigned, latest wins, never billed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Live {
    /// Boot time of the readings.
    pub boot_now: BootMs,
    /// Wall time of the readings.
    pub wall_now: WallMs,
    /// End of the last closed window.
    pub window_end: BootMs,
    /// The readings.
    pub rows: Vec<LiveRow>,
}

/// A request for a certificate. With a token it enrols a new node; without, it renews the node that signs.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct CertificateRequest {
    /// Single-use token; empty for a renewal.
    pub token: String,
    /// The node that renews; zeros when it enrols.
    pub node: NodeId,
    /// Public signing key.
    pub signing_key: [u8; 32],
    /// PKCS #10 request of the TLS key, DER.
    pub csr_der: Vec<u8>,
    /// Host name, for people.
    pub host_name: String,
    /// The agent's clock; a renewal is refused when it is far off, so that it can't be replayed for ever.
    pub wall: WallMs,
    /// Signature by the signing key over the request with this field zeroed.
    pub signature: Vec<u8>,
}

impl CertificateRequest {
    /// The bytes that the signing key signs.
    pub fn signed_bytes(&self) -> Vec<u8> {
        codec::encode(&Self {
            signature: Vec::new(),
            ..self.clone()
        })
    }
}

/// A certificate.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct CertificateGrant {
    /// The node's identity from now on.
    pub node: NodeId,
    /// Certificate, DER.
    pub certificate_der: Vec<u8>,
    /// The aggregator's CA, DER.
    pub ca_der: Vec<u8>,
    /// End of the certificate's life.
    pub expires: WallMs,
}

/// Why a certificate or a connection was refused.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Refused {
    /// Stable number of the reason.
    pub reason: u16,
    /// Words that say what to do.
    pub text: String,
}

/// Any message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Kind 1.
    Hello(Hello),
    /// Kind 2.
    Welcome(Welcome),
    /// Kind 3: a frame as it lies in the spool.
    Batch(Vec<u8>),
    /// Kind 4.
    Ack(Ack),
    /// Kind 5.
    Nack(Nack),
    /// Kind 6.
    Live(Live),
    /// Kind 8.
    CertificateRequest(CertificateRequest),
    /// Kind 9.
    CertificateGrant(CertificateGrant),
    /// Kind 10.
    Refused(Refused),
    /// A kind that this release does not know; to be skipped. 7 is kept for directives.
    Unknown(u16),
}

impl Message {
    /// Bytes with length and kind in front.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, body) = match self {
            Self::Hello(m) => (1u16, codec::encode(m)),
            Self::Welcome(m) => (2, codec::encode(m)),
            Self::Batch(frame) => (3, frame.clone()),
            Self::Ack(m) => (4, codec::encode(m)),
            Self::Nack(m) => (5, codec::encode(m)),
            Self::Live(m) => (6, codec::encode(m)),
            Self::CertificateRequest(m) => (8, codec::encode(m)),
            Self::CertificateGrant(m) => (9, codec::encode(m)),
            Self::Refused(m) => (10, codec::encode(m)),
            Self::Unknown(kind) => (*kind, Vec::new()),
        };
        let mut bytes = Vec::with_capacity(body.len() + 6);
        bytes.extend_from_slice(
            &u32::try_from(body.len() + 2)
                .expect("messages are bounded")
                .to_le_bytes(),
        );
        bytes.extend_from_slice(&kind.to_le_bytes());
        bytes.extend_from_slice(&body);
        bytes
    }

    /// One message off the front of `bytes`; `None` while it has not wholly arrived.
    pub fn decode_front(bytes: &mut &[u8]) -> Result<Option<Self>, CodecError> {
        let mut rest = *bytes;
        if rest.len() < 4 {
            return Ok(None);
        }
        let len = take_u32("message length", &mut rest)? as usize;
        if !(2..=MESSAGE_BYTES_MAX).contains(&len) {
            let reason = format!("length {len} is outside 2 to {MESSAGE_BYTES_MAX}");
            return Err(CodecError::Malformed {
                what: "message",
                reason,
            });
        }
        if rest.len() < len {
            return Ok(None);
        }
        let content = take("message", &mut rest, len)?;
        *bytes = rest;
        Self::decode_content(content).map(Some)
    }

    /// The message of kind and body, without the length in front.
    pub fn decode_content(content: &[u8]) -> Result<Self, CodecError> {
        let mut body = content;
        let kind = take("message kind", &mut body, 2)?;
        Ok(match u16::from_le_bytes([kind[0], kind[1]]) {
            1 => Self::Hello(codec::decode("hello", body)?),
            2 => Self::Welcome(codec::decode("welcome", body)?),
            3 => Self::Batch(body.to_vec()),
            4 => Self::Ack(codec::decode("ack", body)?),
            5 => Self::Nack(codec::decode("nack", body)?),
            6 => Self::Live(codec::decode("live", body)?),
            8 => Self::CertificateRequest(codec::decode("certificate request", body)?),
            9 => Self::CertificateGrant(codec::decode("certificate grant", body)?),
            10 => Self::Refused(codec::decode("refusal", body)?),
            other => Self::Unknown(other),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_one_by_one_and_wait_for_the_rest() {
        let ack = Message::Ack(Ack {
            spool: SpoolId([1; 16]),
            seq: 7,
            upto: 5,
            known: false,
        });
        let batch = Message::Batch(vec![1, 2, 3]);
        let bytes = [ack.encode(), batch.encode()].concat();
        for cut in 0..bytes.len() {
            let mut rest = &bytes[..cut];
            let mut seen = Vec::new();
            while let Some(m) = Message::decode_front(&mut rest).unwrap() {
                seen.push(m);
            }
            assert_eq!(seen.len(), usize::from(cut >= ack.encode().len()));
        }
        let mut rest = &bytes[..];
        assert_eq!(Message::decode_front(&mut rest), Ok(Some(ack)));
        assert_eq!(Message::decode_front(&mut rest), Ok(Some(batch)));
    }

    #[test]
    fn unknown_kinds_are_skipped_and_absurd_lengths_refused() {
        let bytes = Message::Unknown(700).encode();
        assert_eq!(
            Message::decode_front(&mut &bytes[..]),
            Ok(Some(Message::Unknown(700)))
        );
        assert!(Message::decode_front(&mut &[0xff; 8][..]).is_err());
        assert!(Message::decode_front(&mut &[1, 0, 0, 0, 0][..]).is_err());
    }
}
