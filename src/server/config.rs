//! The server's configuration: a TOML file with strict keys; environment and flags are laid over it by the binary.

use std::{net::SocketAddr, num::NonZero, path::Path, path::PathBuf, time::Duration};

use serde::{Deserialize, Deserializer, de::Error as _};

use super::origins::{NotAnOrigin, Origins};
use crate::{
    http::policy::{RuleError, Rules},
    proto::{Profile, frame::Policy, limits, wire::VARINT_MAX},
};

/// More threads than any machine has use for.
const WORKERS_MAX: usize = 1024;

/// The annotated example, which a test loads.
pub const EXAMPLE: &str = include_str!("../../xllm-proxy.example.toml");

/// All settings, with their defaults.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Folder of the key files; `None`: the platform's.
    pub data_dir: Option<PathBuf>,
    /// Threads that carry sessions, for [`Workers::start`](super::Workers::start); `None`: one for each processor.
    pub workers: Option<NonZero<usize>>,
    /// What may be called.
    pub origins: Origins,
    /// The weakest traffic profile that clients may use.
    pub profile: Profile,
    /// The loosest header policy that clients may use.
    pub headers: Policy,
    /// Changes to that policy for what goes to upstreams.
    pub request_headers: Rules,
    /// Changes to that policy for what goes to clients.
    pub response_headers: Rules,
    /// Bounds on everything that a peer controls.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self::try_from(File::default()).expect("the defaults are valid")
    }
}

/// Bounds on everything that a peer controls. Times are in seconds.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Sessions at once.
    pub sessions: usize,
    /// Requests at once in one session.
    pub exchanges: u32,
    /// Time until a client must have proved its key.
    pub hello_seconds: f64,
    /// Time without a request after which a session ends.
    pub idle_seconds: f64,
    /// Time to connect to an upstream.
    pub connect_seconds: f64,
    /// Time until an upstream's response head. Long: models think.
    pub head_seconds: f64,
    /// Silence in the middle of an upstream's response body.
    pub stall_seconds: f64,
    /// Time for requests under way when the server stops.
    pub drain_seconds: f64,
    /// Largest request body, bytes.
    pub upload_bytes: u64,
    /// Request body bytes that a client may send ahead.
    pub upload_credit: u64,
    /// Largest response in buffered mode, bytes.
    pub buffered_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: 10_000,
            exchanges: 256,
            hello_seconds: limits::HELLO_TIME.as_secs_f64(),
            idle_seconds: 600.0,
            connect_seconds: 10.0,
            head_seconds: 900.0,
            stall_seconds: 900.0,
            drain_seconds: 30.0,
            upload_bytes: 2 << 30,
            upload_credit: 1 << 20,
            buffered_bytes: 8 << 20,
        }
    }
}

