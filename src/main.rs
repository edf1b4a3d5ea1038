//! The server binary: arguments, logging, signals; the rest is `xllm_proxy::server`.

use std::{
    error::Error,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, SystemTime},
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;
use xllm_proxy::{
    listen,
    log::{self, Lines, Log},
    server::{
        Config, Keys, Server, Workers,
        keys::{KeyFolder, KeysError},
    },
};

/// Where packages put the configuration.
const SYSTEM_CONFIG: &str = "/etc/xllm-proxy/config.toml";
/// How often the file of clients is looked at for changes.
const WATCH: Duration = Duration::from_secs(1);

#[derive(Debug, Parser)]
#[command(
    name = "xllm-proxy",
    version,
    about = "Encrypted streaming relay for LLM APIs: the server",
    after_help = "First steps:\n  xllm-proxy client add laptop    make a client's key (one line, give it to the client)\n  \
                  xllm-proxy                      serve on 0.0.0.0:50051"
)]
struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Args)]
struct Options {
    /// Configuration file [default: /etc/xllm-proxy/config.toml, if it exists]
    #[arg(long, value_name = "FILE", env = "XLLM_PROXY_CONFIG", global = true)]
    config: Option<PathBuf>,
    /// Folder of the key files [default: `$STATE_DIRECTORY`, or xllm-proxy in the user's data folder]
    #[arg(long, value_name = "DIR", env = "XLLM_PROXY_DATA_DIR", global = true)]
    data_dir: Option<PathBuf>,
    /// Address to listen on [default: 0.0.0.0:50051]
    #[arg(long, value_name = "ADDRESS:PORT", env = "XLLM_PROXY_LISTEN")]
    listen: Option<SocketAddr>,
    /// Address to listen on, without port
    #[arg(long, value_name = "ADDRESS", env = "XLLM_PROXY_HOST", hide = true)]
    host: Option<IpAddr>,
    /// Port to listen on
    #[arg(long, value_name = "PORT", env = "XLLM_PROXY_PORT", hide = true)]
    port: Option<u16>,
    /// Allow another origin, as in `http://127.0.0.1:11434` (repeatable)
    #[arg(long, value_name = "ORIGIN", global = true)]
    allow: Vec<String>,
    /// What to log: error, warn, info, debug, trace, or a filter as `RUST_LOG` has it
    #[arg(long, value_name = "LEVEL", env = "XLLM_PROXY_LOG", default_value = "info")]
    log: String,
    /// How to log
    #[arg(long, value_name = "FORMAT", env = "XLLM_PROXY_LOG_FORMAT", default_value = "human")]
    log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    Human,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Manage the clients that may use this proxy
    #[command(subcommand)]
    Client(ClientCommand),
    /// Validate the configuration and the key files, and show what they mean
    Check,
}

#[derive(Debug, Subcommand)]
enum ClientCommand {
    /// Make a key for a client and print its credential, the one line that the client needs
    Add {
        /// Name of the client, as in: laptop
        name: String,
    },
    /// List the clients
    List,
    /// Remove a client; it can open no new sessions
    Remove {
        /// Name of the client
        name: String,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xllm-proxy: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<(), Box<dyn Error>> {
    let options = &cli.options;
    match &cli.command {
        None => {
            let config = load(options)?;
            // Dropped last: what goes wrong is said by `main`, behind all that was logged.
            let log = start_logging(options)?;
            serve(config, log.lines())
        }
        Some(Command::Check) => check(&load(options)?),
        Some(Command::Client(command)) => Ok(client(&key_folder(&load(options)?)?, command)?),
    }
}

/// The configuration: file, then environment and flags over it.
fn load(options: &Options) -> Result<Config, Box<dyn Error>> {
    let system = Path::new(SYSTEM_CONFIG);
    let path = options.config.as_deref().or_else(|| system.exists().then_some(system));
    let mut config = match path {
        Some(path) => Config::load(path, &options.allow)?,
        None => Config::parse("", Path::new("(defaults)"), &options.allow)?,
    };
    if let Some(listen) = options.listen {
        config.listen = listen;
    } else {
        config.listen.set_ip(options.host.unwrap_or(config.listen.ip()));
        config.listen.set_port(options.port.unwrap_or(config.listen.port()));
    }
    if options.data_dir.is_some() {
        config.data_dir.clone_from(&options.data_dir);
    }
    Ok(config)
}

/// The folder of the key files: as configured, as systemd gives it, or the user's own.
fn key_folder(config: &Config) -> Result<KeyFolder, &'static str> {
    let from_systemd = || std::env::var_os("STATE_DIRECTORY").map(PathBuf::from);
    let from_user = || directories::ProjectDirs::from("", "", "xllm-proxy").map(|folders| folders.data_local_dir().to_owned());
    config
        .data_dir
        .clone()
        .or_else(from_systemd)
        .or_else(from_user)
        .map(KeyFolder::new)
        .ok_or("there is no home folder to keep keys in; name a folder with --data-dir")
}

fn start_logging(options: &Options) -> Result<Log, Box<dyn Error>> {
    let filter = EnvFilter::try_new(&options.log).map_err(|error| format!("--log: {error}"))?;
    let log = Log::start();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(log::with_losses(filter))
        .with_target(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()) && std::env::var_os("NO_COLOR").is_none())
        .with_writer(log.lines().clone());
    match options.log_format {
        LogFormat::Human => builder.init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(log)
}

fn serve(config: Config, lines: &Lines) -> Result<(), Box<dyn Error>> {
    let folder = key_folder(&config)?;
    // Before the keys are read: a change while the server starts is then taken up as well.
    let stamp = folder.stamp();
    let (keys, made) = folder.open()?;
    let (clients, keys) = (keys.count(), Arc::new(keys));
    let (address, workers) = (config.listen, Workers::start(config.workers)?);
    let server = Server::new(config, keys.clone())?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = listen::listen(address).map_err(|error| cannot_listen(address, &error))?;
        if made {
            info!(folder = %folder.path().display(), "made the server's key");
        }
        info!(listen = %listener.local_addr()?, clients, "serving");
        if clients == 0 {
            warn!("no client can come in yet; make a key with: {}", add_command(&folder));
        }
        let watch = tokio::spawn(watch_clients(folder, stamp, keys));
        let stop = async {
            stop_signal().await;
            let lines = lines.clone();
            // Whoever asks a second time does not want to wait for what is under way.
            tokio::spawn(async move {
                stop_signal().await;
                warn!("stopped at once, at the second request");
                lines.settle();
                std::process::exit(1);
            });
        };
        server.run_on(workers, listener, stop).await;
        watch.abort();
        Ok(())
    })
}

