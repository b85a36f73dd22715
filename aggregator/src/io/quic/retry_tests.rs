//! Handshakes that must first show their address: whoever does is let in, however many come at once, beside any number
//! of connections, and also when the aggregator's own certificate is made anew meanwhile.

use std::collections::BTreeSet;
use std::path::Path;

use quinn::ConnectionIdGenerator;
use tallyman_aggregator_core::aggregator::initialise;
use tallyman_common::ids::StoreId;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::*;
use crate::io::clock;
use crate::io::rocks::{Create, RocksStore};
use crate::limits::{ADDRESS_HANDSHAKES_RETRY, ADDRESS_STRANGERS_MAX};
use crate::testing::{Running, check, connect};
use crate::writer::{self, WriterEnd};

const CLIENTS: usize = 1_000;
/// With those who keep the door busy below its limit.
const AT_ONCE: usize = 64;
/// Below the time after which a side without an answer gives up.
const SOON: Duration = Duration::from_secs(20);

const _: () = assert!(ADDRESS_HANDSHAKES_RETRY + AT_ONCE < ADDRESS_STRANGERS_MAX);

fn server(folder: &Path) -> (QuicServer, WriterEnd) {
    let (keys, path) = (folder.join("keys"), folder.join("store"));
    Authority::create(&keys, clock::now()).unwrap();
    let authority = Arc::new(Authority::load(&keys).unwrap());
    let mut store = RocksStore::open(&path, Create::Yes).unwrap();
    initialise(&mut store, StoreId([5; 16])).unwrap();
    let (handle, end) = writer::start(store).unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let server = QuicServer::bind(handle, authority, any, vec!["localhost".to_owned()]).unwrap();
    (server, end)
}

/// As clients see it; nothing serves yet.
fn seen(server: &QuicServer, end: WriterEnd) -> Running {
    Running {
        handle: server.context.handle.clone(),
        end,
        address: server.local_addr().unwrap(),
        authority: server.context.authority.clone(),
        stop: oneshot::channel().0,
        served: tokio::spawn(async {}),
    }
}

#[test]
fn a_thousand_who_show_their_address_are_all_let_in() {
    check(async {
        let folder = tempfile::tempdir().unwrap();
        let (server, end) = server(folder.path());
        let door = server.context.door.clone();
        let busy: Vec<Answer> = (0..ADDRESS_HANDSHAKES_RETRY)
            .map(|_| door.knock([127, 0, 0, 1].into(), true))
            .collect();
        let mut on = seen(&server, end);
        let (stop, stopped) = oneshot::channel::<()>();
        on.stop = stop;
        on.served = tokio::spawn(server.serve(async { drop(stopped.await) }));
        let on = Arc::new(on);
        let (mut clients, mut under_way) = (0..CLIENTS, JoinSet::new());
        loop {
            while under_way.len() < AT_ONCE
                && let Some(client) = clients.next()
            {
                let on = on.clone();
                under_way.spawn(async move {
                    let connected = timeout(SOON, connect(&on, ALPN_ENROL, None)).await;
                    let connected = connected.unwrap_or_else(|_| panic!("client {client} is stuck"));
                    connected.unwrap();
                });
            }
            let Some(ended) = under_way.join_next().await else {
                break;
            };
            ended.unwrap();
        }
        // Those who had to wait asked twice.
        assert!(on.handle.metrics().retries.get() >= CLIENTS as u64);
        drop(busy);
        Arc::into_inner(on).unwrap().stop().await;
    });
}

#[test]
fn who_was_asked_before_a_new_certificate_may_answer_after_it() {
    // On one thread nothing arrives between the question and the new certificate.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let (server, end) = server(folder.path());
        let on = seen(&server, end);
        let mut asked = 0;
        let served = async {
            loop {
                let incoming = server.endpoint.accept().await.unwrap();
                if incoming.remote_address_validated() {
                    return incoming.accept().unwrap().await;
                }
                // One that waited too long asks again.
                incoming.retry().unwrap();
                asked += 1;
                server.renew_certificate();
            }
        };
        let both = async { tokio::join!(connect(&on, ALPN_ENROL, None), served) };
        let (client, served) = timeout(SOON, both).await.expect("the proof is believed");
        assert!(client.is_ok() && served.is_ok() && asked > 0);
        drop((client, served, server));
        on.stop().await;
    });
}

#[test]
fn identifiers_of_connections_do_not_meet() {
    let mut ids = connection_ids();
    // Of 24 bits some 50 pairs would be the same.
    let drawn: BTreeSet<Vec<u8>> = (0..40_000).map(|_| ids.generate_cid().to_vec()).collect();
    assert_eq!(drawn.len(), 40_000);
}
