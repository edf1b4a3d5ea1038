//! The server binary: its commands; what they do is in `cli`, and the server itself is `xllm_proxy::server`.

mod cli;

use std::{error::Error, process::ExitCode};

use clap::{Parser, Subcommand};

use cli::{
    admin::{healthcheck, reload},
    check::check,
    client::{ClientCommand, client},
    options::{Options, key_folder, load, start_logging},
    serve::serve,
};

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

#[derive(Debug, Subcommand)]
enum Command {
    /// Manage the clients that may use this proxy
    #[command(subcommand)]
    Client(ClientCommand),
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
        Some(Command::Healthcheck { ready }) => healthcheck(&load(options)?, *ready),
        Some(Command::Reload) => reload(&load(options)?),
        Some(Command::Client(command)) => Ok(client(&key_folder(&load(options)?)?, command)?),
    }
}
