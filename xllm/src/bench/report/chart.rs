//! What all charts are made of: a drawing with a name, axes with labels, the lines and marks of either route.
//!
//! A drawing is about as wide as it is shown, so that its text has the page's size. The routes differ by dash and by shape, not by
//! colour alone.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::scale::{Scale, count};
use crate::bench::{format, result::Route};

/// Width of a character of a label, about, in the drawing's units.
const CHARACTER: f64 = 6.4;
/// A line of text.
const LINE: f64 = 16.0;

/// The part of a drawing that the axes enclose.
#[derive(Debug, Clone, Copy)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

impl Area {
    /// Room for two axes with their titles, the left one's labels at most this many characters long.
    pub(super) fn with_axes(width: f64, height: f64, characters: usize) -> Self {
        Self { left: 14.0 + text_width(characters), top: LINE + 10.0, right: width - 14.0, bottom: height - 2.0 * LINE - 10.0 }
    }

    pub(super) const fn across(&self) -> (f64, f64) {
        (self.left, self.right)
    }

    /// Upwards.
    pub(super) const fn up(&self) -> (f64, f64) {
        (self.bottom, self.top)
    }
}

/// How wide a text of so many characters is, about.
pub(super) fn text_width(characters: usize) -> f64 {
    count(characters) * CHARACTER
}

/// A place in the drawing, to a tenth of its unit.
pub(super) fn at(place: f64) -> String {
    let text = format!("{place:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// A drawing. The label says what it shows to those who do not see it.
pub(super) fn drawing(width: f64, height: f64, label: &str, content: &Markup) -> Markup {
    html! {
        svg viewBox={ "0 0 " (at(width)) " " (at(height)) } role="img" aria-label=(label) { (content) }
    }
}

/// The horizontal axis, its title below at the right. Labels that would run into each other are left out.
pub(super) fn bottom_axis(area: &Area, scale: &Scale, ticks: &[(f64, String)], title: &str) -> Markup {
    let mut taken = f64::NEG_INFINITY;
    html! {
        g.axis {
            @for (value, label) in ticks {
                @let x = scale.place(*value);
                @let half = text_width(label.chars().count()) / 2.0;
                // Near the edges a label is moved, not cut.
                @let middle = x.min(area.right + 12.0 - half).max(half);
                line.grid x1=(at(x)) x2=(at(x)) y1=(at(area.top)) y2=(at(area.bottom)) {}
                @if middle - half > taken + 6.0 {
                    text x=(at(middle)) y=(at(area.bottom + LINE)) text-anchor="middle" { (label) }
                    @let () = taken = middle + half;
                }
            }
            line.base x1=(at(area.left)) x2=(at(area.right)) y1=(at(area.bottom)) y2=(at(area.bottom)) {}
            text.title x=(at(area.right)) y=(at(area.bottom + 2.0 * LINE + 2.0)) text-anchor="end" { (title) }
        }
    }
}

/// The vertical axis, its title above.
pub(super) fn left_axis(area: &Area, scale: &Scale, ticks: &[(f64, String)], title: &str) -> Markup {
    html! {
        g.axis {
            @for (value, label) in ticks {
                @let y = scale.place(*value);
                line.grid x1=(at(area.left)) x2=(at(area.right)) y1=(at(y)) y2=(at(y)) {}
                text x=(at(area.left - 8.0)) y=(at(y + 4.0)) text-anchor="end" { (label) }
            }
            text.title x="0" y="12" { (title) }
        }
    }
}

/// Ticks of an axis of times in milliseconds.
pub(super) fn time_ticks(scale: &Scale, wanted: usize) -> Vec<(f64, String)> {
    scale.ticks(wanted).into_iter().map(|value| (value, format::tick(value))).collect()
}

/// The longest label, in characters.
pub(super) fn longest(ticks: &[(f64, String)]) -> usize {
    ticks.iter().map(|(_, label)| label.chars().count()).max().unwrap_or(0)
}

/// A line through these places.
pub(super) fn line(places: &[(f64, f64)]) -> String {
    let mut path = String::new();
    for (index, (x, y)) in places.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = write!(path, "{}{} {}", if index == 0 { 'M' } else { 'L' }, at(*x), at(*y));
    }
    path
}

/// The class that gives a route its colour and dash.
pub(super) const fn class(route: Route) -> &'static str {
    route.name()
}

/// A mark of the route's shape: a ring for direct, a full square for proxied.
pub(super) fn mark(route: Route, x: f64, y: f64, title: &str) -> Markup {
    html! {
        @match route {
            Route::Direct => circle.mark.direct cx=(at(x)) cy=(at(y)) r="3.5" { title { (title) } },
            Route::Proxied => rect.mark.proxied x=(at(x - 3.5)) y=(at(y - 3.5)) width="7" height="7" { title { (title) } },
        }
    }
}

/// Which line is which route.
pub(super) fn legend(routes: &[Route]) -> Markup {
    html! {
        @if routes.len() > 1 {
            p.legend {
                @for route in routes {
                    span {
                        svg viewBox="0 0 28 10" width="28" height="10" aria-hidden="true" {
                            line class={ "curve " (class(*route)) } x1="0" x2="28" y1="5" y2="5" {}
                            (mark(*route, 14.0, 5.0, ""))
                        }
                        " " (route.name())
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_short() {
        assert_eq!([at(1.0), at(2.54), at(-0.25)], ["1", "2.5", "-0.2"]);
        assert_eq!(line(&[(0.0, 1.0), (2.0, 3.25)]), "M0 1L2 3.2");
    }

    #[test]
    fn labels_that_would_run_into_each_other_are_left_out_and_their_lines_stay() {
        let area = Area { left: 0.0, top: 0.0, right: 100.0, bottom: 50.0 };
        let scale = Scale::linear((0.0, 10.0), area.across());
        let ticks: Vec<_> = scale.ticks(10).into_iter().map(|value| (value, format!("long {value}"))).collect();
        let drawn = bottom_axis(&area, &scale, &ticks, "title").into_string();
        assert_eq!(drawn.matches("<line class=\"grid\"").count(), 11);
        assert!((2..=3).contains(&drawn.matches(">long ").count()), "{drawn}");
    }
}
