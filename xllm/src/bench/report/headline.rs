//! What the proxy adds, in a sentence that can be quoted, and how sure that is.

use maud::{Markup, html};

use crate::bench::{
    added::{Added, Finding},
    format::{Unit, added, counted, load, percent, time},
    metric::Metric,
    result::{Difference, Results, Route, Step},
    summary,
};

/// How far the sentence can be trusted: a mark and a word that need no colour, and why.
fn verdict(results: &Results) -> (&'static str, &'static str, &'static str) {
    let findings: Vec<_> =
        results.steps.first().map(|step| Added::of(step).each().map(Finding::of).collect()).unwrap_or_default();
    let all = |wanted| findings.iter().all(|finding| *finding == wanted);
    match findings.len() {
        0 => ("–", "Not compared", "There are no pairs of requests to compare."),
        _ if all(Finding::Slower) => {
            ("▲", "Measurably slower", "No interval reaches zero: what the proxy adds is more than noise.")
        }
        _ if all(Finding::Faster) => (
            "▼",
            "Measurably faster",
            "No interval reaches zero. A relay cannot make an API faster: look for what else differs between the routes.",
        ),
        _ if all(Finding::Unclear) => (
            "○",
            "No clear difference",
            "The intervals hold zero: if the proxy adds anything, it is lost in the noise of this run. More pairs make them narrower.",
        ),
        _ => ("◐", "Mixed", "Not all intervals are on the same side of zero: read them one by one."),
    }
}

/// The head of the page.
pub(super) fn head(results: &Results) -> Markup {
    let (mark, word, why) = verdict(results);
    html! {
        h1 { (summary::headline(results)) }
        p.verdict {
            strong { span.sign aria-hidden="true" { (mark) } " " (word) ". " } (why)
            @if !results.warnings.is_empty() { " Mind the warnings below." }
            @if let [first, _, ..] = results.steps.as_slice() { " This is the first of " (results.steps.len()) " loads: " (load(&first.load)) "." }
        }
        @if let Some(step) = results.steps.first() { (figures(results, step)) }
    }
}

/// Both differences with interval, beside what they are to be compared with.
fn figures(results: &Results, step: &Step) -> Markup {
    let both = Added::of(step);
    let p50 = |route, metric| step.route(route).and_then(|result| result.distribution(metric)).map(|found| found.p50);
    let of_direct = |difference: &Difference, metric| {
        let direct = p50(Route::Direct, metric).filter(|direct| *direct > 0.0)?;
        Some(format!("{} of {}", percent(difference.estimate / direct), time(direct)))
    };
    let confidence = percent(results.parameters.confidence);
    html! {
        div.cards {
            @if let Some(first) = both.first {
                div.card {
                    (added_figure("Added to the first token", first, &confidence))
                    @if let Some(share) = of_direct(first, Metric::Ttft) { p.quiet { (share) ", the direct TTFT" } }
                }
            }
            @if let Some(later) = both.later {
                div.card {
                    @if later.metric == Metric::TokenDelay {
                        (added_figure("Added to each later token", later, &confidence))
                        p.quiet { "how much later it comes; this does not add up from token to token" }
                    } @else {
                        (added_figure("Added to the time between tokens", later, &confidence))
                        @if let Some(share) = of_direct(later, later.metric) { p.quiet { (share) ", the direct " (later.metric.label()) } }
                    }
                }
            }
            div.card {
                p.what { "Time to first token, p50" }
                @for result in &step.routes {
                    @if let Some(found) = result.distribution(Metric::Ttft) {
                        p { (result.route.name()) " " strong { (time(found.p50)) } }
                    }
                }
                p.quiet { (load(&step.load)) }
            }
        }
    }
}

fn added_figure(title: &str, difference: &Difference, confidence: &str) -> Markup {
    html! {
        p.what { (title) }
        p.figure { (added(difference.estimate)) }
        p { (confidence) " interval " strong { (interval(difference)) } }
        p.quiet { "median of " (counted(difference.pairs, "pair", "pairs")) }
    }
}

/// Both ends, in the unit of the greater.
pub(super) fn interval(difference: &Difference) -> String {
    let size = difference.low.abs().max(difference.high.abs());
    Unit::of_millis(size).interval(difference.low, difference.high)
}
