//! A provider, a relay in front of it, and the real command as a gateway to it.

use std::{
    fs,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use mock_llm::{Config, MockLlm};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    sync::{oneshot, watch},
    task::JoinHandle,
    time::timeout,
};
use xllm_proxy::{
    proto::Credential,
    server::{self, Keys, Server, Stopped},
};

/// No wait takes so long, on the slowest of machines.
const LONG: Duration = Duration::from_mins(2);

/// The environment of a gateway that tells of its sessions.
pub(crate) const SESSIONS: [(&str, &str); 1] = [("XLLM_LOG", "info,xllm_proxy=debug")];

/// Waits for what has to happen.
pub(crate) async fn soon<T>(event: impl Future<Output = T>) -> T {
    timeout(LONG, event).await.expect("it happens in time")
}

/// A relay in this process.
pub(crate) struct Relay {
    pub(crate) address: String,
    pub(crate) credential: Credential,
    keys: Arc<Keys>,
    config: server::Config,
    running: Option<(oneshot::Sender<()>, JoinHandle<Stopped>)>,
}

impl Relay {
    pub(crate) async fn start(config: &str, origins: &[String]) -> Self {
        let mut relay = Self::stopped(config, origins);
        relay.run("127.0.0.1:0").await;
        relay
    }

    /// One that has never listened.
    pub(crate) fn stopped(config: &str, origins: &[String]) -> Self {
        let config = server::Config::parse(config, "test".as_ref(), origins).expect("a valid configuration");
        let (keys, credential) = Keys::ephemeral("test").expect("randomness");
        Self { address: String::new(), credential, keys: Arc::new(keys), config, running: None }
    }

    pub(crate) async fn run(&mut self, address: &str) {
        let server = Server::new(self.config.clone(), self.keys.clone()).expect("TLS");
        let listener = TcpListener::bind(address).await.expect("a free port");
        self.address = listener.local_addr().expect("bound").to_string();
        let (stop, stopped) = oneshot::channel::<()>();
        self.running = Some((stop, tokio::spawn(server.run(listener, async move { drop(stopped.await) }))));
    }

    /// Ends it when what is under way has finished.
    pub(crate) async fn stop(&mut self) {
        let (stop, server) = self.running.take().expect("it runs");
        drop(stop);
        soon(server).await.expect("no panic");
    }

    /// Ends it in the middle of whatever it does.
    pub(crate) async fn kill(&mut self) {
        let (_stop, server) = self.running.take().expect("it runs");
        server.abort();
        drop(server.await);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some((_, server)) = &self.running {
            server.abort();
        }
    }
}

/// A provider and a relay to it, and the home of a user.
pub(crate) struct World {
    pub(crate) mock: MockLlm,
    pub(crate) relay: Relay,
    home: TempDir,
    configs: AtomicUsize,
}

