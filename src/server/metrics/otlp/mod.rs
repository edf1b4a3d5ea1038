//! The metrics, pushed every so often by OpenTelemetry's protocol (OTLP over HTTP, in protobuf), as the environment says.
//!
//! What could not be delivered is in the next push: counts go on from the start of the process.

mod message;
mod settings;

use std::{error::Error, future::Future, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    Request,
    header::{CONTENT_TYPE, USER_AGENT},
};
use http_body_util::Full;
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use prost::Message;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

pub use self::settings::{Settings, SettingsError};
use super::Metrics;
use crate::tls;

/// How long a collector may take.
const TIME: Duration = Duration::from_secs(10);

/// Pushes until `stop`, and then a last time.
///
/// # Errors
/// At once, if TLS cannot be set up on this machine.
pub async fn push(metrics: Arc<Metrics>, settings: Settings, stop: impl Future<Output = ()>) -> Result<(), rustls::Error> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(TIME));
    let connector = HttpsConnector::from((tcp, tls::client_config()?));
    let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
    let mut stop = pin!(stop);
    let mut last = false;
    while !last {
        last = tokio::select! {
            () = &mut stop => true,
            () = sleep(settings.interval) => false,
        };
        match timeout(TIME, once(&client, &metrics, &settings)).await {
            Ok(Ok(())) => debug!("pushed the metrics"),
            Ok(Err(error)) => warn!("cannot push the metrics to {}: {error}", settings.shown()),
            Err(_) => warn!("cannot push the metrics to {}: no answer within {} s", settings.shown(), TIME.as_secs()),
        }
    }
    Ok(())
}

async fn once(
    client: &Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    metrics: &Metrics,
    settings: &Settings,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let body = message::export(metrics, &settings.resource).encode_to_vec();
    let mut request = Request::post(settings.endpoint.clone())
        .header(CONTENT_TYPE, "application/x-protobuf")
        .header(USER_AGENT, concat!("xllm-proxy/", env!("CARGO_PKG_VERSION")))
        .body(Full::new(body.into()))?;
    request.headers_mut().extend(settings.headers.clone());
    let status = client.request(request).await?.status();
    // Its body says of what part it took how much; there is nothing to be done about that here.
    if status.is_success() { Ok(()) } else { Err(format!("the collector says {status}").into()) }
}
