//! What somebody on the path sees: two hellos and records, and nothing of what is said.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/mod.rs"]
mod support;

use std::collections::HashSet;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use support::{
    hex,
    mitm::{HELLO, Mitm, Tape, Way, units},
    relay::Relay,
    request::{Request, request, whole},
};
use xllm_proxy::{client::Mode, proto::Profile};

const HOST: &str = "host-of-nobody.example";
const QUERY: &str = "query-of-nobody";
const HEADER: &str = "x-header-of-nobody";
const VALUE: &str = "value-of-nobody";
const KEY: &str = "sk-key-of-nobody-0123456789";
const PROMPT: &str = "What does nobody ask the machine?";
const ANSWER: &str = "Nobody asks, and nothing answers. So it goes on and on, in words that can be found.";

/// What is said in every session here, and what belongs to HTTP and the API.
const SAID: &[&str] = &[
    HOST,
    QUERY,
    HEADER,
    VALUE,
    KEY,
    PROMPT,
    ANSWER,
    "127.0.0.1",
    "http://",
    "/v1/chat/completions",
    "authorization",
    "Bearer ",
    "content-type",
    "application/json",
    "text/event-stream",
    "messages",
    "delta",
    "\"model\"",
    "data: {",
    "Nobody",
    "nobody",
];

/// All ways to write `text` that somebody might look for.
fn writings(text: &str) -> Vec<Vec<u8>> {
    let bytes = text.as_bytes();
    let percent: Vec<_> = bytes.iter().map(|byte| hex(&[*byte])).collect();
    let (hex, percent) = (hex(bytes), format!("%{}", percent.join("%")));
    let escaped: String = url::form_urlencoded::byte_serialize(bytes).collect();
    let mut all = vec![
        bytes.to_vec(),
        text.to_uppercase().into_bytes(),
        text.to_lowercase().into_bytes(),
        bytes.iter().rev().copied().collect(),
        hex.to_uppercase().into_bytes(),
        hex.into_bytes(),
        percent.to_uppercase().into_bytes(),
        percent.into_bytes(),
        escaped.replace('+', "%20").into_bytes(),
        escaped.into_bytes(),
        text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
    ];
    for engine in [STANDARD, URL_SAFE] {
        for before in 0..3 {
            // Only the letters that `text` alone decides: those at its borders mix with what stands beside it.
            let letters = engine.encode([&vec![0; before][..], bytes].concat());
            let (from, to) = ((before * 8).div_ceil(6), (before + bytes.len()) * 8 / 6);
            all.push(letters[from..to].into());
        }
    }
    all
}

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn the_search_finds_each_writing() {
    let text = b"before the Key-of-Nobody! after";
    for before in 0..3 {
        let text = &text[before..];
        for written in
            [STANDARD.encode(text), URL_SAFE.encode(text), hex(text).to_uppercase(), String::from_utf8(text.to_vec()).unwrap()]
        {
            assert!(writings("Key-of-Nobody").iter().any(|writing| holds(written.as_bytes(), writing)), "{written}");
        }
    }
}

