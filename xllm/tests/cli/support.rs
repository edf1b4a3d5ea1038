//! A user who runs the command, a relay between, and what a run leaves.

use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use mock_llm::{Config, MockLlm, Script};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use xllm_proxy::{
    proto::Credential,
    server::{self, Keys, Server, Stopped},
};

/// A user with a home of their own and a provider of their own.
pub(crate) struct User {
    pub(crate) mock: MockLlm,
    pub(crate) home: TempDir,
}

/// What a run of the command left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl User {
    pub(crate) async fn new() -> Self {
        Self::with(json!({})).await
    }

    /// The provider answers by this script.
    pub(crate) async fn with(script: Value) -> Self {
        let script: Script = serde_json::from_value(script).expect("a valid script");
        let mock = MockLlm::start(Config::from(script)).await.expect("a free port");
        let user = Self { mock, home: tempfile::tempdir().expect("a folder") };
        let url = user.mock.url();
        user.configure(&format!(
            "[global]\nproxy = false\n[models.claude]\nanthropic_api_key = \"${{ANTHROPIC_API_KEY}}\"\nurl = \"{url}\"\n\
             [models.openai]\napi_key = \"sk-openai\"\nurl = \"{url}/v1\"\n"
        ));
        user
    }

    pub(crate) fn config_path(&self) -> PathBuf {
        self.home.path().join(".config/xllm/config.toml")
    }

    pub(crate) fn configure(&self, text: &str) {
        let path = self.config_path();
        fs::create_dir_all(path.parent().expect("has one")).expect("writable");
        fs::write(&path, text).expect("writable");
        #[cfg(unix)]
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("ours");
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xllm"));
        command
            .args(args)
            .env_clear()
            .env("HOME", self.home.path())
            .env("XDG_CONFIG_HOME", self.home.path().join(".config"))
            .env("ANTHROPIC_API_KEY", "sk-ant-hidden")
            .env("XLLM_NO_KEYRING", "1")
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) async fn run(&self, args: &[&str]) -> Ran {
        finish(self.command(args).spawn().expect("the command starts")).await
    }

    pub(crate) async fn run_with_stdin(&self, args: &[&str], stdin: &str) -> Ran {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().expect("the command starts");
        child.stdin.take().expect("piped").write_all(stdin.as_bytes()).expect("it reads");
        finish(child).await
    }

    pub(crate) fn last_body(&self) -> Value {
        let requests = self.mock.requests();
        serde_json::from_slice(&requests.last().expect("a request").body).expect("JSON")
    }
}

/// A relay that allows the user's provider, or nobody; ends with the test. Its address, and what it accepts.
pub(crate) async fn relay(user: &User, allowed: bool) -> (String, String) {
    let (address, key, _) = relay_to_end(user, allowed).await;
    (address, key)
}

/// The same with what ends it when it is aborted.
pub(crate) async fn relay_to_end(user: &User, allowed: bool) -> (String, String, JoinHandle<Stopped>) {
    let (keys, credential) = Keys::ephemeral("test").expect("randomness");
    let listed = if allowed { vec![user.mock.url()] } else { Vec::new() };
    let config =
        server::Config::parse("origins.known = false\nlimits.hold_seconds = 1", "test".as_ref(), &listed).expect("an origin");
    let server = Server::new(config, Arc::new(keys)).expect("TLS");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("bound"));
    let running = tokio::spawn(server.run(listener, std::future::pending()));
    (address, credential.reveal().to_string(), running)
}

/// A user whose configuration goes through a relay.
pub(crate) async fn user_behind_relay(script: Value, allowed: bool) -> User {
    let user = User::with(script).await;
    let (address, key) = relay(&user, allowed).await;
    configure(&user, &address, &key);
    user
}

pub(crate) fn configure(user: &User, address: &str, key: &str) {
    let url = user.mock.url();
    user.configure(&format!(
        "[global]\nproxy = true\nproxy_url = \"{address}\"\nproxy_key = \"{key}\"\n\
         [models.claude]\nanthropic_api_key = \"${{ANTHROPIC_API_KEY}}\"\nurl = \"{url}\"\n\
         [models.openai]\napi_key = \"sk-openai\"\nurl = \"{url}/v1\"\n"
    ));
}

/// Configures a relay, and a key that it knows with another secret. Gives the one that it accepts.
pub(crate) async fn configure_refused_key(user: &User) -> String {
    let (address, key) = relay(user, true).await;
    let mut replaced: Credential = key.parse().expect("a credential");
    replaced.psk = Keys::ephemeral("other").expect("randomness").1.psk;
    configure(user, &address, &replaced.reveal());
    key
}

pub(crate) async fn finish(child: Child) -> Ran {
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().expect("it ends")).await.expect("no panic");
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}
