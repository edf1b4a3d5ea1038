//! Those who have not proved that they are clients: how many there may be, in all and from one address. Nobody is sent away at the door:
//! where there are too many, the one who has waited longest goes. A client is through in a moment; who only holds a place has held it
//! longer than those who come now.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Who waits in the doorway.
#[derive(Clone, Debug, Default)]
pub(super) struct Doorway(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Told when one who had to go has gone.
    gone: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// In the order in which they came: where from, and what ends them.
    all: BTreeMap<u64, (IpAddr, CancellationToken)>,
    from: HashMap<IpAddr, BTreeSet<u64>>,
    next: u64,
    /// Those who have to go and have not gone yet.
    leaving: usize,
}

impl State {
    fn remove(&mut self, number: u64) -> Option<CancellationToken> {
        let (from, end) = self.all.remove(&number)?;
        if let Some(others) = self.from.get_mut(&from) {
            others.remove(&number);
            if others.is_empty() {
                self.from.remove(&from);
            }
        }
        Some(end)
    }
}

impl Doorway {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many wait.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.lock().all.len()
    }

    /// Waits until fewer than so many have yet to go. Whoever comes faster than the threads of the sessions see others out would hold
    /// more than there is room for.
    pub(super) async fn room(&self, most: usize) {
        loop {
            // It has the word also of who went before it is waited for.
            let gone = self.0.gone.notified();
            if self.lock().leaving < most {
                return;
            }
            gone.await;
        }
    }

    /// Somebody comes from this address, and waits until what is given is dropped; or until others come for whom there is no room:
    /// then `end` is cancelled.
    pub(super) fn enter(&self, address: IpAddr, end: CancellationToken, most: usize, most_from_one: usize) -> Waiting {
        let from = party(address);
        let mut state = self.lock();
        let neighbours = state.from.get(&from);
        let longest = if neighbours.is_some_and(|neighbours| neighbours.len() >= most_from_one) {
            neighbours.and_then(BTreeSet::first).copied()
        } else if state.all.len() >= most {
            state.all.keys().next().copied()
        } else {
            None
        };
        let gone = longest.and_then(|longest| state.remove(longest));
        state.leaving += usize::from(gone.is_some());
        let number = state.next;
        state.next += 1;
        state.all.insert(number, (from, end));
        state.from.entry(from).or_default().insert(number);
        drop(state);
        if let Some(gone) = gone {
            gone.cancel();
        }
        Waiting { doorway: self.clone(), number }
    }
}

/// Where one party can have any number of addresses, they count as one: an IPv6 network of 64 bits (RFC 4291 section 2.5.4).
fn party(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !0 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

/// Somebody in the doorway.
#[derive(Debug)]
pub(super) struct Waiting {
    doorway: Doorway,
    number: u64,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.doorway.lock();
        if state.remove(self.number).is_none() {
            state.leaving -= 1;
            drop(state);
            self.doorway.0.gone.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those who come from these addresses, and which of them have to go.
    fn gone(addresses: &[&str], most: usize, most_from_one: usize) -> Vec<usize> {
        let doorway = Doorway::default();
        let come = |address: &&str| {
            let end = CancellationToken::new();
            (doorway.enter(address.parse().expect("an address"), end.clone(), most, most_from_one), end)
        };
        let all: Vec<_> = addresses.iter().map(come).collect();
        let gone = all.iter().enumerate().filter(|(_, (_, end))| end.is_cancelled()).map(|(at, _)| at).collect();
        assert!(doorway.count() <= most);
        drop(all);
        let state = doorway.lock();
        assert!(state.all.is_empty() && state.from.is_empty(), "nothing is left of those who went");
        gone
    }

    #[test]
    fn who_has_waited_longest_goes_where_there_are_too_many() {
        assert_eq!(gone(&["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"], 2, 9), [0, 1]);
        assert_eq!(gone(&["10.0.0.1", "10.0.0.2", "10.0.0.2", "10.0.0.2", "10.0.0.3"], 9, 2), [1], "of one address first");
        assert_eq!(gone(&["10.0.0.1", "10.0.0.1"], 9, 2), [0; 0]);
    }

    #[test]
    fn an_ipv6_network_is_one_party_and_a_mapped_address_is_the_ipv4_one() {
        assert_eq!(gone(&["2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1"], 9, 1), [0]);
        assert_eq!(gone(&["::ffff:10.0.0.1", "::ffff:10.0.0.2", "10.0.0.1"], 9, 1), [0]);
    }

    #[test]
    fn who_is_through_makes_room() {
        let (doorway, end) = (Doorway::default(), CancellationToken::new());
        let address = IpAddr::from([10, 0, 0, 1]);
        let first = doorway.enter(address, end.clone(), 1, 1);
        drop(first);
        let _second = doorway.enter(address, CancellationToken::new(), 1, 1);
        assert!(!end.is_cancelled());
    }

    #[tokio::test]
    async fn nobody_more_comes_while_too_many_have_yet_to_go() {
        let doorway = Doorway::default();
        let come = || doorway.enter(IpAddr::from([10, 0, 0, 1]), CancellationToken::new(), 1, 1);
        let (first, second, _third) = (come(), come(), come());
        let mut room = std::pin::pin!(doorway.room(2));
        assert!(futures::poll!(&mut room).is_pending());
        drop(first);
        room.await;
        let mut room = std::pin::pin!(doorway.room(1));
        assert!(futures::poll!(&mut room).is_pending());
        drop(second);
        room.await;
    }
}
