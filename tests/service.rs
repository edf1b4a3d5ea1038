//! The server as a service of Linux: what it tells systemd and is given by it, and what the kernel lets it do.

#![cfg(all(feature = "server", target_os = "linux"))]
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/mod.rs"]
mod support;

use std::{
    fs,
    net::TcpListener,
    os::fd::OwnedFd,
    process::{Command, Stdio},
};

use support::{
    child::Stand,
    request::{Bystander, get, whole},
    within,
};
use tokio::net::UnixDatagram;
use xllm_proxy::client::Client;

fn with_env(mut command: Command, name: &str, value: &str) -> Command {
    command.env(name, value);
    command
}

#[tokio::test]
async fn a_sandboxed_server_relays_and_takes_up_changed_clients() {
    let mut stand = Stand::started("", |command| with_env(command, "XLLM_PROXY_SANDBOX", "try")).await;
    let line = stand.server.logged(&["sandboxed"]).await;
    if !line.contains("sandboxed in full") {
        eprintln!("SKIPPED: {line}");
        return;
    }
    whole(&stand.client(), get(&stand.url("/raw/binary"))).await.unwrap();
    let credential = stand.server.add_client("phone");
    stand.server.logged(&["the list of clients has changed", "clients=2"]).await;
    let phone = Client::builder(&stand.server.address.to_string(), credential).unwrap().build();
    whole(&phone, get(&stand.url("/raw/binary"))).await.unwrap();
    // It is locked with the lock: a thread that was there before would not have it.
    let threads: Vec<_> = fs::read_dir(format!("/proc/{}/task", stand.server.pid())).unwrap().map(Result::unwrap).collect();
    assert!(threads.len() > 1);
    for thread in threads {
        let status = fs::read_to_string(thread.path().join("status")).unwrap();
        assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    }
    stand.server.terminate();
    assert!(stand.server.exited().await);
}

#[tokio::test]
async fn a_socket_that_was_passed_is_used() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let activated = |command: Command| {
        let mut shell = Command::new("sh");
        shell.args(["-c", "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\" 3<&0 </dev/null", "sh"]);
        shell.arg(command.get_program()).args(command.get_args()).stdin(Stdio::from(OwnedFd::from(socket)));
        shell
    };
    let mut stand = Stand::started("listen = '127.0.0.1:1'", activated).await;
    stand.server.logged(&["the socket is the service manager's"]).await;
    assert_eq!(stand.server.address, address);
    whole(&stand.client(), get(&stand.url("/raw/binary"))).await.unwrap();
    stand.server.terminate();
    assert!(stand.server.exited().await);
}

/// Waits for a message with this line.
async fn told(socket: &UnixDatagram, line: &str) {
    let mut message = [0; 4096];
    let wait = async {
        loop {
            let length = socket.recv(&mut message).await.unwrap();
            if String::from_utf8_lossy(&message[..length]).lines().any(|found| found.starts_with(line)) {
                return;
            }
        }
    };
    within(line, wait).await;
}

#[tokio::test]
async fn systemd_is_told_of_start_health_and_stop() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let notified = |command: Command| {
        let command = with_env(command, "XLLM_PROXY_SANDBOX", "try");
        with_env(with_env(command, "NOTIFY_SOCKET", path.to_str().unwrap()), "WATCHDOG_USEC", "200000")
    };
    let mut stand = Stand::started("", notified).await;
    told(&socket, "READY=1").await;
    told(&socket, "WATCHDOG=1").await;
    let client = stand.client();
    let bystander = Bystander::start(&client, &stand.mock, "bystander").await;
    stand.server.terminate();
    told(&socket, "STOPPING=1").await;
    // It may take its time, and is well meanwhile.
    told(&socket, "WATCHDOG=1").await;
    bystander.finish(&stand.mock).await;
    assert!(stand.server.exited().await);
}
