//! Who may use the gateway. It may add API keys, so not everybody who can reach the port is a caller: not a web page that the
//! user happens to look at, and from beyond this machine only who has the token.

use http::{
    HeaderMap, HeaderName, Uri,
    header::{AUTHORIZATION, HOST, ORIGIN},
    uri::Authority,
};
use subtle::ConstantTimeEq as _;

use super::{keys::CREDENTIALS, refusal::Refusal};
use crate::{local::is_local, secret::Secret};

/// Where a caller puts the token that sends an API key of its own, too.
const X_XLLM_TOKEN: HeaderName = HeaderName::from_static("x-xllm-token");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Decides who is a caller.
#[derive(Debug, Clone)]
pub(super) enum Guard {
    /// Programs of this machine.
    Local,
    /// Whoever presents the token.
    Token(Secret),
}

impl Guard {
    /// Lets a request pass, or says why not. The token is taken out of it: it is no provider's.
    pub(super) fn check(&self, uri: &Uri, headers: &mut HeaderMap) -> Result<(), Refusal> {
        let checked = match self {
            Self::Local => local(uri, headers),
            Self::Token(token) => present(token, headers),
        };
        headers.remove(X_XLLM_TOKEN);
        checked
    }
}

/// A page of the web must neither spend the user's money by sending requests (its `origin` betrays it) nor read answers by
/// making its own name lead here (its `host` betrays it).
fn local(uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
    let host = uri.authority().map(Authority::as_str).or_else(|| headers.get(HOST)?.to_str().ok()).unwrap_or_default();
    if !is_here(host) {
        return Err(Refusal::caller_not_allowed(
            "the gateway is asked for under a name that is not this machine's; call it as 127.0.0.1 or localhost. (It is no HTTP \
             proxy: set the program's base URL, not HTTP_PROXY.)",
        ));
    }
    let foreign = |origin: &str| match origin.split_once("://") {
        Some(("http" | "https", host)) => !is_here(host),
        // Programs that are built like web pages have schemes of their own.
        Some(_) => false,
        None => true,
    };
    let of_page = headers.get_all(ORIGIN).iter().any(|origin| origin.to_str().map_or(true, foreign));
    let across = headers.get(SEC_FETCH_SITE).is_some_and(|site| site == "cross-site") && !headers.contains_key(ORIGIN);
    if of_page || across {
        return Err(Refusal::caller_not_allowed("the gateway does not serve web pages of other hosts"));
    }
    Ok(())
}

/// A host, with a port or without, that is this machine.
fn is_here(host: &str) -> bool {
    host.parse::<Authority>().is_ok_and(|authority| is_local(authority.host()))
}

fn present(token: &Secret, headers: &mut HeaderMap) -> Result<(), Refusal> {
    let mut presented = false;
    // All of them: SDKs put one key into several fields.
    for name in [X_XLLM_TOKEN].iter().chain(&CREDENTIALS) {
        let matches = headers.get_all(name).iter().any(|value| {
            let value = value.as_bytes();
            let value = if *name == AUTHORIZATION { bearer(value) } else { value };
            value.ct_eq(token.expose().as_bytes()).into()
        });
        if matches {
            headers.remove(name);
            presented = true;
        }
    }
    if presented {
        return Ok(());
    }
    Err(Refusal::no_token(
        "this gateway wants its token: as the API key, or in the header x-xllm-token beside an API key of one's own",
    ))
}

fn bearer(value: &[u8]) -> &[u8] {
    match value.split_at_checked(7) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(b"bearer ") => rest.trim_ascii(),
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields.iter().map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    fn passes(guard: &Guard, fields: &[(&'static str, &'static str)]) -> bool {
        guard.check(&Uri::from_static("/openai/v1/models"), &mut headers(fields)).is_ok()
    }

    #[test]
    fn programs_of_this_machine_pass() {
        for host in
            ["127.0.0.1:8787", "localhost:8787", "LOCALHOST", "[::1]:8787", "127.9.9.9", "app.localhost:1", "localhost."]
        {
            assert!(passes(&Guard::Local, &[("host", host)]), "{host}");
        }
        for origin in
            ["http://localhost:3000", "http://127.0.0.1", "https://[::1]:1", "vscode-file://vscode-app", "app://obsidian.md"]
        {
            assert!(passes(&Guard::Local, &[("host", "localhost"), ("origin", origin)]), "{origin}");
        }
    }

    #[test]
    fn a_name_that_was_made_to_lead_here_is_refused() {
        for host in [
            "evil.example:8787",
            "localhost.evil.example",
            "",
            "10.0.0.1",
            "127.0.0.1.evil.example",
            "me@localhost.evil.example",
        ] {
            assert!(!passes(&Guard::Local, &[("host", host)]), "{host}");
        }
        let absolute = Uri::from_static("http://api.openai.com/v1/models");
        assert!(Guard::Local.check(&absolute, &mut headers(&[("host", "localhost")])).is_err());
    }

    #[test]
    fn web_pages_of_other_hosts_are_refused() {
        for origin in ["https://evil.example", "null", "http://localhost.evil.example", "https://127.0.0.1.evil.example:1", "x"]
        {
            assert!(!passes(&Guard::Local, &[("host", "localhost"), ("origin", origin)]), "{origin}");
        }
        assert!(!passes(&Guard::Local, &[("host", "localhost"), ("sec-fetch-site", "cross-site")]));
    }

    #[test]
    fn the_token_may_stand_in_for_the_api_key_and_travels_no_further() {
        let guard = Guard::Token(Secret::new("token-of-the-gateway"));
        let uri = Uri::from_static("/openai/v1/models");
        for (name, value) in [
            ("authorization", "Bearer token-of-the-gateway"),
            ("authorization", "bearer  token-of-the-gateway"),
            ("x-api-key", "token-of-the-gateway"),
            ("x-goog-api-key", "token-of-the-gateway"),
        ] {
            let mut fields = headers(&[(name, value), ("host", "gateway.example")]);
            assert!(guard.check(&uri, &mut fields).is_ok(), "{name}");
            assert!(!fields.contains_key(name));
        }
        let mut fields = headers(&[("x-xllm-token", "token-of-the-gateway"), ("authorization", "Bearer sk-own")]);
        assert!(guard.check(&uri, &mut fields).is_ok());
        assert_eq!(fields, headers(&[("authorization", "Bearer sk-own")]));
    }

    #[test]
    fn without_the_token_nobody_passes() {
        let guard = Guard::Token(Secret::new("token-of-the-gateway"));
        for fields in [
            &[][..],
            &[("authorization", "Bearer other")],
            &[("x-xllm-token", "token-of-the-gatewa")],
            &[("host", "localhost")],
        ] {
            assert!(!passes(&guard, fields));
        }
    }
}
