//! Several loads: how latency grows with what the system carries.

use maud::{Markup, html};

use super::{
    chart::{Area, at, bottom_axis, class, drawing, left_axis, line, longest, mark, time_ticks},
    headline::interval,
    scale::{Scale, extent},
    tables::scrolling,
};
use crate::bench::{
    added::Added,
    format::{added, digits, load, round, short_load, time},
    metric::Metric,
    result::{Distribution, Results, Route, Step},
    stats::Known,
};

const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 290.0;

/// One load of one route.
struct Point {
    throughput: f64,
    known: [Known; 5],
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
    let shown = shown(results, metric);
    let values = |point: &Point| shown.map(|index| point.known[index].value.unwrap_or(f64::NAN));
    let (low, high) = extent(all().flat_map(values))?;
    let (_, most) = extent(all().map(|point| point.throughput))?;
    let (from, to) = (HEIGHT - 42.0, 26.0);
    let y = Scale::log((low.max(1e-3), high.max(1e-3)), (from, to));
    let y_ticks = time_ticks(&y, 5);
    let area = Area::with_axes(WIDTH, HEIGHT, longest(&y_ticks));
    let x = Scale::linear((0.0, most * 1.04), area.across());
    let x_ticks: Vec<_> = x.ticks(5).into_iter().map(|value| (value, round(value))).collect();
    let label = metric.label();
    let [middle, tail] = shown.map(|index| all().next().map_or("", |point| point.known[index].name));
    let content = html! {
        (left_axis(&area, &y, &y_ticks, &format!("{label} (logarithmic)")))
        (bottom_axis(&area, &x, &x_ticks, "answered requests per second"))
        @for (way, points) in &series {
            @for (index, thickness) in shown.into_iter().zip(["curve", "curve thin"]) {
                @let value = |point: &Point| point.known[index].value.unwrap_or(f64::NAN);
                @let places: Vec<_> = points.iter().map(|point| (x.place(point.throughput), y.place(value(point)))).collect();
                path class={ (thickness) " " (class(*way)) } d=(line(&places)) {}
                @for (point, (left, top)) in points.iter().zip(&places) {
                    @let name = point.known[index].name;
                    (mark(*way, *left, *top, &format!("{}, {}: {name} {}", way.name(), point.load, time(value(point)))))
                }
                @if let (Some(point), Some((left, top)), Route::Direct) = (points.last(), places.last(), way) {
                    text.halo x=(at(left - 8.0)) y=(at(top - 9.0)) text-anchor="end" { (point.known[index].name) }
                }
            }
        }
    };
    let loads: Vec<_> = results.steps.iter().map(|step| short_load(&step.load)).collect();
    Some(html! {
        figure {
            figcaption {
                strong { (label) " by throughput" } ": the lower pair of lines is " (middle) ", the upper " (tail) "; one mark a load ("
                (loads.join(", ")) ", in the order in which they ran). Of a closed loop, a rate is over the time that the workers spent on that route."
            }
            (super::chart::legend(&results.parameters.routes))
            (drawing(WIDTH, HEIGHT, &format!("{label}, {middle} and {tail}, against throughput; the figures are in the table"), &content))
        }
    })
}

fn points(results: &Results, route: Route, metric: Metric) -> Vec<Point> {
    let of = |step: &Step| {
        let result = step.route(route)?;
        let known = result.distribution(metric)?.known();
        Some(Point { throughput: result.throughput.requests_per_s, known, load: load(&step.load) })
    };
    results.steps.iter().filter_map(of).collect()
}

/// Which of the known percentiles are drawn: the median, and the 99th if there is one everywhere, else the 90th.
fn shown(results: &Results, metric: Metric) -> [usize; 2] {
    let mut routes = results.steps.iter().flat_map(|step| &step.routes);
    let everywhere = routes.all(|result| result.distribution(metric).is_none_or(|found| found.known()[2].value.is_some()));
    [0, if everywhere { 2 } else { 1 }]
}

fn table(results: &Results) -> Markup {
    let shown = shown(results, Metric::Ttft);
    let tail = if shown[1] == 2 { "TTFT p99" } else { "TTFT p90" };
    scrolling(
        "Figures of each load",
        &html! {
            table {
                thead {
                    tr {
                        th scope="col" { "Load" } th scope="col" { "route" }
                        @for name in ["requests/s", "tokens/s", "failed", "TTFT p50", tail] { th.n scope="col" { (name) } }
                        th.n scope="col" { "added to first token" } th.n scope="col" { "to later ones" }
                    }
                }
                @for step in &results.steps {
                    tbody {
                        @for (index, result) in step.routes.iter().enumerate() {
                            tr {
                                @if index == 0 { th scope="rowgroup" rowspan=(step.routes.len()) { (load(&step.load)) } }
                                td { (result.route.name()) }
                                td.n { (digits(result.throughput.requests_per_s)) }
                                td.n { (digits(result.throughput.tokens_per_s)) }
                                td.n { (result.counts.failed) }
                                @let known = result.distribution(Metric::Ttft).map(Distribution::known);
                                @for index in shown {
                                    td.n { (time(known.and_then(|known| known[index].value).unwrap_or(f64::NAN))) }
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
