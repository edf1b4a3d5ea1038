//! Made-up results for the tests.

use std::collections::BTreeMap;

use crate::bench::{
    metric::Metric,
    result::{
        Arrivals, Counts, Difference, FailureCount, Goodput, Load, Machine, Objective, Outcome, Parameters, Parts, Percentiles,
        Prompts, Results, Route, RouteResult, Row, SCHEMA, Split, Statistic, Step, Throughput, TokenSplit, TokenTime, Tool,
        Typical, VERSION, Warning,
    },
    stats::distribution,
};

/// Spread numbers in 0 to 1, the same in every run.
pub(super) struct Spread(u64);

impl Spread {
    pub(super) const fn from(seed: u64) -> Self {
        Self(seed)
    }

    #[expect(clippy::cast_precision_loss, reason = "a made-up number")]
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f64 / (1_u64 << 24) as f64
    }

    /// With a long tail to the right.
    fn tail(&mut self) -> f64 {
        -self.next().max(1e-6).ln()
    }
}

const fn percentiles(mean: f64) -> Percentiles {
    Percentiles { count: 900, mean, p50: mean * 0.97, p90: mean * 1.2, p99: mean * 1.8, max: mean * 4.0 }
}

fn row(step: u64, pair: u64, route: Route, values: BTreeMap<Metric, f64>) -> Row {
    Row {
        step,
        pair,
        route,
        first: pair.is_multiple_of(2) == (route == Route::Direct),
        outcome: Outcome::Done,
        status: Some(200),
        failure: None,
        scheduled: 0.0,
        sent: 0.01,
        chunks: 42,
        events: 40,
        tokens: 40,
        bytes: 11_000,
        values,
        longest_gap: Some(9.0),
        median_gap: Some(5.0),
    }
}

/// A step of so many pairs; the proxy adds about this many milliseconds to every token.
pub(in crate::bench) fn step(load: Load, pairs: u64, adds: f64, slow: f64) -> Step {
    let mut spread = Spread::from(pairs + 7);
    let mut requests = Vec::new();
    let (mut firsts, mut gaps) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for pair in 0..pairs {
        let common = slow * (20.0 + 3.0 * spread.tail());
        for (index, route) in [Route::Direct, Route::Proxied].into_iter().enumerate() {
            let first = common + 0.15 * spread.tail() + if index == 1 { adds } else { 0.0 };
            let end = first + 39.0 * 5.0;
            requests.push(row(0, pair, route, [(Metric::Ttft, first), (Metric::E2e, end)].into()));
            firsts[index].push(first);
            gaps[index].extend((0..39).map(|_| if spread.next() < 0.03 { 0.0 } else { slow * (4.6 + 0.4 * spread.tail()) }));
        }
    }
    let routes =
        [Route::Direct, Route::Proxied].into_iter().enumerate().filter(|_| pairs > 0).map(|(index, route)| RouteResult {
            route,
            counts: Counts { sent: pairs + 2, done: pairs, failed: 1, cancelled: 1 },
            failures: vec![FailureCount { reason: "the API refused <b>HTTP 503</b>".to_owned(), count: 1 }],
            throughput: Throughput {
                requests_per_s: 41.25 / slow,
                tokens_per_s: 1650.0 / slow,
                chunks_per_s: 1700.0,
                tokens: pairs * 40,
                tokens_from_usage: pairs,
            },
            goodput: Some(Goodput { requests_per_s: 40.0, share: 0.97 }),
            metrics: [(Metric::Ttft, &firsts[index]), (Metric::Icl, &gaps[index])]
                .into_iter()
                .filter_map(|(metric, values)| distribution(metric, values.clone()))
                .collect(),
            split: (index == 1).then(|| Split {
                first_token: Parts { upstream: percentiles(22.1), proxy: percentiles(0.21), network: percentiles(0.34) },
                later_tokens: Parts { upstream: percentiles(5.0), proxy: percentiles(0.002), network: percentiles(0.004) },
                held: percentiles(0.041),
                jitter: percentiles(0.03),
                one_way_estimate: 0.048,
            }),
        });
    let difference = |metric, statistic, estimate: f64, wide: f64| Difference {
        metric,
        statistic,
        estimate,
        low: estimate - wide,
        high: estimate + wide,
        pairs,
    };
    let differences = vec![
        difference(Metric::Ttft, Statistic::MedianOfDifferences, adds, 0.03),
        difference(Metric::Ttft, Statistic::P99, adds * 3.0, 0.4),
        difference(Metric::Icl, Statistic::MedianOfDifferences, 0.001, 0.004),
        difference(Metric::TokenDelay, Statistic::MedianOfDifferences, adds * 0.6, 0.012),
    ];
    let tokens = |begin: f64, split: bool| -> Vec<TokenTime> {
        let mut spread = Spread::from(3);
        let token = |index: u32| {
            let inner = 0.2 + 0.05 * spread.next();
            let network = 0.3 + 0.1 * spread.tail();
            let upstream = begin + 5.0 * f64::from(index);
            let split = split.then_some(TokenSplit { upstream, proxy: inner, network });
            TokenTime { at: upstream + inner + network, chunk: index, split }
        };
        (0..40).map(token).collect()
    };
    Step {
        load,
        wall_s: 12.5,
        routes: routes.collect(),
        differences: if pairs > 1 { differences } else { Vec::new() },
        typical: (pairs > 0).then(|| Typical { pair: 3, direct: Some(tokens(20.0, false)), proxied: Some(tokens(20.4, true)) }),
        tool: Tool {
            chunks: 80_000,
            bytes: 22_000_000,
            cpu_s: Some(0.41),
            busy: Some(0.033),
            cpu_us_per_chunk: Some(5.1),
            send_lag: percentiles(0.06),
            loop_lag: percentiles(1.05),
            bottleneck: false,
        },
        requests,
    }
}

