//! What systemd, or whatever else starts the server in its way, gives and is told. Without it, all of this does nothing.

use std::{convert::Infallible, io, net::TcpListener};

use xllm_proxy::server::Pulse;

#[cfg(target_os = "linux")]
mod linux {
    use listenfd::ListenFd;
    use sd_notify::{NotifyState, notify, watchdog_enabled};
    use tokio::time::{MissedTickBehavior, interval};
    use tracing::warn;

    use super::{Infallible, Pulse, TcpListener, io};

    /// The first socket that was passed (socket activation), if one was.
    pub(crate) fn socket() -> io::Result<Option<TcpListener>> {
        ListenFd::from_env().take_tcp_listener(0)
    }

    fn tell(states: &[NotifyState<'_>]) {
        if let Err(error) = notify(states) {
            warn!(%error, "systemd cannot be told how the server is");
        }
    }

    /// Start-up is over; a status for `systemctl status`.
    pub(crate) fn ready(status: &str) {
        tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// The server has begun to stop.
    pub(crate) fn stopping(status: &str) {
        tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
    }

    /// Says, while it is polled, that the server is well, as often as is asked for, and only while every worker takes its turns.
    pub(crate) async fn watchdog(pulse: Pulse) -> Infallible {
        let Some(period) = watchdog_enabled() else { return std::future::pending().await };
        let mut looks = interval((period / 2).max(std::time::Duration::from_millis(1)));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            pulse.beat().await;
            tell(&[NotifyState::Watchdog]);
        }
    }
}

#[cfg(target_os = "linux")]
pub(crate) use linux::{ready, socket, stopping, watchdog};

#[cfg(not(target_os = "linux"))]
mod others {
    use super::{Infallible, Pulse, TcpListener, io};

    #[allow(clippy::unnecessary_wraps, reason = "as on Linux")]
    pub(crate) fn socket() -> io::Result<Option<TcpListener>> {
        Ok(None)
    }

    pub(crate) fn ready(_: &str) {}

    pub(crate) fn stopping(_: &str) {}

    pub(crate) async fn watchdog(_: Pulse) -> Infallible {
        std::future::pending().await
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) use others::{ready, socket, stopping, watchdog};
