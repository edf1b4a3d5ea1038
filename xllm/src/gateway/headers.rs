//! The header policy of the gateway: one of the three, and the configuration's changes to it.

use http::{HeaderMap, request, response};
use xllm_proxy::{
    client::Policy,
    http::policy::{Direction, Filter, Rules},
};

use crate::{
    config::{HeaderRules, Text},
    exit::Failure,
};

/// What passes.
#[derive(Debug, Clone)]
pub(super) struct Headers {
    policy: Policy,
    /// Towards the provider, towards the caller.
    rules: Option<(Rules, Rules)>,
}

impl Headers {
    pub(super) fn new(policy: &str, request: &HeaderRules, response: &HeaderRules) -> Result<Self, Failure> {
        let policy = match policy {
            "neutral" => Policy::Neutral,
            "sdk" => Policy::Sdk,
            "pass" => Policy::Pass,
            other => {
                return Err(Failure::usage(format!("there is no header policy `{other}`"))
                    .remedy("neutral, sdk (for unmodified SDKs) or pass; docs/headers.md has the table"));
            }
        };
        let rules = (rules(request, "gateway.request_headers")?, rules(response, "gateway.response_headers")?);
        Ok(Self { policy, rules: Some(rules).filter(|(request, response)| !request.is_empty() || !response.is_empty()) })
    }

    /// Filters a request, and names the policy that the proxy is to apply: none of its own where the rules have spoken.
    pub(super) fn send(&self, head: &mut request::Parts) {
        let policy = match &self.rules {
            None => self.policy,
            Some((rules, _)) => {
                head.headers = self.filter(Direction::Request, rules).apply(&head.headers);
                Policy::Pass
            }
        };
        head.extensions.insert(policy);
    }

    /// Filters an answer; without rules the proxy has done it.
    pub(super) fn receive(&self, head: &mut response::Parts) {
        if let Some((_, rules)) = &self.rules {
            let length = head.headers.remove(http::header::CONTENT_LENGTH);
            head.headers = self.filter(Direction::Response, rules).apply(&head.headers);
            // The framing's, not the provider's: no policy decides of it.
            if let Some(length) = length {
                head.headers.insert(http::header::CONTENT_LENGTH, length);
            }
        }
    }

    /// Filters the trailers of a request.
    pub(super) fn send_trailers(&self, trailers: HeaderMap) -> HeaderMap {
        match &self.rules {
            Some((rules, _)) => self.filter(Direction::Request, rules).fields(&trailers),
            None => trailers,
        }
    }

    /// Filters the trailers of an answer.
    pub(super) fn receive_trailers(&self, trailers: HeaderMap) -> HeaderMap {
        match &self.rules {
            Some((_, rules)) => self.filter(Direction::Response, rules).fields(&trailers),
            None => trailers,
        }
    }

    fn filter<'r>(&self, direction: Direction, rules: &'r Rules) -> Filter<'r> {
        Filter::new(direction, self.policy).with(rules)
    }
}

fn rules(rules: &HeaderRules, table: &str) -> Result<Rules, Failure> {
    let texts = |texts: &[Text]| texts.iter().map(|text| text.get().map(str::to_owned)).collect::<Result<Vec<_>, _>>();
    let set = rules.set.iter().map(|(name, value)| Ok((name.clone(), value.get()?.to_owned())));
    let set: Vec<_> = set.collect::<Result<_, Failure>>()?;
    Rules::new(&texts(&rules.keep)?, &texts(&rules.drop)?, set).map_err(|error| Failure::usage(format!("[{table}]: {error}")))
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};

    use super::*;
    use crate::{config::Config, env::Env};

    fn headers(policy: &str, file: &str) -> Result<Headers, Failure> {
        let config = Config::parse("c.toml", file, &Env::of(&[("TEAM", "blue")])).expect("valid");
        Headers::new(policy, &config.gateway.request_headers, &config.gateway.response_headers)
    }

    fn sent(headers: &Headers, fields: &[(&str, &str)]) -> (Vec<String>, Policy) {
        let mut request = Request::new(());
        for &(name, value) in fields {
            request.headers_mut().append(http::HeaderName::try_from(name).expect("a name"), value.parse().expect("a value"));
        }
        let mut head = request.into_parts().0;
        headers.send(&mut head);
        let policy = *head.extensions.get::<Policy>().expect("named");
        (head.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().expect("ASCII"))).collect(), policy)
    }

    #[test]
    fn without_rules_the_proxy_applies_the_policy() {
        let (fields, policy) = sent(&headers("sdk", "").expect("known"), &[("user-agent", "x")]);
        assert_eq!((fields.len(), policy), (1, Policy::Sdk));
    }

    #[test]
    fn rules_are_applied_here_and_the_proxy_is_asked_to_pass_the_rest() {
        let file = "[gateway.request_headers]\nkeep = [\"x-app\"]\ndrop = [\"x-team-*\"]\nset = { x-team = \"${TEAM}\" }";
        let headers = headers("sdk", file).expect("valid");
        let (fields, policy) = sent(&headers, &[("x-app", "cli"), ("x-team-a", "1"), ("x-stainless-os", "x")]);
        assert_eq!(fields, ["x-app: cli", "user-agent: xllm-proxy/1", "x-team: blue"]);
        assert_eq!(policy, Policy::Pass);
    }

    #[test]
    fn rules_of_answers_leave_the_length_alone() {
        let headers = headers("sdk", "[gateway.response_headers]\ndrop = [\"*\"]\nkeep = [\"openai-version\"]").expect("valid");
        let response = Response::builder().header("content-length", 3).header("openai-version", "v").header("etag", "e");
        let mut head = response.body(()).expect("valid").into_parts().0;
        headers.receive(&mut head);
        let names: Vec<_> = head.headers.keys().map(http::HeaderName::as_str).collect();
        assert_eq!(names, ["openai-version", "content-length"]);
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_place() {
        assert!(headers("loud", "").expect_err("refused").to_string().contains("`loud`"));
        let text = headers("sdk", "[gateway.request_headers]\nkeep = [\"host\"]").expect_err("refused").to_string();
        assert!(text.contains("[gateway.request_headers]") && text.contains("`host`"), "{text}");
    }
}
