//! Each message kind.

use tallyman_common::message::{
    Ack, CertificateGrant, CertificateRequest, Hello, Live, LiveRow, Message, Nack, Refused, Verdict, Welcome,
};
use tallyman_common::meter::Meter;
use tallyman_common::sign::Purpose;
use tallyman_common::time::BootMs;

use crate::layout::{Layout, frozen};
use crate::sample;

pub const FILES: &[&str] = &[
    "message-hello-v1.hex",
    "message-welcome-v1.hex",
    "message-batch-v1.hex",
    "message-ack-v1.hex",
    "message-nack-retry-v1.hex",
    "message-nack-hold-v1.hex",
    "message-live-v1.hex",
    "message-certificate-request-v1.hex",
    "message-certificate-grant-v1.hex",
    "message-refused-v1.hex",
    "message-unknown-v1.hex",
];

/// Length and kind in front of the body.
fn check(name: &str, title: &str, kind: u16, body: Layout, message: &Message) {
    let layout = Layout::new().sized_u32("message", Layout::new().u16("kind", kind).then(body));
    let kept = frozen(name, title, &layout, &message.encode());
    let mut rest = &kept[..];
    assert_eq!(Message::decode_front(&mut rest).unwrap().as_ref(), Some(message));
    assert!(rest.is_empty());
}

#[test]
fn hello() {
    let message = Message::Hello(Hello {
        versions: (1, 1),
        node: sample::node(),
        spool: sample::SPOOL,
        nonce: sample::NONCE,
        boot: sample::BOOT,
        last_seq: 258,
        acked_upto: 200,
        wall: sample::at(2),
        agent_version: "0.1.0".to_owned(),
    });
    let body = Layout::new()
        .u16("versions.oldest", 1)
        .u16("versions.newest", 1)
        .raw("node", &sample::node().0)
        .raw("spool", &sample::SPOOL.0)
        .raw("nonce", &sample::NONCE.0)
        .raw("boot", &sample::BOOT.0)
        .u64("last_seq", 258)
        .u64("acked_upto", 200)
        .u64("wall (ms)", sample::at(2).0)
        .text("agent_version", "0.1.0");
    check(
        "message-hello-v1.hex",
        "Hello: the agent's first word.",
        1,
        body,
        &message,
    );
}

#[test]
fn welcome() {
    let message = Message::Welcome(Welcome {
        store: sample::STORE,
        version: 1,
        watermark: 200,
        watermark_digest: sample::PREV,
        above: vec![(205, 210), (220, 221)],
        wall: sample::at(2),
        restored: sample::at(1),
    });
    let body = Layout::new()
        .raw("store", &sample::STORE.0)
        .u16("version", 1)
        .u64("watermark", 200)
        .raw("watermark_digest", &sample::PREV.0)
        .count("above", 2)
        .u64("above0.from", 205)
        .u64("above0.to", 210)
        .u64("above1.from", 220)
        .u64("above1.to", 221)
        .u64("wall (ms)", sample::at(2).0)
        .u64("restored (ms)", sample::at(1).0);
    check(
        "message-welcome-v1.hex",
        "Welcome: where the spool stands at the aggregator.",
        2,
        body,
        &message,
    );
}

#[test]
fn batch() {
    let message = Message::Batch(b"TLYM and so on".to_vec());
    let body = Layout::new().word("frame", "TLYM and so on");
    check(
        "message-batch-v1.hex",
        "Batch: a frame as it lies in the spool, no length of its own.",
        3,
        body,
        &message,
    );
}

#[test]
fn ack() {
    let message = Message::Ack(Ack {
        spool: sample::SPOOL,
        seq: 258,
        upto: 200,
        known: true,
    });
    let body = Layout::new()
        .raw("spool", &sample::SPOOL.0)
        .u64("seq", 258)
        .u64("upto", 200)
        .u8("known", 1);
    check(
        "message-ack-v1.hex",
        "Ack: durable at the aggregator.",
        4,
        body,
        &message,
    );
}

#[test]
fn nack() {
    for (name, number, reason, verdict) in [
        ("message-nack-retry-v1.hex", 0, 31, Verdict::Retry),
        ("message-nack-hold-v1.hex", 1, 20, Verdict::Hold),
    ] {
        let message = Message::Nack(Nack {
            spool: sample::SPOOL,
            seq: 258,
            reason,
            verdict,
            text: "说明".to_owned(),
        });
        let body = Layout::new()
            .raw("spool", &sample::SPOOL.0)
            .u64("seq", 258)
            .u16("reason", reason)
            .u32("verdict (0 retry, 1 hold)", number)
            .text("text", "说明");
        check(name, "Nack: not taken.", 5, body, &message);
    }
}

