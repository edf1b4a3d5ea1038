//! Results for reading: of each figure the median of the rounds, and between which values they lay.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::line::{Line, median};

/// The lines of one measure: a row a route, a column a figure.
pub(crate) fn text(title: &str, lines: &[Line]) -> String {
    let rows = rows(lines);
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut text = format!("{title}\n");
    for row in &rows {
        for (cell, width) in row.iter().zip(&widths) {
            // Writing to a String cannot fail.
            let _ = write!(text, "  {cell:<width$}");
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

/// A head, then a row for each route in the order of its first line.
pub(crate) fn rows(lines: &[Line]) -> Vec<Vec<String>> {
    let names: BTreeSet<_> = lines.iter().flat_map(|line| line.figures.keys()).collect();
    let mut routes: Vec<&str> = Vec::new();
    for line in lines {
        if !routes.contains(&line.route.as_str()) {
            routes.push(&line.route);
        }
    }
    let head = std::iter::once(String::new()).chain(names.iter().map(|name| name.replace('_', " "))).collect();
    let row = |route: &&str| {
        let cells = names.iter().map(|name| cell(&values(lines, route, name)));
        std::iter::once((*route).to_owned()).chain(cells).collect()
    };
    std::iter::once(head).chain(routes.iter().map(row)).collect()
}

/// A figure of a route, round by round.
pub(crate) fn values(lines: &[Line], route: &str, name: &str) -> Vec<f64> {
    lines.iter().filter(|line| line.route == route).filter_map(|line| line.figures.get(name).copied()).collect()
}

fn cell(values: &[f64]) -> String {
    let least = values.iter().copied().min_by(f64::total_cmp);
    let most = values.iter().copied().max_by(f64::total_cmp);
    match (least, most) {
        (Some(least), Some(most)) if values.len() > 1 => {
            format!("{} ({} to {})", number(median(values.to_vec())), number(least), number(most))
        }
        (Some(one), _) => number(one),
        _ => "–".to_owned(),
    }
}

/// With three digits that count, or all before the point.
pub(crate) fn number(value: f64) -> String {
    let decimals = match value.abs() {
        0.0..1.0 => 3,
        1.0..10.0 => 2,
        10.0..100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}
