//! Plain HTTP questions over loopback.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Asks for `path` with a bearer token; the status and the body.
pub fn get(port: u16, path: &str, token: Option<&str>) -> Result<(u16, String)> {
    ask(port, "GET", path, token)
}

/// Orders at `path`, without a body; the status and the answer's body.
pub fn post(port: u16, path: &str, token: &str) -> Result<(u16, String)> {
    ask(port, "POST", path, Some(token))
}

/// Asks for `path`, and leaves before there is an answer.
pub fn ask_and_leave(port: u16, path: &str, token: &str) -> Result<()> {
    send(port, "GET", path, Some(token)).map(drop)
}

fn send(port: u16, method: &str, path: &str, token: Option<&str>) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let bearer = token.map_or_else(String::new, |t| format!("Authorization: Bearer {t}\r\n"));
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{bearer}Content-Length: 0\r\nConnection: close\r\n\r\n"
    )?;
    Ok(stream)
}

fn ask(port: u16, method: &str, path: &str, token: Option<&str>) -> Result<(u16, String)> {
    let mut answer = String::new();
    send(port, method, path, token)?.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer has a head")?;
    let status = head
        .split(' ')
        .nth(1)
        .context("an answer has a status")?
        .parse()?;
    Ok((status, body.to_owned()))
}

/// Asks for JSON; any status but 200 is an error with the answer in it.
pub fn json(port: u16, path: &str, token: &str) -> Result<Value> {
    match get(port, path, Some(token))? {
        (200, body) => Ok(serde_json::from_str(&body)?),
        (status, body) => bail!("GET {path}: {status} {body}"),
    }
}
