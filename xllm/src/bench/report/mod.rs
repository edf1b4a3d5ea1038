//! `--report FILE.html`: the result as one page that needs nothing else, for a browser, for paper, for a colleague.
//!
//! ```text
//! mod ─► headline                                   what the proxy adds, in words
//!        difference, distribution, timeline,
//!        split, sweep ─► chart ─► scale             the charts: inline SVG
//!                        curve, bins ─► scale       values as curves and bars
//!        tables, about                              all figures, definitions, parameters
//! ```
//!
//! No script, and nothing from the network: the page's own policy forbids both. Its one style sheet is allowed by its hash. What came
//! from elsewhere (names, addresses, errors) is escaped by the macro that writes the markup.

mod about;
mod bins;
mod chart;
mod curve;
mod difference;
mod distribution;
mod headline;
mod scale;
mod split;
mod sweep;
mod tables;
mod timeline;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use super::{
    format,
    metric::Metric,
    result::{Results, Route, Step},
    summary,
};

#[cfg(test)]
pub(in crate::bench) mod samples;
#[cfg(test)]
mod tests;

const STYLE: &str = include_str!("style.css");

/// The page. It holds whatever the result holds: no prompts, answers or keys.
pub(crate) fn render(results: &Results) -> String {
    let asked = &results.parameters;
    let title = summary::headline(results);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                meta name="generator" content=(results.generator);
                title { (title) " " (asked.model) ", xllm bench" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    p.over { "xllm bench · " (asked.model) " · " (about::date(results.started_unix_ms)) }
                    (headline::head(results))
                }
                main { (body(results)) }
                footer { p { "Written by " (results.generator) ", from the same result as " code { "--json" } "." } }
            }
        }
    }
    .into_string()
}

fn policy() -> String {
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'")
}

fn body(results: &Results) -> Markup {
    html! {
        @if let Some(warnings) = about::warnings(results) { (warnings) }
        @if let Some(sweep) = sweep::section(results) { (sweep) }
        @match results.steps.as_slice() {
            [only] => (one(results, only)),
            steps => @for (index, step) in steps.iter().enumerate() {
                details open[index == 0] {
                    summary { h2 { "Load " (index + 1) ": " (format::load(&step.load)) } }
                    (one(results, step))
                }
            },
        }
        section {
            h2 { "What the metrics mean" }
            (about::definitions(results))
        }
        section {
            h2 { "How it was measured" }
            (about::setting(results))
        }
    }
}

/// All about one load.
fn one(results: &Results, step: &Step) -> Markup {
    // Several loads have a heading each above these.
    let heading = |text: &str| {
        if results.steps.len() > 1 {
            html! { h3 { (text) } }
        } else {
            html! { h2 { (text) } }
        }
    };
    let present = |figures: Vec<Option<Markup>>| -> Vec<Markup> { figures.into_iter().flatten().collect() };
    let added = present(vec![difference::intervals(results, step), difference::pairs(step, Metric::Ttft)]);
    let taken = present(vec![distribution::figure(step, Metric::Ttft), distribution::figure(step, Metric::Icl)]);
    let split = step.route(Route::Proxied).and_then(|result| result.split.as_ref());
    let parts = present(vec![split.and_then(split::figure), timeline::overhead(step)]);
    html! {
        @if !added.is_empty() { section { (heading("What the proxy adds")) (pair(&added)) } }
        @if !taken.is_empty() { section { (heading("How long it took")) (pair(&taken)) } }
        @if let Some(figure) = timeline::figure(step) { section { (heading("One typical pair of streams")) (figure) } }
        @if !parts.is_empty() || split.is_some() {
            section {
                (heading("Where the time went"))
                (pair(&parts))
                @if let Some(split) = split { (split::table(split)) }
            }
        }
        section {
            (heading("All figures"))
            (tables::outcomes(step))
            @if let Some(failures) = tables::failures(step) { (failures) }
            (tables::metrics(results, step))
            @if let Some(differences) = tables::differences(results, step) { (differences) }
        }
    }
}

/// Side by side where there is room.
fn pair(figures: &[Markup]) -> Markup {
    html! { div.pair { @for figure in figures { (figure) } } }
}
