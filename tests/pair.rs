//! Two ends of a session on a virtual clock: what a client and a server make of each other, of a bad path, and of a peer that
//! breaks the rules.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]
#![allow(clippy::cast_possible_truncation, reason = "bytes that repeat are good enough for a body")]
#![allow(clippy::unchecked_time_subtraction, reason = "on a virtual clock that began at 1000 s")]
#![allow(clippy::similar_names, reason = "PING and PONG are the names")]

use core::time::Duration;

use bytes::{Bytes, BytesMut};
use xllm_proxy::proto::{
    AES_GCM, ClientConfig, Closed, Code, Connection, Event, Fault, KeyId, Profile, Role, ServerConfig,
    crypto::Secret,
    frame::{
        BodyEnd, BodyLength, CancelReason, End, Frame, GoAway, Headers, Mode, Notice, Ping, Receipt, Request, Response, Resume,
        Stamps, kind, put,
    },
    limits::{self, FRAME_COST, SEND_QUEUE},
};

#[path = "support/pair.rs"]
mod pair;

use pair::{
    Pair, Scripted, client_config, closed, encoded, get, header, ms, new_client, new_server, ok, pieces, post, psk,
    record_sizes, secs, server_config, server_hello,
};

const BOTH: [Role; 2] = [Role::Client, Role::Server];

fn done() -> Event {
    Event::Closed { why: Closed::Done, unsent: vec![] }
}

// ------------------------------------------------------------------------------------------ establishing

#[test]
fn a_session_is_established_in_one_round_trip_and_the_client_proves_its_key_at_once() {
    let mut pair = Pair::new();
    pair.latency = ms(40);
    let start = pair.now;
    pair.quiet();
    let Event::Established(Some(hello)) = &pair.events(Role::Client)[0] else { panic!("not established") };
    assert_eq!((hello.profile, hello.exchanges, hello.credit), (Profile::Pad, 256, 1 << 20));
    assert_eq!(pair.events(Role::Server)[..], [Event::Hello(KeyId([1; 16])), Event::Established(None)]);
    // Hello, hello, PING, PONG.
    assert_eq!(pair.now - start, ms(160));
    assert_eq!((&pair.to_server.writes[..], &pair.to_client.writes[..]), (&[256, 530][..], &[256, 530][..]));
}

#[test]
fn the_first_request_is_the_proof_of_the_key_if_it_is_there_in_time() {
    let mut pair = Pair::new();
    pair.flush();
    pair.deliver();
    pair.flush();
    pair.deliver();
    let number = pair.client.request(pair.now, &get()).unwrap();
    pair.quiet();
    let events = pair.events(Role::Server);
    assert!(matches!(events[..], [Event::Hello(_), Event::Established(None), Event::Request(1, _)]), "{events:?}");
    assert_eq!((number, &pair.to_server.writes[..]), (1, &[256, 530][..]));
}

#[test]
fn an_unknown_key_and_a_wrong_one_look_the_same() {
    let attempt = |keys| {
        let mut pair = Pair::new();
        pair.keys = keys;
        pair.quiet();
        let client = pair.events(Role::Client);
        assert!(matches!(closed(&client), Some(Closed::Fault(error)) if error.code() == Code::Unauthentic), "{client:?}");
        let before = pair.server.poll_timeout();
        pair.pass(secs(9));
        assert!(!pair.server.is_closed());
        pair.pass(secs(1));
        (client, pair.events(Role::Server), before, pair.to_client.writes, pair.to_server.writes)
    };
    let unknown = attempt(vec![]);
    assert_eq!(unknown, attempt(vec![(KeyId([1; 16]), Secret::new([77; 32]))]));
    assert_eq!((&unknown.3[..], &unknown.4[..]), (&[256][..], &[256][..]));
}

#[test]
fn a_server_that_demands_a_stricter_profile_gets_it() {
    for (asked, demanded, expected) in [
        (Profile::Off, Profile::Off, Profile::Off),
        (Profile::Off, Profile::Pad, Profile::Pad),
        (Profile::Pad, Profile::Off, Profile::Pad),
        (Profile::Off, Profile::Constant, Profile::Pad),
    ] {
        let client = ClientConfig { profile: asked, ..client_config() };
        let mut pair = Pair::with(client, ServerConfig { profile: demanded, ..server_config() });
        pair.quiet();
        let Event::Established(Some(hello)) = &pair.events(Role::Client)[0] else { panic!("not established") };
        assert_eq!(hello.profile, expected);
        let padded = pair.to_server.writes[1] == 530 && pair.to_client.writes[1] == 530;
        assert_eq!(padded, expected == Profile::Pad);
    }
}

