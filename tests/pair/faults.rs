//! A path that loses or damages what it carries, and a peer that breaks the rules.

use bytes::{Bytes, BytesMut};
use xllm_proxy::proto::{
    Closed, Code, Event, Fault, Role, ServerConfig,
    frame::{BodyEnd, BodyLength, CancelReason, End, Frame, Notice, Ping, Request, kind, put},
    limits,
};

use crate::{
    BOTH, done,
    pair::{Pair, Scripted, closed, encoded, get, ms, ok, pieces, post, server_config},
};

#[test]
fn the_end_of_the_stream_with_an_exchange_open_is_a_loss_that_names_what_was_not_asked_and_keeps_what_was_never_sent() {
    let mut pair = Pair::established();
    pair.open(&get());
    let unasked = pair.client.request(pair.now, &post(BodyLength::Unknown)).unwrap();
    pair.quiet();
    pair.events(Role::Server);
    let unsent = pair.client.request(pair.now, &get()).unwrap();
    pair.client.receive_end();
    pair.server.receive_end();
    let lost = |unsent| [Event::Closed { why: Closed::Lost { in_hello: false }, unsent }];
    assert_eq!(pair.events(Role::Client)[..], lost(vec![unasked]));
    assert_eq!(pair.events(Role::Server)[..], lost(vec![]));
    assert!(pair.client.is_new(unsent) && !pair.client.holds(unasked));

    let mut idle = Pair::established();
    idle.client.receive_end();
    assert_eq!(idle.events(Role::Client)[..], [done()]);
}

#[test]
fn damaged_reordered_repeated_and_dropped_records_end_the_session_with_a_word_to_the_peer() {
    type Meddle = fn(&mut Vec<BytesMut>);
    let ways: [(&str, usize, Meddle); 6] = [
        ("damaged", 0, |records| records[0][100] ^= 4),
        ("damaged at its end", 1, |records| *records[1].last_mut().unwrap() ^= 1),
        ("swapped", 0, |records| records.swap(0, 1)),
        ("repeated", 1, |records| records.insert(1, records[0].clone())),
        ("dropped", 0, |records| drop(records.remove(0))),
        ("with a shorter length", 0, |records| records[0][1] ^= 0x1f),
    ];
    for to in BOTH {
        for (way, before, meddle) in ways {
            let mut pair = Pair::established();
            pair.latency = ms(10);
            let number = pair.open(&post(BodyLength::Unknown));
            pair.respond(number, &ok());
            for piece in [b"first", b"other", b"third"] {
                if to == Role::Client {
                    pair.data(number, piece);
                } else {
                    pair.body(number, piece);
                }
                pair.flush();
            }
            let mut records: Vec<_> = pair.link(to).under_way.drain(..).map(|(_, record)| record).collect();
            assert_eq!(records.len(), 3);
            meddle(&mut records);
            let at = pair.now + ms(10);
            pair.link(to).under_way.extend(records.into_iter().map(|record| (at, record)));
            pair.quiet();
            let events = pair.events(to);
            assert_eq!(pieces(&events, number).len(), before, "{way}");
            let why = closed(&events);
            assert!(matches!(why, Some(Closed::Fault(error)) if error.code() == Code::Unauthentic), "{way}: {why:?}");
            let events = pair.events(to.peer());
            let Some(Closed::Refused(notice)) = closed(&events) else { panic!("{way}: {events:?}") };
            assert_eq!((notice.code, notice.fault), (Code::Unauthentic, Fault::Network), "{way}");
        }
    }
}

#[test]
fn a_record_length_out_of_range_is_damage_and_is_found_before_more_is_awaited() {
    for length in [[0, 0], [0, 16], [0x40, 0x11], [0xff, 0xff]] {
        let mut peer = Scripted::established_server();
        peer.feed(&length);
        refused(&mut peer, Code::Unauthentic, "a length");
    }
}

