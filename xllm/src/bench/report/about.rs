//! What the figures mean, how they were come by, and where.

use std::time::{Duration, UNIX_EPOCH};

use maud::{Markup, html};

use super::tables::scrolling;
use crate::bench::{
    cost::{self, Fact},
    format::{counted, load, percent, round, whole},
    result::{Results, Route},
};

/// What every metric means.
pub(super) fn definitions(results: &Results) -> Markup {
    scrolling(
        "Definitions",
        &html! {
            table.definitions {
                thead { tr { th scope="col" { "Metric" } th scope="col" { "formula" } th scope="col" { "the same in" } } }
                tbody {
                    @for definition in &results.definitions {
                        tr {
                            th scope="row" { (definition.label) br; span.quiet { (definition.unit) ", per " (definition.per) } }
                            td.text { (definition.formula) }
                            td.text { @if definition.used_by.is_empty() { "–" } @else { (definition.used_by) } }
                        }
                    }
                }
            }
        },
    )
}

/// What makes the figures doubtful.
pub(super) fn warnings(results: &Results) -> Option<Markup> {
    if results.warnings.is_empty() && !results.interrupted {
        return None;
    }
    Some(html! {
        aside.warnings aria-label="Warnings" {
            h2 { span aria-hidden="true" { "! " } "Read this before the figures" }
            ul {
                @if results.interrupted { li { "The run was stopped before its end." } }
                @for warning in &results.warnings {
                    li { @if let Some(step) = results.place(warning) { "At " (load(&step.load)) ": " } (warning.text) " " code { (warning.code) } }
                }
            }
        }
    })
}

/// What was asked for, and where it was measured.
pub(super) fn setting(results: &Results) -> Markup {
    html! {
        div.pair {
            div { h3 { "Parameters" } (facts(parameters(results))) }
            div {
                h3 { "Machine" } (facts(machine(results)))
                @for step in &results.steps {
                    h3 { "Cost of measuring" @if results.steps.len() > 1 { ", " (load(&step.load)) } }
                    (facts(cost::facts(step)))
                }
            }
        }
    }
}

fn facts(facts: Vec<Fact>) -> Markup {
    html! { dl { @for (name, value) in facts { div { dt { (name) } dd { (value) } } } } }
}

fn parameters(results: &Results) -> Vec<Fact> {
    let asked = &results.parameters;
    let routes: Vec<_> = asked.routes.iter().copied().map(Route::name).collect();
    let loads: Vec<_> = results.steps.iter().map(|step| load(&step.load)).collect();
    let prompts = &asked.prompts;
    let (shortest, longest) = prompts.chars;
    let length = match prompts.max_tokens {
        Some(tokens) => format!(", answers of at most {} tokens", whole(tokens.into())),
        None => String::new(),
    };
    let end = match (asked.count, asked.duration_s) {
        (Some(count), _) => format!("after {} each way", counted(count, "request", "requests")),
        (None, Some(seconds)) => format!("after {} s", round(seconds)),
        (None, None) => "not given".to_owned(),
    };
    let mut facts = vec![
        ("Model", format!("{} ({})", asked.model, asked.api)),
        ("Target", asked.target.clone()),
        ("Proxy", asked.proxy.clone().unwrap_or_else(|| "none".to_owned())),
        ("Routes", routes.join(", ")),
        ("Compared", asked.stacks.clone()),
        ("Load", loads.join("; ")),
        ("Each load ends", end),
        ("Warm-up", format!("{} each way", counted(asked.warm_up, "request", "requests"))),
        (
            "Prompts",
            format!(
                "{} {}, {} to {} characters{length}",
                whole(prompts.count),
                prompts.source,
                whole(shortest),
                whole(longest)
            ),
        ),
        ("Timings", if asked.timings { "stamped by the proxy" } else { "not asked for" }.to_owned()),
        (
            "Intervals",
            format!("{}, {} resamples, seed {}", percent(asked.confidence), whole(asked.resamples.into()), asked.seed),
        ),
        ("Longest wait", format!("{} s for a piece, {} s in all", round(asked.timeout_s), round(asked.deadline_s))),
    ];
    if asked.demo {
        facts.insert(3, ("Demonstration", "target and proxy ran inside this program".to_owned()));
    }
    if asked.cancel_share > 0.0 {
        let after = counted(asked.cancel_after, "piece", "pieces");
        facts.push(("Cancelled", format!("{} of the pairs, after {after}", percent(asked.cancel_share))));
    }
    let objectives: Vec<_> = asked
        .slo
        .iter()
        .map(|objective| format!("{} {} {}", objective.metric.label(), round(objective.limit), objective.metric.unit()))
        .collect();
    if !objectives.is_empty() {
        facts.push(("Objectives", objectives.join(", ")));
    }
    facts
}

fn machine(results: &Results) -> Vec<Fact> {
    let machine = &results.machine;
    let mut facts = vec![
        ("System", format!("{} on {}", machine.os, machine.arch)),
        ("Processor", machine.cpu.clone().unwrap_or_else(|| "not told".to_owned())),
        ("Threads", whole(machine.cores)),
    ];
    if let Some(mebibytes) = machine.memory_mib {
        facts.push(("Memory", format!("{} MiB", whole(mebibytes))));
    }
    facts.push(("Program", format!("{}{}", results.generator, if machine.debug_build { ", not optimised" } else { "" })));
    facts.push(("Began", date(results.started_unix_ms)));
    facts
}

/// A moment in UTC.
pub(super) fn date(unix_ms: u64) -> String {
    // The form of HTTP ends in the year 9999.
    const LATEST: u64 = 253_402_300_799_000;
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(unix_ms.min(LATEST))).replace("GMT", "UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_given_in_utc_whatever_the_number() {
        assert_eq!(date(0), "Thu, 01 Jan 1970 00:00:00 UTC");
        assert_eq!(date(u64::MAX), "Fri, 31 Dec 9999 23:59:59 UTC");
    }
}
