//! What a caller is told when something fails: a sentence, a stable code, whose fault, and whether a retry is safe.

use std::{fmt, time::Duration};

use crate::proto::{
    self, Closed, Code, Fault,
    frame::{GoAway, Notice},
};

/// Any error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What can keep a session from opening, and is not said by a proxy that has shown its keys.
pub(super) const PROXY_UNREACHABLE: &str = "proxy-unreachable";
const PROXY_SILENT: &str = "proxy-silent";
const KEY_REFUSED: &str = "key-refused";

/// A request that failed. Never holds a key, a prompt or an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    code: &'static str,
    fault: Fault,
    retry: bool,
    after: Option<Duration>,
    /// It kept a session from opening, and the next attempt may go better.
    passing: bool,
    text: String,
}

impl Error {
    pub(super) fn new(code: &'static str, fault: Fault, text: impl Into<String>) -> Self {
        Self { code, fault, retry: false, after: None, passing: false, text: text.into() }
    }

    pub(super) fn retry_safe_if(self, retry: bool) -> Self {
        Self { retry, ..self }
    }

    pub(super) fn passing_if(self, passing: bool) -> Self {
        Self { passing, ..self }
    }

    /// Whether the proxy itself said so, or this machine. What is said before a handshake could be said by anybody on the way.
    pub(super) fn is_proven(&self) -> bool {
        !matches!(self.code, PROXY_UNREACHABLE | PROXY_SILENT | KEY_REFUSED)
    }

    /// Whether nobody answered at all.
    pub(super) fn is_silence(&self) -> bool {
        self.code == PROXY_SILENT
    }

    /// Whether it is worth while to wait for a session after this.
    pub(super) const fn may_pass(&self) -> bool {
        self.passing
    }

    /// The last error, when a request has waited for a session for so long and the next attempt is up to `next` away.
    pub(super) fn after_waiting(self, waited: Duration, next: Duration) -> Self {
        let text = format!("{} (waited {:.1} s)", self.text, waited.as_secs_f64());
        let after = Duration::from_secs(next.as_secs() + u64::from(next.subsec_nanos() > 0));
        Self { text, after: Some(after), ..self }
    }

