use std::{io::ErrorKind, time::Duration};

use axum::{
    body::Body,
    http::HeaderMap,
    routing::{get, post},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::*;
use crate::ingress::{problem::Problem, request::read_body};

struct Running {
    address: std::net::SocketAddr,
    shutdown: Shutdown,
    ended: JoinHandle<io::Result<()>>,
}

async fn start(limits: ListenLimits) -> Running {
    async fn echo(headers: HeaderMap, body: Body) -> Result<String, Problem> {
        let body = read_body(&headers, body, "the body", 100).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }
    let router = Router::new().route("/echo", post(echo)).route("/", get(async || "here"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = Shutdown::default();
    let ended = tokio::spawn(serve(listener, router, limits, shutdown.clone()));
    Running { address, shutdown, ended }
}

/// Everything until the other side closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    match stream.read_to_end(&mut text).await {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    String::from_utf8(text).unwrap()
}

async fn ask(address: std::net::SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

async fn read_answer(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"here") {
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn a_header_that_comes_too_slowly_ends_the_connection() {
    let limits = ListenLimits { header_timeout: Duration::from_millis(30), ..ListenLimits::default() };
    let running = start(limits).await;
    let mut silent = TcpStream::connect(running.address).await.unwrap();
    assert_eq!(rest(&mut silent).await, "");
    let mut slow = ask(running.address, "GET / HTTP/1.1\r\nhost:").await;
    assert_eq!(rest(&mut slow).await, "");
}

#[tokio::test]
async fn an_idle_connection_outlives_the_header_deadline_and_ends_at_its_own() {
    let limits = ListenLimits {
        header_timeout: Duration::from_millis(20),
        idle_timeout: Duration::from_millis(400),
        ..ListenLimits::default()
    };
    let running = start(limits).await;
    let mut stream = ask(running.address, GET).await;
    read_answer(&mut stream).await;
    tokio::time::sleep(Duration::from_millis(60)).await;
    stream.write_all(GET.as_bytes()).await.unwrap();
    assert!(read_answer(&mut stream).await.starts_with("HTTP/1.1 200"));
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_answered_408() {
    let limits = ListenLimits { body_timeout: Duration::from_millis(30), ..ListenLimits::default() };
    let running = start(limits).await;
    let mut stream = ask(running.address, "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf").await;
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("/problems/too-slow"), "{answer}");
}

#[tokio::test]
async fn a_body_over_the_limit_is_answered_413_announced_or_not() {
    let running = start(ListenLimits::default()).await;
    let announced = "POST /echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 101\r\n\r\n".to_owned();
    let chunked = format!(
        "POST /echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n65\r\n{}\r\n0\r\n\r\n",
        "x".repeat(101)
    );
    for request in [announced, chunked] {
        let mut stream = ask(running.address, &request).await;
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("100 bytes"), "{answer}");
    }
}

#[tokio::test]
async fn a_connection_over_the_cap_waits_until_another_ends() {
    let running = start(ListenLimits { connections_max: 1, ..ListenLimits::default() }).await;
    let mut first = ask(running.address, GET).await;
    read_answer(&mut first).await;
    let mut second = ask(running.address, GET).await;
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(50), second.read_exact(&mut byte)).await;
    assert!(early.is_err(), "the second connection was served beside the first");
    drop(first);
    assert!(read_answer(&mut second).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn an_address_over_its_own_cap_is_closed() {
    let running = start(ListenLimits { connections_per_ip_max: 1, ..ListenLimits::default() }).await;
    let mut first = ask(running.address, GET).await;
    read_answer(&mut first).await;
    let mut second = TcpStream::connect(running.address).await.unwrap();
    assert_eq!(rest(&mut second).await, "");
}

#[tokio::test]
async fn stopping_ends_idle_and_half_sent_requests_and_busy_ones_when_they_are_abandoned() {
    let running = start(ListenLimits::default()).await;
    let mut idle = ask(running.address, GET).await;
    read_answer(&mut idle).await;
    let mut busy = ask(running.address, "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf").await;
    let mut half = ask(running.address, "POST /echo HTTP/1.1\r\nhost:").await;
    running.shutdown.stop.cancel();
    assert_eq!(rest(&mut idle).await, "");
    assert_eq!(rest(&mut half).await, "");
    assert!(!running.ended.is_finished(), "a request in progress is waited for");
    running.shutdown.abandon.cancel();
    running.ended.await.unwrap().unwrap();
    assert_eq!(rest(&mut busy).await, "");
    assert!(TcpStream::connect(running.address).await.is_err());
}
