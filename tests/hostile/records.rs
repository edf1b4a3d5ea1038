//! Records and frames that no client would make, in sessions that are open: each ends its own session, with the code that says why.

use bytes::{BufMut, BytesMut};
use tokio::io::AsyncWriteExt;
use xllm_proxy::proto::{
    Code, Role,
    frame::{self, BodyLength, Frame, kind},
    limits::{CREDIT_MAX, HEAD, HEADER_FIELDS, RECORD_PLAINTEXT, URL},
};

use super::{
    hellos,
    peer::{Peer, encoded, ping, raw_frame, request},
    support::raw,
    vigil::Vigil,
};

const URL_OF_NOBODY: &str = "http://127.0.0.1:9/";
const BOUND: u64 = 48 * 1024;

fn cbor(major: u8, value: u64) -> Vec<u8> {
    let major = major << 5;
    match value {
        0..24 => vec![major | u8::try_from(value).unwrap()],
        24..256 => vec![major | 0x18, u8::try_from(value).unwrap()],
        256..65_536 => [&[major | 0x19][..], &u16::try_from(value).unwrap().to_be_bytes()].concat(),
        65_536..4_294_967_296 => [&[major | 0x1a][..], &u32::try_from(value).unwrap().to_be_bytes()].concat(),
        _ => [&[major | 0x1b][..], &value.to_be_bytes()].concat(),
    }
}

/// REQUEST by hand: this URL, this header list, and this behind them.
fn head(url: &str, headers: &[u8], more: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut head = cbor(5, 5 + more.len() as u64);
    let text = |head: &mut Vec<u8>, text: &str| {
        head.extend(cbor(3, text.len() as u64));
        head.extend(text.as_bytes());
    };
    head.push(0);
    head.extend(cbor(2, 16));
    head.extend(raw::fresh_id());
    head.push(1);
    text(&mut head, "GET");
    head.push(2);
    text(&mut head, url);
    head.push(3);
    head.extend(headers);
    head.push(8);
    head.extend(cbor(0, 1 << 20));
    for (key, value) in more {
        head.extend(cbor(0, *key));
        head.extend(value);
    }
    head
}

fn request_frame(url: &str, headers: &[u8], more: &[(u64, Vec<u8>)]) -> BytesMut {
    raw_frame(kind::REQUEST, 1, &head(url, headers, more))
}

fn fields(count: u64) -> Vec<u8> {
    let mut list = cbor(4, 2 * count);
    for _ in 0..count {
        list.extend([0x61, b'x', 0x41, b'1']);
    }
    list
}

