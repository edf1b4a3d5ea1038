//! The header policy: one table for both directions, three named policies.
//!
//! `neutral` drops what names the provider or the program, `sdk` keeps what SDKs read, `pass` drops hop-by-hop fields alone.
//! The first row that matches a field decides; a field that no row matches passes.

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
}

const fn row(neutral: bool, sdk: bool, names: &'static [&'static str]) -> Row {
    Row { names, neutral, sdk }
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

/// Towards the provider.
pub const REQUEST: &[Row] = &[
    row(true, true, &["content-type", "content-encoding", "accept", "accept-encoding", "authorization", "x-api-key"]),
    row(true, true, &["x-goog-api-key", "anthropic-*", "openai-*", "idempotency-key", "range", "if-*"]),
    // Telemetry of SDKs and tools.
    row(false, false, &["user-agent", "x-stainless-*", "x-claude-code-*", "x-app", "http-referer", "x-title"]),
    // What browsers add.
    row(false, false, &["cookie", "origin", "referer", "sec-*", "accept-language", "dnt", "priority"]),
    // Who is behind the relay.
    row(false, false, &["forwarded", "x-forwarded-*", "x-real-ip", "via", "cf-*", "true-client-ip", "x-client-ip"]),
    row(false, false, &["x-cluster-client-ip", "fastly-client-ip", "x-envoy-*"]),
    row(false, false, &["traceparent", "tracestate", "baggage", "b3", "x-b3-*", "sentry-trace", "x-amzn-trace-id"]),
    row(false, false, &["x-cloud-trace-context"]),
];

/// Towards the program.
pub const RESPONSE: &[Row] = &[
    row(true, true, &["content-type", "content-encoding", "content-disposition", "content-range", "accept-ranges"]),
    row(true, true, &["etag", "last-modified", "cache-control", "expires", "location", "date"]),
    // What SDKs wait and retry by.
    row(true, true, &["retry-after", "retry-after-ms", "x-should-retry", "openai-poll-after-ms"]),
    row(false, true, &["request-id", "x-request-id", "anthropic-ratelimit-*", "x-ratelimit-*"]),
    // Organization, project, processing time, version, workspace.
    row(false, false, &["anthropic-*", "openai-*", "x-openai-*", "x-groq-*", "mistral-*", "fireworks-*", "x-fireworks-*"]),
    row(false, false, &["x-together-*", "x-deepseek-*", "x-ds-*", "x-xai-*", "x-cohere-*", "x-cerebras-*", "x-openrouter-*"]),
    row(false, false, &["server", "via", "alt-svc", "strict-transport-security", "set-cookie", "cf-*", "x-envoy-*"]),
    row(false, false, &["x-cloud-trace-context", "x-goog-*", "x-amz*", "nel", "report-to", "x-robots-tag"]),
    row(false, false, &["x-content-type-options"]),
];

fn matches(names: &[&str], name: &str) -> bool {
    names.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => *pattern == name,
    })
}

/// Whether a field passes. Hop-by-hop fields never do.
pub fn passes(direction: Direction, policy: Policy, name: &str) -> bool {
    let table = match direction {
        Direction::Request => REQUEST,
        Direction::Response => RESPONSE,
    };
    let row = || table.iter().find(|row| matches(row.names, name));
    !matches(HOP_BY_HOP, name)
        && match policy {
            Policy::Neutral => row().is_none_or(|row| row.neutral),
            Policy::Sdk => row().is_none_or(|row| row.sdk),
            Policy::Pass => true,
        }
}

/// Applies the policy to a head.
pub fn apply(direction: Direction, policy: Policy, headers: &HeaderMap) -> HeaderMap {
    let mut kept = fields(direction, policy, headers);
    if direction == Direction::Request && policy != Policy::Pass {
        kept.insert(header::USER_AGENT, USER_AGENT);
    }
    kept
}

/// The fields that pass, of a head or of trailers.
pub fn fields(direction: Direction, policy: Policy, headers: &HeaderMap) -> HeaderMap {
    // Fields that `connection` names are hop-by-hop as well.
    let named: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let keeps = |name: &HeaderName, value: &HeaderValue| {
        let trailers = *name == header::TE && value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"trailers");
        trailers || (passes(direction, policy, name.as_str()) && !named.iter().any(|hop| hop == name.as_str()))
    };
    let mut kept = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers.iter().filter(|(name, value)| keeps(name, value)) {
        kept.append(name, value.clone());
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(direction: Direction, policy: Policy, fields: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut map = HeaderMap::new();
        for &(name, value) in fields {
            map.append(name, HeaderValue::from_static(value));
        }
        apply(direction, policy, &map)
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().expect("ASCII")))
            .collect()
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
}
