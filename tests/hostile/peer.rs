//! Somebody who has a key, and says whatever a test wants over a real connection.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
};
use xllm_proxy::proto::{
    AES_GCM, Code, Credential, Role,
    frame::{self, BodyLength, Frame, Request},
    limits::RECORD_PLAINTEXT,
    record::{Opener, Sealer},
};

use super::{
    crowd, hellos,
    support::{raw, within},
};

/// A session, handshake done.
pub(crate) struct Peer {
    pub(crate) io: TcpStream,
    sealer: Sealer,
    opener: Opener,
    input: BytesMut,
}

/// What a peer sends, on its own.
pub(crate) struct Speaker<'a> {
    pub(crate) io: WriteHalf<'a>,
    sealer: &'a mut Sealer,
}

impl Speaker<'_> {
    /// Sends a record with this plaintext. An error if the server has closed.
    pub(crate) async fn say(&mut self, plaintext: &[u8]) -> std::io::Result<()> {
        self.io.write_all(&seal(self.sealer, plaintext)).await
    }
}

/// What a peer hears, on its own.
pub(crate) struct Listener<'a> {
    io: ReadHalf<'a>,
    opener: &'a mut Opener,
    input: &'a mut BytesMut,
}

impl Listener<'_> {
    /// All frames of the next record; `None` at the end of the stream.
    pub(crate) async fn hear_record(&mut self) -> Option<Vec<(u32, Frame)>> {
        within("a record", async {
            loop {
                if let Some(record) = self.opener.open(self.input).expect("the server's records verify") {
                    return Some(frames(&record));
                }
                if !matches!(self.io.read_buf(self.input).await, Ok(1..)) {
                    return None;
                }
            }
        })
        .await
    }

    /// What the session ends with: the code of the server's last word, if it came through.
    pub(crate) async fn verdict(&mut self) -> Option<Code> {
        let mut verdict = None;
        while let Some(frames) = self.hear_record().await {
            for frame in frames {
                match frame {
                    (0, Frame::Error { notice, .. }) => verdict = Some(notice.code),
                    (0, Frame::GoAway(goaway)) => verdict = goaway.code,
                    _ => {}
                }
            }
        }
        verdict
    }
}

impl Peer {
    /// After the hellos, before a first record.
    pub(crate) async fn greet(server: SocketAddr, credential: &Credential) -> Self {
        let mut io = crowd::connect(0, server).await.unwrap();
        let (initiator, hello) = hellos::good(credential);
        io.write_all(&hello).await.unwrap();
        let mut answer = [0; 256];
        within("the server's hello", io.read_exact(&mut answer)).await.unwrap();
        let (_, traffic) = initiator.finish(&answer).unwrap();
        let (sealer, opener) = (Sealer::new(traffic.client, &AES_GCM), Opener::new(traffic.server, &AES_GCM));
        Self { io, sealer, opener, input: BytesMut::new() }
    }

    /// After a first record that proved the key, and an answer that shows it.
    pub(crate) async fn enter(server: SocketAddr, credential: &Credential) -> Self {
        let mut peer = Self::greet(server, credential).await;
        peer.say(&ping()).await.unwrap();
        assert!(matches!(peer.hear().await, Some((0, Frame::Pong(_)))));
        peer
    }

    /// Both halves at once.
    pub(crate) fn split(&mut self) -> (Speaker<'_>, Listener<'_>) {
        let (input, output) = self.io.split();
        let speaker = Speaker { io: output, sealer: &mut self.sealer };
        (speaker, Listener { io: input, opener: &mut self.opener, input: &mut self.input })
    }

    /// A record with this plaintext.
    pub(crate) fn seal(&mut self, plaintext: &[u8]) -> BytesMut {
        seal(&mut self.sealer, plaintext)
    }

    /// Sends a record with this plaintext. An error if the server has closed.
    pub(crate) async fn say(&mut self, plaintext: &[u8]) -> std::io::Result<()> {
        self.split().0.say(plaintext).await
    }

    /// The first frame of the next record; `None` at the end of the stream.
    pub(crate) async fn hear(&mut self) -> Option<(u32, Frame)> {
        self.split().1.hear_record().await?.into_iter().next()
    }

    /// What the session ends with: the code of the server's last word, if it came through.
    pub(crate) async fn verdict(&mut self) -> Option<Code> {
        self.split().1.verdict().await
    }
}

fn seal(sealer: &mut Sealer, plaintext: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    let start = Sealer::begin(&mut out);
    out.extend_from_slice(plaintext);
    sealer.seal(&mut out, start).unwrap();
    out
}

fn frames(record: &Bytes) -> Vec<(u32, Frame)> {
    let mut at = 0;
    std::iter::from_fn(|| frame::decode(record, &mut at, Role::Server).expect("the server's frames can be read")).collect()
}

/// A frame's bytes.
pub(crate) fn encoded(exchange: u32, frame: &Frame) -> BytesMut {
    let mut out = BytesMut::new();
    frame.encode(exchange, &mut out).unwrap();
    out
}

/// A frame that nobody checked.
pub(crate) fn raw_frame(kind: u8, exchange: u32, payload: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    frame::put(&mut out, kind, exchange, None, payload);
    out
}

pub(crate) fn ping() -> BytesMut {
    encoded(0, &Frame::Ping(frame::Ping { token: [9; 8], silence: 0 }))
}

/// REQUEST of this number.
pub(crate) fn request(number: u32, method: &str, url: &str, body: BodyLength) -> BytesMut {
    let request = Request { body, ..raw::request(method, url, &[]) };
    encoded(number, &Frame::Request(Box::new(request)))
}

/// These frames in plaintexts of records as full as they get.
pub(crate) fn packed(frames: impl IntoIterator<Item = BytesMut>) -> Vec<BytesMut> {
    let mut records = vec![BytesMut::new()];
    for frame in frames {
        if records.last().is_some_and(|last| last.len() + frame.len() > RECORD_PLAINTEXT) {
            records.push(BytesMut::new());
        }
        records.last_mut().unwrap().extend_from_slice(&frame);
    }
    records
}
