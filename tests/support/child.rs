//! The real server program as a child process, its log captured.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use mock_llm::MockLlm;
use tempfile::TempDir;
use tokio::sync::{Mutex, OwnedMutexGuard, watch};
use xllm_proxy::{
    client::{Builder, Client},
    proto::Credential,
};

use super::within;

const PROGRAM: &str = env!("CARGO_BIN_EXE_xllm-proxy");

/// A server process. Dropping it kills it.
pub(crate) struct Served {
    child: Child,
    pub(crate) address: SocketAddr,
    /// Of its admin listener, if the configuration has one.
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) credential: Credential,
    log: watch::Receiver<Vec<String>>,
    /// Held while a line of the log is read.
    reading: Arc<Mutex<()>>,
    folder: TempDir,
}

fn program() -> Command {
    let mut command = Command::new(PROGRAM);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("XLLM_") {
            command.env_remove(name);
        }
    }
    command
}

impl Served {
    /// With this configuration (TOML) and these origins allowed, with a log of this level, or `json`.
    /// `roots` is a file of the certificates to trust.
    async fn launch(level: &str, config: &str, allow: &[&str], roots: Option<&Path>) -> Self {
        let trusting = |mut command: Command| {
            if let Some(roots) = roots {
                command.env("SSL_CERT_FILE", roots);
            }
            command
        };
        Self::launch_as(level, config, allow, trusting).await
    }

    /// The command is changed before it is run.
    async fn launch_as(level: &str, config: &str, allow: &[&str], change: impl FnOnce(Command) -> Command) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let file = folder.path().join("config.toml");
        fs::write(&file, config).expect("the configuration is written");
        let common = ["--config".as_ref(), file.as_os_str(), "--data-dir".as_ref(), folder.path().as_os_str()];
        let added = program().args(common).args(["client", "add", "laptop"]).output().expect("the program runs");
        let credential = String::from_utf8(added.stdout).expect("text").parse().expect("a credential");

