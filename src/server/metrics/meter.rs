//! How sessions and exchanges are counted, by those who carry them. Each holds its worker's memory, and what it began it ends,
//! however it comes to its end.

use std::{sync::Arc, time::Duration};

use super::{
    Metrics,
    names::OTHER,
    shard::{Client, Ending, Host, Outcome, Shard, Stranger},
};
use crate::proto::tally::{Tally, Traffic};

/// What a worker counts with.
#[derive(Clone, Debug)]
pub(in crate::server) struct Meter {
    metrics: Arc<Metrics>,
    shard: Arc<Shard>,
}

impl Meter {
    pub(super) const fn new(metrics: Arc<Metrics>, shard: Arc<Shard>) -> Self {
        Self { metrics, shard }
    }

    /// A connection was accepted.
    pub(in crate::server) fn session(&self) -> Session {
        self.shard.unauthenticated.rise(1);
        Session { meter: self.clone(), stage: Stage::Stranger, client: None }
    }

    fn client(&self, name: &str) -> Arc<Client> {
        self.shard.client(self.metrics.clients.place(name)).clone()
    }

    fn host(&self, name: &str) -> Arc<Host> {
        self.shard.host(self.metrics.hosts.place(name)).clone()
    }
}

#[derive(Debug)]
enum Stage {
    /// Its key is not proved.
    Stranger,
    Open,
    Over,
}

/// Counts a connection and its session.
#[derive(Debug)]
pub(in crate::server) struct Session {
    meter: Meter,
    stage: Stage,
    /// Who proved its key here.
    client: Option<Arc<Client>>,
}

impl Session {
    /// The client proved its key. From here on the session counts where it runs.
    pub(in crate::server) fn opened(&mut self, meter: &Meter, client: &str) {
        self.leave();
        self.meter = meter.clone();
        self.meter.shard.sessions.rise(1);
        self.meter.shard.opened.add(1);
        (self.stage, self.client) = (Stage::Open, Some(self.meter.client(client)));
    }

    /// The peer does not come in. Of what is told more than once, the first counts.
    pub(in crate::server) fn refused(&mut self, why: Stranger) {
        if matches!(self.stage, Stage::Stranger) {
            self.leave();
            self.meter.shard.strangers[why as usize].add(1);
        }
    }

    /// The session is over.
    pub(in crate::server) fn ended(&mut self, why: Ending) {
        if matches!(self.stage, Stage::Open) {
            self.leave();
            self.meter.shard.ended[why as usize].add(1);
        }
    }

    /// What it moved. Called for every turn of the session that moved something: this is the price of counting for each token.
    pub(in crate::server) fn moved(&self, traffic: &Traffic) {
        let shard = &self.meter.shard;
        shard.sent.add(&traffic.sent);
        shard.received.add(&traffic.received);
        shard.refused.add(traffic.refused);
        if let Some(client) = &self.client {
            client.sent.add(traffic.sent.body);
            client.received.add(traffic.received.body);
        }
    }

    /// An exchange was opened, whose REQUEST was read at this time of the session's clock.
    pub(in crate::server) fn exchange(&self, start: Duration) -> Exchange {
        let meter = self.meter.clone();
        meter.shard.exchanges.rise(1);
        if let Some(client) = &self.client {
            client.exchanges.add(1);
        }
        Exchange { host: meter.host(OTHER), meter, start, pace: Pace::Untimed, over: false }
    }

    /// Out of the level that the stage is counted in.
    fn leave(&mut self) {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Stranger => self.meter.shard.unauthenticated.fall(1),
            Stage::Open => self.meter.shard.sessions.fall(1),
            Stage::Over => {}
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.ended(Ending::Cut);
        self.leave();
    }
}

/// Which time the next piece of an answer ends.
#[derive(Debug)]
enum Pace {
    /// None: the answer is not streamed.
    Untimed,
    /// That since the REQUEST.
    First,
    /// That since the piece which came then.
    After(Duration),
}

/// Counts one exchange. Times are of the session's clock.
#[derive(Debug)]
pub(in crate::server) struct Exchange {
    meter: Meter,
    host: Arc<Host>,
    /// When its REQUEST was read.
    start: Duration,
    pace: Pace,
    over: bool,
}

impl Exchange {
    /// When its REQUEST was read.
    pub(in crate::server) const fn start(&self) -> Duration {
        self.start
    }

    /// Its upstream, which must be one that may be called: a client could make up names without end.
    pub(in crate::server) fn calls(&mut self, host: &str) {
        self.host = self.meter.host(host);
    }

    /// The answer is one that comes piece by piece: their times count.
    pub(in crate::server) const fn streams(&mut self) {
        self.pace = Pace::First;
    }

    /// A piece of the answer came.
    pub(in crate::server) fn piece(&mut self, now: Duration) {
        let (times, since) = match self.pace {
            Pace::Untimed => return,
            Pace::First => (&self.host.first, self.start),
            Pace::After(last) => (&self.host.between, last),
        };
        times.observe(micros(now.saturating_sub(since)));
        self.pace = Pace::After(now);
    }

    /// The upstream call of a cancelled exchange is gone.
    pub(in crate::server) fn dropped(&self, since_cancel: Duration) {
        self.meter.shard.cancel.observe(micros(since_cancel));
    }

    /// It is over.
    pub(in crate::server) fn ended(mut self, outcome: Outcome, tally: &Tally) {
        self.over = true;
        self.host.ended(outcome);
        if let Some(held) = tally.receipt.held {
            self.meter.shard.added.observe(held);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.meter.shard.exchanges.fall(1);
        if !self.over {
            self.host.ended(Outcome::Failed(crate::proto::Code::Cancelled));
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
