//! What the script makes of an answer: gates, errors, cuts, hangs, and how hang-ups are counted.

#![allow(clippy::expect_used, clippy::unwrap_used, missing_docs, reason = "tests")]

mod support;

use std::time::Duration;

use futures::StreamExt;
use mock_llm::{Chunking, Config, Hang, MockLlm, Script, ToolCall};
use serde_json::{Value, json};
use support::{anthropic, anthropic_body, client, data, events, header, json_of, openai, openai_body, start, until, with};

const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";

fn streamed() -> Value {
    with(openai_body(), json!({"stream": true}))
}

#[tokio::test]
async fn unknown_keys_and_wrong_values_are_refused_with_a_sentence() {
    let mock = start(Script::default()).await;
    let cases = [
        (json!({"txt": "x"}), "unknown field `txt`"),
        (json!({"tokens": -1}), "invalid value"),
        (json!({"hang": "foot"}), "unknown variant `foot`"),
        (json!({"chunking": "bytes:0"}), "chunking must be"),
        (json!({"tokens_per_s": -2.0}), "tokens_per_s must be"),
        (json!({"error_status": 200}), "error_status must be 400 to 599"),
        (json!({"tool_call": {"name": "f", "args": {}}}), "unknown field `args`"),
    ];
    for (script, sentence) in cases {
        let response = openai(&mock, CHAT, script.clone(), &openai_body()).await;
        assert_eq!(response.status(), 400, "{script}");
        let message = json_of(response).await["error"]["message"].take();
        let message = message.as_str().unwrap();
        assert!(message.starts_with("x-mock: ") && message.contains(sentence), "{message}");
    }
    let wrong = Script { error_status: Some(200), ..Script::default() };
    assert!(MockLlm::start(wrong.into()).await.is_err());
    assert!(serde_json::from_value::<Config>(json!({"listens": "127.0.0.1:0"})).is_err());
}

#[tokio::test]
async fn a_script_survives_its_header_and_the_query_says_the_same() {
    let script = Script {
        text: Some("Grüße".into()),
        chunking: Some(Chunking::Bytes(3.try_into().unwrap())),
        hang: Some(Hang::Head),
        tool_call: Some(ToolCall { name: "f".into(), arguments: serde_json::Map::new() }),
        ..Script::default()
    };
    let read: Script = serde_json::from_str(&script.header()).unwrap();
    assert_eq!(read, script);

    let mock = start(Script { text: Some("from the instance".into()), ..Script::default() }).await;
    let ask = |query: &str| {
        let request = client().post(mock.url() + CHAT + query).bearer_auth("k");
        request.json(&openai_body()).send()
    };
    let text = |answer: Value| answer["choices"][0]["message"]["content"].clone();
    let plain = json_of(ask("").await.unwrap()).await;
    assert_eq!(text(plain), "from the instance");
    let query = json_of(ask("?mock=%7B%22text%22%3A%22Gr%C3%BC%C3%9Fe%22%7D").await.unwrap()).await;
    assert_eq!(text(query), "Grüße");
}

