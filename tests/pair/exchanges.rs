//! Exchanges from their request to their end: bodies both ways, errors, trailers and times.

use core::time::Duration;

use bytes::Bytes;
use xllm_proxy::proto::{
    Code, Event, Fault, Role,
    frame::{BodyLength, End, Frame, Headers, Mode, Notice, Receipt, Request, Response, Resume, Stamps},
};

use crate::pair::{Pair, Scripted, get, header, ms, ok, pieces, post, server_config};

#[test]
fn a_streaming_exchange_runs_to_its_end() {
    for chop in [None, Some(1), Some(7), Some(1000)] {
        let mut pair = Pair::established();
        (pair.chop, pair.latency) = (chop, ms(5));
        let number = pair.open(&post(BodyLength::Known(11)));
        pair.body(number, b"hello ");
        pair.quiet();
        pair.body(number, b"world");
        pair.client.end_body(number, Headers::new()).unwrap();
        pair.quiet();
        let events = pair.events(Role::Server);
        let body = |text: &'static str| Event::Body(number, Bytes::from_static(text.as_bytes()));
        assert_eq!(events[..], [body("hello "), body("world"), Event::BodyEnd(number, vec![])]);
        pair.respond(number, &ok());
        for piece in ["data: a\n\n", "data: b\n\n", "data: [DONE]\n\n"] {
            pair.data(number, piece.as_bytes());
            pair.quiet();
            assert_eq!(pair.events(Role::Client)[..], [Event::Data(number, Bytes::from(piece), None)]);
        }
        pair.finish(number, 32);
        assert_eq!((pair.client.open_exchanges(), pair.server.open_exchanges()), (0, 0));
    }
}

#[test]
fn a_buffered_exchange_comes_in_one_go_with_its_length() {
    let mut pair = Pair::established();
    let number = pair.open(&Request { mode: Mode::Buffered, ..get() });
    let body: Vec<u8> = (0..50_000_u32).map(|at| at as u8).collect();
    let response = Response { length: Some(50_000), ..ok() };
    pair.server.respond(pair.now, number, &response).unwrap();
    pair.data(number, &body);
    pair.server.end(number, Headers::new()).unwrap();
    pair.quiet();
    let events = pair.events(Role::Client);
    assert_eq!(events[0], Event::Response(number, response));
    assert_eq!(pieces(&events, number).concat(), body);
    assert!(matches!(events.last(), Some(Event::End(_, End { total: 50_000, .. }))), "{events:?}");
}

#[test]
fn each_piece_of_200_interleaved_exchanges_arrives_before_the_next_is_sent() {
    let mut pair = Pair::established();
    pair.latency = ms(20);
    let numbers: Vec<u32> = (0..200).map(|_| pair.open(&get())).collect();
    for &number in &numbers {
        pair.respond(number, &ok());
    }
    for round in 0..5 {
        for &number in &numbers {
            let piece = format!("{round} of {number}");
            pair.data(number, piece.as_bytes());
            pair.quiet();
            assert_eq!(pair.events(Role::Client)[..], [Event::Data(number, piece.into(), None)]);
        }
    }
    for &number in numbers.iter().rev() {
        let total = 5 * format!("0 of {number}").len();
        pair.finish(number, total as u64);
    }
    assert_eq!((pair.client.open_exchanges(), pair.server.open_exchanges()), (0, 0));
}

#[test]
fn an_error_in_the_middle_of_a_stream_comes_behind_what_was_sent_before_it() {
    let mut pair = Pair::established();
    let number = pair.open(&get());
    pair.respond(number, &ok());
    pair.data(number, b"first");
    let notice = Notice { after: Some(70), ..Notice::new(Code::UpstreamClosed, Fault::Upstream, "closed early") };
    pair.server.fail(number, &notice).unwrap();
    assert!(pair.server.send_data(pair.now, number, Bytes::from_static(b"late")).is_err());
    pair.quiet();
    let data = Event::Data(number, Bytes::from_static(b"first"), None);
    assert_eq!(pair.events(Role::Client)[..], [data, Event::Failed(number, notice)]);
    assert_eq!((pair.client.open_exchanges(), pair.server.open_exchanges()), (0, 0));
    assert!(!pair.client.is_closed());
}

