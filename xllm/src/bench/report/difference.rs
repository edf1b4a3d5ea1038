//! What the proxy adds: each metric's difference with its interval, and the pairs behind the most asked for.

use maud::{Markup, html};

use super::{
    bins::Bins,
    chart::{Area, at, bottom_axis, drawing, left_axis, text_width, time_ticks},
    curve::ratio,
    headline::interval,
    scale::{Scale, count, extent},
};
use crate::bench::{
    added::Finding,
    format::{self, added, counted, percent, tick, whole},
    metric::Metric,
    result::{Difference, Results, Statistic, Step},
};

const WIDTH: f64 = 440.0;
const ROW: f64 = 30.0;
/// Times of one kind, so that they share an axis; all others are in the table.
const SHOWN: [Metric; 5] = [Metric::Head, Metric::Ttft, Metric::TokenDelay, Metric::LastToken, Metric::E2e];

/// The medians of the pairs' differences, one line a metric.
pub(super) fn intervals(results: &Results, step: &Step) -> Option<Markup> {
    let shown = SHOWN.iter().filter_map(|metric| step.difference(*metric, Statistic::MedianOfDifferences));
    let shown: Vec<(&str, &Difference)> = shown.map(|found| (found.metric.label(), found)).collect();
    let (low, high) = extent(shown.iter().flat_map(|(_, found)| [found.low, found.high, found.estimate, 0.0]))?;
    let height = count(shown.len()) * ROW + 76.0;
    let names = shown.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
    let area =
        Area { left: (text_width(names) + 8.0).min(150.0), top: 24.0, right: WIDTH - text_width(10), bottom: height - 42.0 };
    let x = Scale::linear((low, high), (area.left + 6.0, area.right - 6.0));
    let zero = x.place(0.0);
    let content = html! {
        (bottom_axis(&area, &x, &time_ticks(&x, 4), "proxied less direct"))
        line.zero x1=(at(zero)) x2=(at(zero)) y1=(at(area.top)) y2=(at(area.bottom)) {}
        @if zero - area.left > text_width(8) {
            text.note x=(at(zero - 6.0)) y="14" text-anchor="end" { "◂ faster" }
        }
        text.note x=(at(zero + 6.0)) y="14" { "slower ▸" }
        @for (index, (label, found)) in shown.iter().enumerate() {
            @let y = area.top + (count(index) + 0.5) * ROW;
            text x="0" y=(at(y + 4.0)) { (label) }
            (whisker(found, &x, y, results.parameters.confidence))
            text.figure x=(at(WIDTH)) y=(at(y + 4.0)) text-anchor="end" { (added(found.estimate)) }
        }
    };
    let words: Vec<_> =
        shown.iter().map(|(label, found)| format!("{label} {} ({})", added(found.estimate), interval(found))).collect();
    let confidence = percent(results.parameters.confidence);
    Some(html! {
        figure {
            figcaption {
                strong { "What the proxy adds, by metric" } ": medians of the pairs' differences with " (confidence)
                " intervals. A full mark: the interval does not hold zero. A hollow one: it does."
            }
            (drawing(WIDTH, height, &format!("What the proxy adds, with {confidence} intervals: {}", words.join("; ")), &content))
        }
    })
}

fn whisker(found: &Difference, x: &Scale, y: f64, confidence: f64) -> Markup {
    let (low, middle, high) = (x.place(found.low), x.place(found.estimate), x.place(found.high));
    let class = if Finding::of(found) == Finding::Unclear { "hollow" } else { "full" };
    html! {
        g.whisker {
            title { (added(found.estimate)) ", " (percent(confidence)) " interval " (interval(found)) ", " (counted(found.pairs, "pair", "pairs")) }
            path d={
                "M" (at(low)) " " (at(y)) "H" (at(high))
                "M" (at(low)) " " (at(y - 5.0)) "v10M" (at(high)) " " (at(y - 5.0)) "v10"
            } {}
            rect class=(class) x=(at(middle - 4.0)) y=(at(y - 4.0)) width="8" height="8" {}
        }
    }
}

/// How the pairs' own differences of a metric are spread.
pub(super) fn pairs(step: &Step, metric: Metric) -> Option<Markup> {
    let values = step.paired(metric);
    let bins = Bins::of(values.iter().copied(), 24)?;
    let slower = values.iter().filter(|value| **value > 0.0).count();
    let share = count(slower) / count(values.len());
    let most = bins.counts.iter().max().copied().unwrap_or(0);
    let (first, last) = bins.ends();
    let area = Area::with_axes(WIDTH, 256.0, 5);
    // Room above the highest bar for the median's label.
    let room = ratio(most, 1) * 1.12;
    let x = Scale::linear((first.min(0.0), last.max(0.0)), area.across());
    let y = Scale::linear((0.0, room), area.up());
    // Half a pair is no tick.
    let y_ticks = y.ticks(4).into_iter().filter(|value| value.fract() == 0.0);
    let y_ticks: Vec<_> = y_ticks.map(|value| (value, format::round(value))).collect();
    let zero = x.place(0.0);
    let label = metric.label();
    let content = html! {
        (left_axis(&area, &y, &y_ticks, "pairs"))
        (bottom_axis(&area, &x, &time_ticks(&x, 5), &format!("{label}, proxied less direct")))
        g.bars {
            @for (index, counted) in bins.counts.iter().enumerate().filter(|(_, counted)| **counted > 0) {
                @let (low, high) = bins.edges(index);
                @let top = y.place(ratio(*counted, 1));
                rect x=(at(x.place(low) + 0.5)) width=(at((x.place(high) - x.place(low) - 1.0).max(1.0))) y=(at(top)) height=(at(area.bottom - top)) {
                    title { (whole(*counted)) " of " (tick(low)) " to " (tick(high)) }
                }
            }
        }
        line.zero x1=(at(zero)) x2=(at(zero)) y1=(at(area.top)) y2=(at(area.bottom)) {}
        @if let Some(found) = step.difference(metric, Statistic::MedianOfDifferences) {
            @let middle = x.place(found.estimate);
            line.median x1=(at(middle)) x2=(at(middle)) y1=(at(area.top)) y2=(at(area.bottom)) {}
            @let left = middle < f64::midpoint(area.left, area.right);
            text.note x=(at(middle + if left { 5.0 } else { -5.0 })) y=(at(area.top + 9.0)) text-anchor=(if left { "start" } else { "end" }) {
                "median " (added(found.estimate))
            }
        }
    };
    let outside = bins.outside.0 + bins.outside.1;
    let words = format!(
        "the proxied request was the slower one in {} of {}",
        percent(share),
        counted(values.len() as u64, "pair", "pairs")
    );
    Some(html! {
        figure {
            figcaption {
                strong { "The pairs behind it, " (label) } ": " (words) "."
                @if outside > 0 { " " (counted(outside, "pair lies", "pairs lie")) " outside the drawing, " (whole(bins.outside.0)) " below and " (whole(bins.outside.1)) " above." }
            }
            (drawing(WIDTH, 256.0, &format!("Histogram of the differences of {label}: {words}"), &content))
        }
    })
}
