//! Life, readiness and metrics; a writer that is gone; real connections over loopback.

use std::collections::BTreeSet;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::world::{World, run};
use crate::http::serve;
use crate::io::tcp::HttpListener;

#[test]
fn a_writer_that_is_gone_is_told_apart_from_a_process_that_is() {
    run(async {
        let mut world = World::new().await;
        let ready = world.get("/ready", "").await;
        assert_eq!(ready.status, 200, "{}", ready.text);
        assert_eq!(ready.json["status"], "ready");
        assert!(ready.json["as_of"]["position"].as_u64().unwrap() > 0);
        world.stop_writer().await;
        world.get("/ready", "").await.problem(503, "not-ready");
        assert_eq!(world.get("/health", "").await.text, "ok\n");
        let read = world.get("/api/v1/nodes", &world.operator).await;
        read.problem(503, "stopping");
        assert_eq!(read.header("retry-after"), "5");
        let body = serde_json::json!({"reason": "because"});
        let change = world
            .change("POST", "/api/v1/quarantine/1/discard", &world.operator, &body)
            .await;
        change.problem(503, "stopping");
    });
}

#[test]
fn metrics_count_batches_nodes_and_requests_by_route() {
    run(async {
        let world = World::new().await;
        world.get("/api/v1/nodes", &world.operator).await;
        world.get("/api/v1/nodes", "").await;
        world.get("/no/such/thing", "").await;
        let got = world.get("/metrics", "").await;
        assert!(
            got.header("content-type")
                .starts_with("text/plain; version=0.0.4")
        );
        for line in [
            "tallyman_aggregator_batches_counted_total 1",
            "tallyman_aggregator_batches_held_total 1",
            "tallyman_aggregator_records_counted_total 4",
            "tallyman_aggregator_nodes{status=\"active\"} 1",
            "tallyman_aggregator_http_requests_total{route=\"/api/v1/nodes\",status=\"200\"} 1",
            "tallyman_aggregator_http_requests_total{route=\"/api/v1/nodes\",status=\"401\"} 1",
            "tallyman_aggregator_http_requests_total{route=\"none\",status=\"404\"} 1",
        ] {
            assert!(got.text.lines().any(|l| l == line), "{line}\n{}", got.text);
        }
        assert!(got.text.contains("tallyman_aggregator_node_lag_max_seconds "));
        assert!(
            got.text
                .contains("tallyman_aggregator_http_request_duration_seconds_bucket{")
        );
        // One text: nothing is described twice, and counters by their whole names.
        assert!(
            got.text
                .contains("# TYPE tallyman_aggregator_batches_counted_total counter\n")
        );
        let helps: Vec<&str> = got.text.lines().filter(|l| l.starts_with("# HELP")).collect();
        assert_eq!(helps.iter().collect::<BTreeSet<_>>().len(), helps.len());
    });
}

async fn say(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}

#[test]
fn a_stop_answers_open_requests_and_closes_idle_connections() {
    run(async {
        let world = World::new().await;
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let listener = HttpListener::new(tcp, None).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(serve(world.handle.clone(), listener, async {
            drop(stopped.await)
        }));

        let mut idle = TcpStream::connect(address).await.unwrap();
        let token = &world.acme;
        say(
            &mut idle,
            &format!("GET /api/v1/tenants HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"),
        )
        .await;
        let mut answer = vec![0; 15];
        idle.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, b"HTTP/1.1 200 OK");

        // The head of a second request is under way when the stop comes.
        let mut slow = TcpStream::connect(address).await.unwrap();
        say(&mut slow, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let mut begin = vec![0; 15];
        slow.read_exact(&mut begin).await.unwrap();
        assert_eq!(begin, b"HTTP/1.1 200 OK", "from loopback without a token");
        drop(stop);
        let mut rest = String::new();
        slow.read_to_string(&mut rest).await.unwrap();
        assert!(rest.contains("tallyman_aggregator_batches_counted_total 1\n"));
        let mut rest = String::new();
        idle.read_to_string(&mut rest).await.unwrap();
        assert!(rest.contains("acme"));
        served.await.unwrap().unwrap();
    });
}
