//! The path over the real network and the real store, in one process: enrol, send, resend, forge, revoke, reopen.

use rcgen::CertificateParams;
use tallyman_aggregator_core::ingest::Reason;
use tallyman_aggregator_core::ports::{Changes, Store, Table};
use tallyman_aggregator_core::recompute::recompute;
use tallyman_aggregator_core::registry::Command;
use tallyman_common::ids::StoreId;
use tallyman_common::message::{ALPN_INGEST, CertificateGrant};
use tallyman_common::time::Hour;
use tallyman_common::time::WallMs;

use crate::io::clock;
use crate::io::rocks::{Create, RocksStore};
use crate::testing::{Node, Running, answer, check, connect, reason, upto};

#[test]
fn batches_are_acknowledged_once_durable_and_counted_once() {
    check(async {
        let folder = tempfile::tempdir().unwrap();
        let on = Running::start(folder.path());
        let mut node = Node::new(1);
        node.enrol(&on, "t1").await;
        let connection = node.open(&on).await;
        let welcome = node.welcome(&connection).await.unwrap();
        assert_eq!((welcome.store, welcome.watermark), (StoreId([5; 16]), 0));

        let first = node.batch(1, 0);
        assert_eq!(upto(&answer(&connection, first.clone()).await), Some(1));
        assert_eq!(
            upto(&answer(&connection, first.clone()).await),
            Some(1),
            "a resend"
        );
        assert_eq!(
            upto(&answer(&connection, node.batch(3, 0)).await),
            Some(1),
            "a hole below"
        );
        let status = on.handle.status();
        assert_eq!((status.counters.counted, status.counters.duplicates), (2, 1));

        let mut forged = node.batch(2, 0);
        let at = forged.len() / 2;
        forged[at] ^= 1;
        let refused = answer(&connection, forged).await;
        assert!(reason(&refused).is_some(), "{refused:?}");
        let held = answer(&connection, node.batch(4, 600_000)).await;
        assert_eq!(reason(&held), Some(Reason::Future));
        let again = answer(&connection, first).await;
        assert_eq!(upto(&again), Some(1), "the connection lives on");

        on.stop().await;
        let on = Running::start(folder.path());
        let connection = node.open(&on).await;
        let welcome = node.welcome(&connection).await.unwrap();
        assert_eq!((welcome.watermark, welcome.above), (1, vec![(3, 4)]));
        assert_eq!(upto(&answer(&connection, node.batch(2, 0)).await), Some(3));
        on.stop().await;
    });
}

#[test]
fn a_forged_signature_and_a_strangers_batch_are_refused() {
    check(async {
        let folder = tempfile::tempdir().unwrap();
        let on = Running::start(folder.path());
        let (mut node, mut other) = (Node::new(1), Node::new(2));
        node.enrol(&on, "t1").await;
        other.enrol(&on, "t2").await;
        let connection = node.open(&on).await;
        node.welcome(&connection).await.unwrap();

        let foreign = answer(&connection, other.batch(1, 0)).await;
        assert_eq!(reason(&foreign), Some(Reason::OtherNode));
        let mut frame = node.batch(1, 0);
        // Behind magic, length and header begins the signature.
        let header = usize::from(u16::from_le_bytes([frame[4], frame[5]]));
        frame[6 + header] ^= 1;
        assert_eq!(reason(&answer(&connection, frame).await), Some(Reason::Signature));
        assert_eq!(
            reason(&answer(&connection, b"nonsense".to_vec()).await),
            Some(Reason::Malformed)
        );
        let text = on.handle.metrics().encode(&on.handle.status());
        assert!(
            text.contains("batches_refused_total{reason=\"other_node\"} 1"),
            "{text}"
        );
        on.stop().await;
    });
}

#[test]
fn a_node_that_never_enrolled_or_has_no_certificate_is_turned_away() {
    check(async {
        let folder = tempfile::tempdir().unwrap();
        let on = Running::start(folder.path());
        let mut stranger = Node::new(9);
        let bare = connect(&on, ALPN_INGEST, None).await.unwrap();
        assert!(bare.closed().await.to_string().contains("enrol"));

        // A certificate of ours, but the registry does not know the node: a restored backup, for instance.
        let csr = CertificateParams::default()
            .serialize_request(&stranger.tls)
            .unwrap();
        let signed = on
            .authority
            .sign_node(csr.der(), &stranger.signing_key(), clock::now());
        let (certificate_der, expires) = signed.unwrap();
        stranger.granted = Some(CertificateGrant {
            node: stranger.id(),
            certificate_der,
            ca_der: Vec::new(),
            expires,
        });
        let connection = stranger.open(&on).await;
        let refused = stranger.welcome(&connection).await.unwrap_err();
        assert_eq!(refused.reason, Reason::UnknownNode.number());

        assert!(connect(&on, b"h3", None).await.is_err(), "another protocol");
        on.stop().await;
    });
}

#[test]
fn a_revoked_nodes_connection_ends_at_once_and_it_comes_in_no_more() {
    check(async {
        let folder = tempfile::tempdir().unwrap();
        let on = Running::start(folder.path());
        let mut node = Node::new(1);
        node.enrol(&on, "t1").await;
        let connection = node.open(&on).await;
        node.welcome(&connection).await.unwrap();
        on.command(Command::RevokeNode { node: node.id() }).await.unwrap();
        assert!(connection.closed().await.to_string().contains("revoked"));

        let connection = node.open(&on).await;
        let refused = node.welcome(&connection).await.unwrap_err();
        assert_eq!(refused.reason, Reason::EndedNode.number());
        let renewal = node.ask(&on, node.request("", clock::now())).await;
        assert!(renewal.unwrap_err().text.contains("revoked"));
        on.stop().await;
    });
}

