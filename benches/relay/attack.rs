//! Hostile load, in a process of its own: `--attack KIND` is this program as the attacker. It goes on until it is killed.

use std::{
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use clap::ValueEnum;
use futures::StreamExt as _;
use http_body::Frame as BodyFrame;
use http_body_util::StreamBody;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    time::sleep,
};
use xllm_proxy::{
    client::Client,
    proto::{
        AWS_LC, Credential, Profile,
        crypto::Secret,
        frame::{BodyLength, Frame, Mode, Policy, Request},
        handshake::Initiator,
        limits::{HELLO, RECORD_PLAINTEXT},
        record::Sealer,
    },
};

use crate::{Result, system};

/// Connections that a flood holds before it lets the oldest go.
const HELD: usize = 2000;
/// Connections that are made at once.
const AT_ONCE: usize = 32;
/// Addresses that a flood comes from: fewer connections of each than one may have.
const ADDRESSES: usize = 256;
/// Slow hellos at once, as many as find a place, and how long each takes for a byte.
const SLOW: usize = 900;
const PAUSE: Duration = Duration::from_millis(40);
/// Sessions of a client that floods.
const SESSIONS: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Attack {
    /// Connections as fast as they are taken, each with 256 bytes that are no hello
    Connections,
    /// The same with hellos that open, replayed: what costs the server most
    Hellos,
    /// Hellos a byte at a time
    Loris,
    /// A client's requests, far beyond its limits
    Requests,
    /// A client's endless uploads, as fast as they are taken
    Uploads,
}

/// Whom it is for.
pub(crate) struct Target {
    pub(crate) server: SocketAddr,
    /// Of a client of that server.
    pub(crate) credential: Credential,
    /// Where it serves what the server may call, and takes any upload.
    pub(crate) sink: SocketAddr,
}

impl Attack {
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// Attacks until it is killed.
pub(crate) fn run(attack: Attack, target: &Target) -> Result<()> {
    system::raise_file_limit()?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        match attack {
            Attack::Connections => flood(target, &[0x16; HELLO], false).await,
            Attack::Hellos => flood(target, &hello(&target.credential)?.1, true).await,
            Attack::Loris => slow(target).await,
            Attack::Requests => all((0..SESSIONS).map(|_| requests(target))).await,
            Attack::Uploads => {
                let listener = TcpListener::bind(target.sink).await?;
                tokio::spawn(sink(listener));
                all((0..SESSIONS).map(|_| upload(target))).await
            }
        }
    })
}

/// All at once; the first that fails ends it.
async fn all(parts: impl Iterator<Item = impl Future<Output = Result<()>>>) -> Result<()> {
    futures::future::try_join_all(parts).await.map(drop)
}

fn hello(credential: &Credential) -> Result<(Initiator, [u8; HELLO])> {
    Ok(Initiator::start(credential, Profile::Off, Secret::new(fresh()?), &AWS_LC)?)
}

fn fresh<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// From one of many addresses of this machine: all of 127.0.0.0/8 is its own.
async fn connect(number: usize, server: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    #[expect(clippy::cast_possible_truncation, reason = "one of 256")]
    let source = Ipv4Addr::new(127, 78, 0, (number % ADDRESSES) as u8);
    socket.bind((source, 0).into())?;
    let stream = socket.connect(server).await?;
    stream.set_nodelay(true)?;
    // Its end is a reset: no port has to wait.
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    Ok(stream)
}

/// Connections without end that say this; with `answered`, each waits for its answer.
async fn flood(target: &Target, hello: &[u8; HELLO], answered: bool) -> Result<()> {
    let one = |number| async move {
        let mut stream = connect(number, target.server).await?;
        stream.write_all(hello).await?;
        if answered {
            stream.read_exact(&mut [0; HELLO]).await?;
        }
        std::io::Result::Ok(stream)
    };
    let mut held = VecDeque::new();
    let mut attempts = futures::stream::iter((0..).map(one)).buffer_unordered(AT_ONCE);
    while let Some(attempt) = attempts.next().await {
        // One that the server has sent away already is one the less.
        held.extend(attempt);
        if held.len() > HELD {
            held.pop_front();
        }
    }
    Ok(())
}

async fn slow(target: &Target) -> Result<()> {
    let one = |number| async move {
        loop {
            let Ok(mut stream) = connect(number, target.server).await else { continue };
            while stream.write_all(b"?").await.is_ok() {
                sleep(PAUSE).await;
            }
        }
    };
    all((0..SLOW).map(one)).await
}

/// Requests without end in one session, a new one when it breaks.
async fn requests(target: &Target) -> Result<()> {
    let url = format!("http://{}/", target.sink);
    loop {
        let mut stream = TcpStream::connect(target.server).await?;
        let (initiator, hello) = hello(&target.credential)?;
        stream.write_all(&hello).await?;
        let mut answer = [0; HELLO];
        if stream.read_exact(&mut answer).await.is_err() {
            continue;
        }
        let mut sealer = Sealer::new(initiator.finish(&answer)?.1.client, &AWS_LC);
        let (mut input, mut output) = stream.split();
        let say = async {
            let (mut number, mut record) = (1, BytesMut::new());
            loop {
                record.clear();
                let start = Sealer::begin(&mut record);
                while record.len() < RECORD_PLAINTEXT - 300 {
                    Frame::Request(Box::new(request(&url)?)).encode(number, &mut record)?;
                    number += 1;
                }
                sealer.seal(&mut record, start)?;
                if output.write_all(&record).await.is_err() {
                    return Result::<()>::Ok(());
                }
            }
        };
        let mut heard = vec![0; 1 << 16];
        let hear = async { while matches!(input.read(&mut heard).await, Ok(1..)) {} };
        tokio::select! {
            said = say => said?,
            () = hear => {}
        }
    }
}

fn request(url: &str) -> Result<Request> {
    Ok(Request {
        id: fresh()?,
        method: "POST".to_owned(),
        url: url.to_owned(),
        headers: Vec::new(),
        mode: Mode::Streaming,
        timings: false,
        policy: Policy::Neutral,
        body: BodyLength::None,
        credit: 1 << 20,
    })
}

/// One upload without end.
async fn upload(target: &Target) -> Result<()> {
    let client = Client::builder(&target.server.to_string(), target.credential.clone())?.sessions(1).build();
    let piece = Bytes::from(vec![b'u'; 1 << 16]);
    let body = futures::stream::repeat_with(move || Result::<_, std::io::Error>::Ok(BodyFrame::data(piece.clone())));
    let request = http::Request::post(format!("http://{}/", target.sink)).body(StreamBody::new(body))?;
    match tower::Service::call(&mut client.clone(), request).await {
        Ok(_) => Err("an upload without end was answered".into()),
        Err(error) => Err(error.into()),
    }
}

/// Takes what comes, and never answers.
async fn sink(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut taken = vec![0; 1 << 18];
            while matches!(stream.read(&mut taken).await, Ok(1..)) {}
        });
    }
}