/// The subject has ended the session for this reason, and says so as its last word.
fn refused(peer: &mut Scripted, code: Code, what: &str) {
    let events = peer.events();
    let Some(Closed::Fault(error)) = closed(&events) else { panic!("{what}: {events:?}") };
    assert_eq!(error.code(), code, "{what}");
    let heard = peer.hear();
    let Some((0, Frame::Error { seq: 0, notice })) = heard.last() else { panic!("{what}: {heard:?}") };
    let fault = match (code, peer.subject.role()) {
        (Code::Unauthentic, _) => Fault::Network,
        (_, Role::Client) => Fault::Proxy,
        (_, Role::Server) => Fault::Client,
    };
    assert_eq!((notice.code, notice.fault), (code, fault), "{what}");
    peer.frame(0, &Frame::Ping(Ping { token: [1; 8], silence: 0 }));
    assert!(peer.hear().is_empty() && peer.events().is_empty(), "{what}: nothing after it");
}

fn raw(kind: u8, exchange: u32, payload: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    put(&mut out, kind, exchange, None, payload);
    out
}

/// A GOAWAY with this value under a key that nobody knows.
fn strange(value: &[u8]) -> BytesMut {
    raw(kind::GOAWAY, 0, &[&[0xa3, 0, 0, 1, 0, 9], value].concat())
}

fn strange_records() -> Vec<(&'static str, BytesMut, Code)> {
    let gigabyte = |major: u8| strange(&[(major << 5) + 26, 0x40, 0, 0, 0]);
    vec![
        ("an unknown type", BytesMut::from(&[0x10, 0, 0][..]), Code::UnknownFrame),
        (
            "an unknown type behind a good frame",
            BytesMut::from(&[&strange(&[0])[..], &[0xff, 0, 0]].concat()[..]),
            Code::UnknownFrame,
        ),
        ("a head too large", strange(&[&[0x59, 0x3e, 0x80][..], &[0; 16_000]].concat()), Code::TooLarge),
        ("CBOR that is none", strange(&[0x1c]), Code::Malformed),
        ("CBOR that is cut", strange(&[0x82, 0]), Code::Malformed),
        ("nesting", strange(&[&[0x81; 8][..], &[0]].concat()), Code::Malformed),
        ("deep nesting", strange(&[0x81; 15_000]), Code::Malformed),
        ("a byte string of a gigabyte", gigabyte(2), Code::Malformed),
        ("a text of a gigabyte", gigabyte(3), Code::Malformed),
        ("an array of a billion", gigabyte(4), Code::Malformed),
        ("a map of a billion", gigabyte(5), Code::Malformed),
        ("a length in a longer form", strange(&[0x58, 1, 0]), Code::Malformed),
        ("padding that is not zero", BytesMut::from(&[0, 0, 1][..]), Code::Malformed),
        ("a frame that is cut", BytesMut::from(&[kind::PING, 0, 9, 1][..]), Code::Malformed),
        ("credit on the session", encoded(0, &Frame::Credit(5)), Code::Violation),
        ("credit for what never was", encoded(77, &Frame::Credit(5)), Code::Sequence),
        ("too much credit", encoded(1, &Frame::Credit(1 << 30)), Code::CreditExceeded),
    ]
}

