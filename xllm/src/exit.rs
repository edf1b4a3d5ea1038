//! How the command ends: one exit code a cause, and errors that say what to do.

use std::{
    fmt,
    process::{ExitCode, Termination},
};

use crate::output::clean;

/// What the shell sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// All went well, or the reader of our output left.
    Ok,
    /// The API refused or broke off.
    Api,
    /// Wrong usage or configuration.
    Usage,
    /// The proxy, its key or the network.
    Proxy,
    /// Stopped by this signal.
    Signal(u8),
    /// As the program ended that was run.
    Program(u8),
}

impl Exit {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Api => 1,
            Self::Usage => 2,
            Self::Proxy => 3,
            Self::Signal(number) => 128 + number,
            Self::Program(code) => code,
        }
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self.code())
    }
}

/// An error for the user: what happened and, where known, the remedy.
/// Holds neither secrets nor prompts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    message: String,
    remedy: Option<String>,
}

impl Failure {
    fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), remedy: None }
    }

    pub(crate) fn api(message: impl Into<String>) -> Self {
        Self::new(Exit::Api, message)
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    pub(crate) fn proxy(message: impl Into<String>) -> Self {
        Self::new(Exit::Proxy, message)
    }

    /// The program to run cannot be run.
    pub(crate) fn program(code: u8, message: impl Into<String>) -> Self {
        Self::new(Exit::Program(code), message)
    }

    /// What happened, and the remedy.
    pub(crate) fn into_texts(self) -> (String, Option<String>) {
        (self.message, self.remedy)
    }

    /// Adds what the user can do about it.
    pub(crate) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Parts may come from a provider: nothing in them may drive the terminal.
        f.write_str(&clean(&self.message))?;
        if let Some(remedy) = &self.remedy {
            write!(f, "\n      {}", clean(remedy).replace('\n', "\n      "))?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_manual() {
        let codes = [Exit::Ok, Exit::Api, Exit::Usage, Exit::Proxy, Exit::Signal(2)].map(Exit::code);
        assert_eq!(codes, [0, 1, 2, 3, 130]);
    }

    #[test]
    fn a_message_cannot_drive_the_terminal() {
        let shown = Failure::api("bad \x1b[2J thing").remedy("do\nthis").to_string();
        assert_eq!(shown, "bad ␛[2J thing\n      do\n      this");
    }
}