#[test]
fn a_client_refuses_a_weaker_profile_and_one_that_it_does_not_have_without_a_record() {
    for asked in [Profile::Paced, Profile::Constant] {
        let mut pair = Pair::with(ClientConfig { profile: asked, ..client_config() }, server_config());
        pair.quiet();
        assert_eq!(closed(&pair.events(Role::Client)), Some(&Closed::ProfileRefused(Profile::Pad)));
        assert_eq!(pair.to_server.writes, [256]);
    }
    for (asked, said) in [(Profile::Pad, Profile::Off), (Profile::Pad, Profile::Paced), (Profile::Off, Profile::Constant)] {
        let mut peer = Scripted::server(ClientConfig { profile: asked, ..client_config() }, &server_hello(said));
        assert_eq!(closed(&peer.events()), Some(&Closed::ProfileRefused(said)));
        assert!(peer.hear().is_empty());
    }
}

#[test]
fn hellos_have_deadlines_at_both_ends() {
    let mut pair = Pair::new();
    (pair.to_server.cut, pair.to_client.cut) = (true, true);
    pair.pass(ms(9_999));
    assert!(!pair.client.is_closed() && !pair.server.is_closed());
    pair.pass(ms(1));
    for role in BOTH {
        assert_eq!(closed(&pair.events(role)), Some(&Closed::TimedOut { in_hello: true }), "{role:?}");
    }
    assert!(pair.to_client.sent.is_empty());

    let mut silent = Scripted::client(server_config());
    silent.now += ms(9_999);
    silent.subject.handle_timeout(silent.now);
    assert!(!silent.subject.is_closed());
    silent.now += ms(1);
    silent.subject.handle_timeout(silent.now);
    assert_eq!(closed(&silent.events()), Some(&Closed::TimedOut { in_hello: true }));
    assert!(silent.hear().is_empty());
}

