//! `xllm gateway -- COMMAND`: a program whose API calls go through the relay.

use std::{
    ffi::OsString,
    io::{self, IsTerminal as _},
    process::ExitStatus,
};

use tokio::process::{Child, Command};

use crate::{
    exit::{Exit, Failure},
    signals::Signals,
};

/// What shells say when a command cannot be run, and when it is not there.
const CANNOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;

/// Runs it to its end. Signals that reach the gateway alone are passed on; Ctrl-C in a terminal reaches both, and it is the
/// program's to decide what it means.
pub(super) async fn run(command: &[OsString], env: &[(String, String)]) -> Result<Exit, Failure> {
    let Some((program, args)) = command.split_first() else { return Ok(Exit::Ok) };
    let mut signals = Signals::new();
    let spawned = Command::new(program).args(args).envs(env.iter().map(|(name, value)| (name, value))).spawn();
    let mut child = spawned.map_err(|error| {
        let code = if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { CANNOT_RUN };
        Failure::program(code, format!("cannot run {}: {error}", program.to_string_lossy()))
    })?;
    loop {
        tokio::select! {
            status = child.wait() => {
                let status = status.map_err(|error| Failure::usage(format!("lost sight of the program: {error}")))?;
                return Ok(Exit::Program(code(status)));
            }
            signal = signals.next() => pass_on(&child, signal),
        }
    }
}

#[cfg(unix)]
fn code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

#[cfg(not(unix))]
fn code(status: ExitStatus) -> u8 {
    status.code().map_or(1, |code| u8::try_from(code).unwrap_or(1))
}

#[cfg(unix)]
fn pass_on(child: &Child, signal: u8) {
    use rustix::process::{Pid, Signal, kill_process};
    let signal = match signal {
        // A terminal has sent it to the program as well.
        2 if io::stdin().is_terminal() => return,
        2 => Signal::INT,
        1 => Signal::HUP,
        _ => Signal::TERM,
    };
    let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    if let Some(pid) = pid {
        // It may have ended just now.
        let _ = kill_process(pid, signal);
    }
}

#[cfg(not(unix))]
fn pass_on(_: &Child, _: u8) {}
