//! The user's command: chat with LLMs, straight or through the encrypted relay.
//!
//! ```text
//! main ─► command ─► chat ─► transport     one question, its answer
//!                    chat ─► output        stdout and stderr
//!         command ─► demo ─► chat          the same, with provider, relay and wire-tap around it
//!         command ─► bench ─► transport    the same requests direct and relayed, measured
//!                    demo, bench ─► stage  a provider and a relay inside this process
//!         command ─► gateway               a local endpoint that carries other programs' requests
//!         command ─► doctor ─► transport   what is wrong, found out step by step
//!         command, demo, doctor, gateway, chat ─► options ─► config, aliases, endpoint, key, prompt, output
//! ```
//!
//! `args` is what was typed, `options` what is meant. Every module below `command`
//! fails with an `exit::Failure`, which knows its exit code and the remedy.

mod aliases;
mod args;
mod bench;
mod chat;
mod command;
mod config;
mod credential;
mod demo;
mod doctor;
mod endpoint;
mod env;
mod exit;
mod gateway;
mod init;
mod key;
mod keyring;
mod local;
mod models;
mod options;
mod output;
mod prompt;
mod secret;
mod signals;
mod stage;
mod transport;

use std::time::Duration;

use clap::Parser as _;
use exit::{Exit, Failure};
use tokio::runtime::Builder;

/// A look-up of a name cannot be called off; it is not waited for longer than this.
const FAREWELL: Duration = Duration::from_millis(200);

fn main() -> Exit {
    let cli = args::Cli::parse();
    // What the gateway carries takes no turns between threads (docs/performance.md). Elsewhere a terminal that is not read must not
    // hold up the session.
    let mut runtime = match cli.command {
        Some(args::Command::Gateway(_)) => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    // Dropped last, when all that could write to it has ended.
    let mut log = None;
    match runtime.enable_all().build() {
        Ok(runtime) => {
            let exit = runtime.block_on(command::run(cli, &mut log));
            runtime.shutdown_timeout(FAREWELL);
            exit
        }
        Err(error) => command::failed(&Failure::usage(format!("this system gives no threads: {error}"))),
    }
}
