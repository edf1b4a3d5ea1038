//! The header policy: one table for both directions, three named policies, and rules that change it.
//!
//! `neutral` drops what names the provider or the program, `sdk` keeps what SDKs read, `pass` drops hop-by-hop fields
//! alone. The first row that matches a field decides; a field that no row matches passes. `docs/headers.md` shows the table
//! to users; a test here holds the page to it.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::proto::frame::Policy;

/// The `user-agent` that upstreams see under `neutral` and `sdk`: one constant, because some CDNs refuse an empty one.
pub const USER_AGENT: HeaderValue = HeaderValue::from_static("xllm-proxy/1");

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Towards the provider.
    Request,
    /// Towards the program.
    Response,
}

/// What happens to some fields.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Lower-case names; one that ends in `*` stands for all that begin so.
    pub names: &'static [&'static str],
    /// Whether they pass under `neutral`.
    pub neutral: bool,
    /// Whether they pass under `sdk`.
    pub sdk: bool,
    /// Why, in a few words for users.
    pub why: &'static str,
}

const fn both(why: &'static str, names: &'static [&'static str]) -> Row {
    Row { names, neutral: true, sdk: true, why }
}

const fn sdk_alone(why: &'static str, names: &'static [&'static str]) -> Row {
    Row { names, neutral: false, sdk: true, why }
}

const fn neither(why: &'static str, names: &'static [&'static str]) -> Row {
    Row { names, neutral: false, sdk: false, why }
}

/// Dropped at each hop in both directions under every policy (RFC 9110 section 7.6.1). `te: trailers` passes; `host` and
/// `content-length` are made anew; `expect` is answered by the hop that reads it.
pub const HOP_BY_HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-*",
    "te",
    "transfer-encoding",
    "upgrade",
    "host",
    "content-length",
    "expect",
    "http2-settings",
];

/// Keys are one provider's: they are not for rules, which hold for all.
const CREDENTIALS: &[&str] = &["authorization", "x-api-key", "x-goog-api-key", "cookie"];

/// Towards the provider.
pub const REQUEST: &[Row] = &[
    both("the body, and what the program can read", &["content-type", "content-encoding", "accept", "accept-encoding"]),
    both("keys", &["authorization", "x-api-key", "x-goog-api-key"]),
    both("versions and features: new ones come as fields of this form", &["anthropic-*", "openai-*"]),
    both("repeats, parts and conditions", &["idempotency-key", "range", "if-*"]),
    neither("names the program; `xllm-proxy/1` goes instead, because some CDNs refuse a request without", &["user-agent"]),
    neither(
        "telemetry of SDKs and tools; their retries and time-outs need none of it",
        &["x-stainless-*", "x-goog-api-client", "x-claude-code-*", "x-app", "http-referer", "x-title"],
    ),
    neither("what browsers add", &["cookie", "origin", "referer", "sec-*", "accept-language", "dnt", "priority"]),
    neither(
        "who is behind the relay",
        &[
            "forwarded",
            "x-forwarded-*",
            "x-real-ip",
            "via",
            "cf-*",
            "true-client-ip",
            "x-client-ip",
            "x-cluster-client-ip",
            "fastly-client-ip",
            "x-envoy-*",
        ],
    ),
    neither(
        "tracing: links a request to others",
        &["traceparent", "tracestate", "baggage", "b3", "x-b3-*", "sentry-trace", "x-amzn-trace-id", "x-cloud-trace-context"],
    ),
];

/// Towards the program.
pub const RESPONSE: &[Row] = &[
    both("the body", &["content-type", "content-encoding", "content-disposition", "content-range", "accept-ranges"]),
    both("caching, and where something is", &["etag", "last-modified", "cache-control", "expires", "location", "date"]),
    both("what SDKs wait and retry by", &["retry-after", "retry-after-ms", "x-should-retry", "openai-poll-after-ms"]),
    sdk_alone(
        "what SDKs show: IDs for support requests, usage and limits",
        &["request-id", "x-request-id", "anthropic-ratelimit-*", "x-ratelimit-*"],
    ),
    neither(
        "names the provider: organization, project, processing time, version, workspace",
        &[
            "anthropic-*",
            "openai-*",
            "x-openai-*",
            "x-groq-*",
            "mistral-*",
            "fireworks-*",
            "x-fireworks-*",
            "x-together-*",
            "x-deepseek-*",
            "x-ds-*",
            "x-xai-*",
            "x-cohere-*",
            "x-cerebras-*",
            "x-openrouter-*",
        ],
    ),
    neither("cookies link requests: SDKs in Python send them back", &["set-cookie"]),
    neither("a URL at the provider: a program that followed it would leave the relay", &["x-goog-upload-url"]),
    neither(
        "names the servers in between, or asks browsers for something",
        &[
            "server",
            "via",
            "alt-svc",
            "strict-transport-security",
            "cf-*",
            "x-envoy-*",
            "x-cloud-trace-context",
            "x-goog-*",
            "x-amz*",
            "nel",
            "report-to",
            "x-robots-tag",
            "x-content-type-options",
        ],
    ),
];

fn matches(names: &[&str], name: &str) -> bool {
    names.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => *pattern == name,
    })
}