/// A whole result of these steps.
pub(super) fn results(steps: Vec<Step>) -> Results {
    Results {
        schema: SCHEMA.to_owned(),
        version: VERSION,
        generator: "xllm 0.1.0".to_owned(),
        started_unix_ms: 1_795_000_000_000,
        interrupted: false,
        parameters: Parameters {
            api: "openai".to_owned(),
            model: "model-<i>&\"x\"".to_owned(),
            target: "http://127.0.0.1:8080/v1/chat/completions".to_owned(),
            proxy: Some("127.0.0.1:50051".to_owned()),
            demo: true,
            routes: vec![Route::Direct, Route::Proxied],
            stacks: "Direct through reqwest, proxied through the client library.".to_owned(),
            prompts: Prompts { source: "synthetic".to_owned(), count: 16, chars: (40, 900), max_tokens: Some(64) },
            count: Some(200),
            duration_s: None,
            warm_up: 4,
            cancel_share: 0.05,
            cancel_after: 3,
            slo: vec![Objective { metric: Metric::Ttft, limit: 500.0 }],
            timings: true,
            seed: 1,
            confidence: 0.95,
            resamples: 2000,
            timeout_s: 60.0,
            deadline_s: 600.0,
        },
        machine: Machine {
            os: "linux".to_owned(),
            arch: "x86_64".to_owned(),
            cpu: Some("A Processor".to_owned()),
            cores: 2,
            memory_mib: Some(24_000),
            debug_build: false,
        },
        summary: vec!["The proxy adds little.".to_owned()],
        definitions: Metric::ALL.iter().map(|metric| metric.definition()).collect(),
        steps,
        warnings: vec![Warning { code: "failures".to_owned(), text: "Requests <failed>.".to_owned(), step: Some(0) }],
    }
}

/// One load with all that there can be.
pub(super) fn typical() -> Results {
    results(vec![step(Load::Closed { concurrency: 1 }, 200, 0.175, 1.0)])
}

/// Several loads, open ones too.
pub(super) fn sweep() -> Results {
    let closed = [(1, 1.0), (4, 0.31), (16, 0.12)].map(|(concurrency, slow)| step(Load::Closed { concurrency }, 80, 0.2, slow));
    let open = step(Load::Open { rate: 120.0, arrivals: Arrivals::Poisson }, 80, 0.4, 0.2);
    results(closed.into_iter().chain([open]).collect())
}
