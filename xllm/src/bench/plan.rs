//! What is meant: arguments, configuration and environment made into one plan.

use std::{sync::Arc, time::Duration};

use mock_llm::Script;
use xllm_proxy::client::Timings;

use super::{
    load::{Lane, Settings},
    metric::Metric,
    progress::Goal,
    prompts::{self, Prompt, Ready},
    result::{Arrivals, Load, Objective, Parameters, Prompts, Route},
    slo, way,
};
use crate::{
    args::{BenchArgs, Spread},
    chat,
    config::{Api, Config},
    endpoint::shown,
    env::Env,
    exit::Failure,
    options::{self, Ask, Target},
    prompt::Part,
    secret::Secret,
    stage::Stage,
    transport::Transport,
};

/// Pairs of a step when nothing else ends it.
const COUNT: u32 = 30;
/// How sure intervals are.
pub(super) const CONFIDENCE: f64 = 0.95;
/// Enough that an interval's ends are the same to two digits from seed to seed.
pub(super) const RESAMPLES: u32 = 2000;
/// The longest step.
const MAX_DURATION: Duration = Duration::from_hours(24);
/// Sends per second that the schedule still keeps apart.
const MAX_RATE: f64 = 100_000.0;

/// Of `--demo`: fast enough that a run takes seconds, slow enough that each token travels alone.
pub(super) fn script() -> Script {
    Script { tokens_per_s: Some(200.0), first_token_ms: Some(20), tokens: Some(40), ..Script::default() }
}

/// A run, ready to go.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) target: Target,
    pub(super) warnings: Vec<String>,
    /// The proxy's address and what it accepts.
    proxy: Option<(String, Secret)>,
    pub(super) loads: Vec<Load>,
    pub(super) settings: Settings,
    /// Requests per route.
    pub(super) warm_up: u64,
    pub(super) objectives: Vec<Objective>,
    pub(super) timings: bool,
    /// With the first words of those that are made up.
    asks: Vec<(Ask, Option<String>)>,
    demo: bool,
    prompts: Prompts,
}

impl Plan {
    pub(super) fn new(args: &BenchArgs, config: &Config, env: &Env, stage: Option<&Stage>) -> Result<Self, Failure> {
        let loads = loads(args)?;
        let settings = settings(args)?;
        let extra = args.option.iter().map(|text| options::field(text)).collect::<Result<Vec<_>, _>>()?;
        let (prompts, source) = if let Some(path) = &args.prompts {
            (prompts::file(path)?, "file")
        } else {
            let wanted = match settings.goal {
                Goal::Requests(count) => count,
                _ => u64::MAX,
            };
            (prompts::made_up(prompts::words(&args.prompt_words)?, wanted, settings.seed), "synthetic")
        };
        let (target, proxy, warnings) = way::way(args, config, env, stage)?;
        let lengths = || prompts.iter().map(|prompt| prompt.text.chars().count() as u64);
        Ok(Self {
            prompts: Prompts {
                source: source.to_owned(),
                count: prompts.len() as u64,
                chars: (lengths().min().unwrap_or(0), lengths().max().unwrap_or(0)),
                max_tokens: target.max_tokens,
            },
            asks: prompts.into_iter().map(|prompt| ask(prompt, &extra)).collect(),
            objectives: args.slo.iter().map(|text| slo::parse(text)).collect::<Result<_, _>>()?,
            warm_up: warm_up(args, &loads),
            timings: args.timings,
            demo: args.demo,
            target,
            warnings,
            proxy,
            loads,
            settings,
        })
    }

    /// The routes, direct first.
    pub(super) fn routes(args: &BenchArgs) -> Vec<Route> {
        let both = [(Route::Direct, !args.proxy_only), (Route::Proxied, !args.direct_only)];
        both.into_iter().filter(|(_, wanted)| *wanted).map(|(route, _)| route).collect()
    }

    /// The ways to the API, with their requests. To be called on the runtime that is to use them.
    pub(super) fn lanes(&self, routes: &[Route]) -> Result<Vec<Arc<Lane>>, Failure> {
        let ready =
            |(ask, first): &(Ask, Option<String>)| Ok(Ready::new(chat::request::build(&self.target, ask)?, first.as_deref()));
        let requests = self.asks.iter().map(ready).collect::<Result<Vec<_>, Failure>>()?;
        routes.iter().map(|route| self.lane(*route, requests.clone()).map(Arc::new)).collect()
    }

    fn lane(&self, route: Route, mut requests: Vec<Ready>) -> Result<Lane, Failure> {
        let transport = match (route, &self.proxy) {
            (Route::Proxied, Some((url, key))) => Transport::proxy(url, key, &[])?,
            _ => Transport::direct()?,
        };
        if route == Route::Proxied && self.timings {
            for ready in &mut requests {
                ready.request.extensions_mut().insert(Timings);
            }
        }
        Ok(Lane { route, transport, requests })
    }

