//! What goes into one record, and what a record looks like on the wire.

use bytes::Bytes;
use xllm_proxy::proto::{
    Event, Role,
    frame::{BodyLength, Request, Response},
    limits,
};

use crate::pair::{Pair, get, header, ok, pieces, post, record_sizes};

#[test]
fn all_that_is_ready_goes_into_one_record_whatever_exchange_it_belongs_to() {
    let mut pair = Pair::established();
    let numbers: Vec<u32> = (0..10).map(|_| pair.open(&get())).collect();
    for &number in &numbers {
        pair.respond(number, &ok());
    }
    let before = pair.to_client.sent.len();
    for &number in &numbers {
        pair.data(number, b"a piece of moderate size");
    }
    pair.quiet();
    assert_eq!(pair.events(Role::Client).len(), 10);
    assert_eq!(record_sizes(&pair.to_client.sent[before..]), [530]);
}

#[test]
fn pieces_that_fit_a_record_are_never_split_and_larger_ones_are() {
    let mut pair = Pair::established();
    let number = pair.open(&Request { credit: 1 << 24, ..get() });
    pair.respond(number, &ok());
    // What does not change: type 1, exchange 1, size 2, seq 1 or 2.
    let largest = limits::RECORD_PLAINTEXT - 6;
    let sizes = [1, 700, 16_000, 300, 9_000, 9_000, 1, largest, 8_000, largest - 1, 15, 16_000, 16_000, 1, 1];
    for (fill, size) in (0..).zip(sizes) {
        pair.data(number, &vec![fill; size]);
    }
    pair.quiet();
    let events = pair.events(Role::Client);
    assert_eq!(pieces(&events, number).iter().map(Bytes::len).collect::<Vec<_>>(), sizes);

    let large: Vec<u8> = (0..100_000_u32).map(|at| (at >> 4) as u8).collect();
    pair.data(number, b"small");
    pair.data(number, &large);
    pair.data(number, b"small");
    pair.quiet();
    let found = pieces(&pair.events(Role::Client), number);
    assert_eq!((&found[0][..], &found[found.len() - 1][..]), (&b"small"[..], &b"small"[..]));
    assert_eq!(found[1..found.len() - 1].concat(), large);
    assert!(found.len() <= 2 + 100_000 / largest + 2, "{}", found.len());
}

#[test]
fn what_does_not_fit_into_the_rest_of_a_record_begins_the_next() {
    let large = vec![header("x", &"v".repeat(9_000))];
    let mut pair = Pair::established();
    let numbers: Vec<u32> = (0..3).map(|_| pair.open(&get())).collect();
    let before = pair.to_client.sent.len();
    for &number in &numbers {
        pair.server.respond(pair.now, number, &Response { headers: large.clone(), ..ok() }).unwrap();
        pair.server.end(number, large.clone()).unwrap();
    }
    pair.quiet();
    assert_eq!(record_sizes(&pair.to_client.sent[before..]).len(), 6, "a head fills most of one");
    let events = pair.events(Role::Client);
    for &number in &numbers {
        let whole = |event: &Event| match event {
            Event::Response(found, response) => *found == number && response.headers == large,
            Event::End(found, end) => *found == number && end.trailers == large,
            _ => false,
        };
        assert_eq!(events.iter().filter(|event| whole(event)).count(), 2, "{number}");
    }
}

#[test]
fn under_pad_every_record_on_the_wire_has_a_size_of_the_list() {
    let mut pair = Pair::established();
    let number = pair.open(&post(BodyLength::Unknown));
    pair.respond(number, &ok());
    for size in [1, 100, 480, 505, 506, 600, 1_100, 3_000, 4_090, 5_000, 9_000, 16_000, 16_380, 40_000] {
        pair.data(number, &vec![7; size]);
        pair.body(number, &vec![7; size]);
        pair.quiet();
    }
    let mut seen = record_sizes(&pair.to_client.sent[256..]);
    seen.extend(record_sizes(&pair.to_server.sent[256..]));
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, [530, 1_042, 2_066, 4_114, 8_210, 16_402]);
}