/// A name, or the beginning of names.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    text: Box<str>,
    /// Written with `*`.
    open: bool,
}

impl Pattern {
    fn new(text: &str) -> Result<Self, RuleError> {
        let text = text.to_ascii_lowercase();
        let start = text.strip_suffix('*');
        let name = start.unwrap_or(&text);
        // `*` is a letter of names as well, as far as HTTP goes.
        let valid = (name.is_empty() && start.is_some())
            || (!name.contains('*') && HeaderName::from_lowercase(name.as_bytes()).is_ok());
        if valid { Ok(Self { text: name.into(), open: start.is_some() }) } else { Err(RuleError::name(&text)) }
    }

    fn all(texts: &[String]) -> Result<Vec<Self>, RuleError> {
        texts.iter().map(|text| Self::new(text)).collect()
    }

    fn written(&self) -> String {
        format!("{}{}", self.text, if self.open { "*" } else { "" })
    }
}

/// Rules that cannot be used. Never shows a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Not a name, nor the beginning of one.
    #[error("the entry that begins with `{0}` is no header name, nor the beginning of one with `*` at its end (as in `x-*`)")]
    Name(String),
    /// A field that ends at each hop.
    #[error("`{0}` is made anew for each connection: it can be neither kept nor set; remove it")]
    HopByHop(String),
    /// Two rules that contradict each other.
    #[error("`{0}` stands in both keep and drop: remove it from one of them")]
    Both(String),
    /// A field that is set twice.
    #[error("`{0}` is set twice (capital letters make no difference): leave one")]
    Twice(String),
    /// A field of keys, which would go to every host.
    #[error("`{0}` cannot be set: a key would go to every host that is called; it belongs to one provider")]
    Credential(String),
    /// A value that HTTP forbids.
    #[error("the value that `{0}` is set to has a line break or another character that headers cannot hold")]
    Value(String),
}

impl RuleError {
    /// Shows an entry as far as it is a name: behind that, a value may have been written.
    fn name(text: &str) -> Self {
        let letter = |c: &char| c.is_ascii_alphanumeric() || "-_.*".contains(*c);
        Self::Name(text.chars().take_while(letter).take(64).collect())
    }
}

/// Changes to the table, from a configuration.
///
/// What ends at each hop ends there whatever the rules say. Apart from that, a field that `drop` names goes, one that
/// `keep` names stays, and the policy's table decides of the rest. A name in full counts for more than a pattern with `*`,
/// whichever list it is in; between two patterns, `drop` wins. Last, `set` puts its fields in place of what is there.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    keep: Vec<Pattern>,
    drop: Vec<Pattern>,
    /// Marked as sensitive, so that neither `Debug` here nor that of a message shows them.
    set: Vec<(HeaderName, HeaderValue)>,
}

/// What a filter without rules refers to.
static NO_RULES: Rules = Rules { keep: Vec::new(), drop: Vec::new(), set: Vec::new() };

