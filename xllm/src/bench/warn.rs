//! What makes figures doubtful. Pure.

use std::collections::BTreeSet;

use super::{
    added::Added,
    format::counted,
    result::{Machine, Outcome, Parameters, Route, Step, Tool, Warning},
};

/// Share of a core from which the tool itself sets the pace.
const BUSY: f64 = 0.8;
/// Lateness, in milliseconds, from which it does.
const LATE: f64 = 10.0;
/// Pairs below which an interval says little.
const FEW: u64 = 10;

/// Whether this program, not what it measures, was the bottleneck.
pub(super) fn is_bottleneck(tool: &Tool) -> bool {
    tool.busy.is_some_and(|busy| busy > BUSY) || tool.send_lag.p99 > LATE || tool.loop_lag.p99 > LATE
}

/// Of the whole run.
pub(super) fn of_run(parameters: &Parameters, machine: &Machine) -> Vec<Warning> {
    let mut list = Vec::new();
    let mut warn = |code: &str, text: String| list.push(Warning { code: code.to_owned(), text, step: None });
    if machine.debug_build {
        warn("debug-build", "this is a debug build: build with --release before you believe a figure".to_owned());
    }
    if parameters.demo {
        warn(
            "shared-machine",
            format!(
                "the mock provider, the proxy and this program share the {} cores of this machine: under load they wait for each other",
                machine.cores
            ),
        );
    }
    list
}

/// Of one step.
pub(super) fn of_step(number: u64, step: &Step, limited: bool) -> Vec<Warning> {
    let mut list = Vec::new();
    let mut warn = |code: &str, text: String| list.push(Warning { code: code.to_owned(), text, step: Some(number) });
    if step.tool.bottleneck {
        warn("tool-bottleneck", bottleneck(&step.tool));
    }
    if limited {
        warn(
            "in-flight-limit",
            "more requests were due than --max-in-flight allows at once: those beyond waited, which their times hold"
                .to_owned(),
        );
    }
    for route in &step.routes {
        let (counts, name) = (route.counts, route.route.name());
        if counts.failed > 0 {
            warn(
                "failures",
                format!("{} of {} {name} requests failed; their times are not in the figures", counts.failed, counts.sent),
            );
        }
        let of_route = step.requests.iter().filter(|row| row.route == route.route);
        let empty = of_route.filter(|row| row.outcome == Outcome::Done && row.events == 0).count();
        if empty > 0 {
            warn(
                "empty-answers",
                format!(
                    "{empty} of {} {name} answers held no token: they have no time to one, and meet no objective that needs it",
                    counts.done
                ),
            );
        }
        let guessed = counts.done - route.throughput.tokens_from_usage;
        if guessed > 0 {
            warn(
                "tokens-estimated",
                format!("{guessed} {name} answers came without `usage`: of them, each event with content counts as one token"),
            );
        }
    }
    let (answered, compared) = pairs(step);
    if step.routes.len() > 1 && compared < FEW {
        let what = if answered < FEW {
            format!("only {} answered both ways", counted(answered, "pair was", "pairs were"))
        } else {
            format!("of {answered} pairs that were answered both ways, only {compared} can be compared in every headline")
        };
        warn("few-pairs", format!("{what}: intervals of so few say little, take more (-n)"));
    }
    list
}

/// Pairs that were answered both ways, and pairs of the headline that has fewest.
fn pairs(step: &Step) -> (u64, u64) {
    let done = |route| {
        let rows = step.requests.iter().filter(move |row| row.route == route && row.outcome == Outcome::Done);
        rows.map(|row| row.pair).collect::<BTreeSet<_>>()
    };
    let answered = done(Route::Direct).intersection(&done(Route::Proxied)).count() as u64;
    (answered, Added::of(step).each().map(|found| found.pairs).chain([answered]).min().unwrap_or(0))
}

fn bottleneck(tool: &Tool) -> String {
    let mut why = Vec::new();
    if let Some(busy) = tool.busy.filter(|busy| *busy > BUSY) {
        why.push(format!("its thread was busy for {:.0} % of the time", busy * 100.0));
    }
    for (lag, what) in [(tool.send_lag.p99, "sends"), (tool.loop_lag.p99, "its event loop")] {
        if lag > LATE {
            why.push(format!("{what} ran {lag:.0} ms late (p99)"));
        }
    }
    format!(
        "this program, not what it measured, set the pace: {}. Ask for less load, leave it a core of its own, or measure from several machines",
        why.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{
        metric::Metric,
        report::samples,
        result::{Load, Percentiles},
    };

    #[test]
    fn few_pairs_are_counted_by_what_was_answered_and_by_what_the_headlines_compare() {
        let few = |step: &Step| {
            of_step(0, step, false).into_iter().find(|warning| warning.code == "few-pairs").map(|warning| warning.text)
        };
        let mut step = samples::step(Load::Closed { concurrency: 1 }, 5, 0.2, 1.0);
        step.requests.iter_mut().for_each(|row| row.outcome = Outcome::Done);
        step.differences.clear();
        assert!(few(&step).is_some_and(|text| text.starts_with("only 5 pairs were answered")), "{:?}", few(&step));
        let mut step = samples::step(Load::Closed { concurrency: 1 }, 50, 0.2, 1.0);
        step.requests.iter_mut().for_each(|row| row.outcome = Outcome::Done);
        step.differences.iter_mut().for_each(|found| found.pairs = 50);
        assert_eq!(few(&step), None);
        step.differences.iter_mut().filter(|found| found.metric == Metric::Ttft).for_each(|found| found.pairs = 7);
        assert!(few(&step).is_some_and(|text| text.starts_with("of 50 pairs")), "{:?}", few(&step));
    }

    #[test]
    fn the_tool_is_the_bottleneck_when_it_is_busy_or_late() {
        assert!(!is_bottleneck(&Tool { busy: Some(0.5), ..Tool::default() }));
        let busy = Tool { busy: Some(0.9), ..Tool::default() };
        let late = Tool { send_lag: Percentiles { p99: 30.0, ..Percentiles::default() }, ..Tool::default() };
        assert!(is_bottleneck(&busy) && bottleneck(&busy).contains("90 %"));
        assert!(is_bottleneck(&late) && bottleneck(&late).contains("sends ran 30 ms late"));
    }
}
