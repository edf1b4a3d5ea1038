//! `--sandbox`: once the server has its keys and its socket, the kernel (Landlock) takes from it what it has no more use for.
//!
//! What is locked is a thread, and all that it starts from then on: so it has to be done before there is a second one.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use tracing::{info, warn};
use url::Url;
use xllm_proxy::server::Config;

/// How much is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sandbox {
    /// None
    Off,
    /// What the kernel can do
    Try,
    /// All of it, or the server does not start
    Require,
}

/// What a running server still needs. Everything else is taken: to read other files, to write any, to run programs, to listen, to
/// connect to other ports, to signal other processes.
#[derive(Debug)]
pub(crate) struct Needs {
    /// Files, and folders with all that is below them; those that do not exist are left out.
    pub(crate) read: Vec<PathBuf>,
    /// Ports of TCP at any address.
    pub(crate) connect: Vec<u16>,
    /// The service manager is told over a socket without a path.
    pub(crate) abstract_sockets: bool,
}

/// What the looking up of names (and the loading of what looks them up), trust in certificates, counting of processors and, in a static
/// program, randomness read.
const SYSTEM: &[&str] = &[
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/nsswitch.conf",
    "/etc/resolv.conf",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/var/lib/ca-certificates",
    "/dev/random",
    "/dev/urandom",
    "/proc/self",
    "/sys/fs/cgroup",
];
/// Variables that name certificates, or systemd's credentials, which are read again when the configuration is.
const FILES: [&str; 3] = ["SSL_CERT_FILE", "SSL_CERT_DIR", "CREDENTIALS_DIRECTORY"];
/// Variables that name where metrics are pushed to.
const COLLECTORS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"];
/// Names are asked for over TCP where an answer is long.
const DNS: u16 = 53;

impl Needs {
    pub(crate) fn new(config: &Config, file: Option<&Path>, keys: &Path) -> Self {
        let mut read: Vec<_> = SYSTEM.iter().map(PathBuf::from).collect();
        read.extend(FILES.iter().filter_map(std::env::var_os).map(PathBuf::from));
        // A file that is changed is mostly a new one of the same name: it is the folder that has to be open.
        read.push(keys.to_owned());
        read.extend([file.map(Path::to_owned), Path::new("/etc/resolv.conf").canonicalize().ok()].iter().flatten().map(
            |file| {
                let folder = file.parent().unwrap_or(file);
                if folder == Path::new("") { PathBuf::from(".") } else { folder.to_owned() }
            },
        ));
        let called = config.origins.list().into_iter().map(|(origin, _)| origin);
        let called = called.chain(COLLECTORS.iter().filter_map(|name| std::env::var(name).ok()));
        let mut connect: Vec<_> = called.filter_map(|url| Url::parse(url.trim()).ok()?.port_or_known_default()).collect();
        connect.extend(config.dns.servers.iter().map(SocketAddr::port).chain([DNS]));
        connect.sort_unstable();
        connect.dedup();
        let abstract_sockets = std::env::var("NOTIFY_SOCKET").is_ok_and(|name| name.starts_with('@'));
        Self { read, connect, abstract_sockets }
    }
}

/// How far the kernel went along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Locked {
    /// It was not asked for.
    No,
    /// All of it, by this version of Landlock.
    All(i32),
    /// By this version, which has not all of it; 0: by none.
    Part(i32),
}

impl Locked {
    /// Says it in the log, when there is one.
    pub(crate) fn log(self) {
        match self {
            Self::No => {}
            Self::All(abi) => info!(landlock_abi = abi, "sandboxed in full"),
            Self::Part(0) => warn!("not sandboxed: this kernel has no Landlock"),
            Self::Part(abi) => warn!(landlock_abi = abi, "sandboxed in part: this kernel's Landlock is older than 6"),
        }
    }
}

/// Locks this thread and those that it starts.
#[cfg(target_os = "linux")]
pub(crate) fn lock(mode: Sandbox, needs: &Needs) -> Result<Locked, String> {
    use landlock::{
        ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, NetPort, Ruleset, RulesetAttr,
        RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
    };
    // What is asked for: files since 1, TCP since 4, signals and sockets without a path since 6 (Linux 6.12).
    const ALL: ABI = ABI::V6;
    let level = match mode {
        Sandbox::Off => return Ok(Locked::No),
        Sandbox::Try => CompatLevel::BestEffort,
        Sandbox::Require => CompatLevel::HardRequirement,
    };
    let scope = if needs.abstract_sockets { Scope::Signal.into() } else { Scope::from_all(ALL) };
    let restrict = || {
        let ports = needs.connect.iter().map(|&port| Ok::<_, RulesetError>(NetPort::new(port, AccessNet::ConnectTcp)));
        Ruleset::default()
            .set_compatibility(level)
            .handle_access(AccessFs::from_all(ALL))?
            .handle_access(AccessNet::from_all(ALL))?
            .scope(scope)?
            .create()?
            .add_rules(path_beneath_rules(&needs.read, AccessFs::ReadFile | AccessFs::ReadDir))?
            .add_rules(ports)?
            .restrict_self()
    };
    let status = restrict().map_err(|error| {
        let remedy = "Linux 6.12 with Landlock can; --sandbox=try takes what there is";
        format!("--sandbox: this kernel cannot lock the server down ({error}); {remedy}")
    })?;
    let abi = match status.landlock {
        LandlockStatus::Available { effective_abi, kernel_abi } => kernel_abi.unwrap_or(effective_abi as i32),
        LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => 0,
    };
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Locked::All(abi),
        RulesetStatus::PartiallyEnforced => Locked::Part(abi),
        RulesetStatus::NotEnforced => Locked::Part(0),
    })
}