impl Rules {
    /// Rules that keep and drop fields of these names, or names that begin so if they end in `*`, and set others. Capital
    /// letters make no difference.
    ///
    /// # Errors
    /// What is no name or value, ends at each hop, or contradicts another rule.
    pub fn new(keep: &[String], drop: &[String], set: impl IntoIterator<Item = (String, String)>) -> Result<Self, RuleError> {
        let mut rules = Self { keep: Pattern::all(keep)?, drop: Pattern::all(drop)?, set: Vec::new() };
        if let Some(both) = rules.keep.iter().find(|pattern| rules.drop.contains(pattern)) {
            return Err(RuleError::Both(both.written()));
        }
        if let Some(hop) = rules.keep.iter().map(Pattern::written).find(|name| matches(HOP_BY_HOP, name)) {
            return Err(RuleError::HopByHop(hop));
        }
        for (name, value) in set {
            let Pattern { text, open: false } = Pattern::new(&name)? else { return Err(RuleError::name(&name)) };
            if matches(HOP_BY_HOP, &text) {
                return Err(RuleError::HopByHop(text.into()));
            }
            if matches(CREDENTIALS, &text) {
                return Err(RuleError::Credential(text.into()));
            }
            let name = HeaderName::from_lowercase(text.as_bytes()).map_err(|_| RuleError::name(&text))?;
            if rules.set.iter().any(|(other, _)| *other == name) {
                return Err(RuleError::Twice(text.into()));
            }
            let mut value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| RuleError::Value(text.into()))?;
            value.set_sensitive(true);
            rules.set.push((name, value));
        }
        Ok(rules)
    }

    /// Whether they change nothing.
    pub const fn is_empty(&self) -> bool {
        self.keep.is_empty() && self.drop.is_empty() && self.set.is_empty()
    }

    /// Whether a field stays, if they say anything of it.
    fn verdict(&self, name: &str) -> Option<bool> {
        let names = |list: &[Pattern]| list.iter().any(|pattern| !pattern.open && *pattern.text == *name);
        let covers = |list: &[Pattern]| list.iter().any(|pattern| pattern.open && name.starts_with(&*pattern.text));
        if names(&self.drop) {
            Some(false)
        } else if names(&self.keep) {
            Some(true)
        } else if covers(&self.drop) {
            Some(false)
        } else {
            covers(&self.keep).then_some(true)
        }
    }
}

/// What decides of the fields of messages that go one way.
#[derive(Clone, Copy, Debug)]
pub struct Filter<'a> {
    direction: Direction,
    policy: Policy,
    rules: &'a Rules,
}

impl Filter<'static> {
    /// The table alone.
    pub fn new(direction: Direction, policy: Policy) -> Self {
        Self { direction, policy, rules: &NO_RULES }
    }
}

