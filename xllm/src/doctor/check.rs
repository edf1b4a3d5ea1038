//! A finding as a value: printing it is another matter.

use serde::Serialize;

use crate::{
    exit::{Exit, Failure},
    output::clean,
};

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// As it should be.
    Ok,
    /// It works, but the user should know.
    Warning,
    /// It does not work; the command ends with this.
    Failed(Exit),
    /// Not looked at.
    Skipped,
}

impl Status {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed(_) => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// One line of the report. No field holds a secret, and none can drive a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) name: String,
    pub(super) status: Status,
    pub(super) detail: String,
    pub(super) remedy: Option<String>,
}

impl Check {
    fn new(name: &str, status: Status, detail: &str) -> Self {
        Self { name: clean(name).into_owned(), status, detail: clean(detail).into_owned(), remedy: None }
    }

    pub(super) fn ok(name: &str, detail: impl AsRef<str>) -> Self {
        Self::new(name, Status::Ok, detail.as_ref())
    }

    pub(super) fn warning(name: &str, detail: impl AsRef<str>) -> Self {
        Self::new(name, Status::Warning, detail.as_ref())
    }

    pub(super) fn skipped(name: &str, detail: impl AsRef<str>) -> Self {
        Self::new(name, Status::Skipped, detail.as_ref())
    }

    pub(super) fn failed(name: &str, failure: Failure) -> Self {
        let status = Status::Failed(failure.exit);
        let (message, remedy) = failure.into_texts();
        let check = Self::new(name, status, &message);
        match remedy {
            Some(remedy) => check.remedy(remedy),
            None => check,
        }
    }

    /// Adds what to do, unless that is known better already.
    pub(super) fn remedy(mut self, remedy: impl AsRef<str>) -> Self {
        self.remedy.get_or_insert_with(|| clean(remedy.as_ref()).into_owned());
        self
    }

    /// For programs.
    pub(super) fn row(&self) -> Row<'_> {
        Row { check: &self.name, status: self.status.word(), detail: &self.detail, remedy: self.remedy.as_deref() }
    }
}

/// A finding under `--json`.
#[derive(Debug, Serialize)]
pub(super) struct Row<'c> {
    check: &'c str,
    status: &'static str,
    detail: &'c str,
    remedy: Option<&'c str>,
}

/// What the command ends with: the failure that has to be mended first. Without a configuration the way is
/// not known, and without a way no provider can be judged.
pub(super) fn verdict(checks: &[Check]) -> Exit {
    let urgency = |exit: &Exit| match exit {
        Exit::Usage => 3,
        Exit::Proxy => 2,
        _ => 1,
    };
    let failures = checks.iter().filter_map(|check| if let Status::Failed(exit) = check.status { Some(exit) } else { None });
    failures.max_by_key(urgency).unwrap_or(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(statuses: &[Status]) -> Exit {
        let checks: Vec<_> = statuses.iter().map(|status| Check::new("x", *status, "")).collect();
        verdict(&checks)
    }

    #[test]
    fn what_must_be_mended_first_decides_the_exit_code() {
        use Status::{Failed, Ok, Skipped, Warning};
        assert_eq!(ended(&[]), Exit::Ok);
        assert_eq!(ended(&[Ok, Warning, Skipped]), Exit::Ok);
        assert_eq!(ended(&[Ok, Failed(Exit::Api), Warning]), Exit::Api);
        assert_eq!(ended(&[Failed(Exit::Api), Failed(Exit::Proxy), Failed(Exit::Api)]), Exit::Proxy);
        assert_eq!(ended(&[Failed(Exit::Usage), Failed(Exit::Proxy)]), Exit::Usage);
    }

    #[test]
    fn nothing_in_a_finding_can_drive_the_terminal() {
        let check = Check::failed("a\x1b", Failure::api("b\x1b").remedy("c\x1b"));
        assert_eq!((check.name.as_str(), check.detail.as_str(), check.remedy.as_deref()), ("a␛", "b␛", Some("c␛")));
    }

    #[test]
    fn the_first_remedy_stays() {
        assert_eq!(Check::failed("x", Failure::api("").remedy("a")).remedy("b").remedy.as_deref(), Some("a"));
        assert_eq!(Check::warning("x", "").remedy("b").remedy.as_deref(), Some("b"));
    }
}
