//! What a session has moved, and what came of its exchanges: for who counts it.

use bytes::Bytes;
use xllm_proxy::proto::{
    Role, ServerConfig,
    frame::{BodyLength, CancelReason, Frame, Headers},
    tally::{Tally, Traffic},
};

use crate::pair::{Pair, Scripted, get, ms, ok, post, server_config};

fn finished(pair: &mut Pair) -> Vec<(u32, Tally)> {
    pair.server.drain_finished().collect()
}

#[test]
fn both_ends_count_the_same() {
    let mut pair = Pair::established();
    let number = pair.open(&post(BodyLength::Known(11)));
    pair.body(number, b"hello world");
    pair.client.end_body(number, Headers::new()).unwrap();
    pair.respond(number, &ok());
    pair.data(number, b"an answer");
    pair.quiet();
    assert_eq!(pair.events(Role::Client).len(), 1);
    pair.finish(number, 9);
    let (client, server) = (pair.client.take_traffic(), pair.server.take_traffic());
    assert_eq!((client.sent, client.received), (server.received, server.sent));
    assert_eq!((server.received.body, server.sent.body), (11, 9));
    // The first is of the handshake: REQUEST, BODY, BODY_END; and RESPONSE, DATA, END.
    assert!(server.received.frames >= 3 && server.sent.frames >= 3, "{server:?}");
    assert!(server.sent.wire > 256 + 9 && server.sent.records >= 1, "{server:?}");
    assert_eq!(pair.server.take_traffic(), Traffic::default(), "it was taken");
}

#[test]
fn an_exchange_is_whole_when_its_end_is_sealed() {
    let mut pair = Pair::established();
    let number = pair.open(&post(BodyLength::Unknown));
    pair.body(number, b"upload");
    pair.quiet();
    pair.respond(number, &ok());
    for piece in [&b"one"[..], b"two"] {
        pair.data(number, piece);
        pair.quiet();
    }
    pair.server.end(number, Headers::new()).unwrap();
    assert_eq!(finished(&mut pair), [], "it waits to be sealed");
    pair.quiet();
    let [(found, tally)] = finished(&mut pair)[..] else { panic!("not one") };
    assert_eq!((found, tally.whole, tally.frames, tally.uploaded), (number, true, 2, 6));
    assert!(tally.receipt.end.is_some() && tally.receipt.held.is_some(), "{tally:?}");
    assert_eq!(finished(&mut pair), []);
}

#[test]
fn one_that_is_cancelled_or_lost_is_not_whole() {
    let mut pair = Pair::established();
    pair.latency = ms(50);
    let numbers = [pair.open(&get()), pair.open(&get())];
    for number in numbers {
        pair.respond(number, &ok());
    }
    for number in numbers {
        pair.server.send_data(pair.now, number, Bytes::from_static(b"piece")).unwrap();
    }
    pair.quiet();
    pair.client.cancel(numbers[0], CancelReason::CallerGone);
    pair.quiet();
    let [(found, tally)] = finished(&mut pair)[..] else { panic!("not one") };
    assert_eq!((found, tally.whole, tally.frames), (numbers[0], false, 1));
    pair.server.receive_end();
    let [(found, tally)] = finished(&mut pair)[..] else { panic!("not one") };
    assert_eq!((found, tally.whole, tally.frames), (numbers[1], false, 1));
}

#[test]
fn what_is_refused_at_once_is_counted_apart() {
    let mut peer = Scripted::established_client(ServerConfig { exchanges: 2, ..server_config() });
    for number in 1..=5 {
        peer.frame(number, &Frame::Request(Box::new(get())));
    }
    assert_eq!((peer.hear().len(), peer.subject.take_traffic().refused), (3, 3));
    assert_eq!(peer.subject.drain_finished().count(), 0);
}
