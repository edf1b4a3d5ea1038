//! Every frame round-trips, and is refused when cut anywhere.

use ciborium::Value;

use super::{super::error::Fault, *};

fn every_frame() -> Vec<(u32, Frame)> {
    let headers = vec![
        Header { name: "content-type".into(), value: Bytes::from_static(b"application/json") },
        Header { name: "x".into(), value: Bytes::from_static(&[0xe9]) },
        Header { name: "x".into(), value: Bytes::new() },
    ];
    let request = Request {
        id: [7; 16],
        method: "POST".into(),
        url: "https://api.example/v1".into(),
        headers: headers.clone(),
        mode: Mode::Buffered,
        timings: true,
        policy: Policy::Sdk,
        body: BodyLength::Unknown,
        credit: limits::CREDIT_MIN,
    };
    let plain =
        Request { mode: Mode::Streaming, timings: false, policy: Policy::Neutral, body: BodyLength::None, ..request.clone() };
    let receipt = Receipt { sent: Some(1), head: Some(2), first: None, last: None, end: Some(5), held: Some(0) };
    let notice = Notice { code: Code::UpstreamTimeout, fault: Fault::Upstream, retry: false, text: "x".into(), after: Some(9) };
    let ping = Ping { token: [1; 8], silence: 70 };
    vec![
        (1, Frame::Request(Box::new(request))),
        (2, Frame::Request(Box::new(plain))),
        (2, Frame::Body(Bytes::from_static(b"body"))),
        (2, Frame::BodyEnd(BodyEnd { total: 4, trailers: headers.clone() })),
        (70, Frame::Response(Response { status: 200, headers: headers.clone(), length: Some(3) })),
        (70, Frame::Data { seq: 1, payload: Bytes::from_static(b"data") }),
        (70, Frame::End { seq: 2, end: End { total: 4, trailers: headers, receipt } }),
        (20_000, Frame::Error { seq: 0, notice: notice.clone() }),
        (0, Frame::Error { seq: 0, notice }),
        (1, Frame::Cancel(CancelReason::UploadFailed)),
        (1, Frame::Credit(5)),
        (0, Frame::Ping(ping)),
        (9, Frame::Pong(ping)),
        (0, Frame::GoAway(GoAway { code: Some(Code::ShuttingDown), last: 3, text: "later".into(), after: Some(5000) })),
        (4, Frame::Resume(Resume { id: [2; 16], next: 9, credit: 1 << 20, attempt: 3 })),
        (4, Frame::Resumed(Resumed { received: 8, credit: 0 })),
        (limits::EXCHANGE, Frame::Gone),
    ]
}

fn sender(frame: &Frame) -> Role {
    match frame {
        Frame::Response(_) | Frame::Data { .. } | Frame::End { .. } | Frame::Error { .. } | Frame::Resumed(_) | Frame::Gone => {
            Role::Server
        }
        _ => Role::Client,
    }
}

fn encoded(exchange: u32, frame: &Frame) -> Bytes {
    let mut out = BytesMut::new();
    frame.encode(exchange, &mut out).expect("within limits");
    out.freeze()
}

#[test]
fn every_frame_round_trips_also_before_others_and_padding() {
    let mut record = BytesMut::new();
    for (exchange, frame) in every_frame() {
        frame.encode(exchange, &mut record).expect("within limits");
    }
    record.put_bytes(0, 40);
    let record = record.freeze();
    let mut at = 0;
    for expected in every_frame() {
        let from = sender(&expected.1);
        assert_eq!(decode(&record, &mut at, from), Ok(Some(expected)));
    }
    assert_eq!(decode(&record, &mut at, Role::Client), Ok(None));
    assert_eq!(at, record.len());
}

#[test]
fn every_frame_is_refused_when_cut_anywhere() {
    for (exchange, frame) in every_frame() {
        let whole = encoded(exchange, &frame);
        for cut in 1..whole.len() {
            assert!(decode(&whole.slice(..cut), &mut 0, sender(&frame)).is_err(), "{frame:?} cut at {cut}");
        }
    }
}

/// All heads that are this one with one value of another kind.
fn with_a_strange_value(head: &Value) -> Vec<Value> {
    let Value::Map(pairs) = head else { return vec![] };
    let with = |at: usize, value| {
        let mut pairs = pairs.clone();
        pairs[at].1 = value;
        Value::Map(pairs)
    };
    // No key of any head takes this.
    let strange = Value::Array(vec![Value::Null]);
    let each = |(at, (_, value)): (usize, &(Value, Value))| {
        let inside = with_a_strange_value(value);
        [strange.clone()].into_iter().chain(inside).map(|value| with(at, value)).collect::<Vec<_>>()
    };
    pairs.iter().enumerate().flat_map(each).collect()
}

fn check_head<T: PartialEq + fmt::Debug>(head: &[u8], decode: fn(&[u8]) -> Result<T, Error>) {
    let encoded = |head: &Value| {
        let mut out = Vec::new();
        ciborium::into_writer(head, &mut out).expect("a vector takes every byte");
        out
    };
    let read = decode(head).expect("whole");
    let head: Value = ciborium::from_reader(head).expect("CBOR");
    for wrong in with_a_strange_value(&head) {
        assert!(matches!(decode(&encoded(&wrong)), Err(Error::Malformed(_))), "{read:?} with {wrong:?}");
    }
    for at in 0..head.as_map().expect("a map").len() {
        let mut pairs = head.as_map().expect("a map").clone();
        let missing = pairs.remove(at);
        assert_ne!(decode(&encoded(&Value::Map(pairs))).as_ref(), Ok(&read), "without {missing:?}");
    }
    assert!(matches!(decode(&[]), Err(Error::Malformed(_))));
}

