//! Hostile and broken peers on the real network, beside an honest agent whose batches are acknowledged all the while;
//! and nodes that two hosts speak for.

use std::time::Duration;

use quinn::{Connection, Endpoint};
use tallyman_aggregator_core::api::clones::{CloneView, clones};
use tallyman_aggregator_core::ingest::Reason;
use tallyman_aggregator_core::registry::{Command, NodeStatus};
use tallyman_common::ids::{NodeId, Nonce};
use tallyman_common::message::{ALPN_ENROL, ALPN_INGEST, Message};
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use crate::io::clock;
use crate::limits::{ADDRESS_STRANGERS_MAX, UNFINISHED_STREAMS_MAX};
use crate::testing::{Node, Running, answer, check, connect_from, exchange, reason, upto};
use crate::tokens;

/// An honest agent hears within this, whatever others do.
const SOON: Duration = Duration::from_secs(5);
const ATTACKS: usize = 1_000;

/// Another host than the honest agent's, as far as the aggregator can see.
fn elsewhere() -> Endpoint {
    Endpoint::client("127.0.0.2:0".parse().unwrap()).unwrap()
}

async fn greet(on: &Running, node: &Node, process: u8) -> Connection {
    let connection = node.open(on).await;
    let said = say_hello(&connection, node, process).await;
    assert!(matches!(said, Message::Welcome(_)), "{said:?}");
    connection
}

async fn say_hello(connection: &Connection, node: &Node, process: u8) -> Message {
    let mut hello = node.hello();
    hello.nonce = Nonce([process; 16]);
    exchange(connection, &Message::Hello(hello)).await
}

async fn acknowledged(connection: &Connection, frame: Vec<u8>) -> u64 {
    let heard = timeout(SOON, answer(connection, frame)).await;
    upto(&heard.expect("an honest agent hears soon")).expect("an acknowledgement")
}

fn metrics(on: &Running) -> String {
    on.handle.metrics().encode(&on.handle.status())
}

/// The cases of clones, once there is one.
async fn noted(on: &Running) -> Vec<CloneView> {
    let mut registry = on.handle.registry_changes();
    let found = registry.wait_for(|registry| !registry.clones.is_empty());
    let registry = timeout(SOON, found).await.expect("noted soon").unwrap().clone();
    clones(&registry)
}

#[test]
fn a_thousand_silent_connections_keep_nobody_out() {
    check(async {
        let folder = tempfile::tempdir().unwrap();
        let on = Running::start(folder.path());
        let mut honest = Node::new(1);
        honest.enrol(&on, "t1").await;
        let connection = greet(&on, &honest, 1).await;
        let attacker = elsewhere();
        // Held open for as long as the aggregator lets them.
        let attempts = (0..ATTACKS).map(|n| {
            let protocol = if n % 2 == 0 { ALPN_ENROL } else { ALPN_INGEST };
            connect_from(&attacker, &on, protocol, None)
        });
        let flood = futures_of(attempts);
        let work = async {
            for seq in 1..=50 {
                assert_eq!(acknowledged(&connection, honest.batch(seq, 0)).await, seq);
            }
            let mut late = Node::new(2);
            timeout(SOON, late.enrol(&on, "t2"))
                .await
                .expect("a new host too");
            let connection = greet(&on, &late, 1).await;
            assert_eq!(acknowledged(&connection, late.batch(1, 0)).await, 1);
        };
        let (open, ()) = tokio::join!(flood, work);
        assert!(open <= ATTACKS);
        let text = metrics(&on);
        assert!(
            text.contains("connections_failed_total{cause=\"too_many_handshakes_of_address\"}"),
            "{ATTACKS} at once are more than {ADDRESS_STRANGERS_MAX}:\n{text}"
        );
        assert!(!text.contains("connections_retried_total 0\n"), "{text}");
        drop(attacker);
        on.stop().await;
    });
}

