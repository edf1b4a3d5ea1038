//! The result of a benchmark: the document that `--json` writes, and that tables, CSV and the report are drawn from.
//!
//! All times are milliseconds with a fraction, all rates per second, unless a field's name says otherwise. `docs/bench.md`
//! describes the document for its readers; a change that could mislead them needs a new [`VERSION`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::metric::Metric;

/// Name of the document's form.
pub(crate) const SCHEMA: &str = "xllm-bench";
/// Its version. Fields that are added do not change it.
pub(crate) const VERSION: u32 = 1;

/// All that a run found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Results {
    /// [`SCHEMA`].
    pub(crate) schema: String,
    /// [`VERSION`].
    pub(crate) version: u32,
    /// Program and version that measured, such as `xllm 0.1.0`.
    pub(crate) generator: String,
    /// When the first request was sent, in milliseconds since 1970 (UTC).
    pub(crate) started_unix_ms: u64,
    /// Whether it was stopped before its end (Ctrl-C); then the last step is shorter than asked for.
    pub(crate) interrupted: bool,
    pub(crate) parameters: Parameters,
    pub(crate) machine: Machine,
    /// What was found, in sentences, the most important one first.
    pub(crate) summary: Vec<String>,
    /// What every metric of this document means.
    pub(crate) definitions: Vec<Definition>,
    /// One for each load of the sweep, in the order in which they ran; one in all without a sweep.
    pub(crate) steps: Vec<Step>,
    /// What makes the figures doubtful.
    pub(crate) warnings: Vec<Warning>,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Parameters {
    /// `openai` or `anthropic`.
    pub(crate) api: String,
    pub(crate) model: String,
    /// The endpoint, without its query.
    pub(crate) target: String,
    /// The proxy's address; absent if everything went direct.
    pub(crate) proxy: Option<String>,
    /// Whether target and proxy were embedded ones (`--demo`).
    pub(crate) demo: bool,
    /// The routes that were measured, `direct` before `proxied`.
    pub(crate) routes: Vec<Route>,
    /// What is compared: the HTTP stack of either route, in a sentence.
    pub(crate) stacks: String,
    pub(crate) prompts: Prompts,
    /// Requests per route and step, if that ends a step.
    pub(crate) count: Option<u64>,
    /// Seconds of a step, if that ends it.
    pub(crate) duration_s: Option<f64>,
    /// Requests per route before the first step, which are not measured.
    pub(crate) warm_up: u64,
    /// Share of the pairs that are cancelled, 0 to 1.
    pub(crate) cancel_share: f64,
    /// After how many pieces of the body they are.
    pub(crate) cancel_after: u64,
    /// What goodput demands, such as `ttft` of at most 500 ms.
    pub(crate) slo: Vec<Objective>,
    /// Whether the proxy stamped every piece (`--timings`).
    pub(crate) timings: bool,
    /// What schedules, prompts and resampling are drawn from.
    pub(crate) seed: u64,
    /// How sure the intervals are, 0 to 1.
    pub(crate) confidence: f64,
    /// Resamples that an interval is made of.
    pub(crate) resamples: u32,
    /// Longest wait for the next piece of an answer, in seconds.
    pub(crate) timeout_s: f64,
    /// Longest time that a request may take in all, in seconds; 0 in documents from before there was a limit.
    #[serde(default)]
    pub(crate) deadline_s: f64,
}

/// Which way a request went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Route {
    /// Straight to the API.
    Direct,
    /// Through the proxy.
    Proxied,
}

impl Route {
    /// As it is written in the document, and everywhere else.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Proxied => "proxied",
        }
    }
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Prompts {
    /// `synthetic` or `file`. The prompts themselves are not kept.
    pub(crate) source: String,
    /// Different prompts.
    pub(crate) count: u64,
    /// Characters of the shortest and the longest.
    pub(crate) chars: (u64, u64),
    /// Longest answer that was asked for, in tokens.
    pub(crate) max_tokens: Option<u32>,
}

/// One demand on a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Objective {
    pub(crate) metric: Metric,
    /// At most this, in the metric's unit; for rates, at least.
    pub(crate) limit: f64,
}

/// Where it was measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// Such as `linux`.
    pub(crate) os: String,
    /// Such as `x86_64`.
    pub(crate) arch: String,
    /// The processor's name, where the system tells it.
    pub(crate) cpu: Option<String>,
    /// Threads that can run at once.
    pub(crate) cores: u64,
    pub(crate) memory_mib: Option<u64>,
    /// Whether the program was built without optimisation: its figures then say little.
    pub(crate) debug_build: bool,
}

