//! Where the time of proxied requests went: upstream, proxy, network.

use maud::{Markup, html};

use super::{
    chart::{at, drawing},
    format::{Unit, percent, time, whole},
    tables::scrolling,
};
use crate::bench::result::{Parts, Percentiles, Route, Split, Step};

const WIDTH: f64 = 440.0;
const BAR: f64 = 30.0;

type Part<'s> = (&'static str, &'static str, &'s Percentiles);

fn parts(parts: &Parts) -> [Part<'_>; 3] {
    [("upstream", "upstream", &parts.upstream), ("proxy", "inner", &parts.proxy), ("network", "outer", &parts.network)]
}

/// The split of the step's proxied requests.
pub(super) fn of(step: &Step) -> Option<&Split> {
    step.route(Route::Proxied)?.split.as_ref()
}

/// The mean time to the first token in three: means add up, percentiles do not.
pub(super) fn figure(split: &Split) -> Option<Markup> {
    let parts = parts(&split.first_token);
    let sum: f64 = parts.iter().map(|(_, _, part)| part.mean).sum();
    if !(sum.is_finite() && sum > 0.0) {
        return None;
    }
    let mut left = 0.0;
    let words: Vec<_> =
        parts.iter().map(|(name, _, part)| format!("{name} {} ({})", time(part.mean), percent(part.mean / sum))).collect();
    let content = html! {
        @for (name, class, part) in &parts {
            @let width = (part.mean / sum).clamp(0.0, 1.0) * WIDTH;
            rect class={ "part " (class) } x=(at(left)) y="2" width=(at(width.max(1.0))) height=(at(BAR)) { title { (name) " " (time(part.mean)) } }
            @let () = left += width;
        }
    };
    Some(html! {
        figure {
            figcaption { strong { "First token of a proxied request" } ": " (time(sum)) " in the mean." }
            (drawing(WIDTH, BAR + 4.0, &format!("Mean time to first token: {}", words.join(", ")), &content))
            ul.parts {
                @for ((_, class, _), words) in parts.iter().zip(&words) {
                    li { svg viewBox="0 0 14 14" width="14" height="14" aria-hidden="true" { rect class={ "part " (class) } x="1" y="1" width="12" height="12" {} } " " (words) }
                }
            }
        }
    })
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
            @for value in [part.mean, part.p50, part.p90, part.p99, part.max] { td.n { (unit.figure(value)) } }
            td.n { (whole(part.count)) }
        }
    }
}
