//! Two servers with the same keys behind a real HAProxy, replaced one after the other under load.

#![cfg(all(feature = "server", target_os = "linux"))]
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/mod.rs"]
mod support;

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener},
    os::unix::net::{UnixDatagram, UnixStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use http_body_util::BodyExt;
use mock_llm::MockLlm;
use serde_json::json;
use support::{LIMIT, request::request};
use tower::Service;
use xllm_proxy::{client::Client, proto::Credential};

const BALANCER: &str = include_str!("../deploy/haproxy/haproxy.cfg");
/// Callers at once, by so many clients.
const CALLERS: usize = 48;
const CLIENTS: usize = 6;
const TURNS: usize = 10;
/// Answers that have to come between two turns: each caller has had both replicas then.
const BETWEEN: usize = 2 * CALLERS;

/// A process that is killed with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Replica {
    address: SocketAddr,
    command: Command,
    /// Where it says that it is ready.
    notify: UnixDatagram,
    running: Option<Running>,
}

impl Replica {
    fn new(folder: &Path, address: SocketAddr, upstream: &str) -> Self {
        let notify = folder.join(format!("notify-{}", address.port()));
        let log = fs::File::options().create(true).append(true).open(folder.join("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_xllm-proxy"));
        command.env_clear().env("NOTIFY_SOCKET", &notify).env("XLLM_PROXY_SANDBOX", "try");
        command.args(["--listen", &address.to_string(), "--admin", "off", "--allow", upstream, "--data-dir"]).arg(folder);
        command.arg("--config").arg(folder.join("config.toml")).stdin(Stdio::null()).stderr(log);
        let notify = UnixDatagram::bind(&notify).unwrap();
        notify.set_read_timeout(Some(LIMIT)).unwrap();
        let mut replica = Self { address, command, notify, running: None };
        replica.start();
        replica
    }

    /// Starts it, and waits until it says that it is ready.
    fn start(&mut self) {
        self.running = Some(Running(self.command.spawn().unwrap()));
        let mut message = [0; 4096];
        loop {
            let length = self.notify.recv(&mut message).expect("it gets ready");
            if message[..length].starts_with(b"READY=1") {
                return;
            }
        }
    }

    /// Stops it as a service manager does, and gives its exit code.
    fn stop(&mut self) -> Option<i32> {
        let mut running = self.running.take().expect("it runs");
        let pid = running.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        running.0.wait().unwrap().code()
    }
}

/// HAProxy with our configuration, at these addresses.
fn balancer(folder: &Path, address: SocketAddr, replicas: &[Replica]) -> Running {
    let socket = folder.join("haproxy.sock");
    let mut config = BALANCER.to_owned();
    // The probe is a connection here: it needs no port of its own.
    for (from, to) in [
        ("bind :50051", format!("bind {address}")),
        ("192.0.2.11:50051", replicas[0].address.to_string()),
        ("192.0.2.12:50051", replicas[1].address.to_string()),
        ("/run/haproxy/admin.sock", socket.display().to_string()),
        ("check port 50052", "check".into()),
        ("    option httpchk GET /readyz\n    http-check expect status 200\n", String::new()),
        ("maxconn 20000", "maxconn 500".into()),
    ] {
        assert_eq!(config.matches(from).count(), 1, "{from}");
        config = config.replace(from, &to);
    }
    let file = folder.join("haproxy.cfg");
    fs::write(&file, config).unwrap();
    let log = fs::File::create(folder.join("haproxy.log")).unwrap();
    let mut command = Command::new("haproxy");
    let running =
        command.arg("-db").arg("-f").arg(&file).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn();
    Running(running.expect("haproxy is installed"))
}

