//! Options, and the configuration that they are laid over.

use std::{
    error::Error,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use super::sandbox::Sandbox;
use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;
use xllm_proxy::{
    log::{self, Log},
    server::{Config, config::AdminListen, config::Places, keys::KeyFolder},
};

/// Where packages put the configuration.
const SYSTEM_CONFIG: &str = "/etc/xllm-proxy/config.toml";

#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
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
    /// Address of the admin listener (health, metrics, reload), or `off` [default: 127.0.0.1:50052, if it is free]
    #[arg(long, value_name = "ADDRESS:PORT|off", env = "XLLM_PROXY_ADMIN", global = true)]
    admin: Option<AdminListen>,
    /// Allow another origin, as in `http://127.0.0.1:11434` (repeatable)
    #[arg(long, value_name = "ORIGIN", global = true)]
    allow: Vec<String>,
    /// Have the kernel lock the server down once it listens: no other files, programs, ports (Linux). `--sandbox` alone is `require`
    #[arg(
        long, value_name = "MODE", env = "XLLM_PROXY_SANDBOX", default_value = "off", default_missing_value = "require",
        num_args = 0..=1, require_equals = true
    )]
    pub(crate) sandbox: Sandbox,
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

/// The file of the configuration, if there is one.
pub(crate) fn config_file(options: &Options) -> Option<&Path> {
    let system = Path::new(SYSTEM_CONFIG);
    options.config.as_deref().or_else(|| system.exists().then_some(system))
}

/// The configuration: file, then environment and flags over it.
pub(crate) fn load(options: &Options) -> Result<Config, Box<dyn Error>> {
    let mut config = match config_file(options) {
        Some(path) => Config::load(path, &options.allow)?,
        None => Config::parse("", Path::new("(defaults)"), &options.allow)?,
    };
    if let Some(listen) = options.listen {
        config.listen = listen;
    } else {
        config.listen.set_ip(options.host.unwrap_or(config.listen.ip()));
        config.listen.set_port(options.port.unwrap_or(config.listen.port()));
    }
    config.admin = options.admin.unwrap_or(config.admin);
    config.data_dir = options.data_dir.clone().or(config.data_dir);
    Ok(config)
}

/// What of it commands need that serve nothing.
pub(crate) fn places(options: &Options) -> Result<Places, Box<dyn Error>> {
    let places = config_file(options).map(Places::load).transpose()?.unwrap_or_default();
    Ok(Places { data_dir: options.data_dir.clone().or(places.data_dir), admin: options.admin.unwrap_or(places.admin) })
}

/// Where a server that runs is asked. A file that it has refused, or will, makes it none the less well.
pub(crate) fn admin(options: &Options) -> AdminListen {
    options.admin.unwrap_or_else(|| {
        places(options).map_or_else(
            |error| {
                eprintln!("xllm-proxy: {error}\nThe server is asked at its default address; --admin names another.");
                AdminListen::default()
            },
            |places| places.admin,
        )
    })
}

/// The folder of the key files: as configured, as systemd gives it, or the user's own.
pub(crate) fn key_folder(configured: Option<&Path>) -> Result<KeyFolder, &'static str> {
    let from_systemd = || std::env::var_os("STATE_DIRECTORY").map(PathBuf::from);
    let from_user = || directories::ProjectDirs::from("", "", "xllm-proxy").map(|folders| folders.data_local_dir().to_owned());
    configured
        .map(Path::to_owned)
        .or_else(from_systemd)
        .or_else(from_user)
        .map(KeyFolder::new)
        .ok_or("there is no home folder to keep keys in; name a folder with --data-dir")
}

pub(crate) fn start_logging(options: &Options) -> Result<Log, Box<dyn Error>> {
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
