//! A client and a server on a virtual clock, over a network that delays, stalls and cuts, all from one seed: whatever happens, what is
//! delivered is a prefix of what was sent, an answer that ends is whole, no upstream is called twice for a request, memory is bounded,
//! and every request comes to an end.
//!
//! `XLLM_SEED=n cargo test --test simulation one -- --nocapture` runs one seed once more; `XLLM_SEEDS=n` sets how many are run.
#![allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]
#![allow(clippy::cast_possible_truncation, reason = "bytes that repeat are good enough for a body")]

mod client;
mod dice;
mod net;
#[path = "../support/seeds.rs"]
mod seeds;
mod server;
mod world;

use dice::Dice;
use world::{Fate, World};
use xllm_proxy::proto::AES_GCM;

/// Runs one seed to its end. Every other one has no restarts and a long hold: there, nothing may be lost at all.
fn run(seed: u64) -> [usize; 3] {
    let mut world = World::new(Dice::new(seed, &[]), seed.is_multiple_of(2), &AES_GCM);
    world.run();
    let count = |fate: fn(&Fate) -> bool| world.client.asks.iter().filter(|ask| fate(ask.fate.as_ref().unwrap())).count();
    [count(|fate| *fate == Fate::Whole), count(|fate| *fate == Fate::Lost), world.cuts]
}

#[test]
fn whatever_the_network_does_nothing_is_lost_twice_or_left() {
    let (seeds, [whole, lost, cuts]) = seeds::each(run, |sums: &mut [usize; 3], counts| {
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    });
    println!("{seeds} seeds: {cuts} cuts, {whole} whole answers, {lost} lost with a restart or a hold that ran out");
    assert!(cuts as u64 > seeds && whole > lost, "it tests what it is for");
}

#[test]
fn one_seed_once_more() {
    if let Some(seed) = seeds::number("XLLM_SEED") {
        println!("{:?}", run(seed));
    }
}
