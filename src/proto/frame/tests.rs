//! Every frame round-trips, and is refused when cut anywhere.

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
    assert_eq!(Request { headers: vec![big], ..*request }.encode().expect_err("refused").code(), Code::TooLarge);
}