/// There is none.
#[cfg(not(target_os = "linux"))]
pub(crate) fn lock(mode: Sandbox, _needs: &Needs) -> Result<Locked, String> {
    match mode {
        Sandbox::Off => Ok(Locked::No),
        Sandbox::Try => Ok(Locked::Part(0)),
        Sandbox::Require => Err("--sandbox needs Linux; --sandbox=try takes what there is".to_owned()),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{
        fs, io,
        net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket},
        process::Command,
        thread,
    };

    use super::*;

    /// Runs this in a thread that is locked down; says so and does not where the kernel cannot.
    fn locked(needs: Needs, run: impl FnOnce() + Send + 'static) {
        let thread = thread::spawn(move || match lock(Sandbox::Require, &needs) {
            Ok(locked) => {
                assert!(matches!(locked, Locked::All(6..)), "{locked:?}");
                run();
            }
            Err(error) => eprintln!("SKIPPED: {error}"),
        });
        thread.join().expect("the thread ends well");
    }

    fn is_denied<T>(result: io::Result<T>) -> bool {
        result.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    }

    #[test]
    fn a_locked_thread_reads_what_it_needs_and_nothing_else() {
        let (keys, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let (file, foreign) = (keys.path().join("clients.toml"), other.path().join("secret"));
        fs::write(&file, "old").expect("writes");
        fs::write(&foreign, "secret").expect("writes");
        let config = Config::default();
        let (program, started) = (std::env::current_exe().expect("a path"), keys.path().to_owned());
        locked(Needs::new(&config, None, keys.path()), move || {
            assert_eq!(fs::read_to_string(&file).expect("reads"), "old");
            fs::read_to_string("/etc/hosts")
                .map_or_else(|error| assert_ne!(error.kind(), io::ErrorKind::PermissionDenied), drop);
            assert!(is_denied(fs::read(&foreign)), "another file is read");
            assert!(is_denied(fs::read_dir(other.path())), "another folder is listed");
            assert!(is_denied(fs::write(&file, "new")), "a file is written");
            assert!(is_denied(fs::File::create(started.join("new"))), "a file is made");
            assert!(is_denied(fs::remove_file(&file)), "a file is removed");
            assert!(is_denied(Command::new(program).arg("--list").output()), "a program is run");
            // Threads that it starts are locked as well.
            let beside = thread::spawn(move || is_denied(fs::read(&foreign)));
            assert!(beside.join().expect("it ends"), "another thread reads another file");
        });
    }

    #[test]
    fn a_locked_thread_connects_to_ports_of_the_origins_alone_and_does_not_listen() {
        let listening = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("binds"));
        let [allowed, other] = listening.each_ref().map(|listener| listener.local_addr().expect("bound"));
        let config = Config::parse("", Path::new("test"), &[format!("http://{allowed}")]).expect("valid");
        let needs = Needs::new(&config, None, Path::new("/nonexistent"));
        assert!([53, 443, allowed.port()].iter().all(|port| needs.connect.contains(port)), "{needs:?}");
        locked(needs, move || {
            TcpStream::connect(allowed).expect("an origin is called");
            assert!(is_denied(TcpStream::connect(other)), "another port is called");
            assert!(is_denied(TcpListener::bind("127.0.0.1:0")), "it listens");
            UdpSocket::bind("127.0.0.1:0").expect("names are asked for from a port of UDP");
            assert!(("localhost", 1).to_socket_addrs().is_ok_and(|mut found| found.next().is_some()), "no name is found");
        });
        drop(listening);
    }

    #[test]
    fn a_sandbox_that_is_off_locks_nothing() {
        let needs = Needs { read: Vec::new(), connect: Vec::new(), abstract_sockets: false };
        assert_eq!(lock(Sandbox::Off, &needs), Ok(Locked::No));
        fs::read_dir("/").expect("it is open");
    }

    #[test]
    fn the_folder_of_the_configuration_is_open_however_it_is_named() {
        for (file, folder) in [("config.toml", "."), ("etc/config.toml", "etc"), ("/srv/config.toml", "/srv")] {
            let needs = Needs::new(&Config::default(), Some(Path::new(file)), Path::new("/keys"));
            assert!(needs.read.contains(&folder.into()) && needs.read.contains(&"/keys".into()), "{needs:?}");
        }
    }
}
