//! `xllm bench --report`: the page that a real run leaves. `src/bench/report` tests what can be on it.

use std::fs;

use serde_json::{Value, json};

use crate::support::user_behind_relay;

#[tokio::test(flavor = "multi_thread")]
async fn a_run_leaves_one_page_with_its_figures_and_no_secret() {
    let user = user_behind_relay(json!({"text": "one two three"}), true).await;
    let args = ["bench", "-m", "haiku", "-n", "6", "--timings", "--quiet", "--report", "page.html", "--json", "result.json"];
    let ran = user.run(&args).await;
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "", ""));
    let read = |name| fs::read_to_string(user.home.path().join(name)).expect("written");
    let (page, document): (String, Value) = (read("page.html"), serde_json::from_str(&read("result.json")).expect("JSON"));
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>"), "{page}");
    for text in ["Content-Security-Policy", "The proxy ", "Where the time went", "One typical pair of streams"] {
        assert!(page.contains(text), "{text}");
    }
    let target = document["parameters"]["target"].as_str().expect("a URL");
    assert!(page.contains(target), "{target}");
    for secret in ["xllm1_", "sk-ant-hidden", "sk-openai", "one two three", "<script", "src=", "href="] {
        assert!(!page.contains(secret), "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_cannot_be_written_is_known_before_anything_is_sent() {
    let user = user_behind_relay(json!({}), true).await;
    let ran = user.run(&["bench", "-m", "haiku", "--report", "no/such/folder/page.html"]).await;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("no/such/folder/page.html cannot be written"), "{}", ran.stderr);
    assert!(user.mock.requests().is_empty());
}
