//! Where the metrics go: the environment variables that OpenTelemetry's specification names.

use std::{fmt, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use percent_encoding::percent_decode_str;

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const METRICS_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
const INTERVAL: &str = "OTEL_METRIC_EXPORT_INTERVAL";
const SERVICE: &str = "OTEL_SERVICE_NAME";
const RESOURCE: &str = "OTEL_RESOURCE_ATTRIBUTES";

/// How often, unless it is said.
const DEFAULT_INTERVAL: Duration = Duration::from_mins(1);

/// Where the metrics go, and how often.
#[derive(Clone)]
pub struct Settings {
    pub(super) endpoint: Uri,
    /// Often with a secret.
    pub(super) headers: HeaderMap,
    pub(super) interval: Duration,
    /// What names this proxy among others.
    pub(super) resource: Vec<(String, String)>,
}

/// Shows no headers.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("endpoint", &self.shown()).field("interval", &self.interval).finish_non_exhaustive()
    }
}

/// A variable that cannot be used. Its value is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} must be {1}")]
pub struct SettingsError(&'static str, &'static str);

impl Settings {
    /// As these variables say; `None` if they name no endpoint.
    ///
    /// # Errors
    /// The variable that cannot be used.
    pub fn new(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, SettingsError> {
        let variable = |name| variable(name).filter(|value| !value.trim().is_empty());
        let wrong = || SettingsError(ENDPOINT, "an http or https URL, as in http://127.0.0.1:4318");
        let endpoint = match (variable(METRICS_ENDPOINT), variable(ENDPOINT)) {
            (Some(whole), _) => whole,
            (None, Some(base)) => format!("{}/v1/metrics", base.trim().trim_end_matches('/')),
            (None, None) => return Ok(None),
        };
        let endpoint: Uri = endpoint.trim().parse().map_err(|_| wrong())?;
        if !matches!(endpoint.scheme_str(), Some("http" | "https"))
            || endpoint.authority().is_none_or(|at| at.as_str().contains('@'))
        {
            return Err(wrong());
        }
        if variable(PROTOCOL).is_some_and(|protocol| protocol.trim() != "http/protobuf") {
            return Err(SettingsError(PROTOCOL, "http/protobuf, the only protocol that is spoken here"));
        }
        let wrong = SettingsError(INTERVAL, "milliseconds, 100 to 86400000");
        let interval = match variable(INTERVAL).map(|text| text.trim().parse()) {
            None => DEFAULT_INTERVAL,
            Some(Ok(millis @ 100..=86_400_000)) => Duration::from_millis(millis),
            Some(_) => return Err(wrong),
        };
        let mut headers = HeaderMap::new();
        for (name, value) in list(variable(HEADERS), HEADERS)? {
            let name = HeaderName::try_from(name).map_err(|_| SettingsError(HEADERS, LIST))?;
            let mut value = HeaderValue::try_from(value).map_err(|_| SettingsError(HEADERS, LIST))?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let mut resource = list(variable(RESOURCE), RESOURCE)?;
        let mut set = |name: &str, value: Option<String>, instead: bool| {
            let there = resource.iter().any(|(key, _)| key == name);
            if let Some(value) = value.filter(|_| instead || !there) {
                resource.retain(|(key, _)| key != name);
                resource.push((name.to_owned(), value));
            }
        };
        set("service.name", variable(SERVICE), true);
        set("service.name", Some("xllm-proxy".into()), false);
        set("service.version", Some(env!("CARGO_PKG_VERSION").into()), false);
        set("service.instance.id", instance(), false);
        Ok(Some(Self { endpoint, headers, interval, resource }))
    }

    /// The endpoint without its query, which may hold a secret.
    pub(super) fn shown(&self) -> String {
        let authority = self.endpoint.authority().map_or("", http::uri::Authority::as_str);
        format!("{}://{authority}{}", self.endpoint.scheme_str().unwrap_or_default(), self.endpoint.path())
    }
}

/// Tells this process from others of the same name.
fn instance() -> Option<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).ok()?;
    Some(format!("{:032x}", u128::from_be_bytes(random)))
}

const LIST: &str = "a list, as in name=value,name2=value2, with special characters percent-encoded";

fn list(text: Option<String>, name: &'static str) -> Result<Vec<(String, String)>, SettingsError> {
    let text = text.unwrap_or_default();
    let pairs = text.split(',').filter(|pair| !pair.trim().is_empty());
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=')?;
        let decoded = |part: &str| Some(percent_decode_str(part.trim()).decode_utf8().ok()?.into_owned());
        Some((decoded(key).filter(|key| !key.is_empty())?, decoded(value)?))
    };
    pairs.map(|text| pair(text).ok_or(SettingsError(name, LIST))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Result<Option<Settings>, SettingsError> {
        Settings::new(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn without_an_endpoint_nothing_is_pushed() {
        assert!(matches!(settings(&[]), Ok(None)));
        assert!(matches!(settings(&[(ENDPOINT, " "), (HEADERS, "a=b")]), Ok(None)));
    }

    #[test]
    fn the_variables_mean_what_the_specification_says() {
        for (variables, endpoint) in [
            (&[(ENDPOINT, "http://127.0.0.1:4318")][..], "http://127.0.0.1:4318/v1/metrics"),
            (&[(ENDPOINT, "https://c.example/base/")], "https://c.example/base/v1/metrics"),
            (&[(ENDPOINT, "http://x"), (METRICS_ENDPOINT, "https://c.example/m")], "https://c.example/m"),
        ] {
            assert_eq!(settings(variables).expect("valid").expect("on").endpoint, endpoint);
        }
        let all = [
            (ENDPOINT, "http://x"),
            (HEADERS, "authorization=Bearer%20secret, x-team=a+b"),
            (INTERVAL, "5000"),
            (SERVICE, "ours"),
            (RESOURCE, "service.name=theirs,service.instance.id=7,deployment.environment=test"),
        ];
        let all = settings(&all).expect("valid").expect("on");
        assert_eq!(
            (&all.headers["authorization"], &all.headers["x-team"]),
            (&HeaderValue::from_static("Bearer secret"), &HeaderValue::from_static("a+b"))
        );
        assert_eq!(all.interval, Duration::from_secs(5));
        for pair in [("service.name", "ours"), ("service.instance.id", "7"), ("deployment.environment", "test")] {
            assert!(all.resource.contains(&(pair.0.into(), pair.1.into())), "{pair:?}");
        }
        assert!(!format!("{all:?}").contains("secret"));
    }

    #[test]
    fn what_cannot_be_used_is_named_and_not_shown() {
        for (name, value) in [
            (ENDPOINT, "secret"),
            (ENDPOINT, "ftp://secret"),
            (ENDPOINT, "http://secret@host"),
            (HEADERS, "secret"),
            (HEADERS, "a b=secret"),
            (HEADERS, "a=secret%0A"),
            (INTERVAL, "secret"),
            (INTERVAL, "1"),
            (PROTOCOL, "grpc"),
            (RESOURCE, "=secret"),
        ] {
            let mut variables = vec![(name, value)];
            if name != ENDPOINT {
                variables.push((ENDPOINT, "http://x"));
            }
            let error = settings(&variables).expect_err("refused").to_string();
            assert!(error.starts_with(name) && !error.contains("secret"), "{error}");
        }
    }
}
