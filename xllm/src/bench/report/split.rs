//! Where the time of proxied requests went: upstream, proxy, network.

use maud::{Markup, html};

use super::{
    chart::{at, drawing},
    tables::scrolling,
};
use crate::bench::{
    format::{Unit, percent, time, whole},
    result::{Parts, Percentiles, Split},
};

const WIDTH: f64 = 440.0;
const BAR: f64 = 30.0;

type Part<'s> = (&'static str, &'static str, &'s Percentiles);

fn parts(parts: &Parts) -> [Part<'_>; 3] {
    [("upstream", "upstream", &parts.upstream), ("proxy", "inner", &parts.proxy), ("network", "outer", &parts.network)]
}

/// The mean time to the first token in three: means add up, percentiles do not.
pub(super) fn figure(split: &Split) -> Option<Markup> {
    let parts = parts(&split.first_token);
    let sum: f64 = parts.iter().map(|(_, _, part)| part.mean).sum();
    if !(sum.is_finite() && sum > 0.0) {
        return None;
    }
    let words: Vec<_> =
        parts.iter().map(|(name, _, part)| format!("{name} {} ({})", time(part.mean), percent(part.mean / sum))).collect();
    let outside = &parts[1..];
    let rest: f64 = outside.iter().map(|(_, _, part)| part.mean).sum();
    let content = html! {
        (bar(&parts, sum, 2.0))
        text.note x="0" y=(at(BAR + 26.0)) { "without the upstream: " (time(rest)) }
        (bar(outside, rest, BAR + 34.0))
    };
    Some(html! {
        figure {
            figcaption { strong { "First token of a proxied request" } ": " (time(sum)) " from the send, in the mean." }
            (drawing(WIDTH, 2.0 * BAR + 38.0, &format!("Mean time to first token: {}", words.join(", ")), &content))
            ul.parts {
                @for ((_, class, _), words) in parts.iter().zip(&words) {
                    li { svg viewBox="0 0 14 14" width="14" height="14" aria-hidden="true" { rect class={ "part " (class) } x="1" y="1" width="12" height="12" {} } " " (words) }
                }
            }
        }
    })
}

/// Parts of a sum side by side, over the whole width.
fn bar(parts: &[Part<'_>], sum: f64, top: f64) -> Markup {
    let mut left = 1.0;
    html! {
        @for (name, class, part) in parts {
            @let width = (part.mean / sum).clamp(0.0, 1.0) * (WIDTH - 2.0);
            rect class={ "part " (class) } x=(at(left)) y=(at(top)) width=(at(width)) height=(at(BAR)) { title { (name) " " (time(part.mean)) } }
            @let () = left += width;
        }
    }
}

/// All its figures.
pub(super) fn table(split: &Split) -> Markup {
    let groups = [("First token", parts(&split.first_token)), ("Each later token", parts(&split.later_tokens))];
    let others = [("Held in the proxy, each piece", &split.held), ("Network beyond its least", &split.jitter)];
    scrolling(
        "Where the time went",
        &html! {
            table {
                thead { tr { th scope="col" { "Part" } th scope="col" { "unit" } @for name in ["mean", "p50", "p90", "p99", "max", "values"] { th.n scope="col" { (name) } } } }
                @for (title, parts) in groups {
                    tbody {
                        tr { th.group scope="rowgroup" colspan="8" { (title) } }
                        @for (name, _, part) in parts { (row(name, part)) }
                    }
                }
                tbody {
                    tr { th.group scope="rowgroup" colspan="8" { "Pieces" } }
                    @for (name, part) in others { (row(name, part)) }
                }
            }
            p.quiet {
                "One way between this program and the proxy: about " (time(split.one_way_estimate))
                ", half of the least time both ways, taken as equal. The parts are told apart without synchronised clocks."
            }
        },
    )
}

fn row(name: &str, part: &Percentiles) -> Markup {
    let unit = Unit::of_millis(part.p50);
    html! {
        tr {
            th scope="row" { (name) }
            td.u { (unit.name) }
            td.n { (unit.figure(part.mean)) }
            @for value in part.known() { td.n { (unit.figure(value.unwrap_or(f64::NAN))) } }
            td.n { (whole(part.count)) }
        }
    }
}