macro_rules! durations {
    ($($(#[doc = $doc:literal])+ $name:ident = $field:ident;)+) => {
        impl Limits {
            $($(#[doc = $doc])+ pub fn $name(&self) -> Duration { Duration::from_secs_f64(self.$field) })+

            fn check_times(&self) -> Result<(), ConfigError> {
                $(if !(0.001..=31_536_000.0).contains(&self.$field) {
                    return Err(ConfigError::Range(concat!("limits.", stringify!($field)), "0.001 to 31536000"));
                })+
                Ok(())
            }
        }
    };
}

durations! {
    /// Time until a client must have proved its key.
    hello = hello_seconds;
    /// Time without a request after which a session ends.
    idle = idle_seconds;
    /// Time to connect to an upstream.
    connect = connect_seconds;
    /// Time until an upstream's response head.
    head = head_seconds;
    /// Silence in the middle of an upstream's response body.
    stall = stall_seconds;
    /// Time for requests under way when the server stops.
    drain = drain_seconds;
}

impl Limits {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.check_times()?;
        let credit = limits::CREDIT_MIN..=limits::CREDIT_MAX;
        let in_range = [
            ("limits.sessions", (1..=1_000_000).contains(&self.sessions), "1 to 1000000"),
            ("limits.exchanges", (1..=limits::EXCHANGES_MAX).contains(&self.exchanges.into()), "1 to 65536"),
            ("limits.buffered_bytes", self.buffered_bytes <= VARINT_MAX, "at most 4611686018427387903"),
            ("limits.upload_credit", credit.contains(&self.upload_credit), "16448 to 1073741824"),
        ];
        match in_range.into_iter().find(|(_, fine, _)| !fine) {
            Some((key, _, range)) => Err(ConfigError::Range(key, range)),
            None => Ok(()),
        }
    }
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{0}: {1}")]
    Io(PathBuf, std::io::Error),
    /// Not valid TOML, or an unknown key. The line itself is not shown: it may hold a value of `set`.
    #[error("{path}, line {line}, column {column}: {what}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What is wrong there.
        what: String,
    },
    /// A number out of its range.
    #[error("{0} must be {1}")]
    Range(&'static str, &'static str),
    /// Not an origin.
    #[error("origins.allow: {0}")]
    Origin(#[from] NotAnOrigin),
    /// Rules for headers that cannot be used; the table they are in.
    #[error("[{0}]: {1}")]
    Rules(&'static str, RuleError),
    /// Not a profile.
    #[error("profile: {0}")]
    Profile(#[from] crate::proto::profile::UnknownProfile),
}

impl ConfigError {
    fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let before = text.get(..error.span().map_or(0, |span| span.start)).unwrap_or_default();
        let line = 1 + before.matches('\n').count();
        let column = 1 + before.chars().rev().take_while(|&character| character != '\n').count();
        Self::Syntax { path: path.into(), line, column, what: error.message().to_owned() }
    }
}

/// The file as it is written.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    listen: Option<SocketAddr>,
    data_dir: Option<PathBuf>,
    workers: Option<usize>,
    profile: Option<String>,
    headers: Option<HeaderPolicy>,
    request_headers: RulesFile,
    response_headers: RulesFile,
    origins: OriginsFile,
    limits: Limits,
}

/// No `Debug`: the values of `set` may be secrets.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RulesFile {
    keep: Vec<String>,
    drop: Vec<String>,
    #[serde(deserialize_with = "names_and_texts")]
    set: Vec<(String, String)>,
}

/// A table of texts. What serde says of a value of another type would show it.
fn names_and_texts<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(String, String)>, D::Error> {
    let wrong = || D::Error::custom("`set` is a table of names and texts, as in: set = { x-team = \"research\" }");
    let toml::Value::Table(table) = toml::Value::deserialize(from)? else { return Err(wrong()) };
    let text = |(name, value)| if let toml::Value::String(text) = value { Ok((name, text)) } else { Err(wrong()) };
    table.into_iter().map(text).collect()
}

impl RulesFile {
    fn rules(self, table: &'static str) -> Result<Rules, ConfigError> {
        Rules::new(&self.keep, &self.drop, self.set).map_err(|error| ConfigError::Rules(table, error))
    }
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct OriginsFile {
    known: bool,
    allow: Vec<String>,
}

impl Default for OriginsFile {
    fn default() -> Self {
        Self { known: true, allow: Vec::new() }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum HeaderPolicy {
    Neutral,
    Sdk,
    Pass,
}

fn workers(count: usize) -> Result<NonZero<usize>, ConfigError> {
    NonZero::new(count).filter(|count| count.get() <= WORKERS_MAX).ok_or(ConfigError::Range("workers", "1 to 1024"))
}

impl TryFrom<File> for Config {
    type Error = ConfigError;

    fn try_from(file: File) -> Result<Self, ConfigError> {
        file.limits.check()?;
        Ok(Self {
            listen: file.listen.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 50051))),
            data_dir: file.data_dir,
            workers: file.workers.map(workers).transpose()?,
            origins: Origins::new(file.origins.known, &file.origins.allow)?,
            profile: file.profile.map_or(Ok(Profile::Off), |name| name.parse())?,
            headers: match file.headers {
                Some(HeaderPolicy::Neutral) => Policy::Neutral,
                Some(HeaderPolicy::Sdk) => Policy::Sdk,
                None | Some(HeaderPolicy::Pass) => Policy::Pass,
            },
            request_headers: file.request_headers.rules("request_headers")?,
            response_headers: file.response_headers.rules("response_headers")?,
            limits: file.limits,
        })
    }
}

impl Config {
    /// Reads a file. `allow` are origins to allow beside those in it.
    ///
    /// # Errors
    /// What is wrong, with line and key where there is one.
    pub fn load(path: &Path, allow: &[String]) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Io(path.into(), error))?;
        Self::parse(&text, path, allow)
    }

    /// Reads a text; `path` is for messages.
    ///
    /// # Errors
    /// What is wrong, with line and key where there is one.
    pub fn parse(text: &str, path: &Path, allow: &[String]) -> Result<Self, ConfigError> {
        let mut file: File = toml::from_str(text).map_err(|error| ConfigError::syntax(path, text, &error))?;
        file.origins.allow.extend_from_slice(allow);
        file.try_into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, Path::new("test.toml"), &[]).map_err(|error| error.to_string())
    }

    #[test]
    fn the_example_shows_every_default() {
        let (example, default) = (parse(EXAMPLE).expect("the example is valid"), Config::default());
        assert_eq!(format!("{:?}", example.limits), format!("{:?}", default.limits));
        assert_eq!(example.listen, default.listen);
        assert!(EXAMPLE.contains("\n# workers = "), "the example lacks workers");
        assert_eq!(example.origins.list(), default.origins.list());
        assert_eq!((example.profile, example.headers), (default.profile, default.headers));
        for (rules, of_defaults) in
            [(&example.request_headers, &default.request_headers), (&example.response_headers, &default.response_headers)]
        {
            assert!(rules.is_empty() && of_defaults.is_empty());
        }
        for name in ["[request_headers]", "[response_headers]", "keep = ", "drop = ", "set = "] {
            assert!(EXAMPLE.contains(&format!("\n{name}")), "the example lacks {name}");
        }
        for name in format!("{:?}", default.limits).split_whitespace().filter_map(|word| word.strip_suffix(':')) {
            assert!(EXAMPLE.contains(&format!("\n{name} = ")), "the example lacks {name}");
        }
    }

    #[test]
    fn unknown_keys_are_refused_with_their_line() {
        for (text, place) in [
            ("lisen = '0.0.0.0:1'", "line 1, column 1"),
            ("[limits]\nsession = 1", "line 2, column 1"),
            ("[origins]\nalow = []", "line 2, column 1"),
            ("\n[typo]", "line 2, column 2"),
            ("[response_headers]\n keeps = []", "line 2, column 2"),
        ] {
            let error = parse(text).expect_err("refused");
            assert!(error.contains("unknown field") && error.contains(place), "{error}");
        }
    }

    #[test]
    fn rules_that_cannot_be_used_are_refused_with_their_table() {
        for (text, expected) in [
            ("[request_headers]\nkeep = ['host']", "[request_headers]: `host` is made anew"),
            ("[response_headers]\nkeep = ['a']\ndrop = ['A']", "[response_headers]: `a` stands in both"),
            ("[request_headers.set]\nx-team = 7", "`set` is a table of names and texts"),
        ] {
            let error = parse(text).expect_err("refused");
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn what_is_wrong_about_a_header_that_is_set_does_not_show_its_value() {
        for text in [
            "set = { authorization = \"secret",
            "set = { authorization = secret }",
            "set = { authorization = ['secret'] }",
            "set = 'secret'",
            "set = { authorization = \"secret\\n\" }",
            "set = { \"authorization: secret\" = '' }",
            "authorization = 'secret'",
            "keep = ['authorization: secret']",
        ] {
            let text = format!("[request_headers]\n{text}");
            let error = Config::parse(&text, Path::new("test.toml"), &[]).expect_err("refused");
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("secret") && shown.contains("request_headers") | shown.contains("line 2"), "{shown}");
        }
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        for (text, key) in [
            ("[limits]\nsessions = 0", "limits.sessions"),
            ("[limits]\nexchanges = 70000", "limits.exchanges"),
            ("[limits]\nupload_credit = 1", "limits.upload_credit"),
            ("[limits]\nbuffered_bytes = 9223372036854775807", "limits.buffered_bytes"),
            ("[limits]\nhello_seconds = -1", "limits.hello_seconds"),
            ("[limits]\nstall_seconds = nan", "limits.stall_seconds"),
            ("[origins]\nallow = ['nonsense']", "nonsense"),
            ("profile = 'loud'", "profile"),
            ("workers = 0", "workers"),
            ("workers = 1025", "workers"),
        ] {
            assert!(parse(text).expect_err("refused").contains(key), "{text}");
        }
    }

    #[test]
    fn origins_from_flags_are_added() {
        let config = Config::parse("", Path::new("x"), &["http://127.0.0.1:1".into()]).expect("valid");
        assert!(config.origins.list().contains(&"http://127.0.0.1:1"));
    }
}
