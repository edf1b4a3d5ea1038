//! `xllm doctor`: what it finds, and what it ends with.

use std::{fs, net::TcpListener, process::Command, time::Duration};

use serde_json::{Value, json};
use xllm_proxy::server::Keys;

use crate::support::{Ran, User, configure, configure_refused_key, finish, user_behind_relay};

/// Status and name of each line, in order.
fn lines(ran: &Ran) -> Vec<(&str, &str)> {
    let lines = ran.stdout.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    lines.map(|line| (line[2..11].trim(), line[11..26].trim())).collect()
}

fn status<'r>(ran: &'r Ran, name: &str) -> &'r str {
    lines(ran).into_iter().find(|line| line.1 == name).unwrap_or_else(|| panic!("{name} in {ran:?}")).0
}

/// What stands behind a name, with all that hangs below.
fn said(ran: &Ran, name: &str) -> String {
    let line = |line: &&str| line.starts_with("  ") && line.get(11..).is_some_and(|rest| rest.starts_with(name));
    let from = ran.stdout.lines().skip_while(|candidate| !line(candidate));
    from.enumerate().take_while(|(at, line)| *at == 0 || line.starts_with("   ")).map(|(_, line)| line).collect()
}

fn assert_no_secret(ran: &Ran) {
    for secret in ["xllm1_", "sk-ant-hidden", "sk-openai", "hunter2"] {
        let told = ran.stdout.replace("(xllm1_…)", "").replace("xllm1_…", "").replace("xllm1_ included", "");
        assert!(!told.contains(secret) && !ran.stderr.contains(secret), "{secret} in {ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_is_well_every_line_says_so() {
    let user = user_behind_relay(json!({}), true).await;
    let ran = user.run(&["doctor"]).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    let names = ["configuration", "credential", "proxy", "handshake", "round trip", "clock", "claude", "openai"];
    assert_eq!(lines(&ran), names.map(|name| ("ok", name)), "{ran:?}");
    assert!(said(&ran, "configuration").contains("~/.config/xllm/config.toml"), "{ran:?}");
    assert!(said(&ran, "handshake").contains("profile pad"), "{ran:?}");
    assert!(said(&ran, "claude").contains("HTTP 200"), "{ran:?}");
    assert!(!ran.stdout.contains('\x1b'), "no colours in a pipe");
    assert_no_secret(&ran);
    let mut asked: Vec<_> = user.mock.requests().iter().map(|request| (request.method.clone(), request.path.clone())).collect();
    asked.dedup();
    assert_eq!(asked, [("GET".to_owned(), "/v1/models".to_owned())], "nothing but lists of models was asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn json_holds_the_same() {
    let user = user_behind_relay(json!({}), false).await;
    let ran = user.run(&["doctor", "--json"]).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(3), ""), "{ran:?}");
    let rows: Vec<Value> = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(rows.len(), 8);
    assert!(rows.iter().all(|row| row.as_object().is_some_and(|row| row.len() == 4)), "{rows:?}");
    assert_eq!((&rows[5]["check"], &rows[5]["status"], &rows[5]["remedy"]), (&json!("clock"), &json!("ok"), &Value::Null));
    assert_eq!((&rows[6]["check"], &rows[6]["status"]), (&json!("claude"), &json!("failed")));
    assert!(rows[6]["remedy"].as_str().is_some_and(|remedy| remedy.contains("[origins] allow")), "{rows:?}");
    assert_no_secret(&ran);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_configuration_there_is_a_way_to_one() {
    let user = User::new().await;
    fs::remove_file(user.config_path()).expect("there");
    let mut command = user.command(&["doctor"]);
    let ran = finish(command.env_remove("ANTHROPIC_API_KEY").spawn().expect("starts")).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(status(&ran, "configuration") == "warning" && said(&ran, "configuration").contains("xllm --init"), "{ran:?}");
    assert!(status(&ran, "claude") == "warning" && said(&ran, "claude").contains("export ANTHROPIC_API_KEY"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_configuration_is_the_first_thing_to_mend() {
    let user = User::new().await;
    user.configure("[global]\nproxy_ulr = \"x\"\n");
    let ran = user.run(&["doctor"]).await;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(said(&ran, "configuration").contains("did you mean `proxy_url`?"), "{ran:?}");
    assert!(lines(&ran)[1..].iter().all(|line| line.0 == "skipped"), "{ran:?}");
    let ran = user.run(&["doctor", "--config", "no/such.toml", "--json"]).await;
    assert!(ran.code == Some(2) && serde_json::from_str::<Value>(&ran.stdout).is_ok(), "{ran:?}");
    user.configure("[global]\nproxy = true\n");
    let ran = user.run(&["doctor"]).await;
    assert!(ran.code == Some(2) && status(&ran, "proxy") == "failed", "{ran:?}");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn keys_that_others_can_read_are_a_warning() {
    let user = user_behind_relay(json!({}), true).await;
    fs::set_permissions(user.config_path(), std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("ours");
    let ran = user.run(&["doctor"]).await;
    assert!(ran.code == Some(0) && status(&ran, "configuration") == "warning", "{ran:?}");
    assert!(said(&ran, "configuration").contains("chmod 600"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_is_missing_or_malformed_is_told_apart() {
    let user = user_behind_relay(json!({}), true).await;
    let address = fs::read_to_string(user.config_path()).expect("there");
    let address = address.split('"').nth(1).expect("an address");
    for (key, told) in [("", "xllm key set"), ("xllm1_hunter2", "copy the whole line")] {
        configure(&user, address, key);
        let ran = user.run(&["doctor"]).await;
        assert_eq!(ran.code, Some(3), "{ran:?}");
        assert!(said(&ran, "credential").contains(told), "{ran:?}");
        let after = ["handshake", "round trip", "clock", "claude", "openai"];
        assert!(status(&ran, "proxy") == "ok" && after.iter().all(|name| status(&ran, name) == "skipped"), "{ran:?}");
        assert_no_secret(&ran);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_is_not_there_or_not_understood_skips_the_rest() {
    let user = User::new().await;
    let (_, credential) = Keys::ephemeral("test").expect("randomness");
    for (address, code, told) in [
        ("http://127.0.0.1:1", 3, "nothing listens there"),
        ("http://no-such-host.invalid:50051", 3, "has no address"),
        ("ftp://x", 2, "is not understood"),
        (&credential.reveal(), 2, "holds a key"),
    ] {
        configure(&user, address, &credential.reveal());
        let ran = user.run(&["doctor"]).await;
        assert_eq!((ran.code, status(&ran, "proxy")), (Some(code), "failed"), "{ran:?}");
        assert!(said(&ran, "proxy").contains(told) && said(&ran, "proxy").contains('→'), "{ran:?}");
        assert!(lines(&ran)[3..].iter().all(|line| line.0 == "skipped"), "{ran:?}");
        assert_no_secret(&ran);
    }
    assert!(user.mock.requests().is_empty(), "there is no silent way around a proxy");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_refused_is_not_a_proxy_that_is_silent() {
    let user = User::new().await;
    let key = configure_refused_key(&user).await;
    let ran = user.run(&["doctor"]).await;
    assert!(ran.code == Some(3) && status(&ran, "handshake") == "failed", "{ran:?}");
    let told = said(&ran, "handshake");
    assert!(told.contains("key-refused") && told.contains("xllm-proxy client add NAME"), "{ran:?}");
    assert_no_secret(&ran);

    let stranger = TcpListener::bind("127.0.0.1:0").expect("a free port");
    configure(&user, &format!("http://{}", stranger.local_addr().expect("bound")), &key);
    let ran = user.run(&["doctor", "--timeout", "1"]).await;
    assert_eq!((ran.code, status(&ran, "proxy"), status(&ran, "handshake")), (Some(3), "ok", "failed"), "{ran:?}");
    assert!(said(&ran, "handshake").contains("proxy-silent"), "{ran:?}");
    assert_eq!(status(&ran, "clock"), "skipped");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_is_not_allowed_is_for_whoever_runs_the_proxy() {
    let user = user_behind_relay(json!({}), false).await;
    let ran = user.run(&["doctor"]).await;
    assert_eq!((ran.code, status(&ran, "clock"), status(&ran, "openai")), (Some(3), "ok", "failed"), "{ran:?}");
    assert!(said(&ran, "openai").contains(&format!("[origins] allow = [\"{}\"]", user.mock.url())), "{ran:?}");
    assert!(user.mock.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_refuses_the_key_ends_it_with_1() {
    let user = user_behind_relay(json!({"error_status": 401}), true).await;
    let ran = user.run(&["doctor"]).await;
    assert_eq!((ran.code, status(&ran, "round trip"), status(&ran, "claude")), (Some(1), "ok", "failed"), "{ran:?}");
    assert!(said(&ran, "claude").contains("refuses the key") && said(&ran, "claude").contains('→'), "{ran:?}");
    assert_no_secret(&ran);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_hangs_is_not_waited_for() {
    for direct in [false, true] {
        let user = user_behind_relay(json!({"hang": "head"}), true).await;
        let way = if direct { &["--no-proxy"][..] } else { &[] };
        let ran = user.run(&[&["doctor", "--timeout", "2"], way].concat()).await;
        assert_eq!((ran.code, status(&ran, "claude"), status(&ran, "openai")), (Some(1), "failed", "failed"), "{ran:?}");
        assert!(said(&ran, "openai").contains("gave no answer within 2 s"), "{ran:?}");
        let gone = user.mock.wait_until(|stats| stats.hung_up == 2);
        tokio::time::timeout(Duration::from_secs(10), gone).await.expect("the calls are given up");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_proxy_providers_are_asked_directly() {
    let user = User::new().await;
    let ran = user.run(&["doctor"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let expected = ["ok", "skipped", "warning", "skipped", "skipped", "skipped", "ok", "ok"];
    assert_eq!(lines(&ran).iter().map(|line| line.0).collect::<Vec<_>>(), expected, "{ran:?}");
    assert_eq!(user.mock.requests().len(), 2);
    assert_no_secret(&ran);
    user.configure(&format!(
        "[models.x]\nurl = \"{}/team\"\napi_key = \"k\"\n[models.y]\nurl = \"http://127.0.0.1:1\"\n",
        user.mock.url()
    ));
    let ran = finish(user.command(&["doctor"]).env_remove("ANTHROPIC_API_KEY").spawn().expect("starts")).await;
    assert_eq!((ran.code, status(&ran, "x"), status(&ran, "y")), (Some(3), "warning", "failed"), "{ran:?}");
    assert!(said(&ran, "y").contains("cannot connect to 127.0.0.1:1") && said(&ran, "openai").contains("no key"), "{ran:?}");
    assert_eq!((status(&ran, "claude"), status(&ran, "openai")), ("skipped", "skipped"));
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_it_cleanly() {
    for mode in [&["doctor"][..], &["doctor", "--json"]] {
        let user = user_behind_relay(json!({"hang": "head"}), true).await;
        let child = user.command(mode).spawn().expect("the command starts");
        user.mock.wait_until(|stats| stats.requests == 2).await;
        Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
        let ran = finish(child).await;
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(130), ""), "{ran:?}");
        assert!(!ran.stdout.contains("claude"), "{ran:?}");
        user.mock.wait_until(|stats| stats.hung_up == 2).await;
    }
}
