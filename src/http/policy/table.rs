//! The table: which fields pass under which policy, and why. `docs/headers.md` shows it to users; a test holds the page to it.

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

/// Towards the provider.
pub const REQUEST: &[Row] = &[
    both("the body, and what the program can read", &["content-type", "content-encoding", "accept", "accept-encoding"]),
    both("keys", &["authorization", "x-api-key", "x-goog-api-key", "api-key"]),
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
    both(
        "caching, and where something is (the gateway leads a `location` at the same origin back to itself)",
        &["etag", "last-modified", "cache-control", "expires", "location", "date"],
    ),
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

pub(super) fn matches(names: &[&str], name: &str) -> bool {
    names.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => *pattern == name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_field_is_decided_twice() {
        for table in [REQUEST, RESPONSE] {
            let names: Vec<_> = table.iter().flat_map(|row| row.names).collect();
            for (at, name) in names.iter().enumerate() {
                assert!(!names[at + 1..].contains(name), "{name}");
            }
        }
    }

    /// The page for users, and what begins and ends the part of it that is made here.
    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/headers.md");
    const BEGIN: &str = "<!-- the table begins: made from src/http/policy/table.rs -->\n";
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
