//! `xllm bench`: the same prompts direct and through the proxy, in turn, and what the proxy adds.

mod bootstrap;
pub(crate) mod live;
pub(crate) mod metric;
pub(crate) mod progress;
mod record;
pub(crate) mod report;
pub(crate) mod result;
mod schedule;
mod stats;
mod tokens;
mod values;
