//! What was found, in sentences. Pure.

use super::{
    added::Added,
    format::load,
    metric::Metric,
    result::{Difference, Parameters, RouteResult, Statistic, Step},
};

/// The sentences of all steps, the first step's first.
pub(super) fn sentences(parameters: &Parameters, steps: &[Step]) -> Vec<String> {
    steps.iter().flat_map(|step| of_step(parameters, step, steps.len() > 1)).collect()
}

fn of_step(parameters: &Parameters, step: &Step, several: bool) -> Vec<String> {
    let at = if several { format!("At {}: ", load(&step.load)) } else { String::new() };
    if step.routes.len() < 2 {
        return step.routes.iter().map(|route| format!("{at}{}", alone(route))).collect();
    }
    let added = Added::of(step);
    let end = step.difference(Metric::E2e, Statistic::MedianOfDifferences);
    let mut list = Vec::new();
    match added.first {
        Some(found) => {
            let sure = format!("{:.0} % interval, median of {} pairs", parameters.confidence * 100.0, found.pairs);
            list.push(format!("{at}{} ({sure}).", adds(found, "the first token")));
        }
        None => {
            list.push(format!(
                "{at}Too few pairs were answered both ways to say what the proxy adds: it takes 6 or more (-n)."
            ));
        }
    }
    let later = added.later.map(|found| {
        (found, if found.metric == Metric::TokenDelay { "the arrival of each later token" } else { "the time between tokens" })
    });
    let others = later.into_iter().chain(end.map(|found| (found, "the whole answer")));
    list.extend(others.map(|(found, what)| format!("{at}{} ({} pairs).", adds(found, what), found.pairs)));
    list
}

/// `The proxy adds 0.18 ms to the first token: +0.15 to +0.21 ms`
fn adds(found: &Difference, what: &str) -> String {
    let Difference { estimate, low, high, .. } = *found;
    let range = format!("{} to {} ms", signed(low), signed(high));
    if low > 0.0 {
        format!("The proxy adds {} ms to {what}: {range}", plain(estimate))
    } else if high < 0.0 {
        format!("The proxy takes {} ms off {what}: {range}", plain(-estimate))
    } else {
        format!("The proxy adds nothing to {what} that could be told from chance: {} ms, {range}", signed(estimate))
    }
}

fn alone(route: &RouteResult) -> String {
    let find = |metric| route.metrics.iter().find(|found| found.metric == metric);
    let name = route.route.name();
    match find(Metric::Ttft).zip(find(Metric::E2e)) {
        Some((first, end)) => format!(
            "Of {} {name} requests, half had their first token within {} ms and their end within {} ms, nine in ten within {} and {} ms.",
            route.counts.done,
            plain(first.p50),
            plain(end.p50),
            plain(first.p90),
            plain(end.p90)
        ),
        None => format!("None of {} {name} requests was answered with a token.", route.counts.sent),
    }
}

/// Milliseconds to a microsecond where that is a thousandth or more of them.
pub(super) fn plain(value: f64) -> String {
    let size = value.abs();
    let digits = if size < 10.0 {
        3
    } else if size < 100.0 {
        2
    } else {
        1
    };
    let shown = format!("{value:.digits$}");
    // What rounds to nothing has no sign.
    if shown.bytes().any(|byte| byte.is_ascii_digit() && byte != b'0') { shown } else { shown.replace('-', "") }
}

/// The same with its sign.
pub(super) fn signed(value: f64) -> String {
    let shown = plain(value);
    if shown.starts_with('-') { shown } else { format!("+{shown}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(estimate: f64, low: f64, high: f64) -> Difference {
        let statistic = Statistic::MedianOfDifferences;
        Difference { metric: Metric::Ttft, statistic, estimate, low, high, pairs: 30 }
    }

    #[test]
    fn what_could_be_chance_is_called_that() {
        assert_eq!(adds(&found(0.175, 0.15, 0.2), "x"), "The proxy adds 0.175 ms to x: +0.150 to +0.200 ms");
        assert_eq!(adds(&found(-12.5, -13.0, -12.0), "x"), "The proxy takes 12.50 ms off x: -13.00 to -12.00 ms");
        assert_eq!((plain(-0.0004).as_str(), signed(-0.0004).as_str(), signed(-0.5).as_str()), ("0.000", "+0.000", "-0.500"));
        let chance = adds(&found(0.01, -0.1, 0.12), "x");
        assert_eq!(chance, "The proxy adds nothing to x that could be told from chance: +0.010 ms, -0.100 to +0.120 ms");
    }
}
