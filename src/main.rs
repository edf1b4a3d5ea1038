//! The server binary: its commands; what they do is in `cli`, and the server itself is `xllm_proxy::server`.

mod cli;

use std::{error::Error, process::ExitCode};

use clap::{Parser, Subcommand};

use cli::{
    check::check,
    client::{ClientCommand, client},
    options::{Options, key_folder, load},
    serve::serve,
};

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
    /// Validate the configuration and the key files, and show what they mean
    Check,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xllm-proxy: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<ExitCode, Box<dyn Error>> {
    let options = &cli.options;
    match &cli.command {
        None => return serve(load(options)?, options),
        Some(Command::Check) => check(&load(options)?)?,
        Some(Command::Client(command)) => client(&key_folder(&load(options)?)?, command)?,
    }
    Ok(ExitCode::SUCCESS)
}
