//! Asking the admin listener.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::support::within;

/// An answer: its status, its head, its body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Sends these lines as a request's head.
pub(crate) async fn send(address: SocketAddr, head: &str) -> Answer {
    let read = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("{head}\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let answer = within("an answer of the admin listener", read).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Answer {
    send(address, &format!("GET {path} HTTP/1.1\r\nhost: {address}")).await
}

/// The value of a series, as it stands in a text; `None` if it is not there.
pub(crate) fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

/// Asks until these series have these values.
pub(crate) async fn wait_for(address: SocketAddr, expected: &[(&str, f64)]) -> String {
    let mut text = String::new();
    let asks = async {
        loop {
            text = get(address, "/metrics").await.body;
            if expected.iter().all(|&(series, wanted)| value(&text, series) == Some(wanted)) {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    let done = tokio::time::timeout(super::support::LIMIT, asks).await;
    if done.is_err() {
        let got: Vec<_> = expected.iter().map(|&(series, wanted)| (series, wanted, value(&text, series))).collect();
        panic!("not so (series, wanted, there): {got:#?}\n{text}");
    }
    text
}