impl Filter<'_> {
    /// The same with these rules over the table.
    #[must_use]
    pub fn with(self, rules: &Rules) -> Filter<'_> {
        Filter { direction: self.direction, policy: self.policy, rules }
    }

    /// Whether a field passes. Hop-by-hop fields never do.
    pub fn passes(&self, name: &str) -> bool {
        !matches(HOP_BY_HOP, name) && self.rules.verdict(name).unwrap_or_else(|| self.passes_table(name))
    }

    fn passes_table(&self, name: &str) -> bool {
        let table = match self.direction {
            Direction::Request => REQUEST,
            Direction::Response => RESPONSE,
        };
        let row = || table.iter().find(|row| matches(row.names, name));
        match self.policy {
            Policy::Neutral => row().is_none_or(|row| row.neutral),
            Policy::Sdk => row().is_none_or(|row| row.sdk),
            Policy::Pass => true,
        }
    }

    /// A head, as it goes on.
    pub fn apply(&self, headers: &HeaderMap) -> HeaderMap {
        let mut kept = self.fields(headers);
        // Under a rule that keeps the program's own, ours stands in only where there is none.
        let ours = self.direction == Direction::Request && self.policy != Policy::Pass;
        if ours && !kept.contains_key(header::USER_AGENT) {
            kept.insert(header::USER_AGENT, USER_AGENT);
        }
        for (name, value) in &self.rules.set {
            kept.insert(name, value.clone());
        }
        kept
    }

    /// The fields that pass, of a head or of trailers.
    pub fn fields(&self, headers: &HeaderMap) -> HeaderMap {
        // Fields that `connection` names are hop-by-hop as well.
        let named: Vec<String> = headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|name| name.trim().to_ascii_lowercase())
            .collect();
        let keeps = |name: &HeaderName, value: &HeaderValue| {
            if *name == header::TE {
                let trailers = value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"trailers");
                return trailers && self.rules.verdict("te") != Some(false);
            }
            self.passes(name.as_str()) && !named.iter().any(|hop| hop == name.as_str())
        };
        let mut kept = HeaderMap::with_capacity(headers.len());
        for (name, value) in headers.iter().filter(|(name, value)| keeps(name, value)) {
            kept.append(name, value.clone());
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(direction: Direction, policy: Policy, fields: &[(&'static str, &'static str)]) -> Vec<String> {
        through(Filter::new(direction, policy), fields)
    }

    fn through(filter: Filter<'_>, fields: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut map = HeaderMap::new();
        for &(name, value) in fields {
            map.append(name, HeaderValue::from_static(value));
        }
        filter.apply(&map).iter().map(|(name, value)| format!("{name}: {}", value.to_str().expect("ASCII"))).collect()
    }

    #[test]
    fn keys_and_api_versions_pass_and_telemetry_does_not() {
        let fields = [
            ("x-api-key", "k"),
            ("anthropic-version", "2023-06-01"),
            ("anthropic-dangerous-direct-browser-access", "true"),
            ("user-agent", "python"),
            ("x-stainless-os", "Linux"),
            ("cookie", "c"),
            ("x-forwarded-for", "10.0.0.1"),
            ("traceparent", "t"),
            ("x-custom", "1"),
        ];
        for policy in [Policy::Neutral, Policy::Sdk] {
            assert_eq!(
                after(Direction::Request, policy, &fields),
                [
                    "x-api-key: k",
                    "anthropic-version: 2023-06-01",
                    "anthropic-dangerous-direct-browser-access: true",
                    "x-custom: 1",
                    "user-agent: xllm-proxy/1",
                ]
            );
        }
        assert_eq!(after(Direction::Request, Policy::Pass, &fields).len(), fields.len());
    }

    #[test]
    fn neutral_answers_do_not_name_the_provider_and_sdk_answers_keep_what_sdks_read() {
        let fields = [
            ("content-type", "text/event-stream"),
            ("retry-after", "7"),
            ("openai-poll-after-ms", "5"),
            ("request-id", "r"),
            ("anthropic-ratelimit-requests-limit", "50"),
            ("anthropic-organization-id", "o"),
            ("openai-version", "v"),
            ("server", "cloudflare"),
            ("set-cookie", "c"),
            ("cf-ray", "x"),
        ];
        let neutral = ["content-type: text/event-stream", "retry-after: 7", "openai-poll-after-ms: 5"];
        assert_eq!(after(Direction::Response, Policy::Neutral, &fields), neutral);
        let sdk = after(Direction::Response, Policy::Sdk, &fields);
        assert_eq!(sdk[..3], neutral);
        assert_eq!(sdk[3..], ["request-id: r", "anthropic-ratelimit-requests-limit: 50"]);
    }

    #[test]
    fn hop_by_hop_fields_end_at_each_hop_under_every_policy() {
        let fields = [
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("keep-alive", "5"),
            ("transfer-encoding", "chunked"),
            ("proxy-authorization", "p"),
            ("host", "h"),
            ("content-length", "3"),
            ("upgrade", "h2c"),
            ("te", "gzip"),
            ("te", "trailers"),
        ];
        for policy in [Policy::Neutral, Policy::Sdk, Policy::Pass] {
            assert_eq!(after(Direction::Response, policy, &fields), ["te: trailers"]);
        }
    }

    #[test]
    fn no_field_is_decided_twice() {
        for table in [REQUEST, RESPONSE] {
            let names: Vec<_> = table.iter().flat_map(|row| row.names).collect();
            for (at, name) in names.iter().enumerate() {
                assert!(!names[at + 1..].contains(name), "{name}");
            }
        }
    }

    fn rules(keep: &[&str], drop: &[&str], set: &[(&str, &str)]) -> Result<Rules, RuleError> {
        let owned = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        Rules::new(&owned(keep), &owned(drop), set.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())))
    }

    /// Whether an answer's field passes under `neutral` with these rules.
    fn passes(keep: &[&str], drop: &[&str], name: &str) -> bool {
        let rules = rules(keep, drop, &[]).expect("valid");
        Filter::new(Direction::Response, Policy::Neutral).with(&rules).passes(name)
    }

    #[test]
    fn rules_win_over_the_table() {
        assert!(!passes(&[], &[], "request-id"));
        assert!(passes(&["Request-ID"], &[], "request-id"));
        assert!(passes(&["openai-*"], &[], "openai-version") && !passes(&["openai-*"], &[], "anthropic-workspace-id"));
        assert!(!passes(&[], &["content-type"], "content-type"));
        assert!(passes(&["*"], &[], "server") && !passes(&[], &["*"], "content-type"));
    }

    #[test]
    fn a_full_name_wins_over_a_pattern_and_drop_over_keep() {
        let (keep, drop) = (["x-request-id"], ["x-*"]);
        assert!(passes(&keep, &drop, "x-request-id") && !passes(&keep, &drop, "x-other"));
        let (keep, drop) = (["x-*"], ["x-request-id"]);
        assert!(!passes(&keep, &drop, "x-request-id") && passes(&keep, &drop, "x-ratelimit-limit-tokens"));
        assert!(!passes(&["x-request-*"], &["x-*"], "x-request-id"));
        assert!(!passes(&["x-*"], &["x-request-*"], "x-request-id"));
        assert!(passes(&["content-type"], &["*"], "content-type"));
    }

    #[test]
    fn no_rule_carries_a_hop_by_hop_field_over_its_hop() {
        let rules = rules(&["*", "x-hop"], &[], &[]).expect("valid");
        let fields =
            [("connection", "x-hop"), ("x-hop", "1"), ("proxy-authorization", "p"), ("te", "trailers"), ("x-other", "1")];
        for policy in [Policy::Neutral, Policy::Sdk, Policy::Pass] {
            let filter = Filter::new(Direction::Response, policy).with(&rules);
            assert_eq!(through(filter, &fields), ["te: trailers", "x-other: 1"]);
        }
    }

    #[test]
    fn what_is_set_stands_in_place_of_what_was_there() {
        let rules =
            rules(&[], &["te", "accept"], &[("User-Agent", "mine/1"), ("x-twice", "0"), ("accept", "*/*")]).expect("valid");
        let fields =
            [("accept", "text/plain"), ("x-twice", "1"), ("x-twice", "2"), ("te", "trailers"), ("user-agent", "python")];
        for policy in [Policy::Neutral, Policy::Sdk, Policy::Pass] {
            let filter = Filter::new(Direction::Request, policy).with(&rules);
            let mut after = through(filter, &fields);
            after.sort();
            assert_eq!(after, ["accept: */*", "user-agent: mine/1", "x-twice: 0"]);
            assert!(filter.fields(&HeaderMap::new()).is_empty(), "nothing is set in trailers");
        }
    }

    #[test]
    fn a_user_agent_is_kept_by_a_rule_and_ours_stands_in_where_there_is_none() {
        let rules = rules(&["user-agent"], &[], &[]).expect("valid");
        let filter = Filter::new(Direction::Request, Policy::Neutral).with(&rules);
        assert_eq!(through(filter, &[("user-agent", "python")]), ["user-agent: python"]);
        assert_eq!(through(filter, &[]), ["user-agent: xllm-proxy/1"]);
    }

    #[test]
    fn rules_that_cannot_be_used_are_refused_with_the_reason() {
        for (keep, drop, set, expected) in [
            (&["a b"][..], &[][..], &[][..], "begins with `a`"),
            (&[""], &[], &[], "is no header name"),
            (&[], &["x-*-y"], &[], "begins with `x-*-y`"),
            (&[], &["**"], &[], "is no header name"),
            (&["Connection"], &[], &[], "`connection` is made anew"),
            (&["proxy-*"], &[], &[], "`proxy-*` is made anew"),
            (&["host"], &[], &[], "neither kept nor set"),
            (&[], &[], &[("Content-Length", "1")], "`content-length` is made anew"),
            (&[], &[], &[("x-*", "1")], "begins with `x-*`"),
            (&[], &[], &[("x-a", "1"), ("X-A", "2")], "`x-a` is set twice"),
            (&["X-A"], &["x-a"], &[], "`x-a` stands in both"),
            (&["*"], &["*"], &[], "`*` stands in both"),
        ] {
            let error = rules(keep, drop, set).expect_err("refused").to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(rules(&[], &["connection", "host"], &[]).is_ok(), "dropping them is nothing new");
    }

    #[test]
    fn no_value_is_shown() {
        let valid = rules(&[], &[], &[("x-team", "secret")]).expect("valid");
        let message = Filter::new(Direction::Request, Policy::Pass).with(&valid).apply(&HeaderMap::new());
        for shown in [
            format!("{valid:?} {message:?}"),
            format!("{:?}", rules(&[], &[], &[("x-key", "secret\nx: y")]).expect_err("refused")),
            format!("{:?}", rules(&["authorization: secret"], &[], &[]).expect_err("refused")),
            format!("{:?}", rules(&[], &[], &[("authorization: secret", "")]).expect_err("refused")),
        ] {
            assert!(!shown.contains("secret") && shown.contains(':') | shown.contains('('), "{shown}");
        }
    }

    #[test]
    fn rules_say_whether_they_do_anything() {
        let none = Rules::default();
        assert!(none.is_empty());
        let (keep, drop) = (rules(&["a"], &[], &[]).expect("valid"), rules(&[], &["a"], &[]).expect("valid"));
        assert!(!keep.is_empty() && !drop.is_empty());
        assert!(!rules(&[], &[], &[("a", "")]).expect("valid").is_empty());
    }

    /// The page for users, and what begins and ends the part of it that is made here.
    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/headers.md");
    const BEGIN: &str = "<!-- the table begins: made from src/http/policy.rs -->\n";
    const END: &str = "<!-- the table ends -->\n";

    fn rendered() -> String {
        use std::fmt::Write;
        let names = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let word = |passes: bool| if passes { "pass" } else { "drop" };
        let mut page = String::new();
        for (heading, table) in [("Requests, towards the provider", REQUEST), ("Answers, towards the program", RESPONSE)] {
            let _ = writeln!(page, "\n### {heading}\n\n| fields | `neutral` | `sdk` | `pass` | why |\n|---|---|---|---|---|");
            let why = "they belong to each connection, which makes its own; `te: trailers` passes";
            let _ = writeln!(page, "| {}, and what `connection` names | drop | drop | drop | {why} |", names(HOP_BY_HOP));
            for row in table {
                let (neutral, sdk) = (word(row.neutral), word(row.sdk));
                let _ = writeln!(page, "| {} | {neutral} | {sdk} | pass | {} |", names(row.names), row.why);
            }
            let _ = writeln!(page, "| anything else | pass | pass | pass | what is not known may be needed |");
        }
        page + "\n"
    }

    /// What stands before the table, the table, and what stands behind it.
    fn parts(page: &str) -> (&str, &str, &str) {
        let (before, rest) = page.split_once(BEGIN).expect("the page marks where the table begins");
        let (table, behind) = rest.split_once(END).expect("the page marks where the table ends");
        (before, table, behind)
    }

    #[test]
    fn the_page_for_users_shows_the_table() {
        let page = std::fs::read_to_string(PAGE).expect("docs/headers.md is there");
        let up_to_date = parts(&page).1 == rendered();
        assert!(up_to_date, "write it anew with: cargo test -p xllm-proxy --lib write_the_table -- --ignored");
    }

    #[test]
    #[ignore = "writes docs/headers.md"]
    fn write_the_table() {
        let page = std::fs::read_to_string(PAGE).expect("docs/headers.md is there");
        let (before, _, behind) = parts(&page);
        std::fs::write(PAGE, [before, BEGIN, &rendered(), END, behind].concat()).expect("docs/headers.md can be written");
    }
}
