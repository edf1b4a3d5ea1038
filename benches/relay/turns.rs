//! In which order the routes are measured.

/// The routes of a round (from 1) of so many, in their order. Each round begins elsewhere than the last: what a machine does as
/// a round goes on falls on another route each time.
///
/// A `neighbour` goes directly before each route. What it takes is what the load itself takes just then; a minute later the machine
/// may be another.
pub(crate) fn turns<T: Copy>(routes: &[T], neighbour: Option<T>, round: u32, rounds: u32) -> Vec<T> {
    let step = (routes.len() / rounds as usize).max(1);
    let first = (round as usize - 1) * step % routes.len().max(1);
    let (before, from) = routes.split_at(first);
    from.iter().chain(before).flat_map(|route| neighbour.into_iter().chain([*route])).collect()
}
