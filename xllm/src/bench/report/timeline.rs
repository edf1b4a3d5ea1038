//! One typical pair of streams, token by token.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::{
    chart::{Area, at, bottom_axis, class, drawing, left_axis, line, time_ticks},
    scale::{Scale, count, extent},
};
use crate::bench::{
    format::{counted, time},
    result::{Route, Step, TokenTime, Typical},
};

/// For a page that is wide, and for one that is not.
const WIDTHS: [(&str, f64); 2] = [("wide", 900.0), ("narrow", 400.0)];
const LANE: f64 = 58.0;
const TICK: f64 = 22.0;
/// More than a line has room for.
const MOST_POINTS: usize = 400;

type Lane<'t> = (Route, &'t [TokenTime]);

/// When the tokens of either stream came.
pub(super) fn figure(step: &Step) -> Option<Markup> {
    let typical = step.typical.as_ref()?;
    let lanes = lanes(typical);
    let (_, end) = extent(lanes.iter().flat_map(|(_, tokens)| tokens.iter().map(|token| token.at)))?;
    let words: Vec<_> = lanes.iter().map(|(way, tokens)| in_words(*way, tokens)).collect();
    let label = format!("Arrival of the tokens of one typical pair of streams: {}", words.join("; "));
    Some(html! {
        figure {
            figcaption {
                strong { "When each token came" } ", in the pair nearest to the medians (pair " (typical.pair)
                "). One stroke a token; the long one is the first."
            }
            @for (name, width) in WIDTHS {
                div class=(name) { (draw(&lanes, end, width, &label)) }
            }
        }
    })
}

fn lanes(typical: &Typical) -> Vec<Lane<'_>> {
    let both = [(Route::Direct, &typical.direct), (Route::Proxied, &typical.proxied)];
    both.into_iter()
        .filter_map(|(way, tokens)| Some((way, tokens.as_deref()?)))
        .filter(|(_, tokens)| !tokens.is_empty())
        .collect()
}

fn in_words(way: Route, tokens: &[TokenTime]) -> String {
    let of = |token: Option<&TokenTime>| token.map_or(0.0, |token| token.at);
    let number = counted(tokens.len() as u64, "token", "tokens");
    format!("{}: first after {}, {number} by {}", way.name(), time(of(tokens.first())), time(of(tokens.last())))
}

fn draw(lanes: &[Lane<'_>], end: f64, width: f64, label: &str) -> Markup {
    let height = count(lanes.len()) * LANE + 46.0;
    let area = Area { left: 4.0, top: 0.0, right: width - 16.0, bottom: height - 42.0 };
    let x = Scale::linear((0.0, end), area.across());
    let wanted = if width > 600.0 { 10 } else { 5 };
    let content = html! {
        (bottom_axis(&area, &x, &time_ticks(&x, wanted), "since the request was sent"))
        @for (index, (way, tokens)) in lanes.iter().enumerate() {
            @let top = count(index) * LANE;
            @let bottom = top + LANE - 8.0;
            text.halo x=(at(area.left)) y=(at(top + 16.0)) { (in_words(*way, tokens)) }
            path class={ "strokes " (class(*way)) } d=(strokes(tokens, &x, bottom)) {}
            @if let Some(first) = tokens.first() {
                @let place = x.place(first.at);
                line class={ "first " (class(*way)) } x1=(at(place)) x2=(at(place)) y1=(at(bottom)) y2=(at(bottom - TICK - 8.0)) {
                    title { (way.name()) ", first token: " (time(first.at)) }
                }
            }
        }
    };
    drawing(width, height, label, &content)
}

/// A stroke for each token; those at the same place are one.
fn strokes(tokens: &[TokenTime], x: &Scale, bottom: f64) -> String {
    let mut path = String::new();
    let mut last = String::new();
    for token in tokens.iter().filter(|token| token.at.is_finite()) {
        let place = at(x.place(token.at));
        if place != last {
            // Writing to a String cannot fail.
            let _ = write!(path, "M{place} {}v-{}", at(bottom), at(TICK));
            last = place;
        }
    }
    path
}

/// What of the proxied stream's times was spent outside the upstream, token by token.
pub(super) fn overhead(step: &Step) -> Option<Markup> {
    let tokens = step.typical.as_ref()?.proxied.as_deref()?;
    let every = tokens.len().div_ceil(MOST_POINTS).max(1);
    let split = |part: fn(&crate::bench::result::TokenSplit) -> f64| -> Vec<(f64, f64)> {
        let numbered = tokens.iter().enumerate().step_by(every);
        numbered.filter_map(|(index, token)| Some((count(index + 1), part(token.split.as_ref()?)))).collect()
    };
    let series = [
        ("inside the proxy", "inner", split(|parts| parts.proxy)),
        ("network, both ways", "outer", split(|parts| parts.network)),
    ];
    let (low, high) = extent(series.iter().flat_map(|(_, _, points)| points.iter().map(|(_, value)| *value)))?;
    let (width, height) = (440.0, 250.0);
    let y = Scale::linear((low.min(0.0), high), (height - 42.0, 26.0));
    let y_ticks = time_ticks(&y, 4);
    let area = Area::with_axes(width, height, super::chart::longest(&y_ticks));
    let x = Scale::linear((1.0, count(tokens.len())), area.across());
    let x_ticks: Vec<_> =
        x.ticks(6).into_iter().filter(|value| value.fract() == 0.0).map(|value| (value, format!("{value:.0}"))).collect();
    let content = html! {
        (left_axis(&area, &y, &y_ticks, "time outside the upstream"))
        (bottom_axis(&area, &x, &x_ticks, "token"))
        @for (_, class, points) in &series {
            path class={ "curve " (class) } d=(line(&points.iter().map(|(token, value)| (x.place(*token), y.place(*value))).collect::<Vec<_>>())) {}
        }
    };
    Some(html! {
        figure {
            figcaption { strong { "Outside the upstream, token by token" } ", in the proxied stream of that pair." }
            p.legend {
                @for (name, class, _) in &series {
                    span {
                        svg viewBox="0 0 28 10" width="28" height="10" aria-hidden="true" { line class={ "curve " (class) } x1="0" x2="28" y1="5" y2="5" {} }
                        " " (name)
                    }
                }
            }
            (drawing(width, height, "Time inside the proxy and on the network, for each token of one typical stream", &content))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(at: f64) -> TokenTime {
        TokenTime { at, chunk: 0, split: None }
    }

    #[test]
    fn tokens_that_came_together_are_one_stroke() {
        let x = Scale::linear((0.0, 10.0), (0.0, 100.0));
        let tokens = [1.0, 1.0, 1.0001, 2.0, f64::NAN].map(token);
        assert_eq!(strokes(&tokens, &x, 30.0), "M10 30v-22M20 30v-22");
    }
}