#[test]
fn the_newer_connection_of_a_process_replaces_the_older() {
    check(async {
        let folder = tempfile::tempdir().unwrap();
        let on = Running::start(folder.path());
        let mut node = Node::new(1);
        node.enrol(&on, "t1").await;
        let older = node.open(&on).await;
        node.welcome(&older).await.unwrap();
        let newer = node.open(&on).await;
        node.welcome(&newer).await.unwrap();
        assert!(older.closed().await.to_string().contains("anew"));
        assert_eq!(upto(&answer(&newer, node.batch(1, 0)).await), Some(1));
        on.stop().await;
    });
}

#[test]
fn refused_enrolments_say_what_to_do() {
    check(async {
        let folder = tempfile::tempdir().unwrap();
        let on = Running::start(folder.path());
        let (node, other) = (Node::new(1), Node::new(2));
        let now = clock::now();
        let unknown = node.ask(&on, node.request("tally_00", now)).await.unwrap_err();
        assert!(unknown.text.contains("not known"), "{}", unknown.text);
        let token = on.token("expired", 0).await;
        let expired = node.ask(&on, node.request(&token, now)).await.unwrap_err();
        assert!(expired.text.contains("expired"), "{}", expired.text);

        let token = on.token("good", 60_000).await;
        let ahead = node.request(&token, WallMs(now.0 + 3_600_000));
        let skewed = node.ask(&on, ahead).await.unwrap_err();
        assert!(skewed.text.contains("ahead of"), "{}", skewed.text);
        let mut unsigned = node.request(&token, now);
        unsigned.host_name = "changed".to_owned();
        let unsigned = node.ask(&on, unsigned).await.unwrap_err();
        assert_eq!(unsigned.reason, Reason::Signature.number());

        // The same node may ask again when the answer was lost; another may not.
        node.ask(&on, node.request(&token, now)).await.unwrap();
        node.ask(&on, node.request(&token, now)).await.unwrap();
        let used = other.ask(&on, other.request(&token, now)).await.unwrap_err();
        assert!(used.text.contains("used by another node"), "{}", used.text);
        // Renewal needs the signing key alone.
        node.ask(&on, node.request("", now)).await.unwrap();
        let never = other.ask(&on, other.request("", now)).await.unwrap_err();
        assert_eq!(never.reason, Reason::UnknownNode.number());
        on.stop().await;
    });
}

#[test]
fn snapshots_have_registry_and_watermarks_of_one_position() {
    check(async {
        let folder = tempfile::tempdir().unwrap();
        let on = Running::start(folder.path());
        let mut node = Node::new(1);
        node.enrol(&on, "t1").await;
        let id = node.id();
        let seen = on.handle.read(move |books| {
            let known = books.registry.nodes.contains_key(&id);
            (books.position, known, books.marks.node(id).is_some())
        });
        assert_eq!(seen.await.unwrap(), (2, true, false));
        let connection = node.open(&on).await;
        node.welcome(&connection).await.unwrap();
        answer(&connection, node.batch(1, 0)).await;
        let seen = on.handle.read(move |books| {
            let mark = books.marks.node(id).map(|m| m.last_received > WallMs(0));
            (books.position, mark)
        });
        assert_eq!(seen.await.unwrap(), (3, Some(true)));
        let handle = on.handle.clone();
        on.stop().await;
        assert!(handle.read(|_| ()).await.is_err(), "after the end");
    });
}

#[test]
fn cells_are_the_fold_of_the_log_and_a_changed_one_is_found() {
    check(async {
        let folder = tempfile::tempdir().unwrap();
        let on = Running::start(folder.path());
        let mut node = Node::new(1);
        node.enrol(&on, "t1").await;
        let connection = node.open(&on).await;
        node.welcome(&connection).await.unwrap();
        for seq in 1..=20 {
            answer(&connection, node.batch(seq, 0)).await;
        }
        let held = answer(&connection, node.batch(21, 600_000)).await;
        assert_eq!(reason(&held), Some(Reason::Future));
        let position = on.handle.status().position;
        let (reason, release) = ("the clock was set".to_owned(), position);
        on.command(Command::ReleaseBatch {
            position: release,
            reason,
        })
        .await
        .unwrap();
        // While it runs, on a copy; then on what an orderly stop left.
        let copy = folder.path().join("copy");
        on.handle.checkpoint(copy.clone()).await.unwrap();
        let found = recompute(&RocksStore::open(&copy, Create::No).unwrap(), clock::now()).unwrap();
        assert!(found.holds() && found.same >= 2, "{found:?}");
        on.stop().await;
        let mut store = RocksStore::open(&folder.path().join("store"), Create::No).unwrap();
        assert_eq!(recompute(&store, clock::now()).unwrap(), found);

        let mut changes = Changes::default();
        changes.put(Table::Cells, b"surplus".to_vec(), Vec::new());
        store.commit(&changes).unwrap();
        let found = recompute(&store, clock::now()).unwrap();
        assert!(!found.holds());
        let [surplus] = found.differences.as_slice() else {
            panic!("one value is surplus: {found:?}");
        };
        assert!(surplus.contains("the log does not make it"), "{surplus}");
        // Replaced by a decision, and only within the hours that are named.
        let mut desk = crate::cli::desk::Stopped::open(store).unwrap();
        let none = desk.recompute(Hour(0)..Hour(1)).unwrap();
        assert_eq!((none.same, none.count()), (0, 0));
        assert_eq!(desk.recompute(Hour(0)..Hour(u32::MAX)).unwrap().count(), 1);
        assert_eq!(desk.recompute(Hour(0)..Hour(u32::MAX)).unwrap().count(), 0);
    });
}