#[tokio::test]
async fn no_token_arrives_before_its_permit() {
    let mock = start(Script::default()).await;
    let script = json!({"text": "one two three", "gate": "g"});
    let mut body = openai(&mock, CHAT, script, &streamed()).await.bytes_stream();
    let role = body.next().await.unwrap().unwrap();
    assert!(role.starts_with(b"data: ") && String::from_utf8_lossy(&role).contains(r#""role""#));
    for token in ["one", " two", " three"] {
        // Polled with no permit, the stream has nothing, however long the runtime runs on.
        for _ in 0..100 {
            assert!(futures::poll!(body.next()).is_pending());
            tokio::task::yield_now().await;
        }
        mock.release("g", 1);
        let chunk = body.next().await.unwrap().unwrap();
        let text = String::from_utf8(chunk.to_vec()).unwrap();
        let delta = &data(&text)[0]["choices"][0]["delta"];
        assert_eq!(delta["content"], token);
    }
    let rest: Vec<_> = body.map(Result::unwrap).collect().await;
    assert!(rest.concat().ends_with(b"data: [DONE]\n\n"));
}

#[tokio::test]
async fn gates_open_by_the_control_endpoint_and_hold_whole_answers() {
    let mock = start(Script::default()).await;
    let script = json!({"text": "whole", "gate": "a gate"});
    let body = openai_body();
    let answer = openai(&mock, CHAT, script, &body);
    tokio::pin!(answer);
    tokio::select! {
        _ = &mut answer => panic!("answered before the permit"),
        () = until(&mock, |stats| stats.uploaded == 1) => {}
    }
    let release = mock.url() + "/_mock/release?gate=a%20gate&n=1";
    let released = client().post(release).send().await.unwrap();
    assert_eq!(json_of(released).await, json!({"gate": "a gate", "released": 1}));
    assert_eq!(answer.await.status(), 200);

    let stats = client().get(mock.url() + "/_mock/stats").send().await.unwrap();
    let stats = json_of(stats).await;
    assert_eq!(stats, json!({"requests": 1, "uploaded": 1, "open": 0, "hung_up": 0, "completed": 1}));
    let requests = client().get(mock.url() + "/_mock/requests").send().await.unwrap();
    let requests = json_of(requests).await;
    assert_eq!(requests.as_array().unwrap().len(), 1, "control endpoints are not recorded");
    assert_eq!(requests[0]["path"], CHAT);
    let wrong = client().post(mock.url() + "/_mock/release").send().await.unwrap();
    assert_eq!(wrong.status(), 400);
}

#[tokio::test]
async fn a_caller_that_leaves_is_counted_wherever_it_leaves() {
    let mock = start(Script::default()).await;
    // In the middle of a streamed body.
    let mut response = openai(&mock, CHAT, json!({"gate": "never"}), &streamed()).await;
    response.chunk().await.unwrap().unwrap();
    assert_eq!((mock.open(), mock.hung_up()), (1, 0));
    drop(response);
    until(&mock, |stats| stats.hung_up == 1).await;
    // Behind the head.
    let response = anthropic(&mock, MESSAGES, json!({"hang": "body"}), &anthropic_body()).await;
    assert_eq!(response.status(), 200);
    drop(response);
    until(&mock, |stats| stats.hung_up == 2).await;
    // Before the head.
    let body = openai_body();
    let asking = openai(&mock, CHAT, json!({"hang": "head"}), &body);
    tokio::select! {
        _ = asking => panic!("answered"),
        () = until(&mock, |stats| stats.uploaded == 3) => {}
    }
    until(&mock, |stats| stats.hung_up == 3).await;
    // In the middle of its own request.
    let half = futures::stream::iter([Ok::<_, std::io::Error>("half")]).chain(futures::stream::pending());
    let request = client().put(mock.url() + "/raw/sink").body(reqwest::Body::wrap_stream(half));
    tokio::select! {
        _ = request.send() => panic!("answered"),
        () = until(&mock, |stats| stats.requests == 4) => {}
    }
    until(&mock, |stats| stats.hung_up == 4).await;
    assert!(!mock.requests()[3].body_complete);
    let stats = mock.stats();
    assert_eq!((stats.requests, stats.open, stats.completed), (4, 0, 0));
}

#[tokio::test]
async fn whole_answers_and_scripted_cuts_are_no_hang_ups() {
    let mock = start(Script::default()).await;
    openai(&mock, CHAT, json!({}), &streamed()).await.bytes().await.unwrap();
    openai(&mock, CHAT, json!({}), &openai_body()).await.bytes().await.unwrap();
    client().get(mock.url() + "/raw/bytes?n=200000&len=1").send().await.unwrap().bytes().await.unwrap();
    client().head(mock.url() + "/raw/bytes?n=9&len=1").send().await.unwrap();
    client().get(mock.url() + "/raw/status/204").send().await.unwrap();
    openai(&mock, CHAT, json!({"drop_after": 1}), &streamed()).await.bytes().await.unwrap_err();
    until(&mock, |stats| stats.completed == 6).await;
    assert_eq!((mock.open(), mock.hung_up()), (0, 0));
}

#[tokio::test]
async fn a_dropped_connection_is_an_error_behind_the_tokens_sent() {
    let mock = start(Script::default()).await;
    let script = json!({"text": "one two three", "drop_after": 2});
    let mut response = openai(&mock, CHAT, script.clone(), &streamed()).await;
    let mut text = String::new();
    let error = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => text.push_str(std::str::from_utf8(&chunk).unwrap()),
            Ok(None) => panic!("a clean end"),
            Err(error) => break error,
        }
    };
    assert!(error.is_body() || error.is_decode(), "{error:?}");
    let chunks = data(&text);
    assert_eq!(chunks.len(), 3);
    assert_eq!(chunks[2]["choices"][0]["delta"]["content"], " two");
    let whole = anthropic(&mock, MESSAGES, script, &anthropic_body()).await;
    assert!(whole.bytes().await.is_err());
}