/// Runs all at once; how many came to a connection.
async fn futures_of<F: Future<Output = Result<Connection, quinn::ConnectionError>>>(
    attempts: impl Iterator<Item = F>,
) -> usize {
    let attempts: Vec<F> = attempts.collect();
    let mut pinned: Vec<_> = attempts.into_iter().map(Box::pin).collect();
    let (mut open, mut done) = (Vec::new(), 0);
    std::future::poll_fn(move |context| {
        pinned.retain_mut(|attempt| match attempt.as_mut().poll(context) {
            std::task::Poll::Ready(ended) => {
                open.extend(ended);
                done += 1;
                false
            }
            std::task::Poll::Pending => true,
        });
        if pinned.is_empty() {
            std::task::Poll::Ready(open.len())
        } else {
            std::task::Poll::Pending
        }
    })
    .await
}

/// Opens streams and sends the front of a message that never ends: at once, or a byte now and then.
async fn stall(connection: Connection, dribbles: bool) -> String {
    let mut streams = Vec::new();
    for _ in 0..UNFINISHED_STREAMS_MAX {
        let (mut send, recv) = connection.open_bi().await.unwrap();
        // 65,536 bytes are promised, of a batch.
        send.write_all(&[0, 0, 1, 0, 3, 0]).await.unwrap();
        streams.push((send, recv));
    }
    let mut pace = interval(Duration::from_millis(200));
    loop {
        tokio::select! {
            closed = connection.closed() => return closed.to_string(),
            _ = pace.tick(), if dribbles => {
                for (send, _) in &mut streams {
                    // The end of the connection is told above.
                    drop(send.write_all(&[0]).await);
                }
            }
        }
    }
}

#[test]
fn slow_and_unfinished_senders_are_cut_off_and_keep_nobody_waiting() {
    check(async {
        let folder = tempfile::tempdir().unwrap();
        let on = Running::start(folder.path());
        let (mut honest, mut slow, mut silent) = (Node::new(1), Node::new(2), Node::new(3));
        for (node, token) in [(&mut honest, "t1"), (&mut slow, "t2"), (&mut silent, "t3")] {
            node.enrol(&on, token).await;
        }
        let connection = greet(&on, &honest, 1).await;
        let mut attacks = JoinSet::new();
        attacks.spawn(stall(greet(&on, &slow, 1).await, true));
        attacks.spawn(stall(greet(&on, &silent, 1).await, false));
        let mut seq = 0;
        let mut pace = interval(Duration::from_millis(50));
        while !attacks.is_empty() {
            tokio::select! {
                Some(ended) = attacks.join_next() => {
                    let words = ended.unwrap();
                    assert!(words.contains("too many streams"), "{words}");
                }
                _ = pace.tick() => {
                    seq += 1;
                    assert_eq!(acknowledged(&connection, honest.batch(seq, 0)).await, seq);
                }
            }
        }
        let text = metrics(&on);
        let given_up = format!(
            "streams_given_up_total{{cause=\"slow\"}} {}\n",
            2 * UNFINISHED_STREAMS_MAX
        );
        assert!(text.contains(&given_up), "{text}");
        assert!(
            text.contains("connections_failed_total{cause=\"bad_streams\"} 2\n"),
            "{text}"
        );
        on.stop().await;
    });
}

#[test]
fn two_batches_of_one_number_are_a_clone_that_an_operator_resolves() {
    check(async {
        let folder = tempfile::tempdir().unwrap();
        let on = Running::start(folder.path());
        let mut node = Node::new(1);
        node.enrol(&on, "t1").await;
        let original = greet(&on, &node, 1).await;
        let (first, other) = (node.batch(1, 0), node.batch(1, 1));
        assert_eq!(acknowledged(&original, first.clone()).await, 1);

        // A restart, and a resend: no clone.
        let copy = greet(&on, &node, 2).await;
        assert_eq!(acknowledged(&copy, first).await, 1);
        assert!(on.handle.registry().clones.is_empty());

        assert_eq!(
            reason(&answer(&copy, other.clone()).await),
            Some(Reason::Conflict)
        );
        let cases = noted(&on).await;
        assert_eq!((cases.len(), cases[0].status), (1, "open"));
        assert!(cases[0].hosts.iter().all(|h| h.address.starts_with("127.0.0.1:")));
        assert_eq!(cases[0].hosts.len(), 2, "{cases:?}");
        assert!(metrics(&on).contains("aggregator_clones_total 1\n"));

        let resolve = |keep| Command::ResolveClone {
            node: node.id(),
            keep: Some(Nonce([keep; 16])),
            reason: "host 2 was made from a copy".to_owned(),
        };
        assert!(on.command(resolve(7)).await.is_err(), "it never spoke");
        on.command(resolve(1)).await.unwrap();
        assert!(copy.closed().await.to_string().contains("another host"));
        assert_eq!(acknowledged(&original, node.batch(2, 0)).await, 2);
        let again = node.open(&on).await;
        match say_hello(&again, &node, 2).await {
            Message::Refused(refused) => assert_eq!(refused.reason, Reason::Clone.number()),
            other => panic!("{other:?}"),
        }
        // What is held already opens no second case.
        assert_eq!(reason(&answer(&original, other).await), Some(Reason::Conflict));
        assert_eq!(clones(&on.handle.registry()).len(), 1);
        on.stop().await;
    });
}