#[test]
fn garbage_before_authentication_gets_no_byte_and_a_close_at_the_deadline_only() {
    let noise: Vec<u8> = (0..70_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let silent = |mut server: Connection, garbage: &[u8], step: usize| {
        let mut input = BytesMut::new();
        for piece in garbage.chunks(step) {
            input.extend_from_slice(piece);
            server.receive(ms(3), &mut input);
            assert!(!server.poll_transmit(ms(3), &mut BytesMut::new()) && !server.is_closed());
            assert!(input.len() <= 16_402, "what is thrown away is not kept");
        }
        assert_eq!(server.poll_timeout(), Some(limits::HELLO_TIME));
        server.handle_timeout(limits::HELLO_TIME - ms(1));
        assert!(!server.is_closed());
        server.handle_timeout(limits::HELLO_TIME);
        assert!(server.is_closed() && !server.poll_transmit(limits::HELLO_TIME, &mut BytesMut::new()));
    };
    for garbage in [&noise[..1], &noise[..255], &noise[..256], &noise[..], b"GET / HTTP/1.1\r\nhost: proxy\r\n\r\n", &[0; 600]]
    {
        for step in [1.max(garbage.len() / 300), 7, 256, 70_000] {
            silent(new_server(server_config(), Duration::ZERO), garbage, step);
        }
    }
    // The same behind a hello that opens.
    for garbage in [&noise[..100], &noise[..], &[0, 17, 1], &[0, 16], &[0xff, 0xff], &[0; 20]] {
        for step in [1.max(garbage.len() / 300), 70_000] {
            let mut server = new_server(server_config(), Duration::ZERO);
            let mut hello = BytesMut::new();
            new_client(client_config(), Duration::ZERO).poll_transmit(Duration::ZERO, &mut hello);
            server.receive(Duration::ZERO, &mut hello);
            server.answer_hello(Some(&psk()), 0).unwrap();
            assert!(server.poll_transmit(Duration::ZERO, &mut hello));
            silent(server, garbage, step);
        }
    }
}

// ------------------------------------------------------------------------------------------ exchanges

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
    pair.now += ms(5);
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

// ------------------------------------------------------------------------------------------ credit

#[test]
fn a_reader_that_takes_nothing_stops_its_sender_at_exactly_its_credit_and_others_go_on() {
    let mut pair = Pair::established();
    // A piece of 960 bytes costs 1024.
    let stuck = pair.open(&Request { credit: 17 * 1024, ..get() });
    let other = pair.open(&get());
    pair.respond(stuck, &ok());
    pair.respond(other, &ok());
    for at in 0..30 {
        pair.data(stuck, &[at; 960]);
    }
    pair.quiet();
    assert_eq!(pieces(&pair.events(Role::Client), stuck).len(), 17);
    for _ in 0..3 {
        pair.data(other, b"goes on");
        pair.quiet();
        assert_eq!(pieces(&pair.events(Role::Client), other), ["goes on"]);
    }
    // Credit goes back in steps of a quarter: 4 pieces are less, 5 are more.
    for _ in 0..4 {
        assert!(!pair.client.taken(stuck, 960));
    }
    pair.quiet();
    assert_eq!(pair.events(Role::Client)[..], []);
    assert!(pair.client.taken(stuck, 960));
    pair.quiet();
    let found = pieces(&pair.events(Role::Client), stuck);
    assert_eq!(found.iter().map(|piece| piece[0]).collect::<Vec<_>>(), [17, 18, 19, 20, 21]);
}

#[test]
fn an_upload_stops_at_its_credit_and_resumes_with_more() {
    let mut pair = Pair::with(client_config(), ServerConfig { credit: 17 * 1024, ..server_config() }).establish();
    let number = pair.open(&post(BodyLength::Unknown));
    for at in 0..30 {
        pair.body(number, &[at; 960]);
    }
    pair.client.end_body(number, Headers::new()).unwrap();
    pair.quiet();
    assert_eq!(pieces(&pair.events(Role::Server), number).len(), 17);
    let (mut found, mut ended) = (17, false);
    let mut taken = 0;
    while !ended {
        assert!(taken < found, "the upload is stuck at {found}");
        pair.server.taken(number, 960);
        taken += 1;
        pair.quiet();
        let events = pair.events(Role::Server);
        found += pieces(&events, number).len();
        ended = events.iter().any(|event| matches!(event, Event::BodyEnd(..)));
    }
    assert_eq!(found, 30);
}

#[test]
fn a_reader_that_takes_everything_is_never_left_waiting() {
    for credit in [limits::CREDIT_MIN, 20_000, 100_000, 200_000] {
        for size in [1, 500, 4_200, 16_000, 60_000] {
            let mut pair = Pair::with(client_config(), server_config()).establish();
            let number = pair.open(&Request { credit, ..get() });
            pair.respond(number, &ok());
            let count = 1 + 400_000 / (size + 64);
            let (mut given, mut received) = (0, 0);
            while received < count * size {
                while given < count && pair.server.has_room(number) {
                    pair.data(number, &vec![0; size]);
                    given += 1;
                }
                pair.quiet();
                let events = pair.events(Role::Client);
                let before = received;
                for piece in pieces(&events, number) {
                    received += piece.len();
                    pair.client.taken(number, piece.len());
                }
                assert!(received > before || pair.flush(), "stuck: credit {credit}, pieces of {size}");
            }
        }
    }
}

#[test]
fn what_a_sender_queues_is_bounded_and_it_hears_once_of_room() {
    for size in [1_usize, 1_000, 16_000, 200_000] {
        let mut pair = Pair::established();
        let number = pair.open(&Request { credit: limits::CREDIT_MIN, ..get() });
        pair.respond(number, &ok());
        let mut queued = 0;
        while pair.server.has_room(number) {
            pair.data(number, &vec![0; size]);
            queued += size + FRAME_COST;
        }
        assert!(queued < SEND_QUEUE + size + 64, "{queued} in pieces of {size}");
        let (mut room, mut rounds) = (0, 0);
        while room == 0 {
            assert!(!pair.server.has_room(number) || room > 0);
            pair.quiet();
            for piece in pieces(&pair.events(Role::Client), number) {
                pair.client.taken(number, piece.len());
            }
            room += pair.events(Role::Server).iter().filter(|event| **event == Event::Room(number)).count();
            rounds += 1;
            assert!(rounds < 1000, "no room for pieces of {size}");
        }
        assert_eq!(room, 1);
        assert!(pair.server.has_room(number));
    }
}

// ------------------------------------------------------------------------------------------ cancelling

fn one_at_a_time() -> Pair {
    Pair::with(client_config(), ServerConfig { exchanges: 1, ..server_config() }).establish()
}

#[test]
fn a_cancel_before_the_head_frees_the_slot_and_reports_nothing_more() {
    for sealed in [true, false] {
        let mut pair = one_at_a_time();
        let number = pair.client.request(pair.now, &get()).unwrap();
        if sealed {
            pair.quiet();
        }
        assert!(!pair.client.can_open());
        pair.client.cancel(number, CancelReason::CallerGone);
        pair.quiet();
        let events = pair.events(Role::Server);
        assert!(
            matches!(events[..], [Event::Request(1, _), Event::Cancelled(1, CancelReason::CallerGone)]),
            "the numbers on the wire have no gap: {events:?}"
        );
        assert_eq!(pair.events(Role::Client)[..], []);
        assert!(pair.client.can_open());
        assert_eq!(pair.open(&get()), 2);
    }
}

#[test]
fn a_cancel_in_the_middle_throws_away_what_is_under_way() {
    let mut pair = one_at_a_time();
    pair.latency = ms(50);
    let number = pair.open(&post(BodyLength::Unknown));
    pair.respond(number, &ok());
    pair.data(number, b"under way");
    pair.flush();
    pair.client.cancel(number, CancelReason::ResponseRefused);
    assert!(pair.client.send_body(pair.now, number, Bytes::from_static(b"no more")).is_err());
    assert!(!pair.client.can_open(), "a cancelled exchange stays open until its last frame");
    pair.quiet();
    assert_eq!(pair.events(Role::Server)[..], [Event::Cancelled(number, CancelReason::ResponseRefused)]);
    assert_eq!(pair.events(Role::Client)[..], []);
    assert!(pair.client.can_open() && pair.server.open_exchanges() == 0);
    assert!(pair.server.send_data(pair.now, number, Bytes::from_static(b"late")).is_err());
}

#[test]
fn a_cancel_that_crosses_the_end_changes_nothing() {
    let mut pair = one_at_a_time();
    pair.latency = ms(50);
    let number = pair.open(&get());
    pair.respond(number, &ok());
    pair.data(number, b"all of it");
    pair.server.end(number, Headers::new()).unwrap();
    pair.flush();
    pair.client.cancel(number, CancelReason::CallerGone);
    pair.quiet();
    assert_eq!((pair.events(Role::Client).len(), pair.events(Role::Server).len()), (0, 0));
    assert!(pair.client.can_open() && !pair.client.is_closed() && !pair.server.is_closed());
    assert_eq!(pair.open(&get()), 2);
}

#[test]
fn the_error_for_a_cancelled_exchange_is_its_last_frame_and_nothing_queued_goes_before_it() {
    let mut peer = Scripted::established_client(server_config());
    let request = Request { credit: limits::CREDIT_MIN, ..get() };
    peer.frame(1, &Frame::Request(Box::new(request)));
    peer.subject.respond(peer.now, 1, &ok()).unwrap();
    for _ in 0..20 {
        peer.subject.send_data(peer.now, 1, Bytes::from(vec![0; 1_000])).unwrap();
    }
    peer.subject.end(1, Headers::new()).unwrap();
    // 15 fit the credit; the rest and the END wait.
    assert_eq!(peer.hear().len(), 1 + 15);
    peer.frame(1, &Frame::Cancel(CancelReason::CallerGone));
    let [(1, Frame::Error { seq: 16, notice })] = &peer.hear()[..] else { panic!("not an error alone") };
    assert_eq!((notice.code, notice.fault, notice.retry), (Code::Cancelled, Fault::Client, false));
    assert_eq!(peer.subject.open_exchanges(), 0);
    peer.frame(1, &Frame::Cancel(CancelReason::CallerGone));
    peer.frame(1, &Frame::Credit(1 << 20));
    assert!(peer.hear().is_empty() && !peer.subject.is_closed());
}

// ------------------------------------------------------------------------------------------ how many, and for how long

#[test]
fn a_client_opens_no_more_exchanges_than_its_server_allows() {
    let mut pair = Pair::with(client_config(), ServerConfig { exchanges: 2, ..server_config() }).establish();
    let first = pair.open(&get());
    pair.open(&get());
    assert!(!pair.client.can_open() && pair.client.request(pair.now, &get()).is_err());
    pair.respond(first, &ok());
    pair.finish(first, 0);
    assert_eq!(pair.open(&get()), 3);
}

#[test]
fn exchanges_too_many_are_refused_alone_and_their_numbers_are_used_up() {
    let mut peer = Scripted::established_client(ServerConfig { exchanges: 2, ..server_config() });
    let request = Frame::Request(Box::new(post(BodyLength::Unknown)));
    for number in 1..=3 {
        peer.frame(number, &request);
    }
    let [(3, Frame::Error { seq: 0, notice })] = &peer.hear()[..] else { panic!("not one error") };
    assert_eq!((notice.code, notice.retry), (Code::TooManyExchanges, true));
    peer.frame(3, &Frame::Body(Bytes::from_static(b"crossed it")));
    assert_eq!(peer.events().len(), 2);
    peer.subject.fail(1, &Notice::new(Code::Internal, Fault::Proxy, "x")).unwrap();
    assert_eq!(peer.hear().len(), 1);
    peer.frame(4, &request);
    assert!(matches!(peer.events()[..], [Event::Request(4, _)]));
    assert!(peer.hear().is_empty());
}

#[test]
fn a_flood_of_refused_exchanges_ends_the_session_and_nothing_else() {
    let mut peer = Scripted::established_client(ServerConfig { exchanges: 1, ..server_config() });
    for number in 1..=2_000 {
        peer.frame(number, &Frame::Request(Box::new(get())));
        if peer.subject.is_closed() {
            break;
        }
    }
    let events = peer.events();
    assert!(matches!(closed(&events), Some(Closed::Fault(error)) if error.code() == Code::Violation), "{:?}", closed(&events));
}

#[test]
fn a_servers_goaway_lets_the_open_finish_and_a_request_that_crosses_it_may_be_repeated() {
    let mut pair = Pair::established();
    pair.latency = ms(50);
    let first = pair.open(&get());
    pair.server.go_away(Some(Code::ShuttingDown), "stopping");
    let second = pair.client.request(pair.now, &get()).unwrap();
    pair.quiet();
    let goaway = GoAway { code: Some(Code::ShuttingDown), last: first, text: "stopping".into() };
    let events = pair.events(Role::Client);
    let [Event::Failed(number, notice), found] = &events[..] else { panic!("{events:?}") };
    assert_eq!((*number, notice.code, notice.retry), (second, Code::ShuttingDown, true));
    assert_eq!(*found, Event::GoAway(goaway));
    assert_eq!(pair.events(Role::Server)[..], [], "the one that crossed was answered for the program");
    assert!(!pair.client.can_open() && pair.client.is_draining());
    pair.server.respond(pair.now, first, &ok()).unwrap();
    pair.server.end(first, Headers::new()).unwrap();
    pair.quiet();
    let events = pair.events(Role::Client);
    assert!(matches!(&events[..], [Event::Response(..), Event::End(..), last] if *last == done()), "{events:?}");
    assert_eq!(pair.events(Role::Server)[..], [done()]);
}

#[test]
fn a_goaway_with_nothing_open_closes_both_ends() {
    for role in BOTH {
        let mut pair = Pair::established();
        pair.end(role).go_away(None, "");
        pair.quiet();
        assert_eq!(pair.events(role)[..], [done()]);
        assert_eq!(pair.events(role.peer()).last(), Some(&done()));
    }
}

#[test]
fn a_clients_goaway_lets_every_request_before_it_finish() {
    let mut pair = Pair::established();
    let first = pair.open(&get());
    let second = pair.client.request(pair.now, &get()).unwrap();
    pair.client.go_away(None, "");
    assert!(!pair.client.can_open());
    pair.quiet();
    let events = pair.events(Role::Server);
    assert!(matches!(events[..], [Event::Request(2, _)]), "{events:?}");
    for number in [first, second] {
        assert!(!pair.client.is_closed() && !pair.server.is_closed());
        pair.server.respond(pair.now, number, &ok()).unwrap();
        pair.server.end(number, Headers::new()).unwrap();
        pair.quiet();
        let events = pair.events(Role::Client);
        assert!(matches!(events[..2], [Event::Response(..), Event::End(..)]), "{events:?}");
    }
    assert!(pair.client.is_closed());
    assert_eq!(pair.events(Role::Server)[..], [done()]);

    // Also when it goes out in one write with the only request, which fills most of a record.
    let mut pair = Pair::established();
    let large = vec![header("x", &"v".repeat(15_000))];
    for _ in 0..3 {
        pair.client.request(pair.now, &Request { headers: large.clone(), ..get() }).unwrap();
    }
    pair.client.go_away(None, "");
    pair.quiet();
    assert_eq!(pair.events(Role::Server).len(), 3);
    assert!(!pair.server.is_closed());
}

#[test]
fn a_session_without_an_exchange_ends_after_the_stated_time() {
    let mut pair = Pair::established();
    let number = pair.open(&get());
    pair.pass(secs(2_000));
    assert!(!pair.server.is_closed(), "an open exchange keeps it");
    pair.respond(number, &ok());
    pair.finish(number, 0);
    pair.pass(ms(599_999));
    assert!(!pair.server.is_closed() && !pair.client.is_closed());
    pair.pass(ms(1));
    assert_eq!(pair.events(Role::Server)[..], [done()]);
    let events = pair.events(Role::Client);
    let [Event::GoAway(goaway), last] = &events[..] else { panic!("{events:?}") };
    assert_eq!((goaway.code, goaway.last), (Some(Code::Idle), number));
    assert_eq!(*last, done());
}

#[test]
fn silence_is_met_by_a_ping_and_a_pong_keeps_the_session() {
    let mut pair = Pair::established();
    let writes = (pair.to_server.writes.len(), pair.to_client.writes.len());
    pair.pass(ms(19_999));
    assert_eq!((pair.to_server.writes.len(), pair.to_client.writes.len()), writes);
    pair.pass(ms(1));
    assert_eq!((pair.to_server.writes.len(), pair.to_client.writes.len()), (writes.0 + 1, writes.1 + 1));
    pair.pass(secs(200));
    assert_eq!((pair.to_server.writes.len(), pair.to_client.writes.len()), (writes.0 + 11, writes.1 + 11));
    assert_eq!((pair.events(Role::Client).len(), pair.events(Role::Server).len()), (0, 0));
}

#[test]
fn a_path_that_went_silent_ends_the_session_at_both_ends_after_twice_the_keep_alive() {
    let mut pair = Pair::established();
    let number = pair.open(&get());
    (pair.to_server.cut, pair.to_client.cut) = (true, true);
    pair.pass(ms(39_999));
    assert!(!pair.client.is_closed());
    pair.pass(ms(1));
    assert_eq!(closed(&pair.events(Role::Client)), Some(&Closed::TimedOut { in_hello: false }));
    pair.pass(ms(49_999));
    assert!(pair.server.is_open(number));
    pair.pass(ms(1));
    assert_eq!(closed(&pair.events(Role::Server)), Some(&Closed::TimedOut { in_hello: false }));
}

#[test]
fn the_end_of_the_stream_with_an_exchange_open_is_a_loss_that_names_what_was_never_sent() {
    let mut pair = Pair::established();
    pair.open(&get());
    let unsent = pair.client.request(pair.now, &get()).unwrap();
    pair.client.receive_end();
    pair.server.receive_end();
    let lost = |unsent| [Event::Closed { why: Closed::Lost { in_hello: false }, unsent }];
    assert_eq!(pair.events(Role::Client)[..], lost(vec![unsent]));
    assert_eq!(pair.events(Role::Server)[..], lost(vec![]));

    let mut idle = Pair::established();
    idle.client.receive_end();
    assert_eq!(idle.events(Role::Client)[..], [done()]);
}

#[test]
fn pings_are_answered_with_their_token_and_the_silence_of_the_upstream_and_only_the_newest_16() {
    let mut peer = Scripted::established_client(server_config());
    peer.frame(1, &Frame::Request(Box::new(get())));
    peer.now += ms(100);
    peer.subject.called(peer.now, 1);
    peer.now += ms(1_234);
    let ping = |token: u8| Frame::Ping(Ping { token: [token; 8], silence: 0 });
    peer.frame(1, &ping(200));
    peer.frame(0, &ping(201));
    let pong = |token: u8, silence| Frame::Pong(Ping { token: [token; 8], silence });
    assert_eq!(peer.hear()[..], [(1, pong(200, 1_234)), (0, pong(201, 0))]);
    for token in 0..40 {
        peer.frame(0, &ping(token));
    }
    let expected: Vec<_> = (24..40).map(|token| (0, pong(token, 0))).collect();
    assert_eq!(peer.hear(), expected);
    peer.frame(0, &pong(9, 9));
    assert!(peer.hear().is_empty() && !peer.subject.is_closed(), "a PONG that nobody asked for is ignored");
}

#[test]
fn every_resume_is_answered_with_gone() {
    let mut peer = Scripted::established_client(server_config());
    peer.frame(1, &Frame::Resume(Resume { id: [7; 16], next: 3, credit: 1 << 20 }));
    peer.frame(2, &Frame::Request(Box::new(get())));
    assert_eq!(peer.hear()[..], [(1, Frame::Gone)]);
    assert!(matches!(peer.events()[..], [Event::Request(2, _)]));
}

// ------------------------------------------------------------------------------------------ traffic shape

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

// ------------------------------------------------------------------------------------------ damage and misbehaviour

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
fn a_record_length_out_of_range_is_malformed_before_more_is_awaited() {
    for length in [[0, 0], [0, 16], [0x40, 0x11], [0xff, 0xff]] {
        let mut peer = Scripted::established_server();
        peer.feed(&length);
        refused(&mut peer, Code::Malformed, "a length");
    }
}

/// The subject has ended the session for this reason, and says so as its last word.
fn refused(peer: &mut Scripted, code: Code, what: &str) {
    let events = peer.events();
    let Some(Closed::Fault(error)) = closed(&events) else { panic!("{what}: {events:?}") };
    assert_eq!(error.code(), code, "{what}");
    let heard = peer.hear();
    let Some((0, Frame::Error { seq: 0, notice })) = heard.last() else { panic!("{what}: {heard:?}") };
    let fault = if peer.subject.role() == Role::Client { Fault::Proxy } else { Fault::Client };
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
fn a_session_error_from_the_peer_closes_without_an_answer() {
    let notice = Notice::new(Code::Violation, Fault::Proxy, "you broke it");
    let error = Frame::Error { seq: 0, notice: notice.clone() };
    let mut peer = Scripted::established_server();
    peer.subject.request(peer.now, &get()).unwrap();
    peer.frame(0, &error);
    assert_eq!(closed(&peer.events()), Some(&Closed::Refused(notice)));
    assert!(peer.hear().is_empty());
}

#[test]
fn credit_that_falls_due_beside_many_refusals_is_given() {
    let mut peer = Scripted::established_client(ServerConfig { exchanges: 1, credit: limits::CREDIT_MIN, ..server_config() });
    peer.frame(1, &Frame::Request(Box::new(post(BodyLength::Unknown))));
    peer.frame(1, &Frame::Body(Bytes::from(vec![0; 16_000])));
    for number in 2..900 {
        peer.frame(number, &Frame::Request(Box::new(get())));
    }
    peer.events();
    peer.subject.taken(1, 16_000);
    let heard = peer.hear();
    assert_eq!(heard.iter().filter(|(_, frame)| matches!(frame, Frame::Error { .. })).count(), 898);
    assert_eq!(heard.iter().filter(|(_, frame)| *frame == Frame::Credit(16_064)).count(), 1);
    assert!(!peer.subject.is_closed());
}

#[test]
fn a_server_key_of_small_order_is_refused_before_anything_is_sent() {
    let credential = xllm_proxy::proto::Credential { server: [0; 32], ..pair::credential() };
    let config = ClientConfig { credential, ..client_config() };
    assert!(Connection::client(config, Secret::new([3; 32]), Duration::ZERO, &AES_GCM).is_err());
}
