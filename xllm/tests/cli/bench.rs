//! `xllm bench`: what it sends, what it says, and what it leaves. Nothing here depends on how fast the machine is.

use std::{fs, process::Command};

use mock_llm::MockLlm;
use serde_json::{Value, json};

use crate::support::{Ran, User, configure, configure_refused_key, finish, relay_to_end, user_behind_relay};

fn document(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// What holds of every document, whatever was measured.
fn check(document: &Value) {
    assert_eq!((&document["schema"], &document["version"]), (&json!("xllm-bench"), &json!(1)));
    let routes = document["parameters"]["routes"].as_array().expect("routes");
    let defined: Vec<_> = list(&document["definitions"]).iter().map(|found| found["metric"].clone()).collect();
    for (number, step) in list(&document["steps"]).iter().enumerate() {
        let rows = list(&step["requests"]);
        assert_eq!(list(&step["routes"]).len(), routes.len());
        for (route, found) in routes.iter().zip(list(&step["routes"])) {
            let own: Vec<_> = rows.iter().filter(|row| row["route"] == *route).collect();
            let of = |outcome: &str| own.iter().filter(|row| row["outcome"] == outcome).count();
            let counts = json!({"sent": own.len(), "done": of("done"), "failed": of("failed"), "cancelled": of("cancelled")});
            assert_eq!((&found["route"], &found["counts"]), (route, &counts));
            for metric in list(&found["metrics"]) {
                assert!(defined.contains(&metric["metric"]), "{metric}");
                let five = ["min", "p50", "p90", "p99", "p99_9", "max"].map(|name| metric[name].as_f64().expect("a number"));
                assert!(five.windows(2).all(|pair| pair[0] <= pair[1]), "{metric}");
                let binned: u64 = list(&metric["histogram"]["counts"]).iter().filter_map(Value::as_u64).sum();
                assert_eq!(json!(binned), metric["count"]);
            }
        }
        for row in rows {
            assert_eq!(row["step"], json!(number));
            assert!(row["sent"].as_f64() >= row["scheduled"].as_f64(), "{row}");
            let values = row["values"].as_object().expect("values");
            assert_eq!(values.is_empty(), row["outcome"] != "done", "{row}");
            assert_eq!(row["failure"].is_null(), row["outcome"] != "failed", "{row}");
        }
        for found in list(&step["differences"]) {
            let three = ["low", "estimate", "high"].map(|name| found[name].as_f64().expect("a number"));
            assert!(three[0] <= three[1] && three[1] <= three[2], "{found}");
        }
    }
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().expect("a list")
}

fn counts(document: &Value, step: usize, route: usize) -> &Value {
    &document["steps"][step]["routes"][route]["counts"]
}

/// Bodies of the requests, as text.
fn bodies(mock: &MockLlm) -> Vec<String> {
    mock.requests().iter().map(|request| String::from_utf8_lossy(&request.body).into_owned()).collect()
}

/// What it said, the lines apart that tell a slow machine's user how far it is.
fn complaints(ran: &Ran) -> Vec<&str> {
    let progress = ["xllm: setting up", "xllm: warm-up", "xllm: measuring", "xllm: working out"];
    ran.stderr.lines().filter(|line| !progress.iter().any(|start| line.starts_with(start))).collect()
}

fn assert_no_secret(ran: &Ran) {
    for secret in ["xllm1_", "sk-ant-hidden", "sk-openai", "sk-demo"] {
        assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret), "{secret} in {ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demonstration_needs_nothing_and_says_first_what_the_proxy_adds() {
    let user = User::new().await;
    user.configure("broken");
    let ran = user.run(&["bench", "--demo", "-n", "6", "--json", "result.json", "--csv", "rows.csv", "--timings"]).await;
    assert_eq!((ran.code, complaints(&ran)), (Some(0), Vec::new()), "{ran:?}");
    assert!(ran.stdout.starts_with("The proxy ") && ran.stdout.contains("first token"), "{}", ran.stdout);
    for definition in ["TTFT, ms = ", "TPOT (vLLM), ms = ", "TPOT (GuideLLM), ms = ", "ITL (LLMPerf), ms = "] {
        assert!(ran.stdout.contains(definition), "{definition} in {}", ran.stdout);
    }
    assert!(!ran.stdout.contains('\x1b'));
    let document = document(&fs::read_to_string(user.home.path().join("result.json")).expect("written"));
    check(&document);
    let all = json!({"sent": 6, "done": 6, "failed": 0, "cancelled": 0});
    assert!((0..2).all(|route| *counts(&document, 0, route) == all), "{document}");
    let proxied = list(&document["steps"][0]["typical"]["proxied"]);
    for token in proxied {
        let parts = ["upstream", "proxy", "network"].map(|part| token["split"][part].as_f64().expect("stamped"));
        assert!((parts.iter().sum::<f64>() - token["at"].as_f64().expect("a time")).abs() < 1e-6, "{token}");
    }
    assert_eq!(proxied.len(), 40);
    let rows = fs::read_to_string(user.home.path().join("rows.csv")).expect("written");
    assert_eq!(rows.lines().count(), 1 + 12);
    let columns = rows.lines().next().expect("a head").split(',').count();
    assert!(rows.lines().all(|row| row.split(',').count() == columns), "{rows}");
    assert_no_secret(&ran);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_apis_are_asked_the_same_both_ways() {
    for (model, path) in [("haiku", "/v1/messages"), ("gpt-4o", "/v1/chat/completions")] {
        let user = user_behind_relay(json!({"text": "one two three"}), true).await;
        let ran = user.run(&["bench", "-m", model, "-n", "3", "--warm-up", "1", "--json"]).await;
        assert_eq!((ran.code, complaints(&ran)), (Some(0), Vec::new()), "{ran:?}");
        let document = document(&ran.stdout);
        check(&document);
        assert!((0..2).all(|route| counts(&document, 0, route)["done"] == 3), "{document}");
        assert!(list(&document["steps"][0]["requests"]).iter().all(|row| row["tokens"] == 3 && row["events"] == 3));
        let requests = user.mock.requests();
        assert!(requests.len() == 8 && requests.iter().all(|request| request.path == path));
        // Of each pair, both were asked the same, and nothing else is: three prompts were measured, another was for warming up.
        let mut bodies = bodies(&user.mock);
        bodies.sort();
        bodies.dedup();
        assert_eq!(bodies.len(), 4);
        assert!(document["parameters"]["seed"].is_u64(), "what was drawn can be repeated");
        assert_eq!(user.mock.hung_up(), 0);
        assert_no_secret(&ran);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn warming_up_puts_all_workers_on_one_route_at_a_time() {
    let user = user_behind_relay(json!({"error_status": 401}), true).await;
    let ran = user.run(&["bench", "-m", "haiku", "--concurrency", "3"]).await;
    assert!(ran.code == Some(1) && ran.stderr.contains("HTTP 401"), "{ran:?}");
    // The direct requests of three workers; what is broken there is told before one goes through the proxy.
    assert_eq!(user.mock.requests().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_route_can_be_left_out() {
    let user = user_behind_relay(json!({"text": "one two"}), true).await;
    for (flag, route) in [("--direct-only", "direct"), ("--proxy-only", "proxied")] {
        let ran = user.run(&["bench", "-m", "haiku", flag, "-n", "2", "--warm-up", "1", "--json"]).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let document = document(&ran.stdout);
        check(&document);
        assert_eq!(document["parameters"]["routes"], json!([route]));
        assert_eq!((counts(&document, 0, 0)["done"].clone(), &document["steps"][0]["differences"]), (json!(2), &json!([])));
    }
    assert_eq!(user.mock.requests().len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_has_a_step_for_each_load_and_an_open_loop_keeps_its_schedule() {
    let user = User::new().await;
    let url = user.mock.url();
    let target = ["bench", "--target", &url, "-m", "m", "--key-env", "ANTHROPIC_API_KEY", "--direct-only", "--json"];
    let ran = user.run(&[&target[..], &["--concurrency", "1,3", "-n", "4"]].concat()).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let closed = document(&ran.stdout);
    check(&closed);
    assert_eq!(closed["steps"][1]["load"], json!({"kind": "closed", "concurrency": 3}));
    assert!((0..2).all(|step| counts(&closed, step, 0)["done"] == 4), "{closed}");
    let ran = user
        .run(&[&target[..], &["--rate", "100,200", "--arrivals", "constant", "-n", "5", "--slo", "ttft=1h,e2e=1us"]].concat())
        .await;
    assert_eq!(ran.code, Some(2), "an hour is no unit of a limit: {ran:?}");
    let ran = user
        .run(&[&target[..], &["--rate", "100,200", "--arrivals", "constant", "-n", "5", "--slo", "e2e=9000s"]].concat())
        .await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let open = document(&ran.stdout);
    check(&open);
    for (step, gap) in [(0, 10.0), (1, 5.0)] {
        for (number, row) in list(&open["steps"][step]["requests"]).iter().enumerate() {
            let due = gap * f64::from(u32::try_from(number).expect("few"));
            assert!((row["scheduled"].as_f64().expect("a time") - due).abs() < 1e-6, "{row}");
            let values = &row["values"];
            let late = row["sent"].as_f64().expect("a time") - due;
            let (from_due, from_sent) = (values["e2e"].as_f64().expect("ended"), values["e2e_sent"].as_f64().expect("ended"));
            assert!((from_due - from_sent - late).abs() < 1e-6, "both are kept: {row}");
        }
        assert_eq!(open["steps"][step]["routes"][0]["goodput"]["share"], json!(1.0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_of_the_pairs_is_cancelled() {
    let user = user_behind_relay(json!({"text": "one two three"}), true).await;
    let args = ["bench", "-m", "haiku", "-n", "6", "--cancel", "0.5", "--cancel-after", "1", "--seed", "1", "--json"];
    let ran = user.run(&args).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let document = document(&ran.stdout);
    check(&document);
    let cancelled = counts(&document, 0, 0)["cancelled"].as_u64().expect("a count");
    assert!(cancelled > 0 && cancelled < 6, "{document}");
    assert_eq!(counts(&document, 0, 0), counts(&document, 0, 1), "pairs are cancelled as a whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_provider_sees_that_a_request_is_cancelled() {
    let user = user_behind_relay(json!({"text": "one two three", "gate": "g"}), true).await;
    // Enough for warming up both ways. What is measured waits at its first token, so none can end before it is cancelled.
    user.mock.release("g", 2 * 3);
    let args = ["bench", "-m", "haiku", "-n", "3", "--warm-up", "1", "--cancel", "1", "--cancel-after", "1", "--json"];
    let ran = user.run(&args).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let document = document(&ran.stdout);
    check(&document);
    let all = json!({"sent": 3, "done": 0, "failed": 0, "cancelled": 3});
    assert!((0..2).all(|route| *counts(&document, 0, route) == all), "{document}");
    user.mock.wait_until(|stats| stats.hung_up == 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_has_a_time_limit_in_all() {
    let user = User::with(json!({"text": "one two three", "gate": "g"})).await;
    user.mock.release("g", 3);
    let args = ["bench", "-m", "haiku", "--direct-only", "--warm-up", "1", "-n", "1", "--deadline", "1"];
    let ran = user.run(&args).await;
    assert!(ran.code == Some(1) && ran.stderr.contains("longer than --deadline allows"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn prompts_come_from_a_file_with_further_fields() {
    let user = User::new().await;
    let prompts = user.home.path().join("prompts.jsonl");
    fs::write(&prompts, "\"first\"\n\n{\"prompt\": \"second\", \"temperature\": 0.25}\n").expect("writable");
    let args = ["bench", "-m", "gpt-4o", "--direct-only", "-n", "4", "--prompts", "prompts.jsonl", "--quiet", "-o", "top_p=1"];
    let ran = user.run(&args).await;
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "", ""));
    let bodies: Vec<Value> = bodies(&user.mock).iter().map(|body| document(body)).collect();
    assert!(bodies.iter().all(|body| body["top_p"] == 1 && body["stream"] == true && body["max_completion_tokens"] == 128));
    let second: Vec<_> = bodies.iter().filter(|body| body["messages"][0]["content"] == "second").collect();
    assert!(second.len() == 3 && second.iter().all(|body| body["temperature"] == 0.25), "{bodies:?}");
    fs::write(&prompts, "first\n").expect("writable");
    let ran = user.run(&args).await;
    assert!(ran.code == Some(2) && ran.stderr.contains("prompts.jsonl, line 1"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_broken_is_told_before_anything_is_measured() {
    let user = User::with(json!({"error_status": 401})).await;
    let ran = user.run(&["bench", "-m", "haiku", "--direct-only"]).await;
    assert!(ran.code == Some(1) && ran.stderr.contains("HTTP 401") && ran.stdout.is_empty(), "{ran:?}");
    assert!(user.mock.requests().len() <= 2, "no more than for warming up");
    let ran = user.run(&["bench", "--target", "http://127.0.0.1:1", "-m", "m", "--direct-only"]).await;
    assert!(ran.code == Some(3) && ran.stderr.contains("direct requests fail: cannot connect to 127.0.0.1:1"), "{ran:?}");
    let ran = user.run(&["bench", "-m", "haiku"]).await;
    assert!(ran.code == Some(2) && ran.stderr.contains("no proxy to measure") && ran.stderr.contains("--demo"), "{ran:?}");
    let ran = user.run(&["bench", "-m", "haiku", "--direct-only", "--json", "no/such/folder.json"]).await;
    assert!(ran.code == Some(2) && ran.stderr.contains("no/such/folder.json cannot be written"), "{ran:?}");
    let user = user_behind_relay(json!({}), false).await;
    let keyless = user.command(&["bench", "-m", "haiku"]).env_remove("ANTHROPIC_API_KEY").spawn().expect("starts");
    let ran = finish(keyless).await;
    assert!(
        ran.code == Some(2) && ran.stderr.contains("direct requests need") && ran.stderr.contains("--proxy-only"),
        "{ran:?}"
    );
    let ran = user.run(&["bench", "-m", "haiku"]).await;
    assert!(ran.code == Some(3) && ran.stderr.contains("proxied requests fail") && ran.stderr.contains("origin-not-allowed"));
    assert_no_secret(&ran);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_proxy_refuses_exits_3_before_anything_is_measured() {
    let user = User::new().await;
    configure_refused_key(&user).await;
    let ran = user.run(&["bench", "-m", "haiku", "--proxy-only"]).await;
    assert!(
        ran.code == Some(3) && ran.stderr.contains("proxied requests fail") && ran.stderr.contains("key-refused"),
        "{ran:?}"
    );
    assert_no_secret(&ran);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_goes_away_after_the_warm_up_exits_3_and_the_result_is_shown() {
    let user = User::with(json!({"text": "one two three", "gate": "g"})).await;
    let (address, key, running) = relay_to_end(&user, true).await;
    configure(&user, &address, &key);
    // Enough for warming up; what is measured first waits at its second token, and what is next finds nobody.
    user.mock.release("g", 3 + 1);
    let args = ["bench", "-m", "haiku", "--proxy-only", "-n", "2", "--warm-up", "1", "--json"];
    let child = user.command(&args).spawn().expect("the command starts");
    user.mock.wait_until(|stats| stats.completed == 1 && stats.requests == 2).await;
    running.abort();
    let ran = finish(child).await;
    assert!(ran.code == Some(3) && ran.stderr.contains("every request failed: "), "{ran:?}");
    let document = document(&ran.stdout);
    check(&document);
    assert_eq!(*counts(&document, 0, 0), json!({"sent": 2, "done": 0, "failed": 2, "cancelled": 0}));
    assert_no_secret(&ran);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_counted_by_reason_and_leave_no_times() {
    let user = User::with(json!({"text": "one two three", "retired": ["old"]})).await;
    fs::write(user.home.path().join("p"), "\"good\"\n{\"prompt\": \"bad\", \"model\": \"old\"}\n").expect("writable");
    let args = ["bench", "-m", "gpt-4o", "--direct-only", "-n", "5", "--warm-up", "1", "--prompts", "p"];
    let ran = user.run(&[&args[..], &["--json"]].concat()).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let document = document(&ran.stdout);
    check(&document);
    assert_eq!(*counts(&document, 0, 0), json!({"sent": 5, "done": 3, "failed": 2, "cancelled": 0}));
    let failures = &document["steps"][0]["routes"][0]["failures"];
    assert_eq!(*failures, json!([{"reason": "HTTP 404 (invalid_request_error)", "count": 2}]));
    assert!(list(&document["warnings"]).iter().any(|warning| warning["code"] == "failures"), "{document}");
    let ran = user.run(&args).await;
    assert!(ran.stdout.contains("2 × HTTP 404") && ran.stdout.contains("2 of 5 direct requests failed"), "{ran:?}");
    let user = User::with(json!({"text": "one two three", "error_after": 1, "fail_attempts": 9, "attempt_key": "all"})).await;
    let ran = user.run(&["bench", "-m", "haiku", "--direct-only", "-n", "3", "--warm-up", "1"]).await;
    assert!(ran.code == Some(1) && ran.stderr.contains("the API gave up midway"), "{ran:?}");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_it_early_and_what_was_measured_is_shown() {
    let user = User::with(json!({"text": "one two three", "gate": "g"})).await;
    // Enough for warming up and two requests; the third waits at its second token.
    user.mock.release("g", 3 + 3 * 2 + 1);
    let child = user
        .command(&["bench", "-m", "haiku", "--direct-only", "-n", "9", "--warm-up", "1", "--json"])
        .spawn()
        .expect("the command starts");
    user.mock.wait_until(|stats| stats.completed == 3 && stats.requests == 4).await;
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    let ran = finish(child).await;
    assert_eq!(ran.code, Some(130), "{ran:?}");
    let document = document(&ran.stdout);
    check(&document);
    assert_eq!(document["interrupted"], json!(true));
    assert_eq!(*counts(&document, 0, 0), json!({"sent": 3, "done": 2, "failed": 0, "cancelled": 1}));
    user.mock.wait_until(|stats| stats.hung_up == 1).await;
}
