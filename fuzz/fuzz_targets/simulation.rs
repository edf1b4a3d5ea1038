//! The simulation of `tests/simulation`, whose chances are the fuzzer's bytes: client and server with their programs over a network that
//! delays, stalls and cuts. Its invariants are checked at every step.
#![no_main]
#![allow(dead_code, reason = "what is left out here is for its test")]

#[path = "../../tests/simulation/client.rs"]
mod client;
#[path = "../../tests/simulation/dice.rs"]
mod dice;
#[path = "../../tests/simulation/net.rs"]
mod net;
#[path = "../../tests/simulation/server.rs"]
mod server;
#[path = "../../tests/simulation/world.rs"]
mod world;

use dice::Dice;
use libfuzzer_sys::fuzz_target;
use support::NULL;
use world::World;

fuzz_target!(|input: &[u8]| {
    let (strict, chances) = input.split_first().unwrap_or((&0, &[]));
    World::new(Dice::new(0, chances), strict & 1 == 0, &NULL).run();
});