#[test]
fn live() {
    let message = Message::Live(Live {
        boot_now: BootMs(3_655_000),
        wall_now: sample::at(2),
        window_end: BootMs(3_600_000),
        rows: vec![LiveRow {
            owner: (2, "acme".to_owned()),
            meter: Meter::CPU_TIME,
            dims: vec![("region".to_owned(), "east".to_owned())],
            since_window: 55_000_000_000,
        }],
    });
    let body = Layout::new()
        .u64("boot_now (ms)", 3_655_000)
        .u64("wall_now (ms)", sample::at(2).0)
        .u64("window_end (ms)", 3_600_000)
        .count("rows", 1)
        .u8("row0.owner kind", 2)
        .text("row0.owner name", "acme")
        .u16("row0.meter", 1)
        .count("row0.dims", 1)
        .text("row0.dim0.name", "region")
        .text("row0.dim0.value", "east")
        .u128("row0.since_window", 55_000_000_000);
    check(
        "message-live-v1.hex",
        "Live: readings since the last window; unsigned, never billed.",
        6,
        body,
        &message,
    );
}

fn request() -> CertificateRequest {
    let mut request = CertificateRequest {
        token: "tallyn_0001".to_owned(),
        node: sample::node(),
        signing_key: sample::key().public().to_bytes(),
        csr_der: vec![0x30, 0x01, 0x00],
        host_name: "node-1".to_owned(),
        wall: sample::at(2),
        signature: Vec::new(),
    };
    let signature = sample::key().sign(Purpose::Certificate, &request.signed_bytes());
    request.signature = signature.to_vec();
    request
}

fn request_layout(signature: &[u8]) -> Layout {
    let body = Layout::new()
        .text("token", "tallyn_0001")
        .raw("node", &sample::node().0)
        .raw("signing_key", &sample::key().public().to_bytes())
        .sized("csr_der", Layout::new().raw("csr_der", &[0x30, 0x01, 0x00]))
        .text("host_name", "node-1")
        .u64("wall (ms)", sample::at(2).0);
    if signature.is_empty() {
        body.count("signature", 0)
    } else {
        body.sized("signature", Layout::new().raw("signature", signature))
    }
}

#[test]
fn certificate_request() {
    let request = request();
    assert_eq!(
        request.signed_bytes(),
        request_layout(&[]).bytes(),
        "signed with an empty signature in its place"
    );
    let body = request_layout(&request.signature);
    let title = "CertificateRequest: enrolment with a token, renewal without.";
    check(
        "message-certificate-request-v1.hex",
        title,
        8,
        body,
        &Message::CertificateRequest(request),
    );
}

#[test]
fn certificate_grant() {
    let message = Message::CertificateGrant(CertificateGrant {
        node: sample::node(),
        certificate_der: vec![0x30, 0x02],
        ca_der: vec![0x30, 0x03],
        expires: sample::at(60),
    });
    let body = Layout::new()
        .raw("node", &sample::node().0)
        .sized(
            "certificate_der",
            Layout::new().raw("certificate_der", &[0x30, 0x02]),
        )
        .sized("ca_der", Layout::new().raw("ca_der", &[0x30, 0x03]))
        .u64("expires (ms)", sample::at(60).0);
    check(
        "message-certificate-grant-v1.hex",
        "CertificateGrant.",
        9,
        body,
        &message,
    );
}

#[test]
fn refused() {
    let message = Message::Refused(Refused {
        reason: 5,
        text: "the node was retired or revoked".to_owned(),
    });
    let body = Layout::new()
        .u16("reason", 5)
        .text("text", "the node was retired or revoked");
    check(
        "message-refused-v1.hex",
        "Refused: no certificate, or no connection.",
        10,
        body,
        &message,
    );
}

/// A body that this release can't read is skipped with its message; the one behind it is read.
#[test]
fn unknown_kind() {
    let name = "message-unknown-v1.hex";
    let body = Layout::new().u16("kind (unknown)", 700).raw("body", &[1, 2, 3]);
    let layout = Layout::new().sized_u32("message", body);
    let kept = crate::layout::golden(
        name,
        "A kind that this release does not know; to be skipped.",
        &layout,
    );
    let ack = Message::Ack(Ack {
        spool: sample::SPOOL,
        seq: 1,
        upto: 1,
        known: false,
    });
    let both = [kept, ack.encode()].concat();
    let mut rest = &both[..];
    assert_eq!(Message::decode_front(&mut rest), Ok(Some(Message::Unknown(700))));
    assert_eq!(Message::decode_front(&mut rest), Ok(Some(ack)));
}
