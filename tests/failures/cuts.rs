//! The connection is cut after any number of bytes: there is an error or the whole answer, never a part that looks whole.

use mock_llm::pattern;
use xllm_proxy::client::{Fault, Mode};

use super::support::{
    mitm::{Harm, Mitm, Way},
    relay::Relay,
    request::{assert_error, request, whole},
};

const SIZE: usize = 700;

fn expected() -> Vec<u8> {
    let mut bytes = vec![0; SIZE];
    pattern(0, &mut bytes);
    bytes
}

fn url(relay: &Relay) -> String {
    relay.url(&format!("/raw/bytes?n={SIZE}&chunk=100"))
}

/// How many bytes a session of one request takes each way.
async fn length(relay: &Relay, mode: Mode) -> (usize, usize) {
    let mitm = Mitm::listen(relay.address.parse().unwrap()).await;
    assert!(attempt(relay, &mitm, mode).await.is_none());
    let tape = mitm.tapes().remove(0);
    (tape.up.len(), tape.down.len())
}

/// One request through a session of its own: the code of its error, or none and the whole answer.
async fn attempt(relay: &Relay, mitm: &Mitm, mode: Mode) -> Option<&'static str> {
    let client = relay.builder(&mitm.address()).build();
    // Without a length: nothing but the relay can know that the answer is whole.
    let mut request = request("GET", &url(relay), "");
    request.extensions_mut().insert(mode);
    match whole(&client, request).await {
        Ok(response) => {
            assert_eq!(response.body(), &expected());
            None
        }
        Err(error) => {
            let (code, blame) = (error.code(), error.blame());
            match code {
                "session-lost" => assert_error(&error, code, Fault::Network, error.retry_safe()),
                "proxy-silent" => assert_error(&error, code, Fault::Proxy, true),
                "proxy-unreachable" => assert_error(&error, code, Fault::Network, true),
                _ => panic!("{code} {blame:?}: {error}"),
            }
            Some(code)
        }
    }
}

async fn cut_everywhere(mode: Mode) {
    // Without holds: a request ends with its session.
    let relay = Relay::with("[limits]\nhold_seconds = 0").await;
    let (up, down) = length(&relay, mode).await;
    // What an answer cannot do without: the URL of its request, and its body. How many records either takes is a matter of timing.
    for (way, length, least) in [(Way::Up, up, url(&relay).len()), (Way::Down, down, SIZE)] {
        // All of the hello's border, and every few bytes of the rest: each byte of a record is as good as another.
        let places = (0..length).filter(|place| place % 13 == 0 || (250..300).contains(place)).chain([length - 1, length]);
        for place in places {
            let mitm = Mitm::harm(relay.address.parse().unwrap(), way, Harm::Cut(place)).await;
            let outcome = attempt(&relay, &mitm, mode).await;
            match way {
                _ if place < 256 => assert_eq!(outcome, Some("proxy-silent"), "{way:?} {place}"),
                _ if place < 256 + least => assert!(outcome.is_some(), "{way:?} {place}"),
                Way::Down if place < length => assert!(outcome.is_none_or(|code| code == "session-lost"), "{way:?} {place}"),
                _ => {}
            }
        }
    }
}

#[tokio::test]
async fn a_streamed_answer_is_whole_or_an_error_wherever_the_connection_is_cut() {
    cut_everywhere(Mode::Streaming).await;
}

#[tokio::test]
async fn a_buffered_answer_is_whole_or_an_error_wherever_the_connection_is_cut() {
    cut_everywhere(Mode::Buffered).await;
}
