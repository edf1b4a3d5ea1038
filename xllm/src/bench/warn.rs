//! What makes figures doubtful. Pure.

use super::result::{Difference, Machine, Parameters, Route, Step, Tool, Warning};

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
        let (counts, name) = (route.counts, name(route.route));
        if counts.failed > 0 {
            warn(
                "failures",
                format!("{} of {} {name} requests failed; their times are not in the figures", counts.failed, counts.sent),
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
    let pairs = step.differences.iter().map(|Difference { pairs, .. }| *pairs).max().unwrap_or(0);
    if step.routes.len() > 1 && pairs < FEW {
        warn(
            "few-pairs",
            format!("only {pairs} pairs were answered both ways: intervals of so few say little, take more (-n)"),
        );
    }
    list
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

/// For sentences.
pub(super) const fn name(route: Route) -> &'static str {
    match route {
        Route::Direct => "direct",
        Route::Proxied => "proxied",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::result::Percentiles;

    #[test]
    fn the_tool_is_the_bottleneck_when_it_is_busy_or_late() {
        assert!(!is_bottleneck(&Tool { busy: Some(0.5), ..Tool::default() }));
        let busy = Tool { busy: Some(0.9), ..Tool::default() };
        let late = Tool { send_lag: Percentiles { p99: 30.0, ..Percentiles::default() }, ..Tool::default() };
        assert!(is_bottleneck(&busy) && bottleneck(&busy).contains("90 %"));
        assert!(is_bottleneck(&late) && bottleneck(&late).contains("sends ran 30 ms late"));
    }
}
