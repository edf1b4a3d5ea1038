//! The admin listener: what can be asked, by whom, and how much.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    process::{Command, Output},
};

use super::{
    ADMIN,
    scrape::{get, send, value, wait_for},
    support::{child::Stand, within},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Runs the server's binary with nothing of this machine's in its environment.
async fn run(arguments: &[&str], admin: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_xllm-proxy"));
    command.args(arguments).args(["--admin", admin]).env_clear().env("HOME", folder.path());
    let output = move || {
        let output = command.output().unwrap();
        drop(folder);
        output
    };
    within("the command", tokio::task::spawn_blocking(output)).await.unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

#[tokio::test]
async fn every_route_answers_and_all_else_is_refused() {
    let stand = Stand::with(ADMIN, &[]).await;
    let admin = stand.server.admin.unwrap();
    for (head, status) in [
        ("GET /healthz HTTP/1.1", 200),
        ("HEAD /healthz HTTP/1.1", 200),
        ("GET /readyz HTTP/1.1", 200),
        ("GET /metrics HTTP/1.1", 200),
        ("GET /metrics?x=1 HTTP/1.1", 200),
        ("GET / HTTP/1.1", 404),
        ("GET /debug HTTP/1.1", 404),
        ("POST /metrics HTTP/1.1", 405),
        ("DELETE /healthz HTTP/1.1", 405),
        ("GET /reload HTTP/1.1", 405),
        ("POST /reload HTTP/1.1", 403),
        ("POST /reload HTTP/1.1\r\nx-xllm-admin: 1\r\ncontent-length: 5", 413),
        ("POST /reload HTTP/1.1\r\nx-xllm-admin: 1\r\ncontent-length: 0", 200),
    ] {
        let answer = send(admin, &format!("{head}\r\nhost: {admin}")).await;
        assert_eq!(answer.status, status, "{head}: {answer:?}");
        assert!(!answer.head.to_ascii_lowercase().contains("access-control"), "{answer:?}");
    }
    let rebound = send(admin, "GET /metrics HTTP/1.1\r\nhost: evil.example:50052").await;
    assert!(rebound.status == 403 && !rebound.body.contains("xllm_"), "{rebound:?}");
    let reload = "POST /reload HTTP/1.1\r\nx-xllm-admin: 1\r\nhost: ";
    assert_eq!(send(admin, &format!("{reload}evil.example")).await.status, 403);
    wait_for(admin, &[(r#"xllm_config_reloads_total{result="ok"}"#, 1.0)]).await;
    // Load balancers ask without a host.
    assert_eq!(send(admin, "GET /readyz HTTP/1.0").await.status, 200);
    assert_eq!(send(admin, "POST /reload HTTP/1.0\r\nx-xllm-admin: 1").await.status, 403);
}

#[tokio::test]
async fn both_texts_of_prometheus_can_be_had() {
    let stand = Stand::with(ADMIN, &[]).await;
    let admin = stand.server.admin.unwrap();
    let plain = get(admin, "/metrics").await;
    assert!(plain.head.contains("text/plain; version=0.0.4") && !plain.body.contains("# EOF"), "{plain:?}");
    let accept = "accept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3";
    let open = send(admin, &format!("GET /metrics HTTP/1.1\r\nhost: {admin}\r\n{accept}")).await;
    assert!(open.head.contains("application/openmetrics-text; version=1.0.0") && open.body.ends_with("# EOF\n"), "{open:?}");
    for text in [&plain.body, &open.body] {
        assert_eq!(value(text, "xllm_sessions_opened_total"), Some(0.0), "{text}");
        assert!(text.contains("# HELP xllm_added_seconds The longest time") && text.contains("le=\"+Inf\""), "{text}");
    }
}

#[tokio::test]
async fn a_reload_that_fails_says_why_and_is_counted() {
    let stand = Stand::with(ADMIN, &[]).await;
    let admin = stand.server.admin.unwrap();
    let clients = stand.server.folder().join("clients.toml");
    let whole = fs::read_to_string(&clients).unwrap();
    fs::write(&clients, "nonsense = ").unwrap();
    let head = format!("POST /reload HTTP/1.1\r\nx-xllm-admin: 1\r\nhost: {admin}");
    let answer = send(admin, &head).await;
    assert!(answer.status == 422 && answer.body.contains("clients.toml"), "{answer:?}");
    let output = run(&["reload"], &admin.to_string()).await;
    assert!(!output.status.success() && said(&output).contains("clients.toml"), "{}", said(&output));
    fs::write(&clients, whole).unwrap();
    let output = run(&["reload"], &admin.to_string()).await;
    assert!(output.status.success() && said(&output).contains("in force: 1 clients"), "{}", said(&output));
    let (failed, ok) = (r#"xllm_config_reloads_total{result="failed"}"#, r#"xllm_config_reloads_total{result="ok"}"#);
    let text = wait_for(admin, &[(failed, 2.0), (ok, 1.0)]).await;
    let since = |name: &str| value(&text, name).unwrap();
    assert!(since("xllm_config_last_reload_success_timestamp_seconds") + 1.0 > since("process_start_time_seconds"), "{text}");
}

#[tokio::test]
async fn who_is_slow_or_says_too_much_is_let_down_and_the_others_are_answered() {
    let stand = Stand::with(ADMIN, &[]).await;
    let admin = stand.server.admin.unwrap();
    // More than may be open at once, none of which says anything: each has its place for five seconds at most.
    let mut silent = Vec::new();
    for _ in 0..80 {
        silent.push(TcpStream::connect(admin).await.unwrap());
    }
    assert_eq!(get(admin, "/healthz").await.status, 200);
    let long = "x".repeat(9000);
    for head in [format!("GET /{long} HTTP/1.1\r\nhost: {admin}"), format!("GET / HTTP/1.1\r\nhost: {admin}\r\nx: {long}")] {
        let mut stream = TcpStream::connect(admin).await.unwrap();
        let mut answer = Vec::new();
        let asked = async {
            let _ = stream.write_all(format!("{head}\r\n\r\n").as_bytes()).await;
            let _ = stream.read_to_end(&mut answer).await;
        };
        within("the end of a head that is too long", asked).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
}

#[tokio::test]
async fn a_container_can_ask_whether_its_server_is_well() {
    let mut stand = Stand::with(ADMIN, &[]).await;
    let admin = stand.server.admin.unwrap().to_string();
    for (arguments, text) in [(&["healthcheck"][..], "ok\n"), (&["healthcheck", "--ready"], "ready\n")] {
        let output = run(arguments, &admin).await;
        assert!(output.status.success() && said(&output) == text, "{}", said(&output));
    }
    // A file that a reload would refuse makes nobody ill.
    let broken = stand.server.folder().join("broken.toml");
    fs::write(&broken, "listen = ").unwrap();
    let output = run(&["healthcheck", "--config", broken.to_str().unwrap()], &admin).await;
    assert!(output.status.success(), "{}", said(&output));
    stand.server.terminate();
    assert!(stand.server.exited().await);
    let output = run(&["healthcheck"], &admin).await;
    assert!(!output.status.success() && said(&output).contains("cannot ask"), "{}", said(&output));
    let output = run(&["reload"], "off").await;
    assert!(!output.status.success() && said(&output).contains("SIGHUP"), "{}", said(&output));
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let output = run(&["healthcheck"], &deaf.local_addr().unwrap().to_string()).await;
    assert!(!output.status.success() && said(&output).contains("no answer within 3 s"), "{}", said(&output));
}

#[tokio::test]
async fn an_address_that_was_asked_for_and_is_taken_is_an_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = taken.local_addr().unwrap();
    let output = run(&["--listen", "127.0.0.1:0"], &address.to_string()).await;
    assert!(!output.status.success() && said(&output).contains("the admin listener"), "{}", said(&output));
}

#[tokio::test]
async fn a_listener_that_other_machines_reach_is_warned_of() {
    let stand = Stand::with("[admin]\nlisten = '0.0.0.0:0'\n", &[]).await;
    stand.server.logged(&["WARN", "open to other machines"]).await;
    let port = stand.server.admin.unwrap().port();
    assert_eq!(get(([127, 0, 0, 1], port).into(), "/healthz").await.status, 200);
}