#[test]
fn what_a_client_must_not_send_is_answered_with_its_code() {
    let request = Frame::Request(Box::new(post(BodyLength::Known(100))));
    let body = |size| encoded(1, &Frame::Body(Bytes::from(vec![0; size])));
    let end = |total| encoded(1, &Frame::BodyEnd(BodyEnd { total, trailers: vec![] }));
    let mut cases = strange_records();
    cases.extend([
        ("a server's frame", encoded(1, &Frame::Response(ok())), Code::Violation),
        ("a number out of turn", encoded(3, &request), Code::Violation),
        ("a number again", encoded(1, &request), Code::Violation),
        ("a body for what never was", encoded(2, &Frame::Body(Bytes::from_static(b"x"))), Code::Sequence),
        ("a cancel for what never was", encoded(2, &Frame::Cancel(CancelReason::CallerGone)), Code::Sequence),
        ("a body beyond its length", body(101), Code::Violation),
        ("a body that ends early", end(0), Code::Violation),
        (
            "an error for an exchange",
            encoded(1, &Frame::Error { seq: 0, notice: Notice::new(Code::Internal, Fault::Client, "") }),
            Code::Violation,
        ),
        (
            "a session's error with a place",
            encoded(0, &Frame::Error { seq: 1, notice: Notice::new(Code::Internal, Fault::Client, "") }),
            Code::Sequence,
        ),
    ]);
    for (what, plaintext, code) in cases {
        let mut peer = Scripted::established_client(server_config());
        peer.frame(1, &request);
        assert_eq!(peer.events().len(), 1);
        peer.say(&plaintext);
        refused(&mut peer, code, what);
    }
    // More than the credit, in one frame of the largest size and one byte.
    let mut peer = Scripted::established_client(ServerConfig { credit: limits::CREDIT_MIN, ..server_config() });
    peer.frame(1, &Frame::Request(Box::new(post(BodyLength::Unknown))));
    peer.say(&body(limits::RECORD_PLAINTEXT - 4));
    assert!(!peer.subject.is_closed());
    peer.say(&body(1));
    refused(&mut peer, Code::CreditExceeded, "a body beyond the credit");
}

#[test]
fn what_a_server_must_not_send_is_answered_with_its_code() {
    let data = |seq, size| encoded(1, &Frame::Data { seq, payload: Bytes::from(vec![0; size]) });
    let end = |seq, total| encoded(1, &Frame::End { seq, end: End { total, ..End::default() } });
    let error = |seq, code| encoded(1, &Frame::Error { seq, notice: Notice::new(code, Fault::Client, "") });
    let mut cases = strange_records();
    cases.extend([
        ("a client's frame", encoded(1, &Frame::Body(Bytes::from_static(b"x"))), Code::Violation),
        ("a gap", data(3, 5), Code::Sequence),
        ("a repeat", data(1, 5), Code::Sequence),
        ("a second head", encoded(1, &Frame::Response(ok())), Code::Sequence),
        ("an end that counts wrong", end(2, 6), Code::Sequence),
        ("an answer for what never was", encoded(2, &Frame::Response(ok())), Code::Sequence),
        ("gone for a request", encoded(1, &Frame::Gone), Code::Violation),
        ("data beyond the credit", data(2, 16_000), Code::CreditExceeded),
        ("an error out of its place", error(3, Code::Internal), Code::Sequence),
        ("a loss to another session out of its place", error(3, Code::Superseded), Code::Sequence),
    ]);
    for (what, plaintext, code) in cases {
        let mut peer = Scripted::established_server();
        let request = Request { credit: limits::CREDIT_MIN, ..get() };
        peer.subject.request(peer.now, &request).unwrap();
        assert_eq!(peer.hear().len(), 1);
        peer.frame(1, &Frame::Response(ok()));
        peer.say(&data(1, 1_000));
        assert_eq!(peer.events().len(), 2);
        peer.say(&plaintext);
        refused(&mut peer, code, what);
    }
}

#[test]
fn data_without_the_stamps_that_were_asked_for_is_malformed() {
    for payload in [&[0x40][..], &[1], &[1, 0]] {
        let mut peer = Scripted::established_server();
        peer.subject.request(peer.now, &Request { timings: true, ..get() }).unwrap();
        peer.hear();
        peer.frame(1, &Frame::Response(ok()));
        peer.events();
        peer.frame(1, &Frame::Data { seq: 1, payload: payload.into() });
        refused(&mut peer, Code::Malformed, "data without stamps");
    }
}

#[test]
fn a_session_error_from_the_peer_closes_without_an_answer() {
    let notice = Notice::new(Code::Violation, Fault::Proxy, "you broke it");
    let error = Frame::Error { seq: 0, notice: notice.clone() };
    let mut peer = Scripted::established_server();
    peer.subject.request(peer.now, &get()).unwrap();
    peer.frame(0, &error);
    assert_eq!(closed(&peer.events()), Some(&Closed::Refused(notice)));
    assert!(peer.hear().is_empty());
}