#[tokio::test]
async fn an_error_in_mid_stream_has_the_providers_shape_and_ends_it() {
    let mock = start(Script::default()).await;
    let script = json!({"text": "one two three", "error_after": 2});
    let text = openai(&mock, CHAT, script.clone(), &streamed()).await.text().await.unwrap();
    let chunks = data(&text);
    assert_eq!(chunks.len(), 4, "role, two tokens, the error");
    assert_eq!(chunks[3]["error"]["type"], "server_error");

    let body = with(anthropic_body(), json!({"stream": true}));
    let text = anthropic(&mock, MESSAGES, script.clone(), &body).await.text().await.unwrap();
    let last = events(&text).pop().unwrap();
    assert_eq!(last.0, "error");
    let error: Value = serde_json::from_str(&last.1).unwrap();
    assert_eq!(error["error"], json!({"type": "overloaded_error", "message": "Overloaded"}));

    let body = json!({"model": "gpt-4.1", "input": "Hi", "stream": true});
    let text = openai(&mock, "/v1/responses", script.clone(), &body).await.text().await.unwrap();
    let events = data(&text);
    let last = events.last().unwrap();
    assert_eq!(last["type"], "error");
    assert_eq!(last["sequence_number"], events.len() - 1);

    let whole = anthropic(&mock, MESSAGES, script, &anthropic_body()).await;
    assert_eq!(whole.status(), 529);
    let script = json!({"error_status": 429, "retry_after": 3});
    let limited = openai(&mock, CHAT, script, &streamed()).await;
    assert_eq!(header(&limited, "retry-after"), "3");
    assert_eq!(json_of(limited).await["error"]["code"], "rate_limit_exceeded");
}

#[tokio::test]
async fn chunks_of_bytes_split_letters_and_join_to_the_same_stream() {
    let mock = start(Script::default()).await;
    let script = |chunking: &str| json!({"text": "日本語 🙂 Grüße", "chunking": chunking});
    let text = |chunks: &[Vec<u8>]| String::from_utf8(chunks.concat()).unwrap();
    let strip = |text: String| -> Vec<String> {
        let deltas = data(&text).into_iter();
        deltas.map(|chunk| chunk["choices"].to_string()).collect()
    };
    let whole = openai(&mock, CHAT, script("event"), &streamed()).await;
    let mut pieces = openai(&mock, CHAT, script("bytes:1"), &streamed()).await;
    let mut chunks = Vec::new();
    while let Some(chunk) = pieces.chunk().await.unwrap() {
        chunks.push(chunk.to_vec());
    }
    assert!(chunks.iter().any(|chunk| std::str::from_utf8(chunk).is_err()), "letters are split");
    assert_eq!(strip(text(&chunks)), strip(whole.text().await.unwrap()));
}

#[tokio::test]
async fn pace_and_pauses_are_kept() {
    let mock = start(Script::default()).await;
    let script = json!({"text": "a b c d e", "tokens_per_s": 100.0, "first_token_ms": 20,
        "silence_ms": 40, "silence_after": 2});
    let begin = std::time::Instant::now();
    openai(&mock, CHAT, script, &streamed()).await.bytes().await.unwrap();
    // 20 ms, then the last of five tokens 40 ms behind the first, and the pause.
    assert!(begin.elapsed() >= Duration::from_millis(100));
}

#[tokio::test]
async fn requests_are_recorded_as_they_came() {
    let mock = start(Script::default()).await;
    let request = client().post(mock.url() + "/raw/echo?a=1&a=2").body("hello");
    let request = request.header("x-twice", "1").header("x-other", "0").header("x-twice", "2");
    request.send().await.unwrap();
    let [recorded] = &mock.requests()[..] else {
        panic!("one request");
    };
    assert_eq!((recorded.method.as_str(), recorded.path.as_str()), ("POST", "/raw/echo?a=1&a=2"));
    assert_eq!(recorded.version, reqwest::Version::HTTP_11);
    let twice = recorded.headers.iter().filter(|(name, _)| name == "x-twice");
    let twice: Vec<_> = twice.map(|(_, value)| value.as_slice()).collect();
    assert_eq!(twice, [b"1", b"2"]);
    assert_eq!((recorded.body_len, recorded.body_complete), (5, true));
    assert_eq!(&recorded.body[..], b"hello");
    // SHA-256 of "hello".
    assert_eq!(recorded.body_sha256[..4], [0x2c, 0xf2, 0x4d, 0xba]);
    assert_eq!(recorded.header("content-length"), Some("5"));
}

#[tokio::test]
async fn shutdown_and_drop_end_open_exchanges_without_counting_hang_ups() {
    let mock = start(Script::default()).await;
    let response = openai(&mock, CHAT, json!({"gate": "never"}), &streamed()).await;
    mock.shutdown().await;
    assert_eq!((mock.open(), mock.hung_up()), (0, 0));
    assert!(response.bytes().await.is_err());
    assert!(client().get(mock.url() + "/raw/binary").send().await.is_err());

    let mock = start(Script::default()).await;
    let response = openai(&mock, CHAT, json!({"gate": "never"}), &streamed()).await;
    drop(mock);
    assert!(response.bytes().await.is_err());
}
