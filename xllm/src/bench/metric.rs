//! The metrics and what they mean. The tools of the field give one name to different things, so each definition names the
//! tools that mean just this by it; `docs/bench.md` cites where they say so.

use serde::{Deserialize, Serialize};

use super::result::Definition;

/// What a metric's values belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Per {
    /// Each request has one value at most.
    Request,
    /// Each gap between two events has one.
    Gap,
}

macro_rules! metrics {
    ($($variant:ident $name:literal $label:literal, $unit:literal, $per:ident, $tools:literal: $formula:literal;)*) => {
        /// A metric by its name in the document.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub(crate) enum Metric {
            $(#[doc = $formula] #[serde(rename = $name)] $variant,)*
        }

        impl Metric {
            /// All of them, in the order in which they are shown.
            pub(crate) const ALL: &[Self] = &[$(Self::$variant),*];

            /// In the document and in `--slo`.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// For people.
            pub(crate) const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)* }
            }

            /// `ms` or `tokens/s`.
            pub(crate) const fn unit(self) -> &'static str {
                match self { $(Self::$variant => $unit,)* }
            }

            /// What its values belong to.
            pub(crate) const fn per(self) -> Per {
                match self { $(Self::$variant => Per::$per,)* }
            }

            /// How it is worked out.
            pub(crate) const fn formula(self) -> &'static str {
                match self { $(Self::$variant => $formula,)* }
            }

            /// Who means the same by it, and by which name.
            pub(crate) const fn used_by(self) -> &'static str {
                match self { $(Self::$variant => $tools,)* }
            }
        }
    };
}

metrics! {
    Head "head" "head", "ms", Request, "": "scheduled send to the head of the answer";
    Ttft "ttft" "TTFT", "ms", Request, "AIPerf TTFT, GuideLLM TTFT (both from the actual send)":
        "scheduled send to the first content event (text, reasoning or a piece of a tool call)";
    TtftSent "ttft_sent" "TTFT from send", "ms", Request, "AIPerf TTFT, GuideLLM TTFT":
        "actual send to the first content event";
    TtftVllm "ttft_vllm" "TTFT (vLLM)", "ms", Request, "vLLM TTFT":
        "actual send to the first event with a choice, be it the role without a word";
    Ttst "ttst" "TTST", "ms", Request, "AIPerf TTST": "first content event to the second: the gap alone, not from the send";
    Icl "icl" "ICL", "ms", Gap, "AIPerf ICL": "gap between two content events; 0 if they came in one read";
    Itl "itl" "ITL (vLLM)", "ms", Gap, "vLLM ITL": "gap between two events with a choice, the role and the end among them";
    TpotVllm "tpot_vllm" "TPOT (vLLM)", "ms", Request, "vLLM TPOT":
        "(last event with a choice - first event with a choice) / (tokens - 1)";
    TpotAiperf "tpot_aiperf" "TPOT (AIPerf)", "ms", Request, "AIPerf ITL, GuideLLM ITL":
        "(last content event - first content event) / (tokens - 1)";
    TpotGuidellm "tpot_guidellm" "TPOT (GuideLLM)", "ms", Request, "GuideLLM TPOT":
        "(last content event - actual send) / tokens: the first token's wait is in it";
    TpotLlmperf "tpot_llmperf" "ITL (LLMPerf)", "ms", Request, "LLMPerf inter-token latency":
        "(last event with text - actual send) / tokens: text alone, the first token's wait in it";
    LastToken "last_token" "last token", "ms", Request, "vLLM E2EL, AIPerf request latency (both from the actual send)":
        "scheduled send to the last content event";
    E2e "e2e" "end to end", "ms", Request, "LLMPerf E2E (from the actual send)": "scheduled send to the end of the body";
    E2eSent "e2e_sent" "end to end from send", "ms", Request, "LLMPerf E2E": "actual send to the end of the body";
    TokensPerS "tokens_per_s" "tokens/s of a stream", "tokens/s", Request, "AIPerf output token throughput per user":
        "(tokens - 1) / (last content event - first content event)";
    TokensPerSE2e "tokens_per_s_e2e" "tokens/s end to end", "tokens/s", Request, "LLMPerf and GuideLLM output tokens per second":
        "tokens / (end of the body - actual send)";
    TokenDelay "token_delay" "delay of later tokens", "ms", Gap, "":
        "of a pair, token by token after the first: (proxied since its send) - (direct since its send); differences alone";
}

impl Metric {
    /// Whether more is better.
    pub(crate) const fn is_rate(self) -> bool {
        matches!(self, Self::TokensPerS | Self::TokensPerSE2e)
    }

    /// For the document.
    pub(crate) fn definition(self) -> Definition {
        Definition {
            metric: self,
            label: self.label().to_owned(),
            unit: self.unit().to_owned(),
            formula: self.formula().to_owned(),
            used_by: self.used_by().to_owned(),
            per: match self.per() {
                Per::Request => "request",
                Per::Gap => "gap",
            }
            .to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_in_the_document_is_the_name() {
        for metric in Metric::ALL {
            assert_eq!(serde_json::to_value(metric).expect("a string"), metric.name());
        }
    }
}
