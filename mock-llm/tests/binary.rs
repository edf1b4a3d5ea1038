//! The binary says when it is ready, and serves.

#![allow(clippy::expect_used, clippy::unwrap_used, missing_docs, reason = "tests")]

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

mod support;

#[tokio::test]
async fn it_prints_where_it_listens_and_answers_there() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mock-llm"))
        .args(["--listen", "127.0.0.1:0", "--text", "from the binary"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().unwrap();
    let url = line.strip_prefix("mock-llm listens on ").expect("the line that scripts wait for");
    let request = support::client().post(format!("{url}/v1/chat/completions")).bearer_auth("k");
    let response = request.json(&support::openai_body()).send().await.unwrap();
    let answer = support::json_of(response).await;
    assert_eq!(answer["choices"][0]["message"]["content"], "from the binary");
}
