//! Several loads: how latency grows with what the system carries.

use maud::{Markup, html};

use super::{
    chart::{Area, at, bottom_axis, class, drawing, left_axis, line, longest, mark, time_ticks},
    format::{added, digits, load, round, route, short_load, time},
    headline::{Added, interval},
    scale::{Scale, extent},
    tables::scrolling,
};
use crate::bench::{
    metric::Metric,
    result::{Results, Route},
};

const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 290.0;

/// One load of one route.
struct Point {
    throughput: f64,
    p50: f64,
    p99: f64,
    load: String,
}

/// The charts and the table, if there were several loads.
pub(super) fn section(results: &Results) -> Option<Markup> {
    if results.steps.len() < 2 {
        return None;
    }
    Some(html! {
        section {
            h2 { "Under load" }
            div.pair {
                @for metric in [Metric::Ttft, Metric::Icl] {
                    @if let Some(figure) = figure(results, metric) { (figure) }
                }
            }
            (table(results))
        }
    })
}

fn figure(results: &Results, metric: Metric) -> Option<Markup> {
    let series: Vec<(Route, Vec<Point>)> =
        results.parameters.routes.iter().map(|route| (*route, points(results, *route, metric))).collect();
    let all = || series.iter().flat_map(|(_, points)| points);
    let (low, high) = extent(all().flat_map(|point| [point.p50, point.p99]))?;
    let (_, most) = extent(all().map(|point| point.throughput))?;
    let (from, to) = (HEIGHT - 42.0, 26.0);
    let y = Scale::log((low.max(1e-3), high.max(1e-3)), (from, to));
    let y_ticks = time_ticks(&y, 5);
    let area = Area::with_axes(WIDTH, HEIGHT, longest(&y_ticks));
    let x = Scale::linear((0.0, most * 1.04), area.across());
    let x_ticks: Vec<_> = x.ticks(5).into_iter().map(|value| (value, round(value))).collect();
    let label = metric.label();
    let content = html! {
        (left_axis(&area, &y, &y_ticks, &format!("{label} (logarithmic)")))
        (bottom_axis(&area, &x, &x_ticks, "answered requests per second"))
        @for (way, points) in &series {
            @for (percentile, thickness) in [("p50", "curve"), ("p99", "curve thin")] {
                @let value = |point: &Point| if percentile == "p50" { point.p50 } else { point.p99 };
                @let places: Vec<_> = points.iter().map(|point| (x.place(point.throughput), y.place(value(point)))).collect();
                path class={ (thickness) " " (class(*way)) } d=(line(&places)) {}
                @for (point, (left, top)) in points.iter().zip(&places) {
                    (mark(*way, *left, *top, &format!("{}, {}: {percentile} {}", route(*way), point.load, time(value(point)))))
                }
                @if let (Some((left, top)), Route::Direct) = (places.last(), way) {
                    text.halo x=(at(left - 8.0)) y=(at(top - 9.0)) text-anchor="end" { (percentile) }
                }
            }
        }
    };
    Some(html! {
        figure {
            figcaption {
                strong { (label) " by throughput" } ": the lower pair of lines is p50, the upper p99; one mark a load ("
                (results.steps.iter().map(|step| short_load(&step.load)).collect::<Vec<_>>().join(", ")) ", left to right as they ran)."
            }
            (super::chart::legend(&results.parameters.routes))
            (drawing(WIDTH, HEIGHT, &format!("{label}, p50 and p99, against throughput; the figures are in the table"), &content))
        }
    })
}

fn points(results: &Results, route: Route, metric: Metric) -> Vec<Point> {
    let of = |step: &crate::bench::result::Step| {
        let result = step.route(route)?;
        let found = result.distribution(metric)?;
        let throughput = result.throughput.requests_per_s;
        Some(Point { throughput, p50: found.p50, p99: found.p99, load: load(&step.load) })
    };
    results.steps.iter().filter_map(of).collect()
}

fn table(results: &Results) -> Markup {
    scrolling(
        "Figures of each load",
        &html! {
            table {
                thead {
                    tr {
                        th scope="col" { "Load" } th scope="col" { "route" }
                        @for name in ["requests/s", "tokens/s", "failed", "TTFT p50", "TTFT p99"] { th.n scope="col" { (name) } }
                        th.n scope="col" { "added to first token" } th.n scope="col" { "to later ones" }
                    }
                }
                @for step in &results.steps {
                    tbody {
                        @for (index, result) in step.routes.iter().enumerate() {
                            tr {
                                @if index == 0 { th scope="rowgroup" rowspan=(step.routes.len()) { (load(&step.load)) } }
                                td { (route(result.route)) }
                                td.n { (digits(result.throughput.requests_per_s)) }
                                td.n { (digits(result.throughput.tokens_per_s)) }
                                td.n { (result.counts.failed) }
                                @match result.distribution(Metric::Ttft) {
                                    Some(found) => { td.n { (time(found.p50)) } td.n { (time(found.p99)) } },
                                    None => { td.n { "–" } td.n { "–" } },
                                }
                                @if index == 0 {
                                    @let both = Added::of(step);
                                    @for difference in [both.first, both.later] {
                                        td.n rowspan=(step.routes.len()) {
                                            @match difference {
                                                Some(found) => { (added(found.estimate)) br; span.quiet { (interval(found)) } },
                                                None => "–",
                                            }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        },
    )
}
