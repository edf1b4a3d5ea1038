use futures::StreamExt as _;

use super::*;
use crate::config::Api;

const ANTHROPIC: &str = r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_1","model":"m","usage":{"input_tokens":5,"cache_read_input_tokens":7,"output_tokens":1}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm…"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: ping
data: {"type": "ping"}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Grüße 👋"}}

event: content_block_start
data: {"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"t","name":"look","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"at\":"}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"1}"}}

event: content_block_stop
data: {"type":"content_block_stop","index":2}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":9}}

event: message_stop
data: {"type":"message_stop"}

"#;

const OPENAI: &str = r#"data: {"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}

data: {"choices":[{"index":0,"delta":{"reasoning_content":"hm…"}}]}

data: {"choices":[{"index":1,"delta":{"content":"another choice"}},{"index":0,"delta":{"content":"Grüße 👋"}}]}

data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"t","function":{"name":"look","arguments":""}}]}}]}

data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"at\":1}"}}]}}]}

data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}

data: {"choices":[],"usage":{"prompt_tokens":12,"completion_tokens":9}}

data: [DONE]

"#;

/// What a stream means, its pieces of text joined, its counts added up.
async fn meaning(api: Api, pieces: Vec<Bytes>) -> Vec<String> {
    let mut events = sse::events(Body::of(pieces));
    let (mut decoder, mut batch) = (Decoder::new(api), Vec::new());
    let mut usage = event::Usage::default();
    while let Some(data) = events.next().await {
        let data = data.expect("well-formed");
        match serde_json::from_str(&data) {
            Ok(value) => decoder.event(&value, &mut batch),
            Err(_) => batch.push(Event::Done),
        }
    }
    let mut said = Vec::new();
    for event in batch {
        match event {
            Event::Usage(newer) => usage.update(newer),
            other => said.push(format!("{other:?}")),
        }
    }
    said.push(format!("{:?}/{:?}", usage.input, usage.output));
    said
}

const MEANT: [&str; 6] = [
    "Reasoning(\"hm…\")",
    "Text(\"Grüße 👋\")",
    "ToolCall { name: \"look\", arguments: \"{\\\"at\\\":1}\" }",
    "Stop(Tools)",
    "Done",
    "Some(12)/Some(9)",
];

#[tokio::test]
async fn both_apis_mean_the_same_wherever_their_bytes_are_cut() {
    for (api, text) in [(Api::Anthropic, ANTHROPIC), (Api::OpenAi, OPENAI)] {
        for text in [text.to_owned(), text.replace('\n', "\r\n")] {
            let bytes = Bytes::from(text);
            for cut in 0..=bytes.len() {
                let said = meaning(api, vec![bytes.slice(..cut), bytes.slice(cut..)]).await;
                let said: Vec<_> = said.into_iter().filter(|line| line != "Reasoning(\"\")").collect();
                assert_eq!(said, MEANT, "{api:?} cut at {cut}");
            }
        }
    }
}

#[tokio::test]
async fn errors_in_the_stream_are_events() {
    let anthropic = r#"data: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let openai = r#"data: {"error":{"type":"server_error","message":"Overloaded"}}"#;
    for (api, text) in [(Api::Anthropic, anthropic), (Api::OpenAi, openai)] {
        let said = meaning(api, vec![Bytes::from_static(text.as_bytes())]).await;
        assert!(said[0].starts_with("Error(") && said[0].contains("Overloaded"), "{said:?}");
    }
}

#[test]
fn a_whole_answer_means_what_its_stream_does() {
    let anthropic = r#"{"content":[{"type":"thinking","thinking":"hm…"},{"type":"text","text":"Grüße 👋"},{"type":"tool_use","name":"look","input":{"at":1}}],
        "stop_reason":"tool_use","usage":{"input_tokens":12,"output_tokens":9}}"#;
    let openai = r#"{"choices":[{"index":0,"message":{"content":"Grüße 👋","reasoning_content":"hm…","tool_calls":[{"function":{"name":"look","arguments":"{\"at\":1}"}}]},
        "finish_reason":"tool_calls"}],"usage":{"prompt_tokens":12,"completion_tokens":9}}"#;
    for (api, text) in [(Api::Anthropic, anthropic), (Api::OpenAi, openai)] {
        let mut events = Vec::new();
        assert!(request::whole(api, &serde_json::from_str(text).expect("JSON"), &mut events));
        let said: Vec<String> = events.iter().map(|event| format!("{event:?}")).collect();
        assert!(MEANT[..5].iter().all(|line| said.iter().any(|said| said == line)), "{api:?}: {said:?}");
    }
    assert!(!request::whole(Api::OpenAi, &Value::Null, &mut Vec::new()));
}