/// Plaintexts of records, and what each comes to.
fn plaintexts() -> Vec<(&'static str, Code, Vec<u8>)> {
    let none = cbor(4, 0);
    let upload = request(1, "POST", URL_OF_NOBODY, BodyLength::Known(4));
    let open = request(1, "GET", URL_OF_NOBODY, BodyLength::None);
    let after = |first: &[u8], then: &[u8]| [first, then].concat();
    let mut huge = BytesMut::new();
    frame::put_header(&mut huge, kind::BODY, 1, RECORD_PLAINTEXT);
    let mut number = BytesMut::new();
    number.put_slice(&[kind::PING, 0xc0, 0, 0, 0, 0x40, 0, 0, 0, 0]);
    let nested = |depth: usize| vec![(9, [vec![0x81; depth], vec![0]].concat())];
    let credit = |amount: u64| encoded(1, &Frame::Credit(amount));
    vec![
        ("padding that is not zero", Code::Malformed, vec![0, 0, 1]),
        ("a frame type that there is not", Code::UnknownFrame, vec![0xff, 0, 0]),
        ("a frame longer than its record", Code::Malformed, huge.to_vec()),
        ("a varint that is not the shortest", Code::Malformed, vec![kind::PING, 0x40, 0x01, 0]),
        ("an exchange number over its limit", Code::Violation, number.to_vec()),
        ("a frame cut short", Code::Malformed, ping()[..5].to_vec()),
        ("the server's frame", Code::Violation, raw_frame(kind::DATA, 1, &[1, 2]).to_vec()),
        ("a head of nothing", Code::Malformed, raw_frame(kind::REQUEST, 1, &[]).to_vec()),
        (
            "a head of random bytes",
            Code::Malformed,
            raw_frame(kind::REQUEST, 1, &[&[0xff][..], &hellos::random::<200>()].concat()).to_vec(),
        ),
        ("a head over its limit", Code::TooLarge, raw_frame(kind::REQUEST, 1, &vec![0xa0; HEAD + 1]).to_vec()),
        ("a URL over its limit", Code::TooLarge, request_frame(&format!("http://a/{}", "x".repeat(URL)), &none, &[]).to_vec()),
        (
            "too many header fields",
            Code::TooLarge,
            request_frame(URL_OF_NOBODY, &fields(HEADER_FIELDS as u64 + 1), &[]).to_vec(),
        ),
        ("header fields without end", Code::Malformed, request_frame(URL_OF_NOBODY, &cbor(4, 1 << 60), &[]).to_vec()),
        ("a text without end", Code::Malformed, request_frame(URL_OF_NOBODY, &none, &[(9, cbor(3, 1 << 60))]).to_vec()),
        ("nesting over its limit", Code::Malformed, request_frame(URL_OF_NOBODY, &none, &nested(9)).to_vec()),
        ("nesting without end", Code::Malformed, request_frame(URL_OF_NOBODY, &none, &nested(15_000)).to_vec()),
        ("an exchange number out of turn", Code::Violation, request(2, "GET", URL_OF_NOBODY, BodyLength::None).to_vec()),
        ("the same exchange again", Code::Violation, after(&open, &open)),
        ("a body without a request", Code::Sequence, raw_frame(kind::BODY, 1, b"x").to_vec()),
        ("an empty body", Code::Malformed, after(&upload, &raw_frame(kind::BODY, 1, b""))),
        ("a body longer than was said", Code::Violation, after(&upload, &raw_frame(kind::BODY, 1, b"12345"))),
        ("a body of a request that has none", Code::Violation, after(&open, &raw_frame(kind::BODY, 1, b"x"))),
        ("no credit", Code::Malformed, after(&open, &raw_frame(kind::CREDIT, 1, &[0]))),
        ("more credit than there can be", Code::CreditExceeded, after(&after(&open, &credit(CREDIT_MAX)), &credit(CREDIT_MAX))),
        ("a reason that there is not", Code::Malformed, after(&open, &raw_frame(kind::CANCEL, 1, &[9]))),
    ]
}

#[tokio::test]
async fn what_breaks_the_rules_ends_its_own_session_with_the_code_of_the_rule() {
    let vigil = Vigil::begin("broken rules", "", &[]).await;
    for (name, code, plaintext) in plaintexts() {
        let mut peer = Peer::enter(vigil.server.address, &vigil.server.credential).await;
        peer.say(&plaintext).await.unwrap();
        assert_eq!(peer.verdict().await, Some(code), "{name}");
    }
    vigil.end(BOUND).await;
}

#[tokio::test]
async fn bytes_that_are_no_record_end_their_own_session() {
    let vigil = Vigil::begin("garbage in sessions", "", &[]).await;
    for length in [0_u16, 1, 16, 16_401, u16::MAX] {
        let mut peer = Peer::enter(vigil.server.address, &vigil.server.credential).await;
        peer.io.write_all(&length.to_be_bytes()).await.unwrap();
        assert_eq!(peer.verdict().await, Some(Code::Unauthentic), "a record of {length}");
    }
    for round in 0..60 {
        let mut peer = Peer::enter(vigil.server.address, &vigil.server.credential).await;
        let record = peer.seal(&ping());
        let garbage = match round % 3 {
            // One of the past.
            0 => {
                peer.io.write_all(&record).await.unwrap();
                record.to_vec()
            }
            // One of the future.
            1 => peer.seal(&ping()).to_vec(),
            _ => [&[0, 100][..], &hellos::random::<5000>()].concat(),
        };
        peer.io.write_all(&garbage).await.unwrap();
        assert_eq!(peer.verdict().await, Some(Code::Unauthentic), "round {round}");
    }
    vigil.end(BOUND).await;
}

/// The core alone: what comes to nothing here never gets to it.
#[test]
fn the_heads_made_by_hand_are_right_but_for_what_is_wrong_with_them() {
    for headers in [cbor(4, 0), fields(HEADER_FIELDS as u64)] {
        let frame = request_frame(URL_OF_NOBODY, &headers, &[(9, [vec![0x81; 7], vec![0]].concat())]).freeze();
        let decoded = frame::decode(&frame, &mut 0, Role::Client);
        assert!(matches!(decoded, Ok(Some((1, Frame::Request(_))))), "{decoded:?}");
    }
}
