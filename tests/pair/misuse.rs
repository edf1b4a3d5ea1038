//! Slips of our own program: refused at once as misuse, before they would cost the session.

use bytes::Bytes;
use xllm_proxy::proto::{
    Code, Error, Event, Fault, KeyId, Role,
    frame::{BodyLength, CancelReason, End, GoAway, Header, Headers, Mode, Notice, Request, Response, Resume},
    limits,
};

use crate::{
    done,
    pair::{Pair, get, header, ok, post, secs},
};

fn is_misuse(result: Result<(), Error>) -> bool {
    matches!(result, Err(Error::Misuse(_)))
}

#[test]
fn a_request_body_of_another_length_than_was_said_is_refused() {
    let mut pair = Pair::established();
    let number = pair.open(&post(BodyLength::Known(3)));
    let now = pair.now;
    assert!(is_misuse(pair.client.send_body(now, number, Bytes::from_static(b"four"))));
    pair.client.send_body(now, number, Bytes::from_static(b"tw")).unwrap();
    assert!(is_misuse(pair.client.end_body(number, Headers::new())));
    pair.client.send_body(now, number, Bytes::from_static(b"o")).unwrap();
    pair.client.end_body(number, Headers::new()).unwrap();
    assert!(is_misuse(pair.client.end_body(number, Headers::new())));
    assert!(is_misuse(pair.client.send_body(now, number, Bytes::from_static(b"more"))));
    pair.quiet();
    assert!(!pair.client.is_closed() && !pair.server.is_closed());
}

#[test]
fn what_is_said_of_an_exchange_that_is_not_open_is_refused_and_changes_nothing() {
    let mut pair = Pair::established();
    let (now, piece) = (pair.now, Bytes::from_static(b"x"));
    let notice = Notice::new(Code::Internal, Fault::Proxy, "");
    for ended in [false, true] {
        let number = 1;
        if ended {
            assert_eq!(pair.open(&get()), number);
            pair.respond(number, &ok());
            pair.finish(number, 0);
        }
        let (client, server) = (&mut pair.client, &mut pair.server);
        assert!(is_misuse(client.send_body(now, number, piece.clone())) && is_misuse(client.end_body(number, Headers::new())));
        assert!(is_misuse(server.respond(now, number, &ok())) && is_misuse(server.send_data(now, number, piece.clone())));
        assert!(is_misuse(server.end(number, Headers::new())) && is_misuse(server.fail(number, &notice)));
        client.cancel(number, CancelReason::CallerGone);
        client.abandon(number);
        server.abandon(number);
        server.called(now, number);
        assert!(!client.taken(number, 1 << 20) && !server.taken(number, 1 << 20));
        assert!(!client.has_room(number) && !server.has_room(number));
        assert!(client.take(number).is_none() && server.take(number).is_none());
        assert!(!pair.flush(), "nothing is to be said");
    }
    let number = pair.open(&get());
    assert!(is_misuse(pair.server.end(number, Headers::new())), "before its head");
    assert!(is_misuse(pair.server.request(now, &get()).map(drop)), "a server opens none");
    pair.respond(number, &ok());
    pair.finish(number, 0);
}

#[test]
fn a_piece_of_nothing_is_no_piece() {
    let mut pair = Pair::established();
    let number = pair.open(&post(BodyLength::Unknown));
    pair.respond(number, &ok());
    pair.body(number, b"");
    pair.data(number, b"");
    assert!(!pair.flush());
    pair.client.end_body(number, Headers::new()).unwrap();
    pair.finish(number, 0);
}

#[test]
fn a_head_over_its_limit_is_refused_and_uses_up_no_number() {
    let mut pair = Pair::established();
    let now = pair.now;
    let large = vec![header("x", &"v".repeat(limits::HEAD))];
    let request = Request { headers: large.clone(), ..get() };
    assert_eq!(pair.client.request(now, &request).unwrap_err().code(), Code::TooLarge);
    let number = pair.open(&get());
    assert_eq!(number, 1);
    let response = Response { headers: large, ..ok() };
    assert_eq!(pair.server.respond(now, number, &response).unwrap_err().code(), Code::TooLarge);
    pair.respond(number, &ok());
    pair.finish(number, 0);
}

#[test]
fn a_response_of_another_length_than_was_said_is_refused() {
    let mut pair = Pair::established();
    let number = pair.open(&get());
    let now = pair.now;
    pair.server.respond(now, number, &Response { length: Some(3), ..ok() }).unwrap();
    assert!(is_misuse(pair.server.respond(now, number, &ok())));
    assert!(is_misuse(pair.server.send_data(now, number, Bytes::from_static(b"four"))));
    pair.server.send_data(now, number, Bytes::from_static(b"tw")).unwrap();
    assert!(is_misuse(pair.server.end(number, Headers::new())));
    pair.server.send_data(now, number, Bytes::from_static(b"o")).unwrap();
    pair.server.end(number, Headers::new()).unwrap();
    pair.quiet();
    assert!(!pair.client.is_closed());
    assert_eq!(pair.client.open_exchanges(), 0);
}

#[test]
fn data_where_there_can_be_none_is_refused() {
    for (request, status) in [(Request { method: "HEAD".into(), ..get() }, 200), (get(), 204), (get(), 304)] {
        let mut pair = Pair::established();
        let number = pair.open(&request);
        let now = pair.now;
        assert!(is_misuse(pair.server.send_data(now, number, Bytes::from_static(b"x"))), "before the head");
        pair.server.respond(now, number, &Response { status, length: Some(9), ..ok() }).unwrap();
        assert!(is_misuse(pair.server.send_data(now, number, Bytes::from_static(b"x"))), "{status}");
        pair.server.end(number, Headers::new()).unwrap();
        pair.quiet();
        assert!(!pair.client.is_closed());
    }
}