    /// For the document.
    pub(super) fn parameters(&self, routes: &[Route]) -> Parameters {
        let (count, duration_s) = match self.settings.goal {
            Goal::Duration(duration) => (None, Some(duration.as_secs_f64())),
            Goal::Requests(count) => (Some(count / routes.len().max(1) as u64), None),
            Goal::Unknown => (None, None),
        };
        Parameters {
            api: match self.target.api {
                Api::OpenAi => "openai",
                Api::Anthropic => "anthropic",
            }
            .to_owned(),
            model: self.target.model.clone(),
            target: shown(&self.target.url),
            proxy: self.proxy.as_ref().map(|(url, _)| url.clone()),
            demo: self.demo,
            routes: routes.to_vec(),
            stacks: stacks(&self.target),
            prompts: self.prompts.clone(),
            count,
            duration_s,
            warm_up: self.warm_up,
            cancel_share: self.settings.cancel_share,
            cancel_after: self.settings.cancel_after as u64,
            slo: self.objectives.clone(),
            timings: self.timings,
            seed: self.settings.seed,
            confidence: CONFIDENCE,
            resamples: RESAMPLES,
            timeout_s: self.settings.patience.as_secs_f64(),
            deadline_s: self.settings.limit.as_secs_f64(),
        }
    }
}

/// What is compared.
fn stacks(target: &Target) -> String {
    let version =
        if target.url.scheme() == "https" { "HTTP/2 over TLS if the API offers it, else HTTP/1.1" } else { "HTTP/1.1" };
    format!(
        "direct: this program's HTTP client (hyper), {version}, connections kept open; proxied: one connection to the proxy (two from 64 requests at once), whose \
         HTTP client (hyper) likewise keeps connections to the API open; both warmed up"
    )
}

fn ask(prompt: Prompt, extra: &[(String, serde_json::Value)]) -> (Ask, Option<String>) {
    let extra = extra.iter().cloned().chain(prompt.fields).collect();
    (Ask { system: None, parts: vec![Part::Text(prompt.text)], extra, stream: true, usage: true }, prompt.first)
}

fn loads(args: &BenchArgs) -> Result<Vec<Load>, Failure> {
    if args.rate.is_empty() {
        let closed = args.concurrency.iter().map(|concurrency| Load::Closed { concurrency: (*concurrency).into() });
        return Ok(closed.collect());
    }
    let arrivals = match args.arrivals {
        Spread::Constant => Arrivals::Constant,
        Spread::Poisson => Arrivals::Poisson,
    };
    let open = args.rate.iter().map(|rate| match rate {
        rate if *rate > 0.0 && *rate <= MAX_RATE => Ok(Load::Open { rate: *rate, arrivals }),
        rate => Err(Failure::usage(format!("--rate takes requests per second, above 0 and up to {MAX_RATE}, not {rate}"))),
    });
    open.collect()
}

fn settings(args: &BenchArgs) -> Result<Settings, Failure> {
    let routes = if args.proxy_only || args.direct_only { 1 } else { 2 };
    let goal = match &args.duration {
        Some(text) => Goal::Duration(duration(text)?),
        None => Goal::Requests(u64::from(args.count.unwrap_or(COUNT)) * routes),
    };
    if !(0.0..=1.0).contains(&args.cancel) {
        return Err(Failure::usage(format!("--cancel takes a share, 0 to 1, not {}", args.cancel)));
    }
    Ok(Settings {
        goal,
        // Another one each time, so that no cache knows the prompts of the last run; small enough for every reader of JSON.
        seed: args.seed.unwrap_or_else(|| fastrand::u32(..).into()),
        phase: 0,
        patience: Duration::from_secs(args.timeout.into()),
        limit: Duration::from_secs(args.deadline.into()),
        cancel_share: args.cancel,
        cancel_after: args.cancel_after as usize,
        max_in_flight: args.max_in_flight as usize,
    })
}

/// At least one, so that connections are open and what is broken is told before anything is measured.
fn warm_up(args: &BenchArgs, loads: &[Load]) -> u64 {
    args.warm_up.map_or_else(|| workers(loads).max(2), u64::from)
}

/// Workers of the largest step; an open loop has none, and is warmed up by two.
pub(super) fn workers(loads: &[Load]) -> u64 {
    let workers = loads.iter().map(|load| match load {
        Load::Closed { concurrency } => *concurrency,
        Load::Open { .. } => 2,
    });
    workers.max().unwrap_or(1)
}

/// `30s`, `2m`, `500ms`, `1h`; a bare number is seconds.
fn duration(text: &str) -> Result<Duration, Failure> {
    let units = [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let (number, factor) =
        units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor))).unwrap_or((text, 1.0));
    let seconds = number.trim().parse::<f64>().ok().map(|number| number * factor);
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.filter(|duration| !duration.is_zero() && *duration <= MAX_DURATION).ok_or_else(|| {
        Failure::usage(format!("--duration takes a time of up to a day, not {text}")).remedy("for example 30s or 2m")
    })
}

/// The definitions that a document carries.
pub(super) fn definitions() -> Vec<super::result::Definition> {
    Metric::ALL.iter().map(|metric| metric.definition()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, millis) in [("30s", 30_000), ("2m", 120_000), ("500ms", 500), ("1h", 3_600_000), ("7", 7000), ("1.5s", 1500)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "0s", "-1s", "x", "25h", "nan", "3d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_that_cannot_be_kept_are_refused() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e9] {
            assert!(loads(&BenchArgs { rate: vec![rate], ..BenchArgs::default() }).is_err(), "{rate}");
        }
        let several = loads(&BenchArgs { concurrency: vec![1, 4], ..BenchArgs::default() });
        assert_eq!(several, Ok(vec![Load::Closed { concurrency: 1 }, Load::Closed { concurrency: 4 }]));
    }
}
