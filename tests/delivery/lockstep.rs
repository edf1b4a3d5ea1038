//! Every chunk leaves the client's body before the upstream writes the next one.

use mock_llm::{MockLlm, pattern};
use xllm_proxy::client::{Body, Client};

use super::support::{
    relay::Relay,
    request::{call, chunk, get, request},
};

/// An exchange whose upstream writes a chunk when it is allowed to.
struct Gated {
    body: Body,
    gate: String,
    chunks: u64,
}

impl Gated {
    async fn start(client: &Client, mock: &MockLlm, number: usize, chunks: u64) -> Self {
        let gate = format!("gate-{number}");
        let url = format!("{}/raw/gated?gate={gate}&chunks={chunks}&size=50", mock.url());
        Self { body: call(client, get(&url)).await.unwrap().into_body(), gate, chunks }
    }

    /// Lets one chunk be written, and takes it.
    async fn step(&mut self, mock: &MockLlm, number: u64) {
        mock.release(&self.gate, 1);
        let chunk = chunk(&mut self.body).await.expect("a chunk");
        assert_eq!((chunk.len(), &chunk[..8]), (50, &number.to_be_bytes()[..]), "{}", self.gate);
    }

    async fn end(mut self) {
        assert!(chunk(&mut self.body).await.is_none());
        let receipt = self.body.receipt().unwrap();
        assert!(receipt.first.is_some() && receipt.first <= receipt.last);
    }
}

const AT_ONCE: usize = 200;

#[tokio::test]
async fn chunks_of_200_exchanges_in_one_session_come_one_by_one_in_turn() {
    let relay = Relay::start().await;
    let client = relay.client();
    let mut exchanges = Vec::new();
    for number in 0..AT_ONCE {
        exchanges.push(Gated::start(&client, &relay.mock, number, 5).await);
    }
    assert_eq!(relay.mock.open(), AT_ONCE as u64);
    for number in 0..5 {
        for exchange in &mut exchanges {
            exchange.step(&relay.mock, number).await;
        }
    }
    for exchange in exchanges {
        exchange.end().await;
    }
}

#[tokio::test]
async fn chunks_of_200_exchanges_in_one_session_come_one_by_one_at_the_same_time() {
    let relay = Relay::start().await;
    let client = relay.client();
    let lives = (0..AT_ONCE).map(async |number| {
        let mut exchange = Gated::start(&client, &relay.mock, number, 20).await;
        for number in 0..exchange.chunks {
            exchange.step(&relay.mock, number).await;
        }
        exchange.end().await;
    });
    futures::future::join_all(lives).await;
    assert_eq!(relay.mock.stats().completed, AT_ONCE as u64);
}

#[tokio::test]
async fn more_exchanges_than_a_session_may_have_wait_for_their_turn() {
    let relay = Relay::with("[limits]\nexchanges = 3").await;
    let client = relay.client();
    let lives = (0..20).map(async |number| {
        let mut exchange = Gated::start(&client, &relay.mock, number, 2).await;
        assert!(relay.mock.open() <= 3);
        exchange.step(&relay.mock, 0).await;
        exchange.step(&relay.mock, 1).await;
        exchange.end().await;
    });
    futures::future::join_all(lives).await;
}

#[tokio::test]
async fn what_comes_at_once_is_spread_over_all_sessions_also_over_those_that_are_not_up_yet() {
    let relay = Relay::with("[limits]\nexchanges = 100").await;
    let client = relay.builder(&relay.address).sessions(2).build();
    // They choose while the first session alone is there; the second is opened when that has 64.
    client.connect().await.unwrap();
    let starts = (0..200).map(|number| Gated::start(&client, &relay.mock, number, 1));
    let exchanges = futures::future::join_all(starts).await;
    for mut exchange in exchanges {
        exchange.step(&relay.mock, 0).await;
        exchange.end().await;
    }
}

#[tokio::test]
async fn more_sessions_than_a_thread_is_given_are_carried_by_the_next() {
    let relay = Relay::start().await;
    let lives = (0..40).map(async |number| {
        let client = relay.client();
        let mut exchange = Gated::start(&client, &relay.mock, number, 2).await;
        exchange.step(&relay.mock, 0).await;
        exchange.step(&relay.mock, 1).await;
        exchange.end().await;
    });
    futures::future::join_all(lives).await;
}

#[tokio::test]
async fn every_event_of_a_chat_is_a_chunk_of_its_own() {
    let relay = Relay::start().await;
    let body = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
    let mut request = request("POST", &relay.url("/v1/chat/completions"), body);
    request.headers_mut().insert("x-mock", r#"{"text":"one two three four","gate":"tokens"}"#.parse().unwrap());
    let mut body = call(&relay.client(), request).await.unwrap().into_body();
    let mut text = String::new();
    while let Some(event) = chunk(&mut body).await {
        relay.mock.release("tokens", 1);
        let event = std::str::from_utf8(&event).unwrap();
        assert!(event.starts_with("data: ") && event.ends_with("\n\n") && event.matches("\n\n").count() == 1, "{event:?}");
        text.push_str(event);
    }
    assert!(text.ends_with("data: [DONE]\n\n") && text.contains("four"), "{text}");
}

#[tokio::test]
async fn chunks_that_no_record_holds_arrive_split_and_whole() {
    let relay = Relay::start().await;
    let mut body = call(&relay.client(), get(&relay.url("/raw/gated?gate=g&chunks=3&size=300000"))).await.unwrap().into_body();
    for number in 0..3_u64 {
        relay.mock.release("g", 1);
        let mut whole = Vec::new();
        // All of it, before the upstream may go on.
        while whole.len() < 300_000 {
            whole.extend_from_slice(&chunk(&mut body).await.unwrap());
        }
        let mut expected = number.to_be_bytes().to_vec();
        expected.resize(300_000, 0);
        pattern(0, &mut expected[8..]);
        assert!(whole == expected);
    }
    assert!(chunk(&mut body).await.is_none());
}

#[tokio::test]
async fn a_stream_that_nobody_reads_holds_up_no_other() {
    let relay = Relay::start().await;
    let client = relay.client();
    let stalled = call(&client, get(&relay.url("/raw/bytes?n=1000000000"))).await.unwrap();
    let mut gated = Gated::start(&client, &relay.mock, 0, 50).await;
    for number in 0..50 {
        gated.step(&relay.mock, number).await;
    }
    gated.end().await;
    drop(stalled);
    relay.mock.wait_until(|stats| stats.hung_up == 1).await;
}
