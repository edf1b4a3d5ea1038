//! What was found, in sentences. Pure.

use super::{
    added::{Added, Finding},
    format::{load, plain, range, signed, time},
    metric::Metric,
    result::{Difference, Parameters, Results, Route, RouteResult, Statistic, Step},
    stats::known,
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
    let range = format!("{} ms", range(low, high));
    match Finding::of(found) {
        Finding::Slower => format!("The proxy adds {} ms to {what}: {range}", plain(estimate)),
        Finding::Faster => format!("The proxy takes {} ms off {what}: {range}", plain(-estimate)),
        Finding::Unclear => {
            format!("The proxy adds nothing to {what} that could be told from chance: {} ms, {range}", signed(estimate))
        }
    }
}

fn alone(route: &RouteResult) -> String {
    let name = route.route.name();
    let Some((first, end)) = route.distribution(Metric::Ttft).zip(route.distribution(Metric::E2e)) else {
        return format!("None of {} {name} requests was answered with a token.", route.counts.sent);
    };
    let half = format!("half had their first token within {} ms and their end within {} ms", plain(first.p50), plain(end.p50));
    let most = format!(", nine in ten within {} and {} ms", plain(first.p90), plain(end.p90));
    let most = known(0.9, first.count.min(end.count), most).unwrap_or_default();
    format!("Of {} {name} requests, {half}{most}.", route.counts.done)
}

/// The one sentence at the top of a page, to be quoted: what [`sentences`] say of the first step, without the intervals, which the
/// page shows beside it.
pub(super) fn headline(results: &Results) -> String {
    let Some(added) = results.steps.first().map(Added::of) else {
        return "Nothing was measured.".to_owned();
    };
    let part = |difference: &Difference, what: &str| {
        let size = time(difference.estimate.abs());
        match Finding::of(difference) {
            Finding::Slower => ("adds", format!("{size} to {what}")),
            Finding::Faster => ("takes", format!("{size} off {what}")),
            Finding::Unclear => ("shows no clear effect", format!("on {what}")),
        }
    };
    let first = added.first.map(|difference| part(difference, "the first token"));
    let later = added.later.map(|difference| {
        part(difference, if difference.metric == Metric::TokenDelay { "each later one" } else { "the time between tokens" })
    });
    match (first, later) {
        (Some((verb, one)), Some((other, two))) if verb == other => format!("The proxy {verb} {one} and {two}."),
        (Some((verb, one)), Some((other, two))) => format!("The proxy {verb} {one} and {other} {two}."),
        (Some((verb, one)), None) => format!("The proxy {verb} {one}."),
        (None, _) => match results.parameters.routes.as_slice() {
            [Route::Direct] => "Only the direct route was measured.".to_owned(),
            [Route::Proxied] => "Only the route through the proxy was measured.".to_owned(),
            _ => "Too few pairs were answered to say what the proxy adds.".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            result::{Counts, Throughput},
            stats::distribution,
        },
        *,
    };

    fn words(count: u32) -> String {
        let values = |metric| distribution(metric, (0..count).map(f64::from).collect()).expect("values");
        let route = RouteResult {
            route: Route::Direct,
            counts: Counts { done: count.into(), ..Counts::default() },
            failures: Vec::new(),
            throughput: Throughput::default(),
            goodput: None,
            metrics: vec![values(Metric::Ttft), values(Metric::E2e)],
            split: None,
        };
        alone(&route)
    }

    #[test]
    fn of_fewer_than_ten_requests_nothing_is_said_of_nine_in_ten() {
        assert_eq!(words(9), "Of 9 direct requests, half had their first token within 4.000 ms and their end within 4.000 ms.");
        assert_eq!(
            words(11),
            "Of 11 direct requests, half had their first token within 5.000 ms and their end within 5.000 ms, nine in ten within 9.000 \
             and 9.000 ms."
        );
    }

    fn found(estimate: f64, low: f64, high: f64) -> Difference {
        let statistic = Statistic::MedianOfDifferences;
        Difference { metric: Metric::Ttft, statistic, estimate, low, high, pairs: 30 }
    }

    #[test]
    fn what_could_be_chance_is_called_that() {
        assert_eq!(adds(&found(0.175, 0.15, 0.2), "x"), "The proxy adds 0.175 ms to x: +0.150 to +0.200 ms");
        assert_eq!(adds(&found(-12.5, -13.0, -12.0), "x"), "The proxy takes 12.50 ms off x: -13.00 to -12.00 ms");
        let chance = adds(&found(0.01, -0.1, 0.12), "x");
        assert_eq!(chance, "The proxy adds nothing to x that could be told from chance: +0.010 ms, -0.100 to +0.120 ms");
    }
}
