//! The way to the proxy: its address, the session with it, and how far it is.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http_body_util::Empty;
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};
use xllm_proxy::{
    client::{Client, Error, ProxyUrl, ServerHello},
    proto::limits::HELLO_TIME,
};

use super::{check::Check, span::span};
use crate::{exit::Failure, secret::Secret, transport};

pub(super) const PROXY: &str = "proxy";
pub(super) const HANDSHAKE: &str = "handshake";
pub(super) const ROUND_TRIP: &str = "round trip";

/// Enough for a median and a spread.
const ROUNDS: usize = 5;
/// No proxy allows it, as no such host can be (RFC 6761): the proxy says so without calling anybody.
const NOWHERE: &str = "https://xllm-doctor.invalid/";
/// What it says.
const REFUSAL: &str = "origin-not-allowed";

/// A session that is up.
pub(super) struct Greeted {
    pub(super) client: Client,
    pub(super) hello: ServerHello,
    /// When its hello was here.
    pub(super) at: SystemTime,
}

/// Whether something listens at the proxy's address.
pub(super) async fn reach(url: &str, patience: Duration) -> (Check, bool) {
    let outcome = connect(url, patience).await;
    let reached = outcome.is_ok();
    (outcome.map_or_else(|failure| Check::failed(PROXY, failure), |detail| Check::ok(PROXY, detail)), reached)
}

async fn connect(url: &str, patience: Duration) -> Result<String, Failure> {
    // It would be taken for a name, shown, and asked for in the DNS.
    if url.to_ascii_lowercase().contains("xllm1_") {
        return Err(Failure::usage("the proxy's URL holds a key where its address should be")
            .remedy("proxy_url = \"http://HOST:50051\"; the key goes into the keyring: xllm key set"));
    }
    let proxy: ProxyUrl = url.parse().map_err(|error| {
        Failure::usage(format!("its URL is not understood: {error}"))
            .remedy("correct proxy_url in the configuration, XLLM_PROXY_URL or --proxy-url")
    })?;
    let place = proxy.to_string();
    let seconds = patience.as_secs();
    let unresolved = |why: &str| {
        Failure::proxy(format!("the name in {place} has no address: {why}"))
            .remedy("check the spelling of proxy_url, and that this machine is online and its DNS works")
    };
    let addresses = match timeout(patience, lookup_host(&place)).await {
        Ok(Ok(addresses)) => addresses.collect::<Vec<_>>(),
        Ok(Err(error)) => return Err(unresolved(&error.to_string())),
        Err(_) => return Err(unresolved(&format!("no answer within {seconds} s"))),
    };
    let began = Instant::now();
    let unreachable = |why: &str| Failure::proxy(format!("cannot reach {place}: {why}"));
    match timeout(patience, TcpStream::connect(&*addresses)).await {
        Ok(Ok(_)) => Ok(format!("{place}, connected in {}", span(began.elapsed()))),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => Err(unreachable("nothing listens there")
            .remedy("start xllm-proxy there, or correct host and port in proxy_url (the usual port is 50051)")),
        Ok(Err(error)) => Err(unreachable(&error.to_string()).remedy("check proxy_url and the network between")),
        Err(_) => Err(unreachable(&format!("no connection within {seconds} s"))
            .remedy("check proxy_url, and that no firewall between drops connections to its port")),
    }
}

/// Whether the proxy accepts the key.
pub(super) async fn greet(url: &str, key: &Secret, patience: Duration) -> (Check, Option<Greeted>) {
    // No more patient than a chat is, or what works here would not work there.
    let client = transport::builder(url, key, &[]).map(|builder| builder.connect_time(patience.min(HELLO_TIME)).build());
    let client = match client {
        Ok(client) => client,
        Err(failure) => return (Check::failed(HANDSHAKE, failure), None),
    };
    let began = Instant::now();
    match client.connect().await {
        Ok(hello) => {
            let (took, at) = (began.elapsed(), SystemTime::now());
            (Check::ok(HANDSHAKE, accepted(&hello, took)), Some(Greeted { client, hello, at }))
        }
        Err(error) => (Check::failed(HANDSHAKE, refused(&error)), None),
    }
}

fn accepted(hello: &ServerHello, took: Duration) -> String {
    let node = hello.node.as_ref().map_or_else(String::new, |node| format!(", node {node}"));
    format!(
        "key accepted in {}, profile {}\n{} requests at once, idle sessions end after {}{node}",
        span(took),
        hello.profile,
        hello.exchanges,
        span(Duration::from_secs(hello.idle))
    )
}

fn refused(error: &Error) -> Failure {
    let failure = |text: &str| Failure::proxy(format!("{text} ({})", error.code()));
    match error.code() {
        "key-refused" => failure("the proxy does not accept this key: it is unknown there, or was replaced").remedy(
            "whoever runs the proxy makes a new one: xllm-proxy client add NAME\n\
             (if the key is right, another program than xllm-proxy answers there)",
        ),
        "proxy-silent" => failure(&error.to_string())
            .remedy("check proxy_url, and that the key came from this server: `xllm key show-id`, `xllm-proxy client list`"),
        "proxy-unreachable" => failure(&error.to_string())
            .remedy("check proxy_url: https:// only where a balancer ends TLS before the proxy, else http://"),
        "profile-refused" => {
            failure(&error.to_string()).remedy("whoever runs the proxy allows the profile in its configuration")
        }
        _ => failure(&error.to_string()).remedy("whoever runs the proxy finds more in its log"),
    }
}

/// How far the proxy is: the median.
pub(super) async fn round_trips(client: &Client, patience: Duration) -> (Check, Option<Duration>) {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        match timeout(patience, round_trip(client)).await {
            Ok(Ok(time)) => times.push(time),
            Ok(Err(error)) => return (Check::failed(ROUND_TRIP, refused(&error)), None),
            Err(_) => {
                let failure = Failure::proxy(format!("the proxy gave no answer within {} s", patience.as_secs()));
                return (
                    Check::failed(ROUND_TRIP, failure.remedy("check the network between, and the load of the proxy")),
                    None,
                );
            }
        }
    }
    times.sort_unstable();
    let (least, median, most) = (times[0], times[ROUNDS / 2], times[ROUNDS - 1]);
    (Check::ok(ROUND_TRIP, format!("{}, median of {ROUNDS} ({} to {})", span(median), span(least), span(most))), Some(median))
}

async fn round_trip(client: &Client) -> Result<Duration, Error> {
    let mut request = http::Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = http::Uri::from_static(NOWHERE);
    let began = Instant::now();
    match client.buffered(request).await {
        Err(error) if error.code() != REFUSAL => Err(error),
        _ => Ok(began.elapsed()),
    }
}