/// What a metric means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Definition {
    pub(crate) metric: Metric,
    /// For people, such as `TPOT (vLLM)`.
    pub(crate) label: String,
    /// `ms` or `tokens/s`.
    pub(crate) unit: String,
    /// How it is worked out, in words.
    pub(crate) formula: String,
    /// Which tools mean the same, such as `vLLM, GenAI-Perf`; empty if none.
    pub(crate) used_by: String,
    /// `request` if each request has one value, `gap` if each gap between pieces or tokens has.
    pub(crate) per: String,
}

/// One load and what it showed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) load: Load,
    /// From the first scheduled send to the last answer's end, in seconds.
    pub(crate) wall_s: f64,
    /// Of each route, in the order of [`Parameters::routes`].
    pub(crate) routes: Vec<RouteResult>,
    /// What the proxy adds, metric by metric; empty with one route.
    pub(crate) differences: Vec<Difference>,
    /// One pair of streams, token by token.
    pub(crate) typical: Option<Typical>,
    /// What measuring cost.
    pub(crate) tool: Tool,
    /// Every measured request, in the order of their scheduled sends.
    pub(crate) requests: Vec<Row>,
}

/// How requests were set off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Load {
    /// Closed loop: so many workers, each with one request under way.
    Closed { concurrency: u64 },
    /// Open loop: so many requests a second (both routes together), evenly spaced or as a Poisson process, whether or not
    /// the earlier ones have been answered.
    Open { rate: f64, arrivals: Arrivals },
}

/// How sends are spread in an open loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Arrivals {
    Constant,
    Poisson,
}

/// What one route showed under one load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RouteResult {
    pub(crate) route: Route,
    pub(crate) counts: Counts,
    /// Why requests failed, the most frequent first.
    pub(crate) failures: Vec<FailureCount>,
    pub(crate) throughput: Throughput,
    /// With `--slo` alone.
    pub(crate) goodput: Option<Goodput>,
    /// Of requests that were answered to their end. A metric without a value is left out.
    pub(crate) metrics: Vec<Distribution>,
    /// Where the time went; of the proxied route, with `--timings`.
    pub(crate) split: Option<Split>,
}

/// Requests by how they ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// All that were sent: the sum of the others.
    pub(crate) sent: u64,
    /// Answered to the end.
    pub(crate) done: u64,
    /// Refused, broken off, too late or incomplete.
    pub(crate) failed: u64,
    /// Cancelled by us, as asked for (`--cancel`), or because the run was stopped.
    pub(crate) cancelled: u64,
}

/// One reason of failures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FailureCount {
    /// A sentence, without prompts, answers or keys.
    pub(crate) reason: String,
    pub(crate) count: u64,
}

/// How much came: in an open loop over the step's time, in a closed one over the time that its workers spent on this route.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Throughput {
    /// Answered to the end, per second.
    pub(crate) requests_per_s: f64,
    /// Tokens of these answers, per second, all streams together.
    pub(crate) tokens_per_s: f64,
    /// Pieces of bodies (reads), per second.
    pub(crate) chunks_per_s: f64,
    /// Tokens in all.
    pub(crate) tokens: u64,
    /// Answers whose tokens the API counted (`usage`); of the others, events with content are counted.
    pub(crate) tokens_from_usage: u64,
}

/// Requests that met every objective.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Goodput {
    pub(crate) requests_per_s: f64,
    /// Of all that were sent and not cancelled, 0 to 1.
    pub(crate) share: f64,
}

/// A metric's values, in its unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Distribution {
    pub(crate) metric: Metric,
    /// Values.
    pub(crate) count: u64,
    pub(crate) mean: f64,
    pub(crate) min: f64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p99_9: f64,
    pub(crate) max: f64,
    pub(crate) histogram: Histogram,
}

/// Counts of values between edges that grow by a constant factor.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Histogram {
    /// One more than there are counts, ascending. Bin `i` holds values from `edges[i]` up to, without, `edges[i + 1]`; the last
    /// bin holds its upper edge, too.
    pub(crate) edges: Vec<f64>,
    pub(crate) counts: Vec<u64>,
}

/// What the proxy adds to a metric: proxied less direct, in the metric's unit. Pairs are what is resampled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Difference {
    pub(crate) metric: Metric,
    pub(crate) statistic: Statistic,
    pub(crate) estimate: f64,
    /// Lower end of the interval ([`Parameters::confidence`]).
    pub(crate) low: f64,
    /// Upper end.
    pub(crate) high: f64,
    /// Pairs of which both requests have a value.
    pub(crate) pairs: u64,
}

/// What of the pairs is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Statistic {
    /// The median of the pairs' differences: what a typical request sees.
    MedianOfDifferences,
    /// The mean of the pairs' differences.
    MeanOfDifferences,
    /// The difference of the two routes' 90th percentiles.
    P90,
    /// The difference of the two routes' 99th percentiles.
    P99,
}

