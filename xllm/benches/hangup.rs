//! How long after a caller has hung up its upstream sees it, through gateway and proxy:
//!
//! ```text
//! cargo bench -p xllm --bench hangup
//! ```
//!
//! The gateway is the real program, a process of its own; proxy and mock provider run in this one. The clock starts when the
//! caller drops its connection (HTTP/1.1) or resets its stream (HTTP/2), and stops when the provider's end of the call is gone.

use std::{
    error::Error,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mock_llm::MockLlm;
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use xllm_proxy::server::{Config, Keys, Server};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Calls of each kind.
const CALLS: u64 = 100;
/// A hang-up that is not seen by then was lost.
const LOST: Duration = Duration::from_secs(10);

/// Where in its life a call is when the caller leaves.
const MOMENTS: [(&str, &str); 3] = [
    ("before the head", BEFORE_THE_HEAD),
    ("in silence", r#"{"text":"one two","gate":"never"}"#),
    ("between tokens", r#"{"text":"one two three four five six seven eight nine ten","tokens_per_s":20}"#),
];
const BEFORE_THE_HEAD: &str = r#"{"hang":"head"}"#;

#[tokio::main]
async fn main() -> Result<()> {
    // `cargo bench` and `cargo test --benches` pass flags of their own.
    if std::env::args().any(|arg| arg == "--test") {
        return Ok(());
    }
    let mock = MockLlm::start(mock_llm::Config::default()).await?;
    let gateway = Gateway::start(&mock).await?;
    println!("from the caller's hang-up to the upstream's, {CALLS} calls each, milliseconds\n");
    println!("{:10} {:16} {:>7} {:>7} {:>7} {:>7}", "", "", "p50", "p90", "p99", "max");
    for version in [Version::Http1, Version::Http2] {
        for (moment, script) in MOMENTS {
            let mut times = Vec::new();
            for _ in 0..CALLS {
                times.push(hang_up(&mock, gateway.address, version, script).await?);
            }
            times.sort_unstable();
            let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1e3;
            let (p50, p90, p99, max) = (at(50), at(90), at(99), at(100));
            println!("{:10} {moment:16} {p50:>7.2} {p90:>7.2} {p99:>7.2} {max:>7.2}", version.name());
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Version {
    Http1,
    Http2,
}

impl Version {
    const fn name(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }
}

/// One call that is left; how long the upstream took to see it.
async fn hang_up(mock: &MockLlm, gateway: SocketAddr, version: Version, script: &str) -> Result<Duration> {
    let before = mock.hung_up();
    let io = TokioIo::new(TcpStream::connect(gateway).await?);
    let request = Request::post(format!("http://{gateway}/openai/v1/chat/completions"))
        .header("host", gateway.to_string())
        .header("content-type", "application/json")
        .header("authorization", "Bearer sk-bench")
        .header("x-mock", script)
        .body(Full::<Bytes>::from(r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"x"}]}"#))?;
    // The connection's task goes on: it is what closes or resets when the call is dropped.
    let call = match version {
        Version::Http1 => {
            let (mut sender, connection) = http1::handshake(io).await?;
            tokio::spawn(connection);
            tokio::spawn(async move { sender.send_request(request).await })
        }
        Version::Http2 => {
            let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
            tokio::spawn(connection);
            tokio::spawn(async move { sender.send_request(request).await })
        }
    };
    let left = if script == BEFORE_THE_HEAD {
        mock.wait_until(|stats| stats.open > 0).await;
        let left = Instant::now();
        call.abort();
        left
    } else {
        let mut response = call.await??;
        response.body_mut().frame().await.ok_or("no event")??;
        let left = Instant::now();
        drop(response);
        left
    };
    timeout(LOST, mock.wait_until(|stats| stats.hung_up > before)).await.map_err(|_| "a hang-up was lost")?;
    Ok(left.elapsed())
}

/// The real program, with a proxy of its own.
struct Gateway {
    process: Child,
    address: SocketAddr,
    _home: tempfile::TempDir,
}

impl Gateway {
    async fn start(mock: &MockLlm) -> Result<Self> {
        let (keys, credential) = Keys::ephemeral("bench")?;
        let server = Server::new(Config::parse("", "(bench)".as_ref(), &[mock.url()])?, Arc::new(keys))?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let proxy = listener.local_addr()?;
        tokio::spawn(server.run(listener, std::future::pending()));
        let home = tempfile::tempdir()?;
        let config = home.path().join("config.toml");
        std::fs::write(&config, format!("[models.openai]\nurl = \"{}\"\n", mock.url()))?;
        let mut process = Command::new(env!("CARGO_BIN_EXE_xllm"))
            .args(["gateway", "--listen", "127.0.0.1:0", "--proxy-url", &proxy.to_string()])
            .arg("--config")
            .arg(config)
            .env("XLLM_PROXY_KEY", credential.reveal().as_str())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().ok_or("no stdout")?).read_line(&mut line)?;
        let address =
            line.split_once("http://").and_then(|(_, rest)| rest.split_once('/')).ok_or("the gateway did not start")?.0;
        Ok(Self { process, address: address.parse()?, _home: home })
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
