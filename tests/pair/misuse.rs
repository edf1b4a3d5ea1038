//! Slips of our own program: refused at once as misuse, before they would cost the session.

use bytes::Bytes;
use xllm_proxy::proto::{
    Code, Error, Role,
    frame::{BodyLength, Headers, Mode, Request, Response},
};

use crate::pair::{Pair, get, header, ok, post};

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
    pair.quiet();
    assert!(!pair.client.is_closed() && !pair.server.is_closed());
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
    check(shown(&pair));
    pair.quiet();
    check(format!("{:?}", pair.events(Role::Client)));
}