#[test]
fn an_early_response_ends_the_upload_and_what_crosses_it_is_ignored() {
    let mut pair = Pair::established();
    pair.latency = ms(30);
    let number = pair.open(&post(BodyLength::Known(100_000)));
    pair.body(number, &[1; 5_000]);
    pair.quiet();
    assert_eq!(pieces(&pair.events(Role::Server), number).len(), 1);
    pair.server.respond(pair.now, number, &Response { status: 413, ..ok() }).unwrap();
    pair.server.end(number, Headers::new()).unwrap();
    pair.flush();
    pair.body(number, &[1; 5_000]);
    pair.quiet();
    assert!(matches!(pair.events(Role::Client)[..], [Event::Response(..), Event::End(..)]));
    assert_eq!(pair.events(Role::Server)[..], []);
    assert!(pair.client.send_body(pair.now, number, Bytes::from_static(b"x")).is_err());
    // The session goes on.
    let next = pair.open(&get());
    pair.respond(next, &ok());
    pair.finish(next, 0);
}

#[test]
fn a_response_may_begin_and_its_upload_go_on() {
    let mut pair = Pair::established();
    let number = pair.open(&post(BodyLength::Unknown));
    pair.respond(number, &ok());
    for _ in 0..3 {
        pair.body(number, b"up");
        pair.data(number, b"down");
        pair.quiet();
        assert_eq!(pieces(&pair.events(Role::Server), number), ["up"]);
        assert_eq!(pieces(&pair.events(Role::Client), number), ["down"]);
    }
    pair.client.end_body(number, Headers::new()).unwrap();
    pair.finish(number, 12);
}

#[test]
fn responses_without_a_body_end_at_once_whatever_length_they_declare() {
    let mut pair = Pair::established();
    for (method, status, mode) in [
        ("HEAD", 200, Mode::Streaming),
        ("GET", 204, Mode::Streaming),
        ("GET", 304, Mode::Streaming),
        ("HEAD", 404, Mode::Buffered),
        ("POST", 204, Mode::Buffered),
    ] {
        for length in [None, Some(17)] {
            let number = pair.open(&Request { method: method.into(), mode, ..get() });
            pair.respond(number, &Response { status, length, ..ok() });
            pair.finish(number, 0);
        }
    }
}

#[test]
fn trailers_pass_both_ways() {
    let mut pair = Pair::established();
    let trailers = vec![header("x-sum", "abc"), header("x-sum", ""), header("x-more", "1")];
    let number = pair.open(&post(BodyLength::Unknown));
    pair.client.end_body(number, trailers.clone()).unwrap();
    pair.quiet();
    assert_eq!(pair.events(Role::Server)[..], [Event::BodyEnd(number, trailers.clone())]);
    pair.respond(number, &ok());
    pair.server.end(number, trailers.clone()).unwrap();
    pair.quiet();
    let [Event::End(_, end)] = &pair.events(Role::Client)[..] else { panic!("not one end") };
    assert_eq!(end.trailers, trailers);
}

#[test]
fn stamps_and_receipt_tell_exactly_where_the_time_went() {
    let mut pair = Pair::established();
    pair.latency = ms(30);
    let number = pair.open(&Request { timings: true, ..get() });
    let began = pair.now;
    pair.now += ms(5);
    assert_eq!(pair.server.began(number), Some(began));
    pair.server.called(pair.now, number);
    pair.now += ms(100);
    pair.server.respond(pair.now, number, &ok()).unwrap();
    pair.flush();
    pair.now += ms(20);
    pair.data(number, b"one");
    pair.now += Duration::from_micros(250);
    pair.flush();
    pair.now += ms(1);
    pair.data(number, b"two");
    pair.flush();
    pair.server.end(number, Headers::new()).unwrap();
    pair.now += Duration::from_micros(7);
    pair.quiet();
    let events = pair.events(Role::Client);
    let [Event::Response(..), Event::Data(_, one, first), Event::Data(_, two, second), Event::End(_, end)] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!((&one[..], &two[..]), (&b"one"[..], &b"two"[..]));
    assert_eq!(*first, Some(Stamps { arrived: 125_000, held: 250 }));
    assert_eq!(*second, Some(Stamps { arrived: 126_250, held: 0 }));
    let expected = Receipt {
        sent: Some(5_000),
        head: Some(105_000),
        first: Some(125_000),
        last: Some(126_250),
        end: Some(126_257),
        held: Some(250),
    };
    assert_eq!(end.receipt, expected);
}

#[test]
fn every_resume_is_answered_with_gone() {
    let mut peer = Scripted::established_client(server_config());
    peer.frame(1, &Frame::Resume(Resume { id: [7; 16], next: 3, credit: 1 << 20, attempt: 1 }));
    peer.frame(2, &Frame::Request(Box::new(get())));
    assert_eq!(peer.hear()[..], [(1, Frame::Gone)]);
    assert!(matches!(peer.events()[..], [Event::Request(2, _)]));
}
