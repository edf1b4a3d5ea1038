//! Pushing the metrics by OpenTelemetry's protocol.

use std::{error::Error, sync::Arc};

use tokio::{sync::oneshot, task::JoinHandle};
use tracing::{info, warn};
use xllm_proxy::server::metrics::{Metrics, otlp};

/// Pushes the metrics to a collector, if the environment names one.
pub(crate) fn push(metrics: Arc<Metrics>) -> Result<Push, Box<dyn Error>> {
    let Some(settings) = otlp::Settings::new(|name| std::env::var(name).ok())? else { return Ok(Push(None)) };
    info!(otlp = ?settings, "pushing the metrics");
    let (stop, stopped) = oneshot::channel::<()>();
    let pushing = async move {
        if let Err(error) = otlp::push(metrics, settings, async { drop(stopped.await) }).await {
            warn!("cannot push the metrics: {error}");
        }
    };
    Ok(Push(Some((stop, tokio::spawn(pushing)))))
}

/// What pushes the metrics, if anything does.
pub(crate) struct Push(Option<(oneshot::Sender<()>, JoinHandle<()>)>);

impl Push {
    /// Pushes a last time.
    pub(crate) async fn end(self) {
        if let Some((stop, pushing)) = self.0 {
            drop(stop);
            // It has a limit of its own.
            let _ = pushing.await;
        }
    }
}
