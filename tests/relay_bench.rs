//! What benches/relay decides by itself: in which order routes are measured, and what their rounds say. A bench without cargo's
//! harness has no tests of its own.

#[path = "../benches/relay/turns.rs"]
mod turns;
#[path = "../benches/relay/verdict.rs"]
mod verdict;

use turns::turns;
use verdict::Verdict;

#[test]
fn every_round_has_every_route_and_begins_elsewhere() {
    let routes = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
    let rounds: Vec<String> = (1..=3).map(|round| turns(&routes, None, round, 3).into_iter().collect()).collect();
    assert_eq!(rounds, ["abcdefg", "cdefgab", "efgabcd"]);
}

#[test]
fn more_rounds_than_routes_go_round_again() {
    let first = |round| turns(&['a', 'b'], None, round, 4)[0];
    assert_eq!([1, 2, 3, 4].map(first), ['a', 'b', 'a', 'b']);
}

#[test]
fn the_neighbour_goes_directly_before_each() {
    assert_eq!(turns(&['a', 'b', 'c'], Some('-'), 2, 3), ['-', 'b', '-', 'c', '-', 'a']);
}

#[test]
fn only_rounds_that_all_agree_say_yes_or_no() {
    assert_eq!(Verdict::of([true, true, true]), Verdict::Yes);
    assert_eq!(Verdict::of([false, false, false]), Verdict::No);
    for mixed in [[false, true, true], [true, false, true], [true, true, false], [true, false, false], [false, false, true]] {
        assert_eq!(Verdict::of(mixed), Verdict::NotToldApart, "{mixed:?}");
    }
}

#[test]
fn one_round_speaks_for_itself_and_none_says_nothing() {
    assert_eq!(Verdict::of([true]), Verdict::Yes);
    assert_eq!(Verdict::of([false]), Verdict::No);
    assert_eq!(Verdict::of([]), Verdict::NotMeasured);
}

#[test]
fn no_verdict_reads_like_another() {
    let shown = [Verdict::Yes, Verdict::No, Verdict::NotToldApart, Verdict::NotMeasured].map(Verdict::shown);
    assert_eq!(shown, ["yes", "**no**", "not told apart", "not measured"]);
}
