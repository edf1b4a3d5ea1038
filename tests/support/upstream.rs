//! Upstreams that no HTTP library would make.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// A listener, and the URL of its root without a slash.
async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// What an upstream does when it has said its part.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Then {
    Close,
    /// Neither speaks nor closes.
    Hold,
}

/// Answers every connection's request head with these bytes. Gives the URL of its root, without a slash.
pub(crate) async fn saying(answer: impl Into<Vec<u8>>, then: Then) -> String {
    let (answer, (listener, url)) = (answer.into(), listen().await);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move { speak(stream, &answer, then).await });
        }
    });
    url
}

async fn speak(mut stream: TcpStream, answer: &[u8], then: Then) -> Option<()> {
    hear(&mut stream).await?;
    stream.write_all(answer).await.ok()?;
    match then {
        Then::Close => stream.shutdown().await.ok()?,
        Then::Hold => {}
    }
    // Reads to the end, so that the close is no reset.
    let mut sink = [0; 4096];
    while stream.read(&mut sink).await.ok()? > 0 {}
    Some(())
}

/// What an upstream has had of connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Connections {
    pub(crate) opened: usize,
    pub(crate) closed: usize,
}

/// Answers so many requests of each connection, none of which may have a body, with these bytes, and closes it then.
pub(crate) async fn serving(answer: &'static str, each: usize) -> (String, watch::Receiver<Connections>) {
    let (listener, url) = listen().await;
    let (sender, connections) = watch::channel(Connections::default());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            sender.send_modify(|connections| connections.opened += 1);
            let sender = sender.clone();
            tokio::spawn(async move {
                for _ in 0..each {
                    hear(&mut stream).await?;
                    stream.write_all(answer.as_bytes()).await.ok()?;
                }
                stream.shutdown().await.ok()?;
                sender.send_modify(|connections| connections.closed += 1);
                Some(())
            });
        }
    });
    (url, connections)
}

/// Reads a request's head.
async fn hear(stream: &mut TcpStream) -> Option<()> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).await.ok()?;
        head.push(byte[0]);
    }
    Some(())
}

/// An address at which nothing listens.
pub(crate) async fn closed() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

/// An upstream that writes down what it hears.
pub(crate) struct Recording {
    pub(crate) url: String,
    /// All bytes of all connections so far.
    pub(crate) heard: watch::Receiver<Vec<u8>>,
}

/// Answers each connection with these bytes when what it has said ends so.
pub(crate) async fn recording(answer: &str, end: &'static [u8]) -> Recording {
    let (listener, url) = listen().await;
    let (sender, heard) = watch::channel(Vec::new());
    let answer = answer.to_owned();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                sender.send_modify(|heard| heard.extend_from_slice(&buffer[..read]));
                if sender.borrow().ends_with(end) {
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            }
        }
    });
    Recording { url, heard }
}

/// Accepts connections and never reads.
pub(crate) async fn deaf() -> String {
    let (listener, url) = listen().await;
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            kept.push(stream);
        }
    });
    url
}
