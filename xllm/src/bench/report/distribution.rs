//! How long it took: the distribution of a metric, a curve a route.

use maud::{Markup, html};

use super::{
    chart::{Area, at, bottom_axis, class, drawing, left_axis, legend, line, mark, time_ticks},
    curve::Curve,
    scale::{Scale, extent},
};
use crate::bench::{
    format::{percent, time},
    metric::{Metric, Per},
    result::{Distribution, Route, Step},
    stats::Known,
};

const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 270.0;
/// Nothing that a network carries is told apart below a microsecond, and zero has no place on a logarithmic axis.
const LEAST: f64 = 1e-3;
/// A few values far below the others would push these to the right edge: the drawing begins at this share of all.
const FIRST: f64 = 0.01;

/// One route's curve, and its percentiles.
struct Line<'r> {
    route: Route,
    curve: Curve,
    found: &'r Distribution,
}

/// The chart of a metric, if there are values.
pub(super) fn figure(step: &Step, metric: Metric) -> Option<Markup> {
    let lines: Vec<Line<'_>> = step.routes.iter().filter_map(|result| of_route(step, result.route, metric)).collect();
    let (low, high) = extent(lines.iter().flat_map(|line| line.curve.ends(LEAST, FIRST)))?;
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
    let (low, _) = x.ends();
    let left = lines.iter().map(|line| line.curve.below(low)).fold(0.0, f64::max);
    let content = html! {
        (bottom_axis(&area, &x, &time_ticks(&x, 5), &format!("{label} (logarithmic)")))
        (left_axis(&area, &y, &y_ticks, &format!("share of {noun} that took at most this long")))
        @for one in &lines {
            @let places: Vec<_> = one.curve.corners().iter().map(|(value, share)| (x.place(*value), y.place(*share))).collect();
            path class={ "curve " (class(one.route)) } d=(line(&places)) {}
        }
        @for one in &lines {
            @for known in one.found.middle_and_tail() {
                @let value = known.value.unwrap_or(f64::NAN);
                (mark(one.route, x.place(value), y.place(known.share), &format!("{} {}: {}", one.route.name(), known.name, time(value))))
            }
        }
        @if let [only] = lines.as_slice() {
            text.note x=(at(area.right)) y=(at(area.bottom - 8.0)) text-anchor="end" { (only.route.name()) " only" }
        }
    };
    let shown: Vec<Route> = lines.iter().map(|line| line.route).collect();
    Some(html! {
        figure {
            figcaption {
                strong { (label) } ", " (metric.formula()) "; " (words) "."
                @if left > 0.0 { " Up to " (percent(left)) " of the " (noun) " took less than is drawn." }
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
    let value = |known: &Known| format!("{} {}", known.name, time(known.value.unwrap_or(f64::NAN)));
    let of = |line: &Line<'_>| {
        let values: Vec<_> = line.found.middle_and_tail().iter().map(value).collect();
        format!("{} {}", line.route.name(), values.join(", "))
    };
    lines.iter().map(of).collect::<Vec<_>>().join("; ")
}