/// How a gateway is started, beyond what all need.
#[derive(Default)]
pub(crate) struct Start<'a> {
    pub(crate) args: &'a [&'a str],
    pub(crate) env: &'a [(&'a str, &'a str)],
    /// Lines of `[models.claude]`, `[models.openai]` and, behind those, of the whole file.
    pub(crate) claude: &'a str,
    pub(crate) openai: &'a str,
    pub(crate) config: &'a str,
    /// Another way to the relay than the straight one.
    pub(crate) proxy: Option<&'a str>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with("", &[]).await
    }

    /// The relay has this configuration, and allows these origins beside the mock.
    pub(crate) async fn with(config: &str, origins: &[&str]) -> Self {
        let mock = mock().await;
        let origins: Vec<_> = origins.iter().map(|&origin| origin.to_owned()).chain([mock.url()]).collect();
        let relay = Relay::start(config, &origins).await;
        Self::of(mock, relay)
    }

    pub(crate) fn of(mock: MockLlm, relay: Relay) -> Self {
        Self { mock, relay, home: tempfile::tempdir().expect("a folder"), configs: AtomicUsize::new(0) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// `/x/http/HOST`: the mock, by its address.
    pub(crate) fn by_address(&self) -> String {
        format!("/x/http/{}", self.mock.addr())
    }

    /// `xllm gateway`, without an address to listen on.
    pub(crate) fn command(&self, start: &Start<'_>) -> Command {
        let mock = self.mock.url();
        let Start { args, env, claude, openai, config, proxy } = start;
        let text = format!(
            "[global]\nproxy_url = \"http://{}\"\nproxy_key = \"{}\"\n[models.claude]\nurl = \"{mock}\"\n{claude}\n\
             [models.openai]\nurl = \"{mock}/v1\"\n{openai}\n[models.local]\nurl = \"{mock}/v1\"\n{config}\n",
            proxy.unwrap_or(&self.relay.address),
            self.relay.credential.reveal().as_str(),
        );
        let path = self.path(&format!("config-{}.toml", self.configs.fetch_add(1, Relaxed)));
        fs::write(&path, text).expect("writable");
        #[cfg(unix)]
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("ours");
        let mut command = Command::new(env!("CARGO_BIN_EXE_xllm"));
        command
            .args(["gateway", "--config"])
            .arg(path)
            .args(*args)
            .env_clear()
            .env("HOME", self.home.path())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("XLLM_NO_KEYRING", "1")
            .envs(env.iter().copied())
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    pub(crate) async fn gateway(&self) -> Gateway {
        self.start(Start::default()).await
    }

    /// A gateway that listens on a free port.
    pub(crate) async fn start(&self, start: Start<'_>) -> Gateway {
        let args = [&["--listen", "127.0.0.1:0"], start.args].concat();
        Gateway::of(self.command(&Start { args: &args, ..start })).await
    }

    /// Runs it to its end.
    pub(crate) async fn run(&self, start: Start<'_>) -> Ran {
        finish(self.command(&start).spawn().expect("the command starts")).await
    }
}

pub(crate) async fn mock() -> MockLlm {
    MockLlm::start(Config::default()).await.expect("a free port")
}

/// What a run of the command left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) async fn finish(child: Child) -> Ran {
    let output = soon(child.wait_with_output()).await.expect("it ends");
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

/// Sends the signal of this name.
#[cfg(unix)]
pub(crate) async fn signal(name: &str, child: &Child) {
    let pid = child.id().expect("it runs").to_string();
    let status = Command::new("kill").args([&format!("-{name}"), &pid]).status().await;
    assert!(status.expect("kill runs").success());
}

/// What a pipe has said so far.
pub(crate) struct Said(watch::Receiver<Vec<u8>>);

impl Said {
    pub(crate) fn of(mut pipe: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let (sender, receiver) = watch::channel(Vec::new());
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = pipe.read(&mut buffer).await {
                sender.send_modify(|said| said.extend_from_slice(&buffer[..length]));
            }
        });
        Self(receiver)
    }

    pub(crate) fn now(&self) -> String {
        String::from_utf8_lossy(&self.0.borrow()).into_owned()
    }

    pub(crate) async fn until(&mut self, holds: impl Fn(&str) -> bool) -> String {
        let said = soon(self.0.wait_for(|said| holds(&String::from_utf8_lossy(said)))).await.is_ok();
        assert!(said, "it ended with {:?}", self.now());
        self.now()
    }
}

/// A gateway that runs; ends with the test.
pub(crate) struct Gateway {
    /// Address and port.
    pub(crate) address: String,
    pub(crate) child: Child,
    pub(crate) stdout: Said,
    pub(crate) stderr: Said,
}

impl Gateway {
    pub(crate) async fn of(command: Command) -> Self {
        Self::read(command, |child| Said::of(child.stderr.take().expect("piped"))).await
    }

    /// One whose stderr is left in the child, and read by nobody.
    pub(crate) async fn unread(command: Command) -> Self {
        Self::read(command, |_| Said::of(tokio::io::empty())).await
    }

    async fn read(mut command: Command, stderr: impl FnOnce(&mut Child) -> Said) -> Self {
        let mut child = command.spawn().expect("the command starts");
        let mut stdout = Said::of(child.stdout.take().expect("piped"));
        let stderr = stderr(&mut child);
        let link = soon(stdout.0.wait_for(|said| said.ends_with(b"\n"))).await;
        let Ok(link) = link.map(|said| String::from_utf8_lossy(&said).into_owned()) else {
            panic!("it ended with {:?}", stderr.now())
        };
        let address = link.split("http://").nth(1).and_then(|rest| rest.split('/').next()).expect("a URL").to_owned();
        Self { address, child, stdout, stderr }
    }

    /// All that it has said.
    pub(crate) fn said(&self) -> String {
        self.stdout.now() + &self.stderr.now()
    }

    pub(crate) async fn wait(&mut self) -> ExitStatus {
        soon(self.child.wait()).await.expect("it ends")
    }
}

/// A wire to a server that counts the connections, and can be cut.
pub(crate) struct Wire {
    pub(crate) address: String,
    opened: Arc<AtomicUsize>,
    connections: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Wire {
    pub(crate) async fn to(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let (opened, connections) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<Vec<_>>>::default());
        let wire = Self { address, opened: opened.clone(), connections: connections.clone() };
        let server = server.to_owned();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                opened.fetch_add(1, Relaxed);
                let server = server.clone();
                let carried = tokio::spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(&server).await {
                        // Ends in one way or another.
                        let _ = copy_bidirectional(&mut near, &mut far).await;
                    }
                });
                connections.lock().expect("no panic").push(carried);
            }
        });
        wire
    }

    pub(crate) fn opened(&self) -> usize {
        self.opened.load(Relaxed)
    }

    pub(crate) fn cut(&self) {
        self.connections.lock().expect("no panic").drain(..).for_each(|connection| connection.abort());
    }
}