    /// Stable code: a name of section 8 of `protocol.md`, or one of the local ones it lists.
    pub const fn code(&self) -> &'static str {
        self.code
    }

    /// Whose fault it is.
    pub const fn blame(&self) -> Fault {
        self.fault
    }

    /// Whether repeating the request is safe: the upstream was certainly not called, or never had all of the request. It says nothing
    /// of whether it helps: a request that the proxy does not allow fails again.
    pub const fn retry_safe(&self) -> bool {
        self.retry
    }

    /// How long to wait before a retry, where that is known.
    pub const fn retry_after(&self) -> Option<Duration> {
        self.after
    }

    /// A request that this side cannot send.
    pub(super) fn unsendable(error: proto::Error) -> Self {
        match error {
            proto::Error::Misbehaved(Code::TooLarge, _) => {
                let text = "the request's URL or headers are larger than the relay carries (8 192 and 16 000 bytes)";
                Self::new(Code::TooLarge.name(), Fault::Client, text)
            }
            other => Self::new(Code::Internal.name(), Fault::Client, other.to_string()),
        }
        .retry_safe_if(true)
    }

    /// The session ended under this request.
    pub(super) fn session_over(why: &Closed, unsent: bool) -> Self {
        match why {
            Closed::Done | Closed::Lost { .. } => {
                Self::new("session-lost", Fault::Network, "the connection to the proxy was lost before the answer was complete")
            }
            Closed::TimedOut { .. } => {
                Self::new("session-lost", Fault::Network, "the proxy has gone silent; the connection to it was given up")
            }
            Closed::Fault(error) => Self::new(
                error.code().name(),
                if matches!(error, proto::Error::Unauthentic(_)) { Fault::Network } else { Fault::Proxy },
                format!("the session was ended, because what came from the proxy was wrong: {error}"),
            ),
            Closed::Refused(notice) => {
                let text = format!("the proxy ended the session, because what reached it was wrong: {}", clean(&notice.text));
                Self::new(notice.code.name(), notice.fault, text)
            }
            Closed::ProfileRefused(offered) => {
                let text = format!("the proxy offers no traffic profile as strict as the one asked for, only `{offered}`");
                Self::new("profile-refused", Fault::Proxy, text)
            }
        }
        .retry_safe_if(unsent)
    }

    /// The same, and why it could not go on in another session, if that was tried.
    pub(super) fn because(self, back: Option<String>) -> Self {
        match back {
            None => self,
            Some(back) => {
                Self { text: format!("{}, and the request could not go on over another one: {back}", self.text), ..self }
            }
        }
    }

    /// The server that has a request is not the one that is reached.
    pub(super) fn another_server(node: Option<&str>) -> Self {
        let text = match node.map(clean) {
            None => "the proxy was restarted, or another one answers at its address".into(),
            Some(node) => format!(
                "it is at the proxy `{node}`, which was restarted, or another one answers at its address; a route to each proxy can be \
                 configured"
            ),
        };
        Self::new("session-lost", Fault::Proxy, text)
    }

    /// No keys or IDs can be made.
    pub(super) fn no_randomness() -> Self {
        Self::new(Code::Internal.name(), Fault::Client, "the operating system gives no randomness")
    }

    /// The proxy takes nothing new.
    pub(super) fn stopping() -> Self {
        let text = "the proxy is stopping: it finishes what is under way, and takes nothing new";
        Self::new(Code::ShuttingDown.name(), Fault::Proxy, text).retry_safe_if(true).passing_if(true)
    }

    /// The proxy ended the session because it wants none of this client now.
    pub(super) fn sent_away(goaway: &GoAway) -> Option<Self> {
        let away = matches!(goaway.code, Some(Code::Overloaded | Code::RateLimited | Code::KeyRevoked));
        away.then(|| goaway.refusal().into())
    }

    /// [`Client::close`](super::Client::close) was called.
    pub(super) fn closed() -> Self {
        Self::new("client-closed", Fault::Client, "this client was closed").retry_safe_if(true)
    }

    /// The handshake failed.
    pub(super) fn no_session(why: &Closed, proxy: &impl fmt::Display, waited: Duration) -> Self {
        match why {
            Closed::Fault(proto::Error::Unauthentic(_)) => Self::new(
                KEY_REFUSED,
                Fault::Client,
                format!(
                    "the proxy at {proxy} does not accept this key: it is unknown there, or was replaced. Whoever runs the proxy \
                     makes a new one with: xllm-proxy client add NAME. (If the key is right, then {proxy} is not an xllm-proxy, or \
                     its answer was damaged on the way.)"
                ),
            ),
            Closed::TimedOut { .. } | Closed::Lost { .. } | Closed::Done => {
                let what = if matches!(why, Closed::TimedOut { .. }) {
                    format!("gave no answer within {} s", waited.as_secs_f64())
                } else {
                    "closed the connection without an answer".to_owned()
                };
                let text = format!("{proxy} {what}: it may not be an xllm-proxy, or the key belongs to another server");
                Self::new(PROXY_SILENT, Fault::Proxy, text)
            }
            other => Self::session_over(other, true),
        }
        .retry_safe_if(true)
    }
}

impl From<Notice> for Error {
    fn from(notice: Notice) -> Self {
        Self {
            code: notice.code.name(),
            fault: notice.fault,
            retry: notice.retry,
            after: notice.after.map(Duration::from_millis),
            passing: false,
            text: match notice.code {
                // A later version's: the number is all there is to look up.
                Code::Other(number) => format!("{} (code {number})", clean(&notice.text)),
                _ => clean(&notice.text),
            },
        }
    }
}

/// A text from the other side, without what drives a terminal: control characters, and those that turn the direction of text.
fn clean(text: &str) -> String {
    let drives = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().filter(|&character| !drives(character)).collect()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Error {}
