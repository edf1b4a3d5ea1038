//! How long it took: the distribution of a metric, a curve a route.

use maud::{Markup, html};

use super::{
    chart::{Area, at, bottom_axis, class, drawing, left_axis, legend, line, mark, time_ticks},
    curve::Curve,
    format::{percent, route, time},
    scale::{Scale, extent},
};
use crate::bench::{
    metric::{Metric, Per},
    result::{Distribution, Route, Step},
};

const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 270.0;
/// Nothing that a network carries is told apart below a microsecond, and zero has no place on a logarithmic axis.
const LEAST: f64 = 1e-3;

/// One route's curve, and its percentiles.
struct Line<'r> {
    route: Route,
    curve: Curve,
    found: &'r Distribution,
}

/// The chart of a metric, if there are values.
pub(super) fn figure(step: &Step, metric: Metric) -> Option<Markup> {
    let lines: Vec<Line<'_>> = step.routes.iter().filter_map(|result| of_route(step, result.route, metric)).collect();
    let (low, high) = extent(lines.iter().flat_map(|line| line.curve.ends(LEAST)))?;
    let y_ticks: Vec<(f64, String)> =
        [0.0, 0.25, 0.5, 0.75, 0.9, 1.0].map(|share| (share, format!("{:.0} %", share * 100.0))).into();
    let area = Area::with_axes(WIDTH, HEIGHT, 5);
    let x = Scale::log((low.max(LEAST), high.max(LEAST)), area.across());
    let y = Scale::linear((0.0, 1.0), area.up());
    let noun = match metric.per() {
        Per::Request => "requests",
        Per::Gap => "gaps",
    };
    let label = metric.label();
    let words = in_words(&lines);
    let at_once = lines.iter().map(|line| line.curve.below(LEAST)).fold(0.0, f64::max);
    let content = html! {
        (bottom_axis(&area, &x, &time_ticks(&x, 5), &format!("{label} (logarithmic)")))
        (left_axis(&area, &y, &y_ticks, &format!("share of {noun} that took at most this long")))
        @for one in &lines {
            @let places: Vec<_> = one.curve.corners().iter().map(|(value, share)| (x.place(*value), y.place(*share))).collect();
            path class={ "curve " (class(one.route)) } d=(line(&places)) {}
        }
        @for one in &lines {
            @for (name, share, value) in [("p50", 0.5, one.found.p50), ("p99", 0.99, one.found.p99)] {
                (mark(one.route, x.place(value), y.place(share), &format!("{} {name}: {}", route(one.route), time(value))))
            }
        }
        @if let [only] = lines.as_slice() {
            text.note x=(at(area.right)) y=(at(area.bottom - 8.0)) text-anchor="end" { (route(only.route)) " only" }
        }
    };
    let shown: Vec<Route> = lines.iter().map(|line| line.route).collect();
    Some(html! {
        figure {
            figcaption {
                strong { (label) } ", " (metric.formula()) "; " (words) "."
                @if at_once > 0.0 { " Up to " (percent(at_once)) " of the " (noun) " took less than a microsecond and lie at the left edge." }
            }
            (legend(&shown))
            (drawing(WIDTH, HEIGHT, &format!("Distribution of {label}: {words}"), &content))
        }
    })
}

fn of_route(step: &Step, route: Route, metric: Metric) -> Option<Line<'_>> {
    let found = step.route(route)?.distribution(metric)?;
    // Every request's own value where the document has it, else the bins.
    let curve = Curve::of_values(step.values(route, metric)).or_else(|| Curve::of_histogram(&found.histogram))?;
    Some(Line { route, curve, found })
}

fn in_words(lines: &[Line<'_>]) -> String {
    let of = |line: &Line<'_>| format!("{} {} and {}", route(line.route), time(line.found.p50), time(line.found.p99));
    format!("p50 and p99: {}", lines.iter().map(of).collect::<Vec<_>>().join(", "))
}
