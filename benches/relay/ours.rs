//! Our own two ends, started as a user starts them.

use std::{
    fmt, fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use tempfile::TempDir;

use crate::{Result, route::Described};

/// A process that is not ready by then will never be.
const READY: Duration = Duration::from_secs(15);

/// The server's configuration.
const SERVER_FILE: &str = "server.toml";
/// The most callers of one gateway, some fewer than it allows.
const CALLERS: u16 = 4000;

/// A server and what calls through it. Dropping it ends all.
pub(crate) struct Ours {
    pub(crate) name: String,
    pub(crate) bin: PathBuf,
    server: Process,
    gateways: Vec<(Process, SocketAddr)>,
    pub(crate) proxy: SocketAddr,
    pub(crate) credential: String,
    upstream: SocketAddr,
    folder: TempDir,
}

impl Ours {
    /// Starts the binaries of the folder `bin` with default settings, for calls to `upstream`.
    pub(crate) fn start(name: &str, bin: &Path, upstream: SocketAddr) -> Result<Self> {
        Self::configured(name, bin, upstream, "", 1)
    }

    /// The same again with fresh processes, for more streams at once than default settings allow: the one setting is the server's
    /// limit of requests in a session.
    pub(crate) fn again_for(&self, streams: u16) -> Result<Self> {
        let settings = format!("[limits]\nexchanges = {streams}\n");
        Self::configured(&self.name, &self.bin, self.upstream, &settings, streams.div_ceil(CALLERS))
    }

    /// The same again with fresh processes and these settings of the server.
    pub(crate) fn with(&self, settings: &str) -> Result<Self> {
        Self::configured(&self.name, &self.bin, self.upstream, settings, 1)
    }

    /// Adds a client to the server, which takes it up within a second, and gives its key.
    pub(crate) fn add_client(&self, name: &str) -> Result<String> {
        add_client(&mut server(&self.bin, self.folder.path()), name)
    }

    fn configured(name: &str, bin: &Path, upstream: SocketAddr, settings: &str, gateways: u16) -> Result<Self> {
        let folder = TempDir::new()?;
        let (server_file, gateway_file) = (folder.path().join(SERVER_FILE), folder.path().join("gateway.toml"));
        // The short requests come faster than one client may ask by default. Who attacks is another client, with what is the default.
        fs::write(&server_file, format!("{settings}[client.bench]\nrequests_per_minute = 0\n"))?;
        fs::write(&gateway_file, "")?;

        let server = || server(bin, folder.path());
        if !server().arg("check").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
            // A server of before, to be held beside: it has no such limit.
            fs::write(&server_file, settings)?;
        }
        let credential = add_client(&mut server(), "bench").map_err(|error| missing(bin, &error))?;
        let allow = format!("http://{upstream}");
        let (server, proxy) = Process::start(server().args(["--listen", "127.0.0.1:0", "--allow", &allow]), "serving listen=")
            .map_err(|error| missing(bin, &error))?;
        let gateway = |_| {
            let mut gateway = program(&bin.join("xllm"), folder.path());
            gateway.args(["gateway", "--listen", "127.0.0.1:0", "--proxy-url", &format!("http://{proxy}"), "--config"]);
            gateway.arg(&gateway_file).env("XLLM_PROXY_KEY", &credential);
            Process::start(&mut gateway, "gateway on http://").map_err(|error| missing(bin, &error).into())
        };
        let gateways = (0..gateways).map(gateway).collect::<Result<_>>()?;
        Ok(Self { name: name.to_owned(), bin: bin.to_owned(), server, gateways, proxy, credential, upstream, folder })
    }

    pub(crate) fn described(&self) -> Described {
        let clients = self.gateways.iter().map(|(process, _)| process.0.id()).collect();
        Described {
            name: self.name.clone(),
            connect: self.gateways.iter().map(|(_, near)| *near).collect(),
            prefix: format!("/x/http/{}", self.upstream),
            certificate: None,
            processes: [("server".to_owned(), vec![self.server.0.id()]), ("client".to_owned(), clients)].into(),
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

/// The server of this folder of binaries, its files in that folder.
fn server(bin: &Path, folder: &Path) -> Command {
    let mut command = program(&bin.join("xllm-proxy"), folder);
    command.arg("--config").arg(folder.join(SERVER_FILE)).arg("--data-dir").arg(folder.join("data"));
    command
}

/// Runs this program to add a client, and gives its key.
fn add_client(program: &mut Command, name: &str) -> Result<String> {
    let added = program.args(["client", "add", name]).stdout(Stdio::piped()).output()?;
    let credential = String::from_utf8(added.stdout)?.trim().to_owned();
    if !credential.starts_with("xllm1_") {
        return Err(format!("xllm-proxy made no key: {}", String::from_utf8_lossy(&added.stderr)).into());
    }
    Ok(credential)
}

fn missing(bin: &Path, error: &dyn fmt::Display) -> String {
    let folder = bin.display();
    format!("{error} (with xllm-proxy and xllm of {folder})")
}

/// A child that ends with its handle.
struct Process(Child);

impl Process {
    /// Starts it, and waits for the address that it says behind these words. What it says later is read and forgotten.
    fn start(command: &mut Command, words: &'static str) -> Result<(Self, SocketAddr)> {
        let mut process = Self(command.spawn()?);
        let log = BufReader::new(process.0.stderr.take().ok_or("its log has been taken already")?);
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
        let said = ready.recv_timeout(READY).map_err(|_| format!("nothing said \"{words}\" within {READY:?}"))?;
        let address = said.map_err(|log| format!("a process ended before it was ready:\n{log}"))?;
        Ok((process, address.parse()?))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
