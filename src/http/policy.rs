//! The header policy: one table for both directions, three named policies, and rules that change it.
//!
//! `neutral` drops what names the provider or the program, `sdk` keeps what SDKs read, `pass` drops hop-by-hop fields alone.
//! The first row that matches a field decides; a field that no row matches passes.

mod rules;
mod table;

use http::{HeaderMap, HeaderName, HeaderValue, header};

pub use rules::{CREDENTIALS, RuleError, Rules};
pub use table::{HOP_BY_HOP, REQUEST, RESPONSE, Row};

use crate::proto::frame::Policy;
use rules::NO_RULES;
use table::matches;

/// The `user-agent` that upstreams see under `neutral` and `sdk`: one constant, because some CDNs refuse an empty one.
pub const USER_AGENT: HeaderValue = HeaderValue::from_static("xllm-proxy/1");

/// Whether a field ends at each hop, so that it is made anew for the next.
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches(HOP_BY_HOP, name.as_str())
}

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Towards the provider.
    Request,
    /// Towards the program.
    Response,
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
    use super::{rules::tests::rules, *};

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
    fn what_ends_at_each_hop_is_known_by_its_name() {
        let hop = |name: &'static str| is_hop_by_hop(&HeaderName::from_static(name));
        assert!(hop("connection") && hop("proxy-authorization"));
        assert!(!hop("authorization") && !hop("content-type"));
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
}
