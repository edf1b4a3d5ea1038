//! Results for reading: of each figure the median of the rounds, and between which values they lay.

use std::fmt::Write as _;

use crate::line::{Line, median};

/// A column: its head, with the unit, and the figures that are added up in it.
type Column = (&'static str, &'static [&'static str]);

/// The figures of a measure that are shown, in this order.
fn columns(measure: &str) -> &'static [Column] {
    match measure {
        "memory" => &[
            ("server, KiB a stream", &["memory_server_kib"]),
            ("client, KiB a stream", &["memory_client_kib"]),
            ("server before, MiB", &["memory_server_before_mib"]),
            ("client before, MiB", &["memory_client_before_mib"]),
        ],
        "steady" | "quarter" | "flood" => &[
            ("events/s", &["events_per_s"]),
            ("arrived, % of offered", &["arrived_percent"]),
            ("server, µs CPU", &["cpu_server_us"]),
            ("client, µs CPU", &["cpu_client_us"]),
            ("both, µs CPU", BOTH),
            ("added p50, µs", &["added_p50_us"]),
            ("added p99, µs", &["added_p99_us"]),
            ("p50, µs", &["latency_p50_us"]),
            ("p99, µs", &["latency_p99_us"]),
            ("load, µs CPU", &["cpu_bench_us"]),
            ("load late p50, µs", &["late_p50_us"]),
            ("load late p99, µs", &["late_p99_us"]),
        ],
        "saturation" => &[
            ("events/s", &["events_per_s"]),
            ("server, µs CPU", &["cpu_server_us"]),
            ("client, µs CPU", &["cpu_client_us"]),
            ("both, µs CPU", BOTH),
            ("load, µs CPU", &["cpu_bench_us"]),
        ],
        "bulk" => &[
            ("MB/s", &["mb_per_s"]),
            ("server, s CPU/GB", &["cpu_server_s_per_gb"]),
            ("client, s CPU/GB", &["cpu_client_s_per_gb"]),
            ("load, s CPU/GB", &["cpu_bench_s_per_gb"]),
        ],
        "hostile" => &[
            ("arrived, % of offered", &["arrived_percent"]),
            ("added p50, µs", &["added_p50_us"]),
            ("added p99, µs", &["added_p99_us"]),
            ("p50 × in peace", &["times_p50"]),
            ("p99 × in peace", &["times_p99"]),
            ("server, µs CPU", &["cpu_server_us"]),
            ("attack, % of a core", &["cpu_attack_percent"]),
            ("load late p99, µs", &["late_p99_us"]),
        ],
        "cancel" => &[("p50, ms", &["cancel_p50_ms"]), ("p99, ms", &["cancel_p99_ms"]), ("max, ms", &["cancel_max_ms"])],
        _ => &[
            ("p50, µs", &["latency_p50_us"]),
            ("p99, µs", &["latency_p99_us"]),
            ("added p50, µs", &["added_p50_us"]),
            ("server, µs CPU", &["cpu_server_us"]),
            ("client, µs CPU", &["cpu_client_us"]),
            ("load, µs CPU", &["cpu_bench_us"]),
        ],
    }
}

/// Both ends of a pair, or the one that there is.
pub(crate) const BOTH: &[&str] = &["cpu_server_us", "cpu_client_us"];

/// The lines of one measure for a terminal: a column a route, a row a figure, so that it stays narrow.
pub(crate) fn text(measure: &str, lines: &[Line]) -> String {
    let mut routes = rows(measure, lines);
    measure.clone_into(&mut routes[0][0]);
    let width = |route: &Vec<String>| route.iter().map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = routes.iter().map(width).collect();
    let mut text = String::new();
    for figure in 0..routes[0].len() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{:<1$}", routes[0][figure], widths[0]);
        for (route, width) in routes.iter().zip(&widths).skip(1) {
            let _ = write!(text, "   {:>width$}", route[figure]);
        }
        text.push('\n');
    }
    text
}

/// The same in Markdown.
pub(crate) fn markdown(measure: &str, lines: &[Line]) -> String {
    let mut rows = rows(measure, lines).into_iter().map(|row| format!("| {} |\n", row.join(" | ")));
    let head = rows.next().unwrap_or_default();
    let rule = format!("|---|{}\n", "--:|".repeat(head.matches(" | ").count()));
    head + &rule + &rows.collect::<String>()
}

/// A head, then a row for each route in the order of its first line. Columns without any figure are left out.
fn rows(measure: &str, lines: &[Line]) -> Vec<Vec<String>> {
    let mut routes: Vec<&str> = Vec::new();
    for line in lines {
        if !routes.contains(&line.route.as_str()) {
            routes.push(&line.route);
        }
    }
    let has = |(_, figures): &&Column| lines.iter().any(|line| line.sum(figures).is_some());
    let columns: Vec<_> = columns(measure).iter().filter(has).collect();
    let head = std::iter::once(String::new()).chain(columns.iter().map(|(head, _)| (*head).to_owned())).collect();
    let row = |route: &&str| {
        let of_route = || lines.iter().filter(|line| line.route == *route);
        let cells =
            columns.iter().map(|(_, figures)| cell(&of_route().filter_map(|line| line.sum(figures)).collect::<Vec<_>>()));
        std::iter::once((*route).to_owned()).chain(cells).collect()
    };
    std::iter::once(head).chain(routes.iter().map(row)).collect()
}

/// The median, and of several values the least and the most.
pub(crate) fn cell(values: &[f64]) -> String {
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
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        0.0..1.0 => 3,
        1.0..10.0 => 2,
        10.0..100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}
