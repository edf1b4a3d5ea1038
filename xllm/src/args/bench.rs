//! `xllm bench`, typed.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use super::ConnectionArgs;

const EXAMPLES: &str = "\
Examples:
  xllm bench --demo                        a mock provider and a relay on this machine; no key
  xllm bench -m haiku                      the same prompts direct and through the proxy, in turn
  xllm bench -m gpt -n 200 --timings       200 pairs; where each token's time goes
  xllm bench -m haiku --rate 5 --arrivals poisson -d 2m --slo ttft=500ms,tpot=50ms
  xllm bench --demo --concurrency 1,4,16 --json sweep.json --csv requests.csv
  xllm bench --target http://127.0.0.1:8000 -m llama --direct-only

Requests to a provider cost money: by default 30 pairs and 2 for warming up, each of at most
128 tokens. Metrics, files and caveats: docs/bench.md

Exit codes: 0 measured · 1 the API failed · 2 usage or configuration
            3 proxy, its key or network · 130 Ctrl-C: what was measured is shown,
            unless it comes twice";

/// How sends are spread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Spread {
    /// Evenly
    Constant,
    /// As independent users would
    #[default]
    Poisson,
}

/// How an endpoint is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ApiName {
    /// `/v1/chat/completions`
    Openai,
    /// `/v1/messages`
    Anthropic,
}

/// `xllm bench`
#[derive(Debug, Default, Args)]
#[command(after_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "one field a flag")]
pub(crate) struct BenchArgs {
    /// Alias, model ID or PROVIDER/MODEL; with --target, the model's ID there
    #[arg(short, long, help_heading = "What")]
    pub(crate) model: Option<String>,

    /// Measure this endpoint, OpenAI- or Anthropic-compatible, instead of a configured provider
    #[arg(long, value_name = "URL", requires = "model", help_heading = "What")]
    pub(crate) target: Option<String>,

    /// What --target speaks [default: anthropic if its path ends with /messages, else openai]
    #[arg(long, value_name = "API", requires = "target", help_heading = "What")]
    pub(crate) api: Option<ApiName>,

    /// Variable that holds the API key for --target [default: no key is sent]
    #[arg(long, value_name = "NAME", requires = "target", help_heading = "What")]
    pub(crate) key_env: Option<String>,

    /// Measure a mock provider through a relay, both inside this process
    #[arg(long, conflicts_with_all = ["model", "target", "proxy_url", "no_proxy"], help_heading = "What")]
    pub(crate) demo: bool,

    /// Leave out the direct requests
    #[arg(long, conflicts_with = "direct_only", help_heading = "What")]
    pub(crate) proxy_only: bool,

    /// Leave out the proxied requests
    #[arg(long, help_heading = "What")]
    pub(crate) direct_only: bool,

    /// Closed loop: so many workers, each with one request under way; several make a sweep
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..), default_value = "1", conflicts_with = "rate", help_heading = "Load")]
    pub(crate) concurrency: Vec<u16>,

    /// Open loop: so many requests a second, both routes together, whatever is under way; several make a sweep
    #[arg(long, value_name = "R,…", value_delimiter = ',', help_heading = "Load")]
    pub(crate) rate: Vec<f64>,

    /// How the sends of an open loop are spread
    #[arg(long, value_name = "HOW", value_enum, default_value_t, requires = "rate", help_heading = "Load")]
    pub(crate) arrivals: Spread,

    /// Requests per route and step [default: 30]
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Load")]
    pub(crate) count: Option<u32>,

    /// End a step after this time, such as 30s or 2m, instead of after a count
    #[arg(short, long, value_name = "TIME", conflicts_with = "count", help_heading = "Load")]
    pub(crate) duration: Option<String>,

    /// Requests per route before the first step, not measured [default: 2, or one for each worker]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Load")]
    pub(crate) warm_up: Option<u32>,

    /// Requests under way at most in an open loop; those beyond wait, and the wait counts
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Load")]
    pub(crate) max_in_flight: u32,

    /// Share of the pairs that are cancelled midway, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, help_heading = "Load")]
    pub(crate) cancel: f64,

    /// After how many pieces of the answer they are
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..), requires = "cancel", help_heading = "Load")]
    pub(crate) cancel_after: u32,

    /// Prompts, one a line: a JSON string, or an object with `prompt` and further fields of the API's request
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Prompts")]
    pub(crate) prompts: Option<PathBuf>,

    /// Words of made-up prompts: N or MIN-MAX
    #[arg(long, value_name = "N", default_value = "40", conflicts_with = "prompts", help_heading = "Prompts")]
    pub(crate) prompt_words: String,

    /// Longest answer, in tokens
    #[arg(short = 't', long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Prompts")]
    pub(crate) max_tokens: u32,

    /// Set a field of the API's request; VALUE is JSON or else a string (repeatable)
    #[arg(short = 'o', long = "option", value_name = "KEY=VALUE", help_heading = "Prompts")]
    pub(crate) option: Vec<String>,

    /// Count requests that meet all of these, such as `ttft=500ms,tpot=50ms,tokens_per_s=20`
    #[arg(long, value_name = "METRIC=LIMIT,…", value_delimiter = ',', help_heading = "Measuring")]
    pub(crate) slo: Vec<String>,

    /// Have the proxy stamp each piece, and split each token's time
    #[arg(long, conflicts_with = "direct_only", help_heading = "Measuring")]
    pub(crate) timings: bool,

    /// Longest wait for the next piece of an answer
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=86_400), help_heading = "Measuring")]
    pub(crate) timeout: u32,

    /// Longest time of a request in all
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..=86_400), help_heading = "Measuring")]
    pub(crate) deadline: u32,

    /// What schedules, prompts and intervals are drawn from: the same seed, the same requests [default: drawn, and told in the result]
    #[arg(long, value_name = "N", help_heading = "Measuring")]
    pub(crate) seed: Option<u64>,

    /// Write the whole result as JSON to FILE; without FILE, to stdout in place of the table
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-", value_hint = ValueHint::FilePath, help_heading = "Output")]
    pub(crate) json: Option<PathBuf>,

    /// Write one row per request to FILE
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Output")]
    pub(crate) csv: Option<PathBuf>,

    /// Write the result as one HTML page with charts, which needs nothing else, to FILE
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Output")]
    pub(crate) report: Option<PathBuf>,

    /// Print neither table nor progress
    #[arg(short, long, help_heading = "Output")]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
}
