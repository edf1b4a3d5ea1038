//! Through the relay.

use std::{io::Read as _, process::Command};

use serde_json::json;
use xllm_proxy::server::Keys;

use crate::support::{Ran, User, configure, configure_refused_key, finish, user_behind_relay};

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_comes_through_the_relay_streamed_or_whole() {
    let user = user_behind_relay(json!({"text": "Hello, **you** 👋!"}), true).await;
    for model in ["haiku3", "gpt-4o"] {
        for mode in [&[][..], &["--no-stream"]] {
            let ran = user.run(&[&["-m", model, "Hello world"], mode].concat()).await;
            assert_eq!(
                (ran.code, ran.stdout.as_str(), ran.stderr.as_str()),
                (Some(0), "Hello, **you** 👋!\n", ""),
                "{model} {mode:?}"
            );
        }
    }
    assert_eq!(user.mock.requests()[0].header("x-api-key"), Some("sk-ant-hidden"));
    assert_eq!(user.mock.hung_up(), 0, "a complete answer cancels nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apis_error_comes_through_the_relay() {
    let user = user_behind_relay(json!({"error_status": 429, "retry_after": 20}), true).await;
    let ran = user.run(&["-m", "haiku", "x"]).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("HTTP 429") && ran.stderr.contains("retry after 20 s"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_breaks_off_is_the_upstreams_fault() {
    let user = user_behind_relay(json!({"text": "one two three four", "drop_after": 2}), true).await;
    let ran = user.run(&["-m", "haiku", "x"]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.starts_with("one") && ran.stderr.contains("incomplete"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_relay_refuses_exits_3() {
    let user = user_behind_relay(json!({}), false).await;
    let ran = user.run(&["-m", "haiku", "x"]).await;
    assert!(ran.code == Some(3) && ran.stderr.contains("origin-not-allowed"), "{ran:?}");
    configure_refused_key(&user).await;
    let ran = user.run(&["-m", "haiku", "x"]).await;
    assert!(ran.code == Some(3) && ran.stderr.contains("key-refused"), "{ran:?}");
    assert!(!ran.stderr.contains("xllm1_"), "{ran:?}");
    assert!(user.mock.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_not_there_exits_3() {
    let user = User::new().await;
    let (_, credential) = Keys::ephemeral("test").expect("randomness");
    configure(&user, "http://127.0.0.1:1", &credential.reveal());
    let ran: Ran = user.run(&["-m", "haiku", "x"]).await;
    assert!(ran.code == Some(3) && ran.stderr.contains("127.0.0.1:1"), "{ran:?}");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_stops_the_upstream_call_behind_the_relay() {
    let user = user_behind_relay(json!({"text": "one two three", "gate": "g"}), true).await;
    user.mock.release("g", 1);
    let mut child = user.command(&["-m", "haiku", "x"]).spawn().expect("the command starts");
    let mut stdout = child.stdout.take().expect("piped");
    let stdout = tokio::task::spawn_blocking(move || {
        stdout.read_exact(&mut [0; 3]).expect("a token");
        stdout
    });
    let _stdout = stdout.await.expect("no panic");
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert_eq!(finish(child).await.code, Some(130));
    user.mock.wait_until(|stats| stats.hung_up == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_public_id_of_a_key_is_shown_and_nothing_else() {
    let user = User::new().await;
    let (_, credential) = Keys::ephemeral("test").expect("randomness");
    configure(&user, "http://127.0.0.1:1", &credential.reveal());
    let ran = user.run(&["key", "show-id"]).await;
    assert_eq!(ran.stdout, format!("{}  from proxy_key in the configuration\n", credential.key_id));
}
