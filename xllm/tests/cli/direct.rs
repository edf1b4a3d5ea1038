//! Straight to the API, and all that needs no API.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    process::Command,
};

use serde_json::{Value, json};

use crate::support::{User, finish};

const BOTH: [&str; 2] = ["haiku3", "gpt-4o"];

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_comes_from_both_apis() {
    let user = User::with(json!({"text": "Hello, **you**!\n\n"})).await;
    for model in BOTH {
        for mode in [&[][..], &["--no-stream"]] {
            let ran = user.run(&[&["-m", model, "Hello world"], mode].concat()).await;
            assert_eq!(
                (ran.code, ran.stdout.as_str(), ran.stderr.as_str()),
                (Some(0), "Hello, **you**!\n", ""),
                "{model} {mode:?}"
            );
        }
    }
    let requests = user.mock.requests();
    assert_eq!(requests[0].path, "/v1/messages");
    assert_eq!(requests[0].header("x-api-key"), Some("sk-ant-hidden"));
    assert_eq!(requests[2].path, "/v1/chat/completions");
    assert_eq!(requests[2].header("authorization"), Some("Bearer sk-openai"));
    let body: Value = serde_json::from_slice(&requests[0].body).expect("JSON");
    assert_eq!(
        body,
        json!({"model": "claude-3-haiku-20240307", "max_tokens": 4096, "stream": true, "messages": [{"role": "user", "content": "Hello world"}]})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_line_comes_before_the_last_is_made() {
    let user = User::with(json!({"text": "one\ntwo\nthree\n", "gate": "g"})).await;
    let mut child = user.command(&["-m", "haiku", "x"]).spawn().expect("the command starts");
    user.mock.release("g", 3);
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    let first = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a line");
        (line, stdout)
    });
    let (line, mut stdout) = first.await.expect("no panic");
    assert_eq!(line, "one\n");
    user.mock.release("g", 100);
    assert_eq!(finish(child).await.code, Some(0));
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).expect("readable");
    assert_eq!(rest, "two\nthree\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_input_files_and_options_reach_the_api() {
    let user = User::new().await;
    fs::write(user.home.path().join("notes.md"), "the notes").expect("writable");
    fs::write(user.home.path().join("dot.bin"), b"\x89PNG\r\n\x1a\n\0").expect("writable");
    let args = [
        "-m",
        "haiku",
        "-s",
        "brief",
        "-t",
        "7",
        "-o",
        "temperature=0.5",
        "--file",
        "notes.md",
        "--file",
        "dot.bin",
        "sum",
        "up",
    ];
    let ran = user.run_with_stdin(&args, "piped\n").await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let body = user.last_body();
    assert_eq!((&body["system"], &body["max_tokens"], &body["temperature"]), (&json!("brief"), &json!(7), &json!(0.5)));
    let content = &body["messages"][0]["content"];
    assert_eq!(content[0]["text"], "<file name=\"notes.md\">\nthe notes\n</file>");
    assert_eq!(content[1]["source"]["media_type"], "image/png");
    assert_eq!(content[2]["text"], "piped\n\nsum up");
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_the_providers_own() {
    let user = User::with(json!({"text": "hi"})).await;
    for model in BOTH {
        let ran = user.run(&["-m", model, "--json", "x"]).await;
        let lines: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
        assert!(lines.len() > 2, "{ran:?}");
        let ran = user.run(&["-m", model, "--json", "--no-stream", "x"]).await;
        let whole: Value = serde_json::from_str(&ran.stdout).expect("JSON");
        assert!(whole["usage"].is_object() && ran.stdout.ends_with("}\n"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_counted_on_stderr() {
    let user = User::with(json!({"text": "one two three", "tokens_per_s": 50.0})).await;
    for model in BOTH {
        let ran = user.run(&["-m", model, "-u", "x"]).await;
        assert_eq!(ran.stdout, "one two three\n");
        assert!(
            ran.stderr.contains(" tokens in, ") && ran.stderr.contains(" tokens/s") && !ran.stderr.contains('?'),
            "{}",
            ran.stderr
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apis_error_is_told_in_its_words_with_exit_1() {
    let user = User::with(json!({"error_status": 429, "retry_after": 20})).await;
    for model in BOTH {
        for mode in [&[][..], &["--no-stream"]] {
            let ran = user.run(&[&["-m", model, "x"], mode].concat()).await;
            assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
            assert!(ran.stderr.contains("HTTP 429") && ran.stderr.contains("retry after 20 s"), "{}", ran.stderr);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retired_model_comes_with_a_hint() {
    let user = User::with(json!({"retired": ["claude-3-haiku-20240307"]})).await;
    let ran = user.run(&["-m", "haiku3", "x"]).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("try -m haiku"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_in_the_middle_keeps_the_text_and_exits_1() {
    let user = User::with(json!({"text": "one two three four", "error_after": 2})).await;
    for model in BOTH {
        let ran = user.run(&["-m", model, "x"]).await;
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stdout.starts_with("one") && ran.stdout.ends_with('\n'), "{ran:?}");
        assert!(ran.stderr.contains("incomplete"), "{ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_connection_is_never_a_complete_answer() {
    let user = User::with(json!({"text": "one two three four", "drop_after": 2})).await;
    for model in BOTH {
        for mode in [&[][..], &["--no-stream"]] {
            let ran = user.run(&[&["-m", model, "x"], mode].concat()).await;
            assert_eq!(ran.code, Some(3), "{ran:?}");
            assert!(ran.stderr.contains("incomplete") || ran.stderr.contains("broke off"), "{ran:?}");
        }
    }
}

/// Answers one request with these bytes.
fn one_answer(body: &'static str, content_type: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a caller");
        let mut request = [0; 16 << 10];
        let _ = stream.read(&mut request).expect("a request");
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).expect("the caller reads");
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_without_its_closing_event_is_incomplete() {
    let user = User::new().await;
    let first = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"half\"}}]}\n\n";
    let finished =
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"half\"},\"finish_reason\":\"stop\"}]}\n\ndata: {\"cho";
    for body in [first, finished] {
        user.configure(&format!("[models.x]\nurl = \"{}\"\nmodel = \"m\"\n", one_answer(body, "text/event-stream")));
        let ran = user.run(&["-m", "x", "hi"]).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(3), "half\n"));
        assert!(ran.stderr.contains("incomplete"), "{ran:?}");
    }
    user.configure(&format!("[models.x]\nurl = \"{}\"\nmodel = \"m\"\n", one_answer("<html>", "text/html")));
    let ran = user.run(&["-m", "x", "hi"]).await;
    assert!(ran.code == Some(1) && ran.stderr.contains("web page"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_user_must_know_is_on_stderr() {
    let user = User::with(json!({"text": "one two three four", "tokens": 2})).await;
    for model in BOTH {
        let ran = user.run(&["-m", model, "x"]).await;
        assert!(ran.code == Some(0) && ran.stderr.contains("cut off"), "{ran:?}");
    }
    let user = User::with(json!({"tool_call": {"name": "look", "arguments": {"at": "sky"}}, "thinking": "hm"})).await;
    for model in BOTH {
        let ran = user.run(&["-m", model, "x"]).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""));
        assert!(ran.stderr.contains(r#"look({"at":"sky"})"#), "{ran:?}");
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_stops_the_upstream_call_and_keeps_the_text() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let user = User::with(json!({"text": "one two three", "gate": "g"})).await;
        user.mock.release("g", 1);
        let mut child = user.command(&["-m", "haiku", "x"]).spawn().expect("the command starts");
        let mut stdout = child.stdout.take().expect("piped");
        let (first, mut stdout) = tokio::task::spawn_blocking(move || {
            let mut bytes = [0; 3];
            stdout.read_exact(&mut bytes).expect("a token");
            (bytes, stdout)
        })
        .await
        .expect("no panic");
        assert_eq!(&first, b"one");
        let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill runs");
        assert!(sent.success());
        let ran = finish(child).await;
        assert_eq!(ran.code, Some(code), "{ran:?}");
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).expect("readable");
        assert_eq!(rest.trim_start_matches(' '), "\n");
        user.mock.wait_until(|stats| stats.hung_up == 1).await;
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_works_before_the_first_token() {
    let user = User::with(json!({"hang": "head"})).await;
    let child = user.command(&["-m", "haiku", "x"]).spawn().expect("the command starts");
    user.mock.wait_until(|stats| stats.requests == 1).await;
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    let ran = finish(child).await;
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(130), "", ""));
    user.mock.wait_until(|stats| stats.hung_up == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_who_leaves_ends_it_quietly() {
    let user = User::with(json!({"text": "line\n".repeat(500), "tokens_per_s": 1000.0})).await;
    let mut child = user.command(&["-m", "haiku", "x"]).spawn().expect("the command starts");
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    tokio::task::spawn_blocking(move || stdout.read_line(&mut String::new()).expect("a line")).await.expect("no panic");
    let ran = finish(child).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    user.mock.wait_until(|stats| stats.hung_up == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_configuration_keys_of_the_environment_do() {
    let user = User::new().await;
    fs::remove_file(user.config_path()).expect("there");
    let ran = finish(user.command(&["models"]).env("OPENAI_API_KEY", "sk-x").spawn().expect("starts")).await;
    assert!(ran.code == Some(0) && ran.stdout.contains("haiku3") && ran.stdout.contains("key set"), "{ran:?}");
    let ran = finish(user.command(&["hi"]).env_remove("ANTHROPIC_API_KEY").spawn().expect("starts")).await;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("xllm --init"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_without_a_key_exits_3_and_reaches_nobody() {
    let user = User::new().await;
    let ran = user.run(&["--proxy-url", "http://127.0.0.1:1", "-m", "haiku", "x"]).await;
    assert_eq!(ran.code, Some(3));
    assert!(ran.stderr.contains("xllm key set"), "{}", ran.stderr);
    let ran = finish(
        user.command(&["x"]).env("XLLM_PROXY_URL", "h:1").env("XLLM_PROXY_KEY", "xllm1_hunter2").spawn().expect("starts"),
    )
    .await;
    assert!(ran.code == Some(3) && !ran.stderr.contains("hunter2"), "{ran:?}");
    assert!(user.mock.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_is_not_there_exits_3() {
    let user = User::new().await;
    user.configure("[models.x]\nurl = \"http://127.0.0.1:1\"\nmodel = \"m\"\n");
    let ran = user.run(&["-m", "x", "hi"]).await;
    assert_eq!(ran.code, Some(3));
    assert!(ran.stderr.contains("cannot connect to 127.0.0.1:1"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folders_own_config_toml_is_used_only_if_it_is_ours() {
    let user = User::with(json!({"text": "ok"})).await;
    let here = user.home.path().join("config.toml");
    fs::write(&here, "[site]\ntitle = \"x\"\n").expect("writable");
    let ran = user.run(&["-v", "-m", "haiku", "x"]).await;
    assert!(ran.code == Some(0) && ran.stderr.contains("not a configuration of xllm: skipped"), "{ran:?}");
    fs::write(&here, "[global]\nprxy = true\n").expect("writable");
    let ran = user.run(&["-m", "haiku", "x"]).await;
    assert_eq!(ran.code, Some(2));
    assert_eq!(ran.stderr, "xllm: config.toml:2: unknown key `prxy` in [global]\n      did you mean `proxy`?\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn verbose_tells_what_is_done_but_no_secret() {
    let user = User::new().await;
    let ran = user.run(&["-v", "-m", "haiku", "private words"]).await;
    assert!(ran.stderr.contains("model: claude/claude-haiku-4-5") && ran.stderr.contains("HTTP 200"), "{ran:?}");
    assert!(!ran.stderr.contains("hidden") && !ran.stderr.contains("private"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn init_writes_a_file_that_works_and_never_twice() {
    let user = User::new().await;
    fs::remove_file(user.config_path()).expect("there");
    let ran = user.run(&["--init", "--proxy-url", "http://relay:50051"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains(".config/xllm/config.toml") && ran.stdout.contains("xllm key set"));
    let ran = user.run(&["-m", "haiku", "x"]).await;
    assert_eq!(ran.code, Some(3), "it goes to the proxy, whose key is missing: {ran:?}");
    assert_eq!(user.run(&["--init"]).await.code, Some(2));
    assert_eq!(user.run(&["--init", "--force"]).await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_errors_exit_2() {
    let user = User::new().await;
    for args in [
        &[][..],
        &["--nonsense"],
        &["-m", "nobody", "x"],
        &["-o", "x", "hi"],
        &["--file", "missing", "hi"],
        &["--config", "missing", "hi"],
    ] {
        let ran = user.run(args).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{args:?} {ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn completions_and_help_are_printed() {
    let user = User::new().await;
    for shell in ["bash", "zsh", "fish"] {
        assert!(user.run(&["completions", shell]).await.stdout.contains("max-tokens"), "{shell}");
    }
    assert!(user.run(&["--help"]).await.stdout.contains("Examples:"));
}
