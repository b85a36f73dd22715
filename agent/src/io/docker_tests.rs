//! Docker's answers, recorded from an Engine 20.10, served over a socket by a stand-in that knows four paths.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use super::*;

const VERSION: &str = include_str!("fixtures/version.json");
const CONTAINERS: &str = include_str!("fixtures/containers.json");
const IMAGE: &str = include_str!("fixtures/image.json");
const CREATED: &str = include_str!("fixtures/event-create.json");
const ID: &str = "40de12a9abe7fda1440bdeb5703b4d95f3329a26ebce2fc8c4be10bc4c5e05c8";

/// What the stand-in answers; 404 where nothing is given.
#[derive(Clone, Copy, Default)]
struct Answers {
    containers: Option<&'static str>,
    image: Option<&'static str>,
    /// Sent as a stream, which then ends.
    events: &'static [&'static str],
}

fn serve(answers: Answers) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            std::thread::spawn(move || answer(stream, answers));
        }
    });
    (folder, socket)
}

fn answer(mut stream: UnixStream, answers: Answers) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap();
    let body = if path.ends_with("/version") {
        Some(VERSION)
    } else if path.contains("/containers/json") {
        answers.containers
    } else if path.contains("/images/web/json") || path.contains("/images/sha256:867ae822") {
        answers.image
    } else {
        None
    };
    let text = if path.contains("/events") {
        let chunks = answers
            .events
            .iter()
            .map(|text| format!("{:x}\r\n{text}\r\n", text.len()));
        let chunks: String = chunks.collect();
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
        )
    } else {
        let status = if body.is_some() { "200 OK" } else { "404 Not Found" };
        let body = body.unwrap_or("{\"message\":\"no such thing\"}");
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    };
    // The client may have given up.
    let _ = stream.write_all(text.as_bytes());
}

/// All that one session tells until its stream ends, and why it ended.
fn told(answers: Answers) -> (Vec<Description>, String) {
    let (_folder, socket) = serve(answers);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let session = Session::open(&socket).await.unwrap();
        let mut descriptions = Vec::new();
        let ended = session
            .follow(WallMs(0), &mut async |description| descriptions.push(description))
            .await;
        (descriptions, ended.to_string())
    })
}

fn web() -> Description {
    let labels = [("com.example.tier", "gold"), ("tallyman.tenant", "acme")];
    Description {
        container: ContainerId::parse(ID.as_bytes()).unwrap(),
        name: "fixture-web".to_owned(),
        labels: labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        image_labels: [("tallyman.tenant".to_owned(), "image-says".to_owned())].into(),
    }
}

#[test]
fn a_running_container_is_listed_with_its_own_and_its_images_labels() {
    let (_folder, socket) = serve(Answers {
        containers: Some(CONTAINERS),
        image: Some(IMAGE),
        ..Answers::default()
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut session = Session::open(&socket).await.unwrap();
        assert_eq!(session.list().await.unwrap(), [web()]);
        assert_eq!(session.list().await.unwrap(), []);
    });
}

#[test]
fn a_new_container_is_described_by_its_create_event() {
    let (descriptions, ended) = told(Answers {
        containers: Some("[]"),
        image: Some(IMAGE),
        events: &[CREATED],
    });
    assert_eq!(descriptions, [web()]);
    assert!(ended.contains("ended its stream"), "{ended}");
}

#[test]
fn a_message_that_can_not_be_read_ends_the_session_with_words() {
    let (_, ended) = told(Answers {
        containers: Some("[]"),
        image: Some(IMAGE),
        events: &["{\"Type\":\"of tomorrow\",\"Action\":\"create\"}\n"],
    });
    assert!(ended.contains("can't be read"), "{ended}");
}

#[test]
fn without_the_images_labels_a_container_waits() {
    let (descriptions, _) = told(Answers {
        containers: Some("[]"),
        events: &[CREATED],
        ..Answers::default()
    });
    assert_eq!(descriptions, []);
}

#[test]
fn a_socket_without_docker_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let absent = runtime
        .block_on(Session::open(&socket))
        .err()
        .unwrap()
        .to_string();
    assert!(absent.contains("docker.sock"), "{absent}");
    drop(UnixListener::bind(&socket).unwrap());
    let dead = runtime
        .block_on(Session::open(&socket))
        .err()
        .unwrap()
        .to_string();
    assert!(dead.contains("docker.sock"), "{dead}");
}

#[test]
fn pauses_grow_and_stay_bounded() {
    let seconds: Vec<u64> = (0..8).map(|failures| pause_after(failures).as_secs()).collect();
    assert_eq!(seconds, [0, 1, 2, 4, 8, 16, 30, 30]);
}
