//! Names that become values of a label: so many, and no more, whatever is listed.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

/// The value for all that finds no place, and the place of that.
pub(super) const OTHER: &str = "other";
const OF_OTHER: usize = 0;

/// Places for names, each kept as long as the program runs: what is counted of a name never falls.
#[derive(Debug)]
pub(super) struct Names {
    most: usize,
    places: RwLock<HashMap<Arc<str>, usize>>,
}

impl Names {
    /// Room for so many names beside [`OTHER`].
    pub(super) fn new(most: usize) -> Self {
        Self { most, places: RwLock::new(HashMap::from([(OTHER.into(), OF_OTHER)])) }
    }

    /// The place of a name: its own, or that of the others. Looked up once for an exchange or session.
    pub(super) fn place(&self, name: &str) -> usize {
        if let Some(place) = self.places.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return *place;
        }
        let mut places = self.places.write().unwrap_or_else(PoisonError::into_inner);
        let next = places.len();
        if places.contains_key(name) || next <= self.most { *places.entry(name.into()).or_insert(next) } else { OF_OTHER }
    }

    /// All of them, with their places, in the order of the names.
    pub(super) fn list(&self) -> Vec<(Arc<str>, usize)> {
        let places = self.places.read().unwrap_or_else(PoisonError::into_inner);
        let mut list: Vec<_> = places.iter().map(|(name, place)| (name.clone(), *place)).collect();
        list.sort_unstable();
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_limit_share_the_place_of_the_others() {
        let names = Names::new(2);
        let places = ["a", "b", "c", "a", "d", "b", OTHER].map(|name| names.place(name));
        assert_eq!(places, [1, 2, 0, 1, 0, 2, 0]);
        assert_eq!(names.list(), [("a".into(), 1), ("b".into(), 2), (OTHER.into(), 0)]);
    }
}
