//! How an exchange whose session was cut goes on in another one (protocol.md, section 7).

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, info};

use super::{
    super::{
        Error,
        backoff::{BACKOFF_WAITED_FOR, backoff, jitter},
        connect::Ready,
    },
    Inner, Want,
};
use crate::{
    driver::{Adrift, Exchange, Moved, Returning},
    proto::limits,
};

/// How long a server may take to find out that a path has gone silent: its PING, and as long again for the answer (section 5.7).
const SERVER_FINDS_OUT: Duration = limits::SERVER_KEEP_ALIVE.saturating_mul(2);

/// An exchange that is lost if it is dropped.
struct Lost(Option<Arc<Exchange>>);

impl Drop for Lost {
    fn drop(&mut self) {
        if let Some(exchange) = self.0.take() {
            exchange.lose("this client was closed".into());
        }
    }
}

/// Has the exchange go on: where the server had nothing of it, by asking `anew`. If that cannot be, its program is told.
pub(super) async fn bring_back(pool: Arc<Inner>, exchange: Arc<Exchange>, anew: bool) {
    let mut lost = Lost(Some(exchange.clone()));
    let failed = attempt(&pool, &exchange, anew).await.err();
    lost.0 = None;
    if let Some(because) = failed
        && exchange.lose(because.clone())
    {
        info!(%because, "a request did not outlive its connection");
    }
}

async fn attempt(pool: &Arc<Inner>, exchange: &Exchange, anew: bool) -> Result<(), String> {
    // One that goes on already, or is over.
    let Some(adrift) = exchange.adrift() else { return Ok(()) };
    let hold = Duration::from_secs(adrift.server.hold);
    // Where nobody told the server of the cut, it finds out later than we do, and holds from then on. If not, it says so.
    let hold = if adrift.silent { hold + SERVER_FINDS_OUT } else { hold };
    let patience = pool.settings.patience;
    let time = if adrift.refused {
        // The server takes nothing new: it has as much time as a request that comes now, and as little.
        patience
    } else if adrift.is_new {
        hold.max(patience)
    } else {
        hold
    };
    let Some(deadline) = adrift.since.checked_add(time) else { return Ok(()) };
    debug!(anew, tries = adrift.tries, "a request is to go on in another session");
    if adrift.tries > 0 {
        sleep(jitter(backoff(adrift.tries, BACKOFF_WAITED_FOR))).await;
    }
    let mut turn = None;
    loop {
        let change = pool.changed.notified();
        let Ready { session, .. } = find(pool, &adrift, deadline).await.map_err(|error| error.to_string())?;
        let turn: &Returning = turn.insert(session.returning());
        let mut word = pin!(turn.word());
        // From here on no word is missed.
        word.as_mut().enable();
        match exchange.move_to(&session, anew) {
            Moved::Nothing if anew => return Err("the proxy has nothing of it any more".into()),
            Moved::Yes | Moved::Nothing => return Ok(()),
            Moved::Never => {}
            Moved::NotNow => {
                // Another session may have room before this one does.
                tokio::select! {
                    biased;
                    () = word => {}
                    () = change => {}
                    () = sleep_until(deadline) => return Err("no session to the proxy had room for it in time".into()),
                }
            }
        }
        if Instant::now() >= deadline {
            let text =
                if adrift.is_new { "no session to the proxy took it in time" } else { "the proxy does not hold it any longer" };
            return Err(text.into());
        }
    }
}

/// A session with the server that has the exchange.
async fn find(pool: &Arc<Inner>, adrift: &Adrift, deadline: Instant) -> Result<Ready, Error> {
    let server = &adrift.server;
    let is_same = |ready: &Ready| ready.hello.instance == server.instance;
    // Where the path went silent, it did so for all sessions of that time.
    let is_fresh = |ready: &Ready| !adrift.silent || ready.opened > adrift.since;
    let route = server.node.as_deref().and_then(|node| pool.settings.route(node));
    let route = route.filter(|_| !adrift.is_new);
    let fits = |ready: &Ready| is_fresh(ready) && (route.is_none() || is_same(ready));
    let patience = deadline.saturating_duration_since(Instant::now());
    let want = Want { patience, route, fits: &fits, prefers: &is_same, sure: true };
    let ready = pool.session(Instant::now(), &want).await?;
    if adrift.is_new || is_same(&ready) { Ok(ready) } else { Err(Error::another_server(server.node.as_deref())) }
}
