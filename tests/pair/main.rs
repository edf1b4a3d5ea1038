//! Two ends of a session on a virtual clock: what a client and a server make of each other, of a bad path, and of a peer that
//! breaks the rules.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]
#![allow(clippy::cast_possible_truncation, reason = "bytes that repeat are good enough for a body")]
#![allow(clippy::unchecked_time_subtraction, reason = "on a virtual clock that began at 1000 s")]
#![allow(clippy::similar_names, reason = "PING and PONG are the names")]

#[path = "../support/pair.rs"]
mod pair;

mod cancel;
mod credit;
mod establishment;
mod exchanges;
mod faults;
mod goaway;
mod how_many;
mod misuse;
mod packing;
mod records;
mod resume;
mod tally;
mod timers;

use xllm_proxy::proto::{Closed, Event, Role};

const BOTH: [Role; 2] = [Role::Client, Role::Server];

fn done() -> Event {
    Event::Closed { why: Closed::Done, unsent: vec![] }
}
