//! The figures themselves: metrics, differences, outcomes.

use maud::{Markup, html};

use crate::bench::{
    format::{Unit, digits, percent, whole},
    metric::Metric,
    result::{Difference, Results, RouteResult, Statistic, Step},
};

/// A table that scrolls sideways where it has no room, also by keyboard.
pub(super) fn scrolling(label: &str, content: &Markup) -> Markup {
    html! { div.scroll role="region" aria-label=(label) tabindex="0" { (content) } }
}

/// Every metric of either route.
pub(super) fn metrics(results: &Results, step: &Step) -> Markup {
    let measured = |metric: &Metric| step.routes.iter().any(|result| result.distribution(*metric).is_some());
    let shown = results.definitions.iter().map(|definition| definition.metric).filter(measured);
    scrolling(
        "All metrics",
        &html! {
            table {
                thead {
                    tr {
                        th scope="col" { "Metric" } th scope="col" { "route" } th scope="col" { "unit" }
                        @for name in ["mean", "p50", "p90", "p99", "p99.9", "max", "values"] { th.n scope="col" { (name) } }
                    }
                }
                @for metric in shown {
                    tbody {
                        @let rows: Vec<_> = step.routes.iter().filter_map(|result| Some((result.route, result.distribution(metric)?))).collect();
                        @for (index, (way, found)) in rows.iter().enumerate() {
                            @let unit = Unit::of(metric.unit(), found.p50);
                            tr {
                                @if index == 0 { th scope="rowgroup" rowspan=(rows.len()) { (metric.label()) } }
                                td { (way.name()) }
                                td.u { (unit.name) }
                                td.n { (unit.figure(found.mean)) }
                            @for known in found.known() { td.n { (unit.figure(known.value.unwrap_or(f64::NAN))) } }
                                td.n { (whole(found.count)) }
                            }
                        }
                    }
                }
            }
        },
    )
}

/// What the proxy adds, in every sense that was worked out.
pub(super) fn differences(results: &Results, step: &Step) -> Option<Markup> {
    if step.differences.is_empty() {
        return None;
    }
    let mut metrics: Vec<Metric> = step.differences.iter().map(|found| found.metric).collect();
    metrics.dedup();
    let confidence = percent(results.parameters.confidence);
    Some(scrolling(
        "All differences",
        &html! {
            table {
                thead {
                    tr {
                        th scope="col" { "Proxied less direct" } th scope="col" { "of" } th scope="col" { "unit" }
                        th.n scope="col" { "estimate" } th.n scope="col" { (confidence) " interval" } th.n scope="col" { "pairs" }
                    }
                }
                @for metric in metrics {
                    tbody {
                        @let rows: Vec<&Difference> = step.differences.iter().filter(|found| found.metric == metric).collect();
                        @for (index, found) in rows.iter().enumerate() {
                            @let unit = Unit::of(metric.unit(), found.low.abs().max(found.high.abs()));
                            tr {
                                @if index == 0 { th scope="rowgroup" rowspan=(rows.len()) { (metric.label()) } }
                                td { (statistic(found.statistic)) }
                                td.u { (unit.name) }
                                td.n { (unit.change(found.estimate)) }
                                td.n { (unit.change(found.low)) " to " (unit.change(found.high)) }
                                td.n { (whole(found.pairs)) }
                            }
                        }
                    }
                }
            }
        },
    ))
}

const fn statistic(statistic: Statistic) -> &'static str {
    match statistic {
        Statistic::MedianOfDifferences => "median of the pairs",
        Statistic::MeanOfDifferences => "mean of the pairs",
        Statistic::P90 => "p90 of the routes",
        Statistic::P99 => "p99 of the routes",
    }
}

/// How the requests ended and what they carried.
pub(super) fn outcomes(step: &Step) -> Markup {
    let goodput = step.routes.iter().any(|result| result.goodput.is_some());
    scrolling(
        "Requests and throughput",
        &html! {
            table {
                thead {
                    tr {
                        th scope="col" { "Requests" }
                        @for name in ["sent", "answered", "failed", "cancelled", "requests/s", "tokens/s", "tokens"] { th.n scope="col" { (name) } }
                        @if goodput { th.n scope="col" { "good requests/s" } th.n scope="col" { "good" } }
                    }
                }
                tbody {
                    @for result in &step.routes {
                        tr {
                            th scope="row" { (result.route.name()) }
                            @for number in [result.counts.sent, result.counts.done, result.counts.failed, result.counts.cancelled] { td.n { (whole(number)) } }
                            td.n { (digits(result.throughput.requests_per_s)) }
                            td.n { (digits(result.throughput.tokens_per_s)) }
                            td.n { (whole(result.throughput.tokens)) }
                            @if let Some(found) = &result.goodput { td.n { (digits(found.requests_per_s)) } td.n { (percent(found.share)) } }
                        }
                    }
                }
            }
        },
    )
}

/// Why requests failed, if some did.
pub(super) fn failures(step: &Step) -> Option<Markup> {
    let some = |result: &&RouteResult| !result.failures.is_empty();
    step.routes.iter().find(some)?;
    Some(scrolling(
        "Failures",
        &html! {
            table {
                thead { tr { th scope="col" { "Failed" } th.n scope="col" { "requests" } th.text scope="col" { "why" } } }
                tbody {
                    @for result in step.routes.iter().filter(some) {
                        @for failure in &result.failures {
                            tr { th scope="row" { (result.route.name()) } td.n { (whole(failure.count)) } td.text { (failure.reason) } }
                        }
                    }
                }
            }
        },
    ))
}
