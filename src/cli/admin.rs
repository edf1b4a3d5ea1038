//! What is asked of a running server: `xllm-proxy healthcheck`, `xllm-proxy reload`; and its admin listener's beginning.

use std::{
    error::Error,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use http::{Method, Request, StatusCode, header::HOST};
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tracing::{info, warn};
use xllm_proxy::{
    listen,
    server::{admin::RELOAD_HEADER, config::AdminListen},
};

/// How long a server may take to say that it is well.
const CHECK_TIME: Duration = Duration::from_secs(3);
/// How long it may take to read its files.
const RELOAD_TIME: Duration = Duration::from_secs(30);
/// Bytes of an answer that are shown.
const ANSWER_BYTES: usize = 64 * 1024;

/// What came of the attempt to listen where the configuration says.
#[derive(Debug)]
pub(crate) enum Bound {
    /// Nobody wants to.
    Off,
    /// There.
    At(SocketAddr, TcpListener),
    /// An address that nobody asked for cannot be had, which is not worth failing for.
    Without(SocketAddr, io::Error),
}

/// Listens where the configuration says.
pub(crate) fn listen(at: AdminListen) -> Result<Bound, String> {
    let Some(address) = at.address() else { return Ok(Bound::Off) };
    let bound = listen::listen(address).and_then(|listener| Ok((listener.local_addr()?, listener)));
    match (bound, at) {
        (Ok((bound, listener)), _) => Ok(Bound::At(bound, listener)),
        (Err(error), AdminListen::Default) => Ok(Bound::Without(address, error)),
        (Err(error), _) => Err(format!("cannot listen on {address} ({error}), the address of the admin listener; see --admin")),
    }
}

impl Bound {
    /// Says it in the log, now that there is one, and gives the listener.
    pub(crate) fn log(self) -> Option<TcpListener> {
        match self {
            Self::Off => None,
            Self::At(bound, listener) => {
                info!(admin = %bound, "admin listener: health, metrics, reload");
                if !bound.ip().is_loopback() {
                    warn!(admin = %bound, "the admin listener is open to other machines, and has no keys: who can connect may ask");
                }
                Some(listener)
            }
            Self::Without(address, error) => {
                warn!(
                    "no admin listener: cannot listen on {address} ({error}); choose an address with --admin, or --admin off"
                );
                None
            }
        }
    }
}

pub(crate) fn healthcheck(at: AdminListen, ready: bool) -> Result<(), Box<dyn Error>> {
    let address = address(at).ok_or("there is no admin listener to ask: it is configured off")?;
    let route = if ready { "/readyz" } else { "/healthz" };
    let (status, text) = ask(address, &Method::GET, route, CHECK_TIME)?;
    if !status.is_success() {
        return Err(format!("{address} says {status}: {text}").into());
    }
    println!("{text}");
    Ok(())
}

pub(crate) fn reload(at: AdminListen) -> Result<(), Box<dyn Error>> {
    let address =
        address(at).ok_or("there is no admin listener to ask: it is configured off. Send the server SIGHUP instead")?;
    let (status, text) = ask(address, &Method::POST, "/reload", RELOAD_TIME)?;
    if !status.is_success() {
        return Err(text.into());
    }
    println!("{text}");
    Ok(())
}

/// Where a server with such a listener can be asked from this machine.
fn address(at: AdminListen) -> Option<SocketAddr> {
    let mut address = at.address()?;
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    Some(address)
}

/// Asks, and gives the answer's line.
fn ask(address: SocketAddr, method: &Method, route: &str, limit: Duration) -> Result<(StatusCode, String), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let asked = runtime.block_on(async { timeout(limit, exchange(address, method, route)).await });
    match asked {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(format!("cannot ask {address}: {error}; is the server up, and its admin listener there?")),
        Err(_) => Err(format!("{address} gave no answer within {} s", limit.as_secs())),
    }
}

async fn exchange(
    address: SocketAddr,
    method: &Method,
    route: &str,
) -> Result<(StatusCode, String), Box<dyn Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::builder()
        .method(method)
        .uri(route)
        .header(HOST, address.to_string())
        .header(RELOAD_HEADER, "1")
        .body(String::new())?;
    let answer = async move {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await?.to_bytes();
        Ok::<_, Box<dyn Error + Send + Sync>>((status, String::from_utf8_lossy(&body).trim_end().to_owned()))
    };
    // What goes wrong with the connection shows in the answer as well.
    tokio::join!(answer, connection).0
}
