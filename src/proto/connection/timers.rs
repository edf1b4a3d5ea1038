//! What is due when nothing arrives: hello deadline, keep-alive, idle sessions (sections 3.7, 5.7).

use core::time::Duration;

use super::{
    super::{
        error::Code,
        frame::{Ping, kind},
    },
    Closed, Config, Connection, Stage,
};

impl Connection {
    /// How long silence is taken for nothing. A client that waits for an answer finds out sooner, and keeps what is between it and the
    /// server from forgetting the connection while a model thinks.
    fn keep_alive(&self) -> Duration {
        match &self.config {
            Config::Client(config) if self.exchanges.is_empty() => config.keep_alive,
            Config::Client(config) => config.keep_alive / 2,
            Config::Server(config) => config.keep_alive,
        }
    }

    fn idle_deadline(&self) -> Option<Duration> {
        match &self.config {
            Config::Server(config) if self.exchanges.is_empty() && self.draining.is_none() => {
                Some(self.idle_since + config.idle)
            }
            _ => None,
        }
    }

    /// When [`Connection::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Duration> {
        match self.stage {
            Stage::Closed => None,
            Stage::Open => {
                let alive = self.pinged.unwrap_or(self.heard) + self.keep_alive();
                [Some(alive), self.idle_deadline(), self.arrivals.due()].into_iter().flatten().min()
            }
            _ => Some(self.hello_deadline),
        }
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Duration) {
        match self.stage {
            Stage::Closed => {}
            Stage::Open => {
                if self.idle_deadline().is_some_and(|deadline| now >= deadline) {
                    self.go_away(Some(Code::Idle), "no request for a long time");
                }
                let keep_alive = self.keep_alive();
                // Counted from the PING, not from the last byte: after a machine's sleep both would be past at once.
                if self.pinged.is_some_and(|pinged| now >= pinged + keep_alive) {
                    self.close(Closed::TimedOut { in_hello: false });
                } else if self.pinged.is_none() && now >= self.heard + keep_alive {
                    self.pinged = Some(now);
                    self.control.push_back((kind::PING, 0, None, Ping { token: [1; 8], silence: 0 }.encode()));
                }
                if let Some(token) = self.arrivals.ask(now, true) {
                    self.control.push_back((kind::PING, 0, None, Ping { token, silence: 0 }.encode()));
                }
            }
            Stage::Discarding if now >= self.hello_deadline => self.close(Closed::Done),
            _ if now >= self.hello_deadline => self.close(Closed::TimedOut { in_hello: true }),
            _ => {}
        }
    }
}
