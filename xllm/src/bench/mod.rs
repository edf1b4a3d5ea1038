//! `xllm bench`: the same prompts direct and through the proxy, in turn, and what the proxy adds.

pub(crate) mod metric;
pub(crate) mod progress;
pub(crate) mod report;
pub(crate) mod result;
mod stats;
