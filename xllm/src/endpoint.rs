//! From the `url` of the configuration to the address a request goes to.

use url::Url;

use crate::{config::Api, exit::Failure, local::is_local};

/// The endpoint for chats. `text` may be a base (`https://api.anthropic.com`), end with a
/// version (`…/v1`), or be the full endpoint. A query is kept.
pub(crate) fn endpoint(text: &str, api: Api) -> Result<Url, Failure> {
    let mut url = base(text, api)?;
    let path = format!("{}{}", url.path().trim_end_matches('/'), chat(api));
    url.set_path(&path);
    Ok(url)
}

/// What stands behind the base in the address for chats.
const fn chat(api: Api) -> &'static str {
    match api {
        Api::Anthropic => "/messages",
        Api::OpenAi => "/chat/completions",
    }
}

/// What all addresses of a provider begin with, the version included: `https://api.anthropic.com/v1`.
pub(crate) fn base(text: &str, api: Api) -> Result<Url, Failure> {
    let refused = |why: &str| {
        Failure::usage(format!("the provider's url {why}"))
            .remedy("write it like https://api.example.com or https://api.example.com/v1")
    };
    let mut url = Url::parse(text).map_err(|error| refused(&format!("is not valid: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(refused("must begin with https:// or http://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("must not hold a user name or password"));
    }
    url.set_fragment(None);
    let path = url.path().trim_end_matches('/').to_owned();
    let path = if let Some(base) = path.strip_suffix(chat(api)) {
        base.to_owned()
    } else if path.split('/').any(is_version) {
        path
    } else {
        path + "/v1"
    };
    url.set_path(&path);
    Ok(url)
}

/// The list of models beside an endpoint: what can be asked for at no cost.
pub(crate) fn models(endpoint: &Url, api: Api) -> Url {
    let mut url = endpoint.clone();
    let base = url.path().strip_suffix(chat(api)).unwrap_or_default();
    url.set_path(&format!("{base}/models"));
    url
}

/// `v1`, `v1beta`, `v2`, …
pub(crate) fn is_version(segment: &str) -> bool {
    segment.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// Whether a key sent to this address could be read on the way.
pub(crate) fn is_exposed(url: &Url) -> bool {
    let local = url.host_str().is_some_and(is_local);
    url.scheme() == "http" && !local
}

/// For messages: without the query, which may hold a key.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(text: &str, api: Api) -> String {
        endpoint(text, api).map_or_else(|failure| failure.to_string(), String::from)
    }

    #[test]
    fn all_forms_of_a_url_lead_to_the_endpoint() {
        for base in [
            "https://api.anthropic.com",
            "https://api.anthropic.com/",
            "https://api.anthropic.com/v1",
            "https://api.anthropic.com/v1/",
            "https://api.anthropic.com/v1/messages",
            "https://api.anthropic.com/v1/messages/",
        ] {
            assert_eq!(to(base, Api::Anthropic), "https://api.anthropic.com/v1/messages", "{base}");
        }
        for (base, full) in [
            ("https://api.openai.com", "https://api.openai.com/v1/chat/completions"),
            ("https://api.openai.com/v1/chat/completions", "https://api.openai.com/v1/chat/completions"),
            ("https://api.groq.com/openai/v1", "https://api.groq.com/openai/v1/chat/completions"),
            ("https://g.example/v1beta/openai", "https://g.example/v1beta/openai/chat/completions"),
            ("https://g.example/team", "https://g.example/team/v1/chat/completions"),
            ("http://127.0.0.1:8080?mock=1#x", "http://127.0.0.1:8080/v1/chat/completions?mock=1"),
        ] {
            assert_eq!(to(base, Api::OpenAi), full, "{base}");
        }
    }

    #[test]
    fn the_list_of_models_is_beside_the_endpoint() {
        for (base, api, list) in [
            ("https://api.anthropic.com", Api::Anthropic, "https://api.anthropic.com/v1/models"),
            ("https://api.openai.com/v1/chat/completions", Api::OpenAi, "https://api.openai.com/v1/models"),
            ("https://g.example/team?v=1", Api::OpenAi, "https://g.example/team/v1/models?v=1"),
            ("https://g.example/messages", Api::Anthropic, "https://g.example/models"),
        ] {
            let endpoint = endpoint(base, api).expect("valid");
            assert_eq!(models(&endpoint, api).as_str(), list, "{base}");
        }
    }

    #[test]
    fn urls_that_cannot_be_meant_are_refused() {
        for (text, why) in [("api.openai.com", "not valid"), ("ftp://x", "must begin"), ("https://me:pw@x", "must not hold")] {
            let said = to(text, Api::OpenAi);
            assert!(said.contains(why) && !said.contains("pw@"), "{said}");
        }
    }

    #[test]
    fn a_key_is_exposed_on_http_beyond_this_machine() {
        for (text, exposed) in [
            ("http://x.example", true),
            ("https://x.example", false),
            ("http://localhost:1", false),
            ("http://127.0.0.2", false),
            ("http://[::1]:1", false),
            ("http://10.0.0.1", true),
        ] {
            assert_eq!(is_exposed(&Url::parse(text).expect("valid")), exposed, "{text}");
        }
    }

    #[test]
    fn messages_leave_the_query_out() {
        assert_eq!(shown(&Url::parse("https://x/y?key=sk").expect("valid")), "https://x/y");
    }
}