fn chat(relay: &Relay, mode: Mode) -> Request {
    let body = format!(r#"{{"model":"m","stream":true,"messages":[{{"role":"user","content":"{PROMPT}"}}]}}"#);
    let mut chat = request("POST", &relay.url(&format!("/v1/chat/completions?q={QUERY}")), body);
    let script = format!(r#"{{"text":"{ANSWER}"}}"#);
    for (name, value) in [("x-mock", script.as_str()), (HEADER, VALUE), ("authorization", &format!("Bearer {KEY}"))] {
        chat.headers_mut().insert(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    chat.extensions_mut().insert(mode);
    chat
}

/// A session in which all of [`SAID`] is said.
async fn session(relay: &Relay, profile: Profile, mode: Mode) -> Tape {
    let mitm = Mitm::listen(relay.address.parse().unwrap()).await;
    let client = relay.builder(&mitm.address()).profile(profile).build();
    let response = whole(&client, chat(relay, mode)).await.unwrap();
    assert!(String::from_utf8_lossy(response.body()).contains("data: {"));
    let refused = whole(&client, request("POST", &format!("http://{HOST}/"), ANSWER)).await.unwrap_err();
    assert!(refused.to_string().contains(HOST));
    client.close(support::LIMIT).await;
    mitm.left(1).await;
    mitm.tapes().remove(0)
}

const KINDS: [(Profile, Mode); 4] = [
    (Profile::Off, Mode::Streaming),
    (Profile::Off, Mode::Buffered),
    (Profile::Pad, Mode::Streaming),
    (Profile::Pad, Mode::Buffered),
];

#[tokio::test]
async fn nothing_that_is_said_can_be_found_in_any_writing() {
    let relay = Relay::start().await;
    let secrets: Vec<_> = SAID.iter().flat_map(|text| writings(text).into_iter().map(move |writing| (text, writing))).collect();
    let credential = relay.credential.reveal();
    for (profile, mode) in KINDS {
        let tape = session(&relay, profile, mode).await;
        for way in [Way::Up, Way::Down] {
            for (text, writing) in &secrets {
                assert!(!holds(tape.way(way), writing), "{text} can be read {way:?} ({profile}, {mode:?})");
            }
            assert!(!holds(tape.way(way), &relay.credential.key_id.0));
            assert!(!holds(tape.way(way), &credential.as_bytes()[..16]));
        }
    }
}

#[tokio::test]
async fn there_are_hellos_and_records_and_nothing_else() {
    let relay = Relay::start().await;
    for (profile, mode) in KINDS {
        let tape = session(&relay, profile, mode).await;
        for way in [Way::Up, Way::Down] {
            // Panics at anything that is not a whole unit.
            let units = units(tape.way(way));
            assert!(units.len() >= 3 && units[0].len() == HELLO);
            assert!(units[1..].iter().all(|record| (19..=16_402).contains(&record.len())));
        }
    }
}

#[tokio::test]
async fn padded_records_have_the_sizes_of_the_protocol_alone() {
    let relay = Relay::start().await;
    for mode in [Mode::Streaming, Mode::Buffered] {
        let tape = session(&relay, Profile::Pad, mode).await;
        for way in [Way::Up, Way::Down] {
            for record in &units(tape.way(way))[1..] {
                assert!([530, 1042, 2066, 4114, 8210, 16_402].contains(&record.len()), "{} {way:?}", record.len());
            }
        }
    }
}

#[tokio::test]
async fn a_server_that_demands_padding_pads_whatever_the_client_asks_for() {
    let relay = Relay::with("profile = 'pad'").await;
    let tape = session(&relay, Profile::Off, Mode::Streaming).await;
    for way in [Way::Up, Way::Down] {
        assert!(units(tape.way(way))[1..].iter().all(|record| [530, 1042, 2066, 4114, 8210, 16_402].contains(&record.len())));
    }
}

/// All stretches of 8 bytes, lengths of records left out.
fn windows(tape: &Tape, way: Way) -> HashSet<&[u8]> {
    let units = units(tape.way(way));
    let bodies = units.into_iter().enumerate().map(|(index, unit)| if index == 0 { unit } else { &unit[2..] });
    bodies.flat_map(|body| body.windows(8)).collect()
}

#[tokio::test]
async fn two_sessions_of_the_same_content_have_nothing_in_common() {
    let relay = Relay::start().await;
    for (profile, mode) in KINDS {
        let tapes = [session(&relay, profile, mode).await, session(&relay, profile, mode).await];
        let streams: Vec<_> = tapes.iter().flat_map(|tape| [Way::Up, Way::Down].map(|way| windows(tape, way))).collect();
        for (index, stream) in streams.iter().enumerate() {
            for other in &streams[index + 1..] {
                assert!(stream.is_disjoint(other));
            }
        }
    }
}
