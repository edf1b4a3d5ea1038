//! Calls one after the other: the first token, a short request on a connection of its own, a handshake, and one large answer.

use std::time::Duration;

use tokio::time::Instant;
use xllm_proxy::client::Client;

use crate::{
    Result,
    call::Connection,
    clock,
    cost::{Cost, Figures},
    line::{figure, quantile},
    route::Route,
};

/// Calls of a round.
const CALLS: u64 = 500;
/// Handshakes of a round.
const HANDSHAKES: u64 = 300;
/// For a session to end in order.
const FAREWELL: Duration = Duration::from_secs(5);

fn latencies(mut times: Vec<f64>) -> Figures {
    times.sort_by(f64::total_cmp);
    let names = [("latency_p50_us", 0.5), ("latency_p99_us", 0.99)];
    names.map(|(name, share)| (name.to_owned(), quantile(&times, share))).into()
}

async fn to_the_end(connection: &mut Connection) -> Result<u64> {
    let mut bytes = 0;
    while let Some(piece) = connection.piece().await? {
        bytes += piece.len() as u64;
    }
    Ok(bytes)
}

/// From the request to the first token, on a connection that is there already; each call beside one that goes straight, because
/// a processor that has just slept is slower than one that has not.
pub(crate) async fn first(route: Route, straight: Route) -> Result<Figures> {
    let (mut through, mut beside) = (route.connect(0).await?, straight.connect(0).await?);
    let (mut times, mut times_beside) = (Vec::new(), Vec::new());
    let cost = Cost::begin(&route)?;
    for _ in 0..CALLS {
        times_beside.push(first_token(&mut beside, &straight).await?);
        times.push(first_token(&mut through, &route).await?);
    }
    let mut figures = cost.end()?.each(CALLS);
    // It has made twice as many.
    figures.remove("cpu_bench_us");
    let beside = latencies(times_beside);
    for (name, value) in latencies(times) {
        if let (Some(share), Some(beside)) = (name.strip_prefix("latency_"), beside.get(&name)) {
            figures.insert(format!("added_{share}"), value - beside);
        }
        figures.insert(name, value);
    }
    Ok(figures)
}

/// Microseconds.
async fn first_token(connection: &mut Connection, route: &Route) -> Result<f64> {
    let mut stamps = Vec::new();
    let asked = clock::now();
    route.ask(connection, "first", 0, 0).await?;
    connection.events(&mut stamps).await?;
    let took = clock::now() - asked;
    if stamps.len() != 1 || to_the_end(connection).await? > 0 {
        return Err("an answer of one event had another number of them".into());
    }
    Ok(figure(took) / 1e3)
}

/// A short answer, each on a new connection to the near end: connecting, asking, reading, closing.
pub(crate) async fn short(route: Route) -> Result<Figures> {
    let mut times = Vec::new();
    let cost = Cost::begin(&route)?;
    for _ in 0..CALLS {
        let began = clock::now();
        let mut connection = route.connect(0).await?;
        route.ask(&mut connection, "short", 0, 0).await?;
        if to_the_end(&mut connection).await? == 0 {
            return Err("a document was empty".into());
        }
        times.push(figure(clock::now() - began) / 1e3);
    }
    let mut figures = cost.end()?.each(CALLS);
    figures.append(&mut latencies(times));
    Ok(figures)
}

/// One answer of so many bytes on one connection.
pub(crate) async fn bulk(route: Route, bytes: u64) -> Result<Figures> {
    let mut connection = route.connect(0).await?;
    let (began, cost) = (Instant::now(), Cost::begin(&route)?);
    route.ask(&mut connection, "bulk", 0, bytes).await?;
    let got = to_the_end(&mut connection).await?;
    if got != bytes {
        return Err(format!("{got} bytes came instead of {bytes}").into());
    }
    let took = began.elapsed();
    let mut figures = cost.end()?.per_gb(bytes);
    figures.insert("mb_per_s".to_owned(), figure(bytes) / 1e6 / took.as_secs_f64());
    Ok(figures)
}

/// A whole TLS handshake with the server, for the routes that begin with one.
pub(crate) async fn handshake_tls(route: Route) -> Result<Figures> {
    let route = route.without_resumption()?;
    let mut times = Vec::new();
    let cost = Cost::begin(&route)?;
    for _ in 0..HANDSHAKES {
        let began = clock::now();
        drop(route.connect(0).await?);
        times.push(figure(clock::now() - began) / 1e3);
    }
    let mut figures = cost.end()?.each(HANDSHAKES);
    figures.append(&mut latencies(times));
    Ok(figures)
}

/// A session with our server, by the library: it opens and ends.
pub(crate) async fn handshake_ours(route: Route, proxy: String, credential: String) -> Result<Figures> {
    let mut times = Vec::new();
    let cost = Cost::begin(&route)?;
    for _ in 0..HANDSHAKES {
        let client = Client::builder(&proxy, credential.parse()?)?.build();
        let began = clock::now();
        client.connect().await?;
        times.push(figure(clock::now() - began) / 1e3);
        client.close(FAREWELL).await;
    }
    let mut figures = cost.end()?.each(HANDSHAKES);
    // The gateway had nothing to do: the client is the bench.
    figures.remove("cpu_client_us");
    figures.append(&mut latencies(times));
    Ok(figures)
}
