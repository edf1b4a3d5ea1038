//! Files, forms, audio, and lists that are read page by page.

#![allow(clippy::expect_used, clippy::unwrap_used, missing_docs, reason = "tests")]

mod support;

use mock_llm::{MockLlm, Script, pattern};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use support::{client, data, header, json_of, keys, openai, start, with};

/// A request with the headers by which both providers know their callers.
fn request(mock: &MockLlm, anthropic: bool, method: Method, path: &str) -> RequestBuilder {
    let request = client().request(method, mock.url() + path);
    if anthropic {
        request.header("x-api-key", "k").header("anthropic-version", "2023-06-01")
    } else {
        request.bearer_auth("k")
    }
}

async fn get(mock: &MockLlm, anthropic: bool, path: &str) -> Response {
    request(mock, anthropic, Method::GET, path).send().await.unwrap()
}

/// A form of text fields and one file.
async fn post(mock: &MockLlm, anthropic: bool, path: &str, fields: &[(&str, &str)], name: &str, file: &[u8]) -> Response {
    let mut form = Vec::new();
    for (name, value) in fields {
        form.extend(format!("--cut\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").bytes());
    }
    let head =
        format!("--cut\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: text/x\r\n\r\n");
    form.extend(head.bytes());
    form.extend(file);
    form.extend(b"\r\n--cut--\r\n");
    let request = request(mock, anthropic, Method::POST, path).header("content-type", "multipart/form-data; boundary=cut");
    request.body(form).send().await.unwrap()
}

#[tokio::test]
async fn a_file_is_uploaded_described_downloaded_and_deleted_at_both_providers() {
    let mock = start(Script::default()).await;
    let mut file = vec![0; 100_000];
    pattern(0, &mut file);
    file.extend(b"\r\n--cu\r\n--\r\n");
    for (anthropic, fields) in [(false, &[("purpose", "user_data")][..]), (true, &[])] {
        let made = json_of(post(&mock, anthropic, "/v1/files", fields, "Grüße.bin", &file).await).await;
        let path = format!("/v1/files/{}", made["id"].as_str().unwrap());
        assert_eq!(made["filename"], "Grüße.bin");
        assert_eq!(made[if anthropic { "size_bytes" } else { "bytes" }], file.len());
        assert_eq!(json_of(get(&mock, anthropic, &path).await).await, made);
        let list = json_of(get(&mock, anthropic, "/v1/files").await).await;
        assert_eq!(list["data"], json!([made]), "each provider has its own files");
        let content = get(&mock, anthropic, &(path.clone() + "/content")).await;
        assert_eq!(content.content_length(), Some(file.len() as u64));
        assert_eq!(header(&content, "content-type"), if anthropic { "text/x" } else { "application/octet-stream" });
        assert!(content.bytes().await.unwrap() == file);
        let other = get(&mock, !anthropic, &path).await;
        assert_eq!(other.status(), 404);
        let gone = json_of(request(&mock, anthropic, Method::DELETE, &path).send().await.unwrap()).await;
        assert_eq!(gone["id"], made["id"]);
        let twice = request(&mock, anthropic, Method::DELETE, &path).send().await.unwrap();
        assert_eq!(twice.status(), 404);
    }
}

#[tokio::test]
async fn forms_that_lack_something_are_refused_with_a_sentence() {
    let mock = start(Script::default()).await;
    let cases = [
        (post(&mock, false, "/v1/files", &[], "a", b"x").await, "Missing required parameter: 'purpose'."),
        (post(&mock, false, "/v1/files", &[("purpose", "fun")], "a", b"x").await, "'fun' is not one of ["),
        (post(&mock, false, "/v1/audio/transcriptions", &[], "a", b"x").await, "Missing required parameter: 'model'."),
        (request(&mock, true, Method::POST, "/v1/files").body("{}").send().await.unwrap(), "not multipart/form-data"),
    ];
    for (response, sentence) in cases {
        assert_eq!(response.status(), 400);
        let error = json_of(response).await["error"]["message"].take();
        assert!(error.as_str().unwrap().starts_with(sentence), "{error}");
    }
    let broken = request(&mock, true, Method::POST, "/v1/files").header("content-type", "multipart/form-data; boundary=cut");
    let broken = broken.body("--cut\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nx").send().await;
    assert_eq!(broken.unwrap().status(), 400);
    assert_eq!(request(&mock, false, Method::PUT, "/v1/files").send().await.unwrap().status(), 405);
}