#[test]
fn a_node_that_was_set_back_is_told_what_is_here_and_counted() {
    check(async {
        let folder = tempfile::tempdir().unwrap();
        let on = Running::start(folder.path());
        let mut node = Node::new(1);
        node.enrol(&on, "t1").await;
        let connection = greet(&on, &node, 1).await;
        assert_eq!(acknowledged(&connection, node.batch(1, 0)).await, 1);
        let later = node.open(&on).await;
        let mut hello = node.hello();
        hello.last_seq = 0;
        match exchange(&later, &Message::Hello(hello)).await {
            Message::Welcome(welcome) => assert_eq!(welcome.watermark, 1, "it draws a new spool"),
            other => panic!("{other:?}"),
        }
        assert!(metrics(&on).contains("nodes_rewound_total 1\n"));
        on.stop().await;
    });
}

#[test]
fn a_host_that_is_set_up_anew_replaces_its_old_node_at_once() {
    check(async {
        let folder = tempfile::tempdir().unwrap();
        let on = Running::start(folder.path());
        let (mut old, mut new) = (Node::new(1), Node::new(2));
        old.enrol(&on, "t1").await;
        let connection = greet(&on, &old, 1).await;
        assert_eq!(acknowledged(&connection, old.batch(1, 0)).await, 1);
        let token = tokens::fresh();
        let make = Command::CreateReplacementToken {
            id: "again".to_owned(),
            hash: tokens::digest(&token),
            node: old.id(),
            expires: tallyman_common::time::WallMs(clock::now().0 + 60_000),
        };
        on.command(make).await.unwrap();
        let same = old.ask(&on, old.request(&token, clock::now())).await.unwrap_err();
        assert!(same.text.contains("still has the keys"), "{}", same.text);
        new.granted = Some(new.ask(&on, new.request(&token, clock::now())).await.unwrap());
        assert!(connection.closed().await.to_string().contains("retired"));
        let status = |node: NodeId| on.handle.registry().nodes[&node].status;
        assert_eq!(
            (status(old.id()), status(new.id())),
            (NodeStatus::Retired, NodeStatus::Active)
        );
        let connection = greet(&on, &new, 1).await;
        assert_eq!(acknowledged(&connection, new.batch(1, 0)).await, 1);
        // What the old one still had comes in a file, over no connection.
        let late = old.batch(2, 0);
        let registry = on.handle.registry();
        let import = |frame| tallyman_aggregator_core::ingest::check(frame, None, &registry);
        let taken = on
            .handle
            .batch(Box::new(import(late.clone()).unwrap()))
            .await
            .unwrap();
        assert!(matches!(
            taken,
            tallyman_aggregator_core::aggregator::Answer::Ack(_)
        ));
        let sent = tallyman_aggregator_core::ingest::check(late.clone(), Some(old.id()), &registry);
        assert_eq!(sent.unwrap_err().reason, Reason::EndedNode);
        on.command(Command::RevokeNode { node: old.id() }).await.unwrap();
        let registry = on.handle.registry();
        let revoked = tallyman_aggregator_core::ingest::check(late, None, &registry);
        assert_eq!(
            revoked.unwrap_err().reason,
            Reason::EndedNode,
            "nothing of it is trusted"
        );
        on.stop().await;
    });
}