#[test]
fn a_head_with_a_value_of_another_kind_is_refused_and_one_that_lacks_a_key_is_not_read_as_if_it_had_it() {
    for (_, frame) in every_frame() {
        match frame {
            Frame::Request(request) => check_head(&request.encode().expect("fits"), Request::decode),
            Frame::BodyEnd(end) => check_head(&end.encode().expect("fits"), BodyEnd::decode),
            Frame::Response(response) => check_head(&response.encode().expect("fits"), Response::decode),
            Frame::End { end, .. } => {
                let receipt = Receipt { first: Some(3), last: Some(4), ..end.receipt };
                check_head(&End { receipt, ..end }.encode().expect("fits"), End::decode);
            }
            Frame::Error { notice, .. } => check_head(&notice.encode(), Notice::decode),
            Frame::GoAway(goaway) => check_head(&goaway.encode(), GoAway::decode),
            Frame::Resume(resume) => check_head(&resume.encode(), Resume::decode),
            Frame::Resumed(resumed) => check_head(&resumed.encode(), Resumed::decode),
            _ => {}
        }
    }
}

#[test]
fn a_frame_without_the_place_that_its_type_has_is_refused() {
    for kind in [kind::RESPONSE, kind::DATA, kind::END, kind::ERROR] {
        let refused = decode(&Bytes::from(vec![kind, 1, 0]), &mut 0, Role::Server);
        assert!(matches!(refused, Err(Error::Malformed(_))), "{kind}");
    }
}

#[test]
fn a_frame_is_printed_by_its_name_and_without_what_it_carries() {
    let names = [
        "Request", "Request", "Body", "BodyEnd", "Response", "Data", "End", "Error", "Error", "Cancel", "Credit", "Ping",
        "Pong", "GoAway", "Resume", "Resumed", "Gone",
    ];
    let frames = every_frame();
    assert_eq!(frames.len(), names.len());
    for ((_, frame), name) in frames.iter().zip(names) {
        let shown = format!("{frame:?}");
        assert!(shown.starts_with(name), "{shown}");
        for secret in ["api.example", "application/json", "\"body", "\"data", "98, 111", "100, 97"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

#[test]
fn padding_must_be_zero() {
    assert!(decode(&Bytes::from_static(&[0, 0, 1]), &mut 0, Role::Client).is_err());
}

#[test]
fn unknown_types_and_misplaced_exchanges_are_refused() {
    let code = |bytes: &'static [u8]| decode(&Bytes::from_static(bytes), &mut 0, Role::Client).expect_err("refused").code();
    assert_eq!(code(&[0x10, 1, 0]), Code::UnknownFrame);
    assert_eq!(code(&[0xff, 1, 0]), Code::UnknownFrame);
    assert_eq!(code(&[kind::CANCEL, 0, 1, 0]), Code::Violation);
    assert_eq!(code(&[kind::BODY, 1, 0]), Code::Malformed);
    assert_eq!(code(&[kind::DATA, 1, 1, 5]), Code::Violation, "a server's frame from a client");
    assert_eq!(code(&[kind::CREDIT, 1, 1, 0]), Code::Malformed);
}

#[test]
fn a_small_body_does_not_keep_a_large_record_alive() {
    let mut record = BytesMut::new();
    Frame::Body(Bytes::from_static(b"tiny")).encode(1, &mut record).expect("within limits");
    record.put_bytes(0, 16_000);
    let record = record.freeze();
    let Ok(Some((1, Frame::Body(body)))) = decode(&record, &mut 0, Role::Client) else { panic!("not a body") };
    assert_eq!(body, "tiny");
    assert!(record.try_into_mut().is_ok(), "nothing else holds the record");
}

#[test]
fn heads_over_their_limits_are_refused_before_they_are_sent() {
    let Frame::Request(request) = every_frame().swap_remove(0).1 else { panic!("not a request") };
    let long_url = Request { url: "x".repeat(limits::URL + 1), ..(*request).clone() };
    assert_eq!(long_url.encode().expect_err("refused").code(), Code::TooLarge);
    let big = Header { name: "x".into(), value: Bytes::from(vec![b'a'; limits::HEAD]) };
    let too_much = || vec![big.clone()];
    for frame in [
        Frame::Request(Box::new(Request { headers: too_much(), ..*request })),
        Frame::BodyEnd(BodyEnd { total: 0, trailers: too_much() }),
        Frame::Response(Response { status: 200, headers: too_much(), length: None }),
        Frame::End { seq: 1, end: End { trailers: too_much(), ..End::default() } },
    ] {
        let mut out = BytesMut::new();
        assert_eq!(frame.encode(1, &mut out).expect_err("refused").code(), Code::TooLarge, "{frame:?}");
        assert!(out.is_empty());
    }
}
