//! The server binary: its commands; what they do is in `cli`, and the server itself is `xllm_proxy::server`.

mod cli;

use std::{alloc::System, error::Error, process::ExitCode};

use clap::{Parser, Subcommand};
use zeroizing_alloc::ZeroAlloc;

use cli::{
    admin::{healthcheck, reload},
    check::check,
    client::{ClientCommand, client},
    options::{Options, admin, key_folder, load, places},
    serve::serve,
    server_key::{ServerKeyCommand, server_key},
};
use xllm_proxy::server::Stopped;

#[derive(Debug, Parser)]
#[command(
    name = "xllm-proxy",
    version,
    about = "Encrypted streaming relay for LLM APIs: the server",
    after_help = "First steps:\n  xllm-proxy client add laptop    make a client's key (one line, give it to the client)\n  \
                  xllm-proxy                      serve on 0.0.0.0:50051\n\n\
                  Exit codes:\n  0  done; a server: all that was under way at SIGTERM has finished\n  \
                  1  error\n  2  wrong usage\n  3  stopped, and requests under way had to be cut (limits.drain_seconds, or a second signal)"
)]
struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Manage the clients that may use this proxy
    #[command(subcommand)]
    Client(ClientCommand),
    /// Manage the key by which clients know this proxy
    #[command(subcommand)]
    ServerKey(ServerKeyCommand),
    /// Validate the configuration and the key files, and show what they mean
    Check,
    /// Ask a running server whether it is well; the exit code says it
    Healthcheck {
        /// Ask whether it takes sessions, too
        #[arg(long)]
        ready: bool,
    },
    /// Have a running server read its configuration and keys once more
    Reload,
}

/// What is freed is wiped: prompts, answers and keys pass through many buffers, most of them not our own.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

/// The exit code where requests were cut at the end of the time to finish.
const CUT: u8 = 3;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(Stopped::Finished) => ExitCode::SUCCESS,
        Ok(Stopped::Cut(_)) => ExitCode::from(CUT),
        Err(error) => {
            eprintln!("xllm-proxy: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<Stopped, Box<dyn Error>> {
    let options = &cli.options;
    let folder = || Ok::<_, Box<dyn Error>>(key_folder(places(options)?.data_dir.as_deref())?);
    match &cli.command {
        None => return serve(options, load(options)?),
        Some(Command::Check) => check(&load(options)?)?,
        Some(Command::Client(command)) => client(&folder()?, command)?,
        Some(Command::ServerKey(command)) => server_key(&folder()?, command)?,
        Some(Command::Healthcheck { ready }) => healthcheck(admin(options), *ready)?,
        Some(Command::Reload) => reload(admin(options))?,
    }
    Ok(Stopped::Finished)
}
