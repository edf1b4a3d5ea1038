//! Our own two ends, started as a user starts them.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use tempfile::TempDir;

use crate::{Result, route::Described};

/// A process that is not ready by then will never be.
const READY: Duration = Duration::from_secs(15);

/// Requests at once that a server's default settings allow a gateway: it has two sessions, and the first may come late.
const EXCHANGES: usize = 400;

/// A server and a gateway. Dropping it ends both.
pub(crate) struct Ours {
    server: Process,
    gateway: Process,
    name: String,
    near: SocketAddr,
    pub(crate) proxy: SocketAddr,
    pub(crate) credential: String,
    upstream: SocketAddr,
    _folder: TempDir,
}

impl Ours {
    /// Starts the binaries of the folder `bin`, for calls to `upstream`, of which there will be so many at once.
    pub(crate) fn start(name: &str, bin: &Path, upstream: SocketAddr, streams: usize) -> Result<Self> {
        let folder = TempDir::new()?;
        let (settings, nothing) = (folder.path().join("server.toml"), folder.path().join("gateway.toml"));
        // The one setting that is no default, and that only where the default would refuse the load.
        let limits = if streams > EXCHANGES { format!("[limits]\nexchanges = {streams}\n") } else { String::new() };
        fs::write(&settings, limits)?;
        fs::write(&nothing, "")?;

        let server = || {
            let mut command = program(&bin.join("xllm-proxy"), folder.path());
            command.arg("--config").arg(&settings).arg("--data-dir").arg(folder.path().join("data"));
            command
        };
        let added =
            server().args(["client", "add", "bench"]).stdout(Stdio::piped()).output().map_err(|error| missing(bin, &error))?;
        let credential = String::from_utf8(added.stdout)?.trim().to_owned();
        if !credential.starts_with("xllm1_") {
            return Err(format!("xllm-proxy made no key: {}", String::from_utf8_lossy(&added.stderr)).into());
        }
        let allow = format!("http://{upstream}");
        let started = server().args(["--listen", "127.0.0.1:0", "--allow", &allow]).spawn();
        let mut server = Process(started.map_err(|error| missing(bin, &error))?);
        let proxy = server.said("serving listen=")?.parse()?;

        let mut gateway = program(&bin.join("xllm"), folder.path());
        gateway.args(["gateway", "--listen", "127.0.0.1:0", "--proxy-url", &format!("http://{proxy}"), "--config"]);
        let started = gateway.arg(&nothing).env("XLLM_PROXY_KEY", &credential).spawn();
        let mut gateway = Process(started.map_err(|error| missing(bin, &error))?);
        let near = gateway.said("gateway on http://")?.parse()?;
        Ok(Self { server, gateway, name: name.to_owned(), near, proxy, credential, upstream, _folder: folder })
    }

    pub(crate) fn described(&self) -> Described {
        let processes = [("server", &self.server), ("client", &self.gateway)];
        Described {
            name: self.name.clone(),
            connect: self.near,
            prefix: format!("/x/http/{}", self.upstream),
            certificate: None,
            processes: processes.map(|(name, process)| (name.to_owned(), process.0.id())).into(),
        }
    }
}

/// With nothing of this machine's settings.
fn program(file: &Path, home: &Path) -> Command {
    let mut command = Command::new(file);
    command.env_clear().env("HOME", home).env("NO_COLOR", "1");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn missing(bin: &Path, error: &std::io::Error) -> String {
    let folder = bin.display();
    format!("{folder}: {error}; it needs xllm-proxy and xllm: cargo build --release -p xllm-proxy -p xllm")
}

/// A child that ends with its handle.
struct Process(Child);

impl Process {
    /// The address that it says behind these words, once it is ready. What it says later is read and forgotten.
    fn said(&mut self, words: &'static str) -> Result<String> {
        let log = BufReader::new(self.0.stderr.take().ok_or("its log has been taken already")?);
        let (sender, ready) = mpsc::channel();
        thread::spawn(move || {
            let mut before = String::new();
            let mut sender = Some(sender);
            for line in log.lines().map_while(std::io::Result::ok) {
                if let Some((_, rest)) = line.split_once(words) {
                    let address = rest.split([' ', ',']).next().unwrap_or_default().to_owned();
                    sender.take().map(|sender| sender.send(Ok(address)));
                } else if sender.is_some() {
                    before = before + &line + "\n";
                }
            }
            sender.map(|sender| sender.send(Err(before)))
        });
        let said = ready.recv_timeout(READY).map_err(|_| format!("no process said \"{words}\" within {READY:?}"))?;
        said.map_err(|log| format!("a process ended before it was ready:\n{log}").into())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
