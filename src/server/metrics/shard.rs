//! What one worker counts.

use std::{
    array,
    sync::{Arc, OnceLock},
};

use super::cells::{Bounds, Count, Histogram, Level};
use crate::proto::{Code, tally};

/// Distinct hosts of upstreams that are told apart.
pub(super) const HOSTS: usize = 64;
/// Distinct clients that are told apart.
pub(super) const CLIENTS: usize = 256;

/// 10 ms to 82 s, as the semantic conventions for generative AI recommend for both of their times.
pub(super) static GEN_AI_BOUNDS: Bounds = {
    let mut bounds = [10_000; 14];
    let mut next = 1;
    while next < bounds.len() {
        bounds[next] = 2 * bounds[next - 1];
        next += 1;
    }
    bounds
};
/// 50 µs to 10 s: what the proxy itself takes.
pub(super) static OWN_BOUNDS: Bounds =
    [50, 100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 10_000_000];

/// Names of the values of a label, one for each variant.
macro_rules! labels {
    ($(#[doc = $doc:literal])+ $name:ident { $($(#[doc = $about:literal])+ $variant:ident = $label:literal,)+ }) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(in crate::server) enum $name {
            $($(#[doc = $about])+ $variant,)+
        }

        impl $name {
            pub(super) const ALL: [Self; [$($label),+].len()] = [$(Self::$variant),+];

            pub(super) const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)+ }
            }
        }
    };
}

labels! {
    /// Why a peer did not come in.
    Stranger {
        /// Its hello does not open: not a client of this proxy.
        Garbage = "hello-garbage",
        /// The key ID is not known.
        UnknownKey = "unknown-key",
        /// The key ID is known, and the key was not proved.
        Unproved = "unproved",
        /// It was silent until the hello time was over.
        TimedOut = "timeout",
        /// It closed before its hello was whole.
        Lost = "lost",
    }
}

labels! {
    /// Why a session ended.
    Ending {
        /// In order: the client closed it, it was idle, or the server stops.
        Done = "done",
        /// Lost with exchanges open.
        Lost = "lost",
        /// No sign of life.
        TimedOut = "timeout",
        /// The client broke the protocol, or its bytes were damaged.
        Fault = "fault",
        /// The client says that our bytes were wrong or damaged.
        Refused = "refused",
        /// Cut by the server.
        Cut = "cut",
    }
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Outcome {
    /// Its END was sealed.
    Complete,
    /// With this code; `cancelled` also if its session was lost.
    Failed(Code),
}

impl Outcome {
    const COUNT: usize = Code::ALL.len() + 2;

    pub(in crate::server) const fn label(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Failed(code) => code.name(),
        }
    }

    fn place(self) -> usize {
        match self {
            Self::Complete => 0,
            Self::Failed(code) => 1 + Code::ALL.iter().position(|&known| known == code).unwrap_or(Code::ALL.len()),
        }
    }

    fn at(place: usize) -> Self {
        match place.checked_sub(1) {
            None => Self::Complete,
            Some(code) => Self::Failed(Code::ALL.get(code).copied().unwrap_or(Code::Other(0))),
        }
    }
}

/// What went one way.
#[derive(Debug, Default)]
pub(super) struct Flow {
    pub(super) wire: Count,
    pub(super) records: Count,
    pub(super) frames: Count,
    pub(super) body: Count,
}

impl Flow {
    pub(super) fn add(&self, flow: &tally::Flow) {
        self.wire.add(flow.wire);
        self.records.add(flow.records);
        self.frames.add(flow.frames);
        self.body.add(flow.body);
    }
}

/// What is counted of an upstream's host.
#[derive(Debug)]
pub(super) struct Host {
    outcomes: [Count; Outcome::COUNT],
    /// From the REQUEST to the first piece of its answer.
    pub(super) first: Histogram,
    /// From each piece to the next.
    pub(super) between: Histogram,
}

impl Host {
    fn new() -> Self {
        Self {
            outcomes: array::from_fn(|_| Count::default()),
            first: Histogram::new(&GEN_AI_BOUNDS),
            between: Histogram::new(&GEN_AI_BOUNDS),
        }
    }

    pub(super) fn ended(&self, outcome: Outcome) {
        self.outcomes[outcome.place()].add(1);
    }

    pub(super) fn outcomes(&self) -> impl Iterator<Item = (Outcome, u64)> + '_ {
        self.outcomes.iter().enumerate().map(|(place, count)| (Outcome::at(place), count.get()))
    }
}

/// What is counted of a client.
#[derive(Debug, Default)]
pub(super) struct Client {
    pub(super) exchanges: Count,
    pub(super) sent: Count,
    pub(super) received: Count,
}

/// What one worker counts. Only it writes here; so no cache line goes from one processor to another for it.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) unauthenticated: Level,
    pub(super) strangers: [Count; Stranger::ALL.len()],
    pub(super) sessions: Level,
    pub(super) opened: Count,
    pub(super) ended: [Count; Ending::ALL.len()],
    pub(super) exchanges: Level,
    pub(super) refused: Count,
    pub(super) sent: Flow,
    pub(super) received: Flow,
    pub(super) added: Histogram,
    pub(super) cancel: Histogram,
    hosts: [OnceLock<Arc<Host>>; HOSTS + 1],
    clients: [OnceLock<Arc<Client>>; CLIENTS + 1],
}

impl Default for Shard {
    fn default() -> Self {
        Self {
            unauthenticated: Level::default(),
            strangers: array::from_fn(|_| Count::default()),
            sessions: Level::default(),
            opened: Count::default(),
            ended: array::from_fn(|_| Count::default()),
            exchanges: Level::default(),
            refused: Count::default(),
            sent: Flow::default(),
            received: Flow::default(),
            added: Histogram::new(&OWN_BOUNDS),
            cancel: Histogram::new(&OWN_BOUNDS),
            hosts: array::from_fn(|_| OnceLock::new()),
            clients: array::from_fn(|_| OnceLock::new()),
        }
    }
}

impl Shard {
    /// The host at this place of [`super::names::Names`].
    pub(super) fn host(&self, place: usize) -> &Arc<Host> {
        self.hosts[place].get_or_init(|| Arc::new(Host::new()))
    }

    /// The client at this place.
    pub(super) fn client(&self, place: usize) -> &Arc<Client> {
        self.clients[place].get_or_init(Arc::default)
    }

    /// The host at this place, if it was called from here.
    pub(super) fn known_host(&self, place: usize) -> Option<&Arc<Host>> {
        self.hosts[place].get()
    }

    /// The client at this place, if it was here.
    pub(super) fn known_client(&self, place: usize) -> Option<&Arc<Client>> {
        self.clients[place].get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_a_place_of_its_own() {
        for place in 0..Outcome::COUNT {
            assert_eq!(Outcome::at(place).place(), place);
        }
        assert_eq!(Outcome::Failed(Code::Other(999)).place(), Outcome::COUNT - 1);
    }

    #[test]
    fn the_bounds_are_those_that_are_recommended() {
        assert_eq!((GEN_AI_BOUNDS[0], GEN_AI_BOUNDS[13]), (10_000, 81_920_000));
        for bounds in [&GEN_AI_BOUNDS, &OWN_BOUNDS] {
            assert!(bounds.is_sorted());
        }
    }
}
