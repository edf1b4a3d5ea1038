//! The connection is cut after any number of bytes, once: the answer is whole all the same, and its upstream was called once.

use mock_llm::pattern;
use sha2::{Digest, Sha256};
use xllm_proxy::client::Mode;

use super::{
    client,
    support::{
        self,
        mitm::{Harm, Mitm, Way},
        relay::Relay,
        request::{Request, get, request, whole},
    },
};

const SIZE: usize = 700;

fn bytes(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    pattern(0, &mut bytes);
    bytes
}

/// How many bytes one request takes each way, in a session of its own.
async fn length(relay: &Relay, request: Request) -> (usize, usize) {
    let mitm = Mitm::listen(relay.address.parse().unwrap()).await;
    whole(&client(relay, &mitm), request).await.unwrap();
    let tape = mitm.tapes().remove(0);
    (tape.up.len(), tape.down.len())
}

/// Has the first `count` sessions cut, at places all over their length.
async fn cut_everywhere(count: usize, make: impl Fn(&Relay) -> Request, expected: &[u8]) {
    let relay = Relay::start().await;
    let (up, down) = length(&relay, make(&relay)).await;
    for (way, length) in [(Way::Up, up), (Way::Down, down)] {
        let step = length / 40 + 1;
        for place in (0..length).step_by(step).chain([length - 1, length]) {
            let mitm = Mitm::harm_first(count, relay.address.parse().unwrap(), way, Harm::Cut(place)).await;
            let before = relay.mock.stats().requests;
            let response = whole(&client(&relay, &mitm), make(&relay)).await;
            let response = response.unwrap_or_else(|error| panic!("{way:?} {place}: {error}"));
            assert!(response.body() == expected, "{way:?} {place}: {} bytes", response.body().len());
            assert_eq!(relay.mock.stats().requests - before, 1, "{way:?} {place}");
        }
    }
}

fn download(relay: &Relay, mode: Mode) -> Request {
    let mut request = request("GET", &relay.url(&format!("/raw/bytes?n={SIZE}&chunk=100")), "");
    request.extensions_mut().insert(mode);
    request
}

#[tokio::test]
async fn a_streamed_answer_is_whole_wherever_its_connection_is_cut() {
    cut_everywhere(1, |relay| download(relay, Mode::Streaming), &bytes(SIZE)).await;
}

#[tokio::test]
async fn a_buffered_answer_is_whole_wherever_its_connection_is_cut() {
    cut_everywhere(1, |relay| download(relay, Mode::Buffered), &bytes(SIZE)).await;
}

#[tokio::test]
async fn an_answer_is_whole_whose_connection_is_cut_again_and_again() {
    cut_everywhere(3, |relay| download(relay, Mode::Streaming), &bytes(SIZE)).await;
}

#[tokio::test]
async fn a_large_answer_is_whole_wherever_its_connection_is_cut() {
    let size = 3_000_000;
    cut_everywhere(2, |relay| get(&relay.url(&format!("/raw/bytes?n={size}"))), &bytes(size)).await;
}

#[tokio::test]
async fn an_upload_is_whole_wherever_its_connection_is_cut() {
    let body = bytes(300_000);
    let relay = Relay::start().await;
    let plain = whole(&relay.client(), request("POST", &relay.url("/raw/sink"), body.clone())).await.unwrap();
    let text = String::from_utf8(plain.body().to_vec()).unwrap();
    assert!(text.contains(&support::hex(&Sha256::digest(&body))), "{text}");
    cut_everywhere(2, |relay| request("POST", &relay.url("/raw/sink"), body.clone()), plain.body()).await;
}

#[tokio::test]
async fn damage_on_the_path_is_survived_like_a_cut() {
    let relay = Relay::start().await;
    for (way, harm) in [
        (Way::Up, Harm::Flip(1, 40)),
        (Way::Down, Harm::Flip(2, 300)),
        (Way::Down, Harm::Swap(2)),
        (Way::Down, Harm::Repeat(3)),
        (Way::Down, Harm::Drop(2)),
    ] {
        let mitm = Mitm::harm_first(1, relay.address.parse().unwrap(), way, harm).await;
        let url = relay.url("/raw/bytes?n=300000");
        let before = relay.mock.stats().requests;
        let response =
            whole(&client(&relay, &mitm), get(&url)).await.unwrap_or_else(|error| panic!("{way:?} {harm:?}: {error}"));
        assert!(response.body() == &bytes(300_000), "{way:?} {harm:?}");
        assert_eq!(relay.mock.stats().requests - before, 1, "{way:?} {harm:?}");
    }
}
