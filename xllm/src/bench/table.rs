//! What a terminal shows of the result: first in words what the proxy adds, then the figures. Pure.

use std::fmt::Write as _;

use super::{
    cost,
    format::{cell, load, plain, range, signed},
    metric::Metric,
    result::{Difference, Distribution, Parts, Percentiles, Results, RouteResult, Statistic, Step},
};

/// Columns of text.
const WIDTH: usize = 96;
/// Metrics that say the same as others where nothing is late, and those for which there is no room.
const LEFT_OUT: [Metric; 3] = [Metric::Head, Metric::TtftSent, Metric::E2eSent];

/// All of it, with line feeds.
pub(super) fn draw(results: &Results) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = all(&mut text, results);
    text
}

fn all(text: &mut String, results: &Results) -> std::fmt::Result {
    for sentence in &results.summary {
        paragraph(text, sentence, 0)?;
    }
    for step in &results.steps {
        heading(text, &load(&step.load))?;
        counts(text, step)?;
        metrics(text, step)?;
        for split in step.routes.iter().filter_map(|route| route.split.as_ref()) {
            writeln!(
                text,
                "\n  where the time of proxied tokens goes, ms {:>20} {:>9} {:>9} {:>9}",
                "p50", "p90", "p99", "max"
            )?;
            parts(text, "first token", &split.first_token)?;
            parts(text, "later tokens, each", &split.later_tokens)?;
            line(text, "held inside the proxy, each piece", &split.held)?;
            line(text, "variation on the network, each piece", &split.jitter)?;
            writeln!(
                text,
                "    one way between here and the proxy about {} ms, if both ways take the same",
                plain(split.one_way_estimate)
            )?;
        }
        writeln!(text)?;
        paragraph(text, &cost::sentence(step), 2)?;
    }
    for warning in &results.warnings {
        let at = results.place(warning).map_or_else(String::new, |step| format!("at {}: ", load(&step.load)));
        paragraph(text, &format!("! {at}{}", warning.text), 2)?;
    }
    Ok(())
}

fn heading(text: &mut String, title: &str) -> std::fmt::Result {
    writeln!(text, "\n── {title} {}", "─".repeat(WIDTH.saturating_sub(title.chars().count() + 4)))
}

fn counts(text: &mut String, step: &Step) -> std::fmt::Result {
    writeln!(
        text,
        "\n  {:<10}{:>8}{:>8}{:>8}{:>11}{:>12}{:>12}{:>12}",
        "", "sent", "done", "failed", "cancelled", "requests/s", "tokens/s", "goodput/s"
    )?;
    for RouteResult { route, counts, throughput, goodput, failures, .. } in &step.routes {
        let goodput = goodput.map_or_else(|| "–".to_owned(), |good| format!("{:.2}", good.requests_per_s));
        writeln!(
            text,
            "  {:<10}{:>8}{:>8}{:>8}{:>11}{:>12.2}{:>12.1}{goodput:>12}",
            route.name(),
            counts.sent,
            counts.done,
            counts.failed,
            counts.cancelled,
            throughput.requests_per_s,
            throughput.tokens_per_s
        )?;
        for failure in failures.iter().take(3) {
            paragraph(text, &format!("{} × {}", failure.count, failure.reason), 12)?;
        }
    }
    Ok(())
}

fn metrics(text: &mut String, step: &Step) -> std::fmt::Result {
    writeln!(text, "\n  {:<40}{:>9} {:>9} {:>9} {:>9} {:>9}", "", "p50", "p90", "p99", "p99.9", "max")?;
    for metric in Metric::ALL.iter().filter(|metric| !LEFT_OUT.contains(metric)) {
        let found: Vec<_> = step.routes.iter().filter_map(|route| Some((route.route, route.distribution(*metric)?))).collect();
        let added = step.difference(*metric, Statistic::MedianOfDifferences);
        if found.is_empty() && added.is_none() {
            continue;
        }
        paragraph(text, &format!("{}, {} = {}", metric.label(), metric.unit(), metric.formula()), 2)?;
        for (route, values) in found {
            writeln!(text, "    {:<38}{}", route.name(), row(values))?;
        }
        if let Some(Difference { estimate, low, high, pairs, .. }) = added {
            let (estimate, range) = (signed(*estimate), range(*low, *high));
            writeln!(text, "    {:<38}{estimate:>9}  ({range}, {pairs} pairs)", "the proxy adds")?;
        }
    }
    Ok(())
}

/// Percentiles that there are values for.
fn row(values: &Distribution) -> String {
    values.known().map(|known| format!("{:>9}", cell(known.value))).join(" ")
}

fn parts(text: &mut String, title: &str, parts: &Parts) -> std::fmt::Result {
    for (part, values) in [("upstream", &parts.upstream), ("proxy", &parts.proxy), ("network, both ways", &parts.network)] {
        line(text, &format!("{title}: {part}"), values)?;
    }
    Ok(())
}

fn line(text: &mut String, title: &str, values: &Percentiles) -> std::fmt::Result {
    let cells = values.known().map(|value| format!("{:>9}", cell(value))).join(" ");
    writeln!(text, "    {title:<50} {cells}")
}

/// Wrapped at words.
fn paragraph(text: &mut String, words: &str, indent: usize) -> std::fmt::Result {
    let mut column = 0;
    for word in words.split(' ') {
        let width = word.chars().count();
        if column == 0 {
            write!(text, "{:indent$}{word}", "")?;
            column = indent + width;
        } else if column + 1 + width > WIDTH {
            write!(text, "\n{:width$}{word}", "", width = indent + 2)?;
            column = indent + 2 + width;
        } else {
            write!(text, " {word}")?;
            column += 1 + width;
        }
    }
    writeln!(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_wrapped_at_words_and_indented() {
        let mut text = String::new();
        paragraph(&mut text, &"word ".repeat(30), 4).expect("a String takes all");
        let lines: Vec<_> = text.lines().collect();
        assert!(lines.len() == 2 && lines[0].starts_with("    word") && lines[1].starts_with("      word"), "{text}");
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH));
    }

    #[test]
    fn a_percentile_without_enough_values_is_not_shown() {
        let of = |count: u32| {
            let values = (0..count).map(f64::from).collect();
            row(&super::super::stats::distribution(Metric::Ttft, values).expect("values"))
        };
        assert_eq!(of(9).matches('–').count(), 3);
        assert_eq!(of(100).matches('–').count(), 1);
        assert_eq!(of(1000).matches('–').count(), 0);
        let short = |count: u32| super::super::stats::percentiles((0..count).map(f64::from).collect());
        let dashes = |count| {
            let mut text = String::new();
            line(&mut text, "x", &short(count)).expect("a String takes all");
            text.matches('–').count()
        };
        assert_eq!([0, 9, 99, 100].map(dashes), [4, 2, 1, 0]);
    }
}
