//! `xllm gateway -- COMMAND`.
#![cfg(unix)]

use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;

use crate::support::{Said, Start, World, finish, signal};

/// Runs a line of the shell behind a gateway.
macro_rules! sh {
    ($world:expr, $line:expr) => {
        sh!($world, $line, Start::default())
    };
    ($world:expr, $line:expr, $start:expr) => {
        $world.run(Start { args: &["--", "sh", "-c", $line], ..$start }).await
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_finds_the_base_urls_in_its_environment() {
    let world = World::new().await;
    let ran = sh!(world, "echo $OPENAI_BASE_URL $OPENAI_API_BASE $ANTHROPIC_BASE_URL $GOOGLE_GEMINI_BASE_URL");
    let [openai, older, anthropic, gemini] = ran.stdout.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{ran:?}") };
    let root = openai.strip_suffix("/openai/v1").expect("the route");
    assert!(root.starts_with("http://127.0.0.1:") && older == openai, "{ran:?}");
    assert_eq!((anthropic, gemini), (&*format!("{root}/anthropic"), &*format!("{root}/gemini")));
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_programs_requests_go_through_the_relay() {
    let world = World::new().await;
    // Bash's own sockets: no client need be installed.
    let line = "url=${ANTHROPIC_BASE_URL#http://}; host=${url%%/*}; exec 3<>/dev/tcp/${host%:*}/${host#*:}; \
                printf 'GET /anthropic/raw/binary HTTP/1.1\\r\\nhost: %s\\r\\nconnection: close\\r\\n\\r\\n' $host >&3; head -1 <&3";
    // A token is for callers beyond this machine: a program has none.
    for config in ["", "[gateway]\ntoken = \"0123456789abcdef\""] {
        let ran = world.run(Start { args: &["--", "bash", "-c", line], config, ..Start::default() }).await;
        assert_eq!((ran.code, ran.stdout.trim_end()), (Some(0), "HTTP/1.1 200 OK"), "{ran:?}");
    }
    assert_eq!(world.mock.requests()[0].path, "/raw/binary");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_programs_exit_code_is_the_gateways() {
    let world = World::new().await;
    for (line, code) in [("true", 0), ("exit 7", 7), ("exit 255", 255), ("kill -9 $$", 137), ("kill -TERM $$", 143)] {
        let ran = sh!(world, line);
        assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(code), "", ""), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_cannot_be_run_ends_as_in_a_shell() {
    let world = World::new().await;
    let ran = world.run(Start { args: &["--", "no-such-program"], ..Start::default() }).await;
    assert!(ran.code == Some(127) && ran.stderr.contains("no-such-program"), "{ran:?}");
    let ran = world.run(Start { args: &["--", "/"], ..Start::default() }).await;
    assert!(ran.code == Some(126) && ran.stderr.contains("cannot run /"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_to_the_gateway_reaches_the_program() {
    let world = World::new().await;
    for (name, code) in [("TERM", 21), ("INT", 22), ("HUP", 23)] {
        let line = format!("trap 'exit {code}' {name}; echo ready; while :; do sleep 0.05; done");
        let mut command = world.command(&Start { args: &["--", "sh", "-c", &line], ..Start::default() });
        let mut child = command.spawn().expect("the command starts");
        let mut stdout = Said::of(child.stdout.take().expect("piped"));
        stdout.until(|said| said == "ready\n").await;
        signal(name, &child).await;
        assert_eq!(finish(child).await.code, Some(code), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn input_and_output_are_the_programs_own() {
    let world = World::new().await;
    let mut command = world.command(&Start { args: &["-v", "--", "sh", "-c", "cat; echo problem >&2"], ..Start::default() });
    let mut child = command.stdin(Stdio::piped()).env("XLLM_LOG", "off").spawn().expect("the command starts");
    let bytes: String = "any text\n".repeat(10_000);
    let mut stdin = child.stdin.take().expect("piped");
    let sent = bytes.clone();
    tokio::spawn(async move { stdin.write_all(sent.as_bytes()).await.expect("it reads") });
    let ran = finish(child).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), "problem\n"));
    assert_eq!(ran.stdout, bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_programs_have_a_gateway_each() {
    let world = World::new().await;
    let line = "echo $OPENAI_BASE_URL; read line";
    let mut programs = Vec::new();
    let mut links = Vec::new();
    for _ in 0..3 {
        let mut command = world.command(&Start { args: &["--", "sh", "-c", line], ..Start::default() });
        let mut child = command.stdin(Stdio::piped()).spawn().expect("the command starts");
        let mut stdout = Said::of(child.stdout.take().expect("piped"));
        links.push(stdout.until(|said| said.ends_with('\n')).await);
        programs.push(child);
    }
    links.sort();
    links.dedup();
    assert_eq!(links.len(), 3, "{links:?}");
    for mut child in programs {
        drop(child.stdin.take());
        assert_eq!(finish(child).await.code, Some(1), "of `read` at the end of its input");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn placeholders_stand_in_for_configured_keys_and_for_no_others() {
    let world = World::new().await;
    let line = "echo $OPENAI_API_KEY,$ANTHROPIC_API_KEY";
    let start = || Start { openai: "api_key = \"sk-hidden\"", ..Start::default() };
    assert_eq!(sh!(world, line, start()).stdout, "held-by-xllm-gateway,\n");
    let own = [("OPENAI_API_KEY", "own"), ("ANTHROPIC_API_KEY", "too")];
    assert_eq!(sh!(world, line, Start { env: &own, ..start() }).stdout, "own,too\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_programs_http_proxy_is_not_asked_for_the_gateway() {
    let world = World::new().await;
    let env = [("HTTP_PROXY", "http://proxy.example:1"), ("NO_PROXY", "a.example")];
    let ran = sh!(world, "echo $NO_PROXY $no_proxy", Start { env: &env, ..Start::default() });
    assert_eq!(ran.stdout, "a.example,127.0.0.1,localhost a.example,127.0.0.1,localhost\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_under_way_end_with_the_program() {
    let world = World::new().await;
    let line = "url=${ANTHROPIC_BASE_URL#http://}; host=${url%%/*}; exec 3<>/dev/tcp/${host%:*}/${host#*:}; \
                printf 'GET /anthropic/raw/hang HTTP/1.1\\r\\nhost: %s\\r\\n\\r\\n' $host >&3; read line; exit 5";
    let mut command = world.command(&Start { args: &["--", "bash", "-c", line], ..Start::default() });
    let mut child = command.stdin(Stdio::piped()).spawn().expect("the command starts");
    crate::support::soon(world.mock.wait_until(|stats| stats.requests == 1)).await;
    drop(child.stdin.take());
    assert_eq!(finish(child).await.code, Some(5));
    crate::support::soon(world.mock.wait_until(|stats| stats.hung_up == 1)).await;
}