#[tokio::test]
async fn lists_come_page_by_page() {
    let mock = start(Script::default()).await;
    for i in 0..5 {
        post(&mock, false, "/v1/files", &[("purpose", "batch")], &format!("{i}"), b"x").await;
        post(&mock, true, "/v1/files", &[], &format!("{i}"), b"x").await;
    }
    let names = |page: &Value| -> String {
        page["data"].as_array().unwrap().iter().filter_map(|file| file["filename"].as_str()).collect()
    };
    let page = async |anthropic: bool, query: &str| json_of(get(&mock, anthropic, &format!("/v1/files?{query}")).await).await;

    let first = page(false, "limit=2").await;
    assert_eq!((names(&first).as_str(), &first["has_more"]), ("43", &json!(true)));
    let last = first["last_id"].as_str().unwrap();
    assert_eq!(names(&page(false, &format!("limit=9&after={last}")).await), "210");
    let up = page(false, "order=asc&limit=3&purpose=batch").await;
    assert_eq!(names(&up), "012");
    assert_eq!(names(&page(false, "purpose=vision").await), "");
    assert_eq!(page(false, "order=up").await["error"]["param"], "order");

    let first = page(true, "limit=3").await;
    assert_eq!(names(&first), "432");
    assert_eq!(keys(&first), ["data", "has_more", "first_id", "last_id", "next_page"]);
    let cursor = first["next_page"].as_str().unwrap();
    let second = page(true, &format!("limit=3&page={cursor}")).await;
    assert_eq!((names(&second).as_str(), &second["next_page"]), ("10", &Value::Null));
    let second = second["first_id"].as_str().unwrap();
    let back = page(true, &format!("limit=2&before_id={second}")).await;
    assert_eq!((names(&back).as_str(), &back["has_more"]), ("32", &json!(true)));

    let models = json_of(get(&mock, true, "/v1/models?limit=2").await).await;
    let last = models["last_id"].as_str().unwrap();
    let rest = json_of(get(&mock, true, &format!("/v1/models?after_id={last}")).await).await;
    assert_eq!((rest["data"].as_array().unwrap().len(), &rest["has_more"]), (3, &json!(false)));
    for wrong in ["limit=0", "limit=x", "after_id=a&before_id=b"] {
        assert_eq!(get(&mock, true, &format!("/v1/models?{wrong}")).await.status(), 400, "{wrong}");
    }
}

#[tokio::test]
async fn speech_is_bytes_of_its_text_in_pieces() {
    let mock = start(Script::default()).await;
    let body = json!({"model": "tts-1", "voice": "alloy", "input": "one two three"});
    let speech = openai(&mock, "/v1/audio/speech", json!({}), &body).await;
    assert_eq!(header(&speech, "content-type"), "audio/mpeg");
    assert_eq!(speech.content_length(), None);
    let audio = speech.bytes().await.unwrap();
    assert_eq!(audio.len(), 3 * 4096);
    let other = with(body.clone(), json!({"input": "four five six", "response_format": "wav"}));
    let other = openai(&mock, "/v1/audio/speech", json!({}), &other).await;
    assert_eq!(header(&other, "content-type"), "audio/wav");
    assert_ne!(other.bytes().await.unwrap(), audio);
    for script in [json!({"drop_after": 2}), json!({"error_after": 2})] {
        assert!(openai(&mock, "/v1/audio/speech", script, &body).await.bytes().await.is_err(), "no clean end");
    }
    let events = with(body, json!({"stream_format": "sse"}));
    let events = openai(&mock, "/v1/audio/speech", json!({}), &events).await.text().await.unwrap();
    assert_eq!(data(&events).last().unwrap()["type"], "speech.audio.done");
}

#[tokio::test]
async fn speech_of_more_than_4096_characters_is_refused() {
    let mock = start(Script::default()).await;
    // Characters count, not bytes.
    for (length, status) in [(4096, 200), (4097, 400)] {
        let body = json!({"model": "tts-1", "voice": "alloy", "input": "ü".repeat(length)});
        let speech = openai(&mock, "/v1/audio/speech", json!({}), &body).await;
        assert_eq!(speech.status(), status, "{length}");
        if status == 400 {
            let message = "Invalid 'input': string too long. Expected a string with maximum length 4096, \
                           but got a string with length 4097 instead.";
            let error = json!({"message": message, "type": "invalid_request_error", "param": "input",
                "code": "string_above_max_length"});
            assert_eq!(json_of(speech).await["error"], error);
        }
    }
}

#[tokio::test]
async fn a_transcription_says_what_was_sent() {
    let mock = start(Script::default()).await;
    let path = "/v1/audio/transcriptions";
    let model = ("model", "gpt-4o-transcribe");
    let answer = json_of(post(&mock, false, path, &[model], "a.mp3", b"abc").await).await;
    assert_eq!(answer["text"], "Somebody says 3 bytes, and they are called a.mp3.");
    let text = post(&mock, false, path, &[model, ("response_format", "text")], "a.mp3", b"abc").await.text().await.unwrap();
    assert_eq!(text, "Somebody says 3 bytes, and they are called a.mp3.\n");
    let events = post(&mock, false, path, &[model, ("stream", "true")], "a.mp3", b"abc").await.text().await.unwrap();
    let events = data(&events);
    let said: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!(events.last().unwrap()["text"], said);
    let srt = post(&mock, false, path, &[model, ("response_format", "srt")], "a.mp3", b"abc").await;
    assert_eq!(json_of(srt).await["error"]["code"], "unsupported_value");
}

#[tokio::test]
async fn the_record_can_be_narrowed_and_says_when() {
    let mock = start(Script::default()).await;
    for case in ["a", "b", "a"] {
        client().post(mock.url() + "/raw/echo").header("x-case", case).body("x").send().await.unwrap();
    }
    let list = client().get(mock.url() + "/_mock/requests?header=x-case:a&bodies=0").send().await.unwrap();
    let list = json_of(list).await;
    assert_eq!(list.as_array().unwrap().len(), 2);
    assert_eq!(list[0]["body_base64"], Value::Null);
    assert_eq!(list[0]["body_len"], 1);
    assert!(list[0]["arrived_ms"].as_u64() <= list[1]["arrived_ms"].as_u64());
    assert!(mock.requests()[0].arrived <= mock.requests()[1].arrived);
}
