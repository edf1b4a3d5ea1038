//! The clients as they come in: how much each has, and how often it asks. Kept by name, over changes of keys and rules.

use std::{
    collections::HashMap,
    num::NonZero,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter, clock::Clock};

use super::config::clients::ClientRule;
use crate::proto::{Code, Fault, frame::Notice};

/// How long a caller is asked to wait when too much of its client's is under way, milliseconds.
const AFTER: u64 = 1000;

/// What is known of the clients that were here.
#[derive(Debug, Default)]
pub(super) struct Guests(Mutex<HashMap<Arc<str>, Arc<Guest>>>);

impl Guests {
    /// The client of this name.
    pub(super) fn of(&self, name: &Arc<str>) -> Arc<Guest> {
        let mut guests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        guests.entry(name.clone()).or_insert_with(|| Arc::new(Guest::new(name.clone()))).clone()
    }

    /// Forgets those that have nothing open, and of which `known` says that they are clients no more.
    pub(super) fn tidy(&self, known: impl Fn(&str) -> bool) {
        let mut guests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        guests.retain(|name, guest| known(name) || Arc::strong_count(guest) > 1);
    }
}

/// A client that is here, or was.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) name: Arc<str>,
    sessions: AtomicUsize,
    exchanges: AtomicUsize,
    rate: Mutex<Option<Rate>>,
}

/// How often it may ask, and did.
#[derive(Debug)]
struct Rate {
    per_minute: NonZero<u32>,
    burst: NonZero<u32>,
    limiter: DefaultDirectRateLimiter,
}

impl Guest {
    fn new(name: Arc<str>) -> Self {
        Self { name, sessions: AtomicUsize::new(0), exchanges: AtomicUsize::new(0), rate: Mutex::default() }
    }

    /// One more session, until what is given is dropped.
    ///
    /// # Errors
    /// If it has as many as it may.
    pub(super) fn session(self: &Arc<Self>, rule: &ClientRule) -> Result<Taken, Notice> {
        Taken::take(self, Of::Sessions, rule.sessions).ok_or_else(|| {
            let text = format!("this client has {} sessions at once, as many as it may ([client] sessions)", rule.sessions);
            Notice { after: Some(AFTER), ..Notice::new(Code::RateLimited, Fault::Client, text) }
        })
    }

    /// One more request, until what is given is dropped.
    ///
    /// # Errors
    /// If it has as many as it may, or asks too often.
    pub(super) fn exchange(self: &Arc<Self>, rule: &ClientRule) -> Result<Taken, Notice> {
        let taken = Taken::take(self, Of::Exchanges, rule.exchanges).ok_or_else(|| {
            let text = format!("this client has {} requests at once, as many as it may ([client] exchanges)", rule.exchanges);
            Notice { after: Some(AFTER), ..Notice::new(Code::TooManyExchanges, Fault::Client, text) }.retry_safe()
        })?;
        self.ask(rule).map_err(|wait| {
            let text = format!(
                "this client asks more than {} times a minute ([client] requests_per_minute)",
                rule.requests_per_minute
            );
            // Rounded up: who comes a moment too early would only be sent away again.
            let after = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
            Notice { after: Some(after), ..Notice::new(Code::RateLimited, Fault::Client, text) }.retry_safe()
        })?;
        Ok(taken)
    }

    /// Counts a request, or says how long to wait for it.
    fn ask(&self, rule: &ClientRule) -> Result<(), Duration> {
        let Some(per_minute) = NonZero::new(rule.requests_per_minute) else { return Ok(()) };
        let burst = NonZero::new(rule.burst).unwrap_or(NonZero::<u32>::MIN).min(per_minute);
        let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        // Where the rule has changed, counting begins anew.
        let rate = match &mut *rate {
            Some(rate) if (rate.per_minute, rate.burst) == (per_minute, burst) => rate,
            other => {
                let limiter = RateLimiter::direct(Quota::per_minute(per_minute).allow_burst(burst));
                other.insert(Rate { per_minute, burst, limiter })
            }
        };
        // Its own clock: to make one takes longer than all else here, the more so on a virtual machine (CPUID).
        rate.limiter.check().map_err(|not_yet| not_yet.wait_time_from(rate.limiter.clock().now()))
    }
}

/// What a client can have several of.
#[derive(Clone, Copy, Debug)]
enum Of {
    Sessions,
    Exchanges,
}

/// One of these, which counts until it is dropped.
#[derive(Debug)]
pub(super) struct Taken {
    guest: Arc<Guest>,
    of: Of,
}

impl Taken {
    fn count(guest: &Guest, of: Of) -> &AtomicUsize {
        match of {
            Of::Sessions => &guest.sessions,
            Of::Exchanges => &guest.exchanges,
        }
    }

    fn take(guest: &Arc<Guest>, of: Of, most: usize) -> Option<Self> {
        let count = Self::count(guest, of);
        count.fetch_update(Relaxed, Relaxed, |count| (count < most).then_some(count + 1)).ok()?;
        Some(Self { guest: guest.clone(), of })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        Self::count(&self.guest, self.of).fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest() -> Arc<Guest> {
        Guests::default().of(&"a".into())
    }

    #[test]
    fn a_client_has_as_many_sessions_and_requests_at_once_as_its_rule_says() {
        let rule = ClientRule { sessions: 2, exchanges: 3, ..ClientRule::default() };
        let guest = guest();
        let sessions: Vec<_> = (0..2).map(|_| guest.session(&rule).expect("there is room")).collect();
        assert_eq!(guest.session(&rule).expect_err("it is full").code, Code::RateLimited);
        let exchanges: Vec<_> = (0..3).map(|_| guest.exchange(&rule).expect("there is room")).collect();
        let refused = guest.exchange(&rule).expect_err("it is full");
        assert_eq!((refused.code, refused.retry, refused.after), (Code::TooManyExchanges, true, Some(AFTER)));
        drop((sessions, exchanges));
        assert!(guest.session(&rule).is_ok() && guest.exchange(&rule).is_ok());
    }

    #[test]
    fn who_asks_too_often_is_told_how_long_to_wait_and_a_new_rule_counts_anew() {
        let rule = ClientRule { requests_per_minute: 2, burst: 1000, ..ClientRule::default() };
        let guest = guest();
        assert!(guest.exchange(&rule).is_ok() && guest.exchange(&rule).is_ok());
        let refused = guest.exchange(&rule).expect_err("too often");
        assert_eq!((refused.code, refused.retry), (Code::RateLimited, true));
        let after = refused.after.expect("it is known");
        assert!((1..=30_001).contains(&after), "{after}");
        let rule = ClientRule { requests_per_minute: 3, burst: 1, ..rule };
        assert!(guest.exchange(&rule).is_ok());
        assert!(guest.exchange(&rule).is_err(), "not more than the burst at once");
        let rule = ClientRule { requests_per_minute: 0, ..rule };
        assert!((0..100).all(|_| guest.exchange(&rule).is_ok()));
        assert_eq!(guest.exchanges.load(Relaxed), 0, "what was refused is not counted");
    }

    #[test]
    fn clients_are_known_by_name_until_they_are_clients_no_more_and_have_nothing_open() {
        let guests = Guests::default();
        let (a, b) = (guests.of(&"a".into()), guests.of(&"b".into()));
        assert!(Arc::ptr_eq(&a, &guests.of(&"a".into())) && !Arc::ptr_eq(&a, &b));
        drop(b);
        guests.tidy(|_| false);
        assert!(Arc::ptr_eq(&a, &guests.of(&"a".into())), "it is still here");
        assert_eq!(guests.0.lock().expect("not poisoned").len(), 1);
    }
}