/// Waits until something is so. For what another program alone can tell, when it is asked.
fn wait(what: &str, mut so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !so() {
        assert!(begin.elapsed() < LIMIT, "this hangs: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Whether HAProxy finds both replicas well.
fn both_are_up(folder: &Path) -> bool {
    let ask = || {
        let mut socket = UnixStream::connect(folder.join("haproxy.sock"))?;
        socket.write_all(b"show stat\n")?;
        let mut text = String::new();
        socket.read_to_string(&mut text).map(|_| text)
    };
    let is_up = |line: &str| (line.starts_with("proxies,a,") || line.starts_with("proxies,b,")) && line.contains(",UP,");
    ask().is_ok_and(|text: String| text.lines().filter(|line| is_up(line)).count() == 2)
}

#[derive(Default)]
struct Load {
    whole: AtomicUsize,
    under_way: AtomicUsize,
    failed: Mutex<Vec<String>>,
    over: AtomicBool,
}

async fn call(client: &Client, url: &str) -> Result<(), String> {
    let body = json!({"model": "gpt", "stream": true, "messages": [{"role": "user", "content": "Hello"}]}).to_string();
    let answer = client.clone().call(request("POST", url, body)).await.map_err(|error| format!("{}: {error}", error.code()))?;
    let status = answer.status();
    let body = answer.into_body().collect().await.map_err(|error| format!("{}: {error}", error.code()))?.to_bytes();
    if status == 200 && body.ends_with(b"data: [DONE]\n\n") { Ok(()) } else { Err(format!("{status}, {} bytes", body.len())) }
}

async fn caller(load: Arc<Load>, client: Client, url: String) {
    while !load.over.load(SeqCst) {
        load.under_way.fetch_add(1, SeqCst);
        match call(&client, &url).await {
            Ok(()) => drop(load.whole.fetch_add(1, SeqCst)),
            Err(error) => load.failed.lock().unwrap().push(error),
        }
        load.under_way.fetch_sub(1, SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs HAProxy, and takes half a minute"]
async fn replicas_are_replaced_one_after_the_other_and_no_request_fails() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::write(path.join("config.toml"), "[proxy_protocol]\nfrom = ['127.0.0.1']\n[limits]\ndrain_seconds = 30.0\n").unwrap();
    let added = Command::new(env!("CARGO_BIN_EXE_xllm-proxy")).args(["client", "add", "test", "--data-dir"]).arg(path).output();
    let credential: Credential = String::from_utf8(added.unwrap().stdout).unwrap().parse().unwrap();
    // 60 pieces in half a second or so.
    let script = mock_llm::Script { tokens: Some(60), tokens_per_s: Some(120.0), ..Default::default() };
    let mock = MockLlm::start(script.into()).await.unwrap();
    // Ports that were free a moment ago.
    let ports: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let [front, a, b] = [0, 1, 2].map(|port: usize| ports[port].local_addr().unwrap());
    drop(ports);
    let mut replicas = [a, b].map(|address| Replica::new(path, address, &mock.url()));
    let _balancer = balancer(path, front, &replicas);
    wait("both replicas are up", || both_are_up(path));

    let load = Arc::<Load>::default();
    let builder = || Client::builder(&front.to_string(), credential.clone()).unwrap();
    let clients: Vec<_> = (0..CLIENTS).map(|_| builder().build()).collect();
    let url = mock.url() + "/v1/chat/completions";
    let callers: Vec<_> =
        (0..CALLERS).map(|number| tokio::spawn(caller(load.clone(), clients[number % CLIENTS].clone(), url.clone()))).collect();
    let turns = tokio::task::spawn_blocking({
        let (load, path) = (load.clone(), path.to_owned());
        move || {
            for turn in 0..TURNS {
                let before = load.whole.load(SeqCst);
                wait("requests go on", || {
                    load.whole.load(SeqCst) >= before + BETWEEN || !load.failed.lock().unwrap().is_empty()
                });
                let under_way = load.under_way.load(SeqCst);
                let begin = Instant::now();
                assert_eq!(replicas[turn % 2].stop(), Some(0), "what was under way has not finished");
                eprintln!("turn {}: {under_way} requests under way, drained in {:?}", turn + 1, begin.elapsed());
                replicas[turn % 2].start();
                wait("both replicas are up", || both_are_up(&path));
            }
            load.over.store(true, SeqCst);
            replicas
        }
    });
    let replicas = turns.await.unwrap();
    for caller in callers {
        tokio::time::timeout(LIMIT, caller).await.expect("the callers end").unwrap();
    }
    let failed = load.failed.lock().unwrap().clone();
    eprintln!("{} requests, {} failed, {TURNS} restarts", load.whole.load(SeqCst) + failed.len(), failed.len());
    drop(replicas);
    let log = BufReader::new(fs::File::open(path.join("log")).unwrap()).lines().map(Result::unwrap);
    let warnings: Vec<_> = log.filter(|line| line.contains(" WARN ")).collect();
    assert!(failed.is_empty() && warnings.is_empty(), "{failed:#?}, {warnings:#?}");
}