/// Where the time of proxied requests went, from the proxy's stamps. Each part is a distribution over requests (first token)
/// or over tokens (later ones). How it is worked out, and what cannot be told without synchronised clocks, is in
/// `docs/bench.md`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Split {
    /// Time to first token, from the send.
    pub(crate) first_token: Parts,
    /// What each later token adds after the one before it. Parts other than `upstream` can be negative: a token that waited less
    /// than the one before it.
    pub(crate) later_tokens: Parts,
    /// How long each piece stayed inside the proxy.
    pub(crate) held: Percentiles,
    /// Network both ways together, less the smallest of the same request: what varies from piece to piece.
    pub(crate) jitter: Percentiles,
    /// Half the smallest time on the network both ways: the one-way time, if both ways take the same.
    pub(crate) one_way_estimate: f64,
}

/// A time in three.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Parts {
    /// The API and the way between it and the proxy.
    pub(crate) upstream: Percentiles,
    /// Inside the proxy.
    pub(crate) proxy: Percentiles,
    /// The way between this program and the proxy, both directions together, and this program's own share.
    pub(crate) network: Percentiles,
}

/// The shortest form of a distribution, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Percentiles {
    pub(crate) count: u64,
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

/// The pair whose streams are nearest to the medians of their routes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Typical {
    /// [`Row::pair`].
    pub(crate) pair: u64,
    /// Absent if only the other route was measured.
    pub(crate) direct: Option<Vec<TokenTime>>,
    pub(crate) proxied: Option<Vec<TokenTime>>,
}

/// When one token event came.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct TokenTime {
    /// Since the send.
    pub(crate) at: f64,
    /// Which piece of the body it came in, from 0: events with the same number came in one read.
    pub(crate) chunk: u32,
    /// Where `at` went; with `--timings`, of the proxied stream. The three add up to `at`.
    pub(crate) split: Option<TokenSplit>,
}

/// Parts of [`TokenTime::at`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct TokenSplit {
    /// From the proxy's sending the request to the piece's arrival there.
    pub(crate) upstream: f64,
    /// Inside the proxy: before the request was sent on, and while the piece was held.
    pub(crate) proxy: f64,
    /// Between this program and the proxy, both ways together.
    pub(crate) network: f64,
}

/// What measuring cost, and whether it was in the way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tool {
    /// Pieces of bodies that came.
    pub(crate) chunks: u64,
    /// Bytes of bodies.
    pub(crate) bytes: u64,
    /// Processor time of the thread that sends and receives, in seconds; absent where the system does not tell it.
    pub(crate) cpu_s: Option<f64>,
    /// The same over the step's time, 0 to 1: near 1, this program was the bottleneck.
    pub(crate) busy: Option<f64>,
    /// Processor time per piece, in microseconds. Reading the answers' JSON is not in it: that comes after.
    pub(crate) cpu_us_per_chunk: Option<f64>,
    /// How late sends were, against their schedule or the moment at which there was a place for them.
    pub(crate) send_lag: Percentiles,
    /// How late a timer of the sending thread was.
    pub(crate) loop_lag: Percentiles,
    /// Whether one of these shows that this program, not the system, set the pace.
    pub(crate) bottleneck: bool,
}

/// What makes figures doubtful.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Warning {
    /// Stable name: `tool-bottleneck`, `few-pairs`, `failures`, `tokens-estimated`, `debug-build`, `in-flight-limit`, ….
    pub(crate) code: String,
    /// What it means for the figures, and what to do.
    pub(crate) text: String,
    /// Index of the step it is about; absent if about all.
    pub(crate) step: Option<u64>,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    Done,
    Failed,
    Cancelled,
}

/// One request. Metrics that it has no value for are absent. A row of the CSV file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    /// Index of the step.
    pub(crate) step: u64,
    /// Number of the pair, from 0 in each step: the two requests with the same prompt.
    pub(crate) pair: u64,
    pub(crate) route: Route,
    /// Whether it was the first of its pair.
    pub(crate) first: bool,
    pub(crate) outcome: Outcome,
    /// HTTP status, if a head came.
    pub(crate) status: Option<u16>,
    /// Why it failed.
    pub(crate) failure: Option<String>,
    /// When it should have been sent, since the step's beginning.
    pub(crate) scheduled: f64,
    /// When it was.
    pub(crate) sent: f64,
    /// Pieces of the body.
    pub(crate) chunks: u64,
    /// Events with content: text, reasoning, or a piece of a tool call.
    pub(crate) events: u64,
    /// Tokens: the API's count, else `events`.
    pub(crate) tokens: u64,
    /// Bytes of the body.
    pub(crate) bytes: u64,
    /// Of requests that were answered to the end, the metrics that have one value a request.
    pub(crate) values: BTreeMap<Metric, f64>,
    /// Longest and median gap between token events.
    pub(crate) longest_gap: Option<f64>,
    pub(crate) median_gap: Option<f64>,
}