#[test]
fn a_buffered_response_without_its_length_is_refused() {
    let mut pair = Pair::established();
    let number = pair.open(&Request { mode: Mode::Buffered, ..get() });
    let now = pair.now;
    assert!(is_misuse(pair.server.respond(now, number, &ok())));
    pair.server.respond(now, number, &Response { length: Some(0), ..ok() }).unwrap();
    pair.server.end(number, Headers::new()).unwrap();
    pair.quiet();
    assert_eq!(pair.client.open_exchanges(), 0);
    assert!(!pair.events(Role::Client).is_empty());
}

#[test]
fn more_trailers_than_a_list_may_have_are_refused_on_either_side() {
    let trailers: Headers = (0..257).map(|number| header(&format!("t{number}"), "v")).collect();
    let mut pair = Pair::established();
    let number = pair.open(&post(BodyLength::Unknown));
    assert_eq!(pair.client.end_body(number, trailers.clone()).unwrap_err().code(), Code::TooLarge);
    let now = pair.now;
    pair.server.respond(now, number, &ok()).unwrap();
    assert_eq!(pair.server.end(number, trailers).unwrap_err().code(), Code::TooLarge);
    pair.server.end(number, Headers::new()).unwrap();
    pair.quiet();
    assert!(!pair.client.is_closed() && !pair.server.is_closed());
}

#[test]
fn trailers_leave_room_for_the_receipt() {
    let sized = |size: usize| vec![header("x", &"v".repeat(size))];
    let mut pair = Pair::established();
    let number = pair.open(&Request { timings: true, ..get() });
    pair.respond(number, &ok());
    assert_eq!(pair.server.end(number, sized(limits::HEAD - 100)).unwrap_err().code(), Code::TooLarge);
    // The longest that fit, sealed so late that each time of the receipt has its longest form.
    let mut size = limits::HEAD;
    while pair.server.end(number, sized(size)).is_err() {
        size -= 1;
    }
    assert!(size > limits::HEAD - 200, "{size}");
    pair.now += secs(100 * 365 * 86_400);
    pair.quiet();
    let events = pair.events(Role::Client);
    assert!(matches!(&events[..], [Event::End(_, end)] if end.trailers == sized(size)), "{events:?}");
}

#[test]
fn what_happened_is_printed_by_its_name_and_without_what_is_said() {
    let canary = || Bytes::from_static(b"canary");
    let fields = || vec![Header { name: "x".into(), value: canary() }];
    let request = Request { url: "https://canary/".into(), headers: fields(), ..get() };
    let notice = Notice::new(Code::Internal, Fault::Proxy, "");
    let goaway = GoAway { code: None, last: 0, text: String::new(), after: None };
    let happened = [
        ("Hello", Event::Hello(KeyId([1; 16]))),
        ("Rejected", Event::Rejected(Error::Misuse(""))),
        ("Established", Event::Established(None)),
        ("Request", Event::Request(1, request.into())),
        ("Resume", Event::Resume(1, Resume { id: [1; 16], next: 0, credit: 0, attempt: 1 })),
        ("Body", Event::Body(1, canary())),
        ("BodyEnd", Event::BodyEnd(1, fields())),
        ("Cancelled", Event::Cancelled(1, CancelReason::CallerGone)),
        ("Response", Event::Response(1, Response { headers: fields(), ..ok() })),
        ("Data", Event::Data(1, canary(), None)),
        ("End", Event::End(1, End { trailers: fields(), ..End::default() })),
        ("Failed", Event::Failed(1, notice)),
        ("Resumed", Event::Resumed(1)),
        ("Gone", Event::Gone(1)),
        ("Adrift", Event::Adrift(1)),
        ("Room", Event::Room(1)),
        ("GoAway", Event::GoAway(goaway)),
        ("Closed", done()),
    ];
    for (name, event) in happened {
        let shown = format!("{event:?}");
        assert!(shown.starts_with(name) && !shown.contains("canary") && !shown.contains("99, 97"), "{shown}");
    }
}

#[test]
fn nothing_that_is_printed_shows_a_key_a_prompt_or_an_answer() {
    let mut pair = Pair::established();
    let mut request = post(BodyLength::Unknown);
    request.headers.push(header("authorization", "Bearer canary"));
    request.url = "https://api.example/?key=canary".into();
    let number = pair.client.request(pair.now, &request).unwrap();
    pair.client.send_body(pair.now, number, Bytes::from_static(b"prompt: canary")).unwrap();
    let shown = |pair: &Pair| format!("{:?} {:?}", pair.client, pair.server);
    let numbers = format!("{:?}", b"canary").trim_matches(['[', ']']).to_owned();
    let check = |text: String| assert!(!text.contains("canary") && !text.contains(&numbers), "{text}");
    check(shown(&pair));
    pair.quiet();
    check(shown(&pair));
    check(format!("{:?}", pair.events(Role::Server)));
    pair.server.respond(pair.now, number, &ok()).unwrap();
    pair.server.send_data(pair.now, number, Bytes::from_static(b"answer: canary")).unwrap();
    pair.server.end(number, vec![header("x", "canary")]).unwrap();
    check(shown(&pair));
    pair.quiet();
    check(format!("{:?}", pair.events(Role::Client)));
}