/// The command that adds a client to just this server.
fn add_command(folder: &KeyFolder) -> String {
    format!("xllm-proxy client add NAME --data-dir {}", folder.path().display())
}

fn cannot_listen(listen: SocketAddr, error: &std::io::Error) -> String {
    let remedy = match error.kind() {
        std::io::ErrorKind::AddrInUse => "; another program listens there: stop it, or choose another port with --listen",
        std::io::ErrorKind::PermissionDenied => "; ports below 1024 need rights: choose another with --listen",
        _ => "",
    };
    format!("cannot listen on {listen}: {error}{remedy}")
}

/// Takes up clients that are added or removed while the server runs.
async fn watch_clients(folder: KeyFolder, mut seen: Option<(SystemTime, u64)>, keys: Arc<Keys>) {
    loop {
        tokio::time::sleep(WATCH).await;
        let stamp = folder.stamp();
        if stamp == seen {
            continue;
        }
        match folder.clients() {
            Ok(clients) => {
                info!(clients = clients.len(), "the list of clients has changed");
                keys.replace(clients);
            }
            Err(error) => warn!("the list of clients has changed and is not usable; the old one stays in force: {error}"),
        }
        seen = stamp;
    }
}

async fn stop_signal() {
    #[cfg(unix)]
    let terminated = async {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<()>();
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}

fn check(config: &Config) -> Result<(), Box<dyn Error>> {
    let folder = key_folder(config)?;
    let (key, clients) = (folder.find_server_key()?, folder.clients()?);
    println!("configuration  valid");
    println!("listen         {}", config.listen);
    println!("threads        {}", config.workers.map_or_else(|| "one for each processor".into(), |count| count.to_string()));
    println!("profile        at least {}", config.profile);
    let key = if key.is_some() { "there" } else { "made at the first start" };
    println!("key folder     {}", folder.path().display());
    println!("keys           server's: {key}; clients': {}", clients.len());
    println!("origins        {}", config.origins.list().join("\n               "));
    if clients.is_empty() {
        println!("next           {}", add_command(&folder));
    }
    Ok(())
}

fn client(folder: &KeyFolder, command: &ClientCommand) -> Result<(), KeysError> {
    match command {
        ClientCommand::Add { name } => {
            let credential = folder.add(name)?;
            eprintln!("Give this line to the client `{name}`, over a channel you trust. It is secret, and not shown again:");
            println!("{}", *credential.reveal());
            eprintln!(
                "In the client's config.toml: proxy_key = \"…\" under [global]. A running server takes it up within a second."
            );
        }
        ClientCommand::List => {
            for client in folder.clients()? {
                println!("{}  {}", client.id, client.name);
            }
        }
        ClientCommand::Remove { name } => {
            folder.remove(name)?;
            eprintln!("`{name}` can open no new sessions. A running server takes it up within a second.");
        }
    }
    Ok(())
}