        let mut command = program();
        command.args(common).args(["--listen", "127.0.0.1:0"]);
        command.args(if level == "json" { ["--log-format", "json"] } else { ["--log", level] });
        let has_admin = config.contains("[admin]");
        if !has_admin {
            command.args(["--admin", "off"]);
        }
        command.args(allow.iter().flat_map(|origin| ["--allow", origin]));
        command.stdin(Stdio::null());
        let mut child = change(command).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
        let (lines, log) = watch::channel(Vec::new());
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let reading = Arc::<Mutex<()>>::default();
        let turn = reading.clone();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                drop(turn.blocking_lock());
                lines.send_modify(|lines| lines.push(line));
            }
        });
        let mut served = Self { child, address: ([127, 0, 0, 1], 0).into(), admin: None, credential, log, reading, folder };
        served.address = served.said(&["serving"], "listen").await;
        if has_admin {
            served.admin = Some(served.said(&["admin listener"], "admin").await);
        }
        served
    }

    /// Waits for such a line, and gives the address that it has in this field.
    async fn said(&self, parts: &[&str], field: &str) -> SocketAddr {
        let line = self.logged(&[parts, &[field]].concat()).await;
        let (_, rest) = line.rsplit_once(field).expect("the field");
        let is_of_address = |character: char| character.is_ascii_digit() || ".:".contains(character);
        let value = rest.trim_start_matches(|character: char| !character.is_ascii_digit());
        value.split(|character| !is_of_address(character)).next().unwrap_or_default().parse().expect("an address")
    }

    /// Waits for a line that holds all of these, at a level that is on by default.
    pub(crate) async fn logged(&self, parts: &[&str]) -> String {
        let mut log = self.log.clone();
        let fits = |line: &&String| {
            parts.iter().all(|part| line.contains(part)) && ["INFO", "WARN", "ERROR"].iter().any(|level| line.contains(level))
        };
        let wait = log.wait_for(|lines| lines.iter().any(|line| fits(&line)));
        match tokio::time::timeout(super::LIMIT, wait).await {
            Ok(Ok(lines)) => lines.iter().find(fits).cloned().unwrap_or_default(),
            _ => panic!("no line with {parts:?} in the log:\n{}", self.log()),
        }
    }

    /// All that was logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.borrow().join("\n")
    }

    /// From now on the log is not read, until this is dropped.
    pub(crate) async fn unread(&self) -> OwnedMutexGuard<()> {
        self.reading.clone().lock_owned().await
    }

    /// The credential of another client, which is added now.
    pub(crate) fn add_client(&self, name: &str) -> Credential {
        let added = program().args(["client", "add", name, "--data-dir"]).arg(self.folder.path()).output().expect("it runs");
        String::from_utf8(added.stdout).expect("text").parse().expect("a credential")
    }

    /// Where its key files are.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn builder(&self) -> Builder {
        Client::builder(&self.address.to_string(), self.credential.clone()).expect("a proxy URL").sessions(1)
    }

    pub(crate) fn client(&self) -> Client {
        self.builder().build()
    }

    /// Whether the process still runs.
    pub(crate) fn is_up(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Writes its configuration (TOML) anew.
    pub(crate) fn configure(&self, config: &str) {
        fs::write(self.folder.path().join("config.toml"), config).expect("the configuration is written");
    }

    /// What a command on the folder of its keys prints; when it returns, the server has taken up what was changed.
    pub(crate) async fn command(&self, args: &[&str]) -> String {
        let seen = keys_taken(&self.log.borrow());
        let done = program().arg("--data-dir").arg(self.folder.path()).args(args).output().expect("the program runs");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        if args.iter().any(|arg| ["add", "rotate", "revoke"].contains(arg)) {
            let mut log = self.log.clone();
            let taken = log.wait_for(|lines| keys_taken(lines) > seen);
            within("the change of keys", taken).await.expect("it runs");
        }
        String::from_utf8(done.stdout).expect("text")
    }

    /// The credential that such a command prints.
    pub(crate) async fn client_command(&self, args: &[&str]) -> Credential {
        self.command(&[&["client"], args].concat()).await.parse().expect("a credential")
    }

    /// Asks it to stop, as a service manager does.
    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Asks it to read its configuration again.
    pub(crate) fn hang_up(&self) {
        self.signal("-HUP");
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.pid().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "kill works");
    }

    /// Waits until its log has ended, and says whether it went in order.
    pub(crate) async fn exited(&mut self) -> bool {
        self.exit_code().await == Some(0)
    }

    /// The same; its exit code.
    pub(crate) async fn exit_code(&mut self) -> Option<i32> {
        let mut log = self.log.clone();
        within("the server's exit", async { while log.changed().await.is_ok() {} }).await;
        self.child.wait().ok()?.code()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How often it has taken up changed keys.
fn keys_taken(log: &[String]) -> usize {
    log.iter().filter(|line| line.contains("the keys have changed")).count()
}

/// A mock provider and a server process that may call it.
pub(crate) struct Stand {
    pub(crate) mock: MockLlm,
    pub(crate) server: Served,
}

impl Stand {
    pub(crate) async fn start() -> Self {
        Self::with("", &[]).await
    }

    /// With this configuration, and these origins allowed beside the mock, logging all that there is to log.
    pub(crate) async fn with(config: &str, allow: &[&str]) -> Self {
        Self::logging("trace", config, allow).await
    }

    /// With a log of this level.
    pub(crate) async fn logging(level: &str, config: &str, allow: &[&str]) -> Self {
        Self::launch(level, config, allow, std::convert::identity).await
    }

    /// The server is started by what comes of the command for it.
    pub(crate) async fn started(config: &str, change: impl FnOnce(Command) -> Command) -> Self {
        Self::launch("info", config, &[], change).await
    }

    /// With all of that.
    pub(crate) async fn launch(level: &str, config: &str, allow: &[&str], change: impl FnOnce(Command) -> Command) -> Self {
        let mock = MockLlm::start(mock_llm::Config::default()).await.expect("the mock starts");
        let url = mock.url();
        let allow: Vec<_> = allow.iter().copied().chain([url.as_str()]).collect();
        let server = Served::launch_as(level, config, &allow, change).await;
        Self { mock, server }
    }

    /// Around this mock, with the certificates of this file trusted.
    pub(crate) async fn trusting(roots: &Path, config: &str, mock: MockLlm, allow: &[&str]) -> Self {
        Self { mock, server: Served::launch("info", config, allow, Some(roots)).await }
    }

    pub(crate) fn client(&self) -> Client {
        self.server.client()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.mock.url())
    }
}
