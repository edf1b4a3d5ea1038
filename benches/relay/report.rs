//! From lines of results to the tables of `docs/benchmark.md`: what was aimed at, what was reached, and all figures.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use crate::{
    Result,
    line::{Line, median},
    table::{BOTH, cell, markdown},
    verdict::Verdict,
};

/// The routes whose two ends are programs of their own, as ours are.
const PAIRS: &[&str] = &["stunnel", "shadowsocks-rust", "shadowsocks-libev"];

/// What is compared with what.
struct Target {
    what: &'static str,
    measure: &'static str,
    /// Added up.
    figures: &'static [&'static str],
    bound: Bound,
}

/// How much it may be.
enum Bound {
    /// At most so many times that of the route.
    Times(f64, &'static str),
    /// No more than that of the route. What is added can be nothing or less, so it makes no ratio.
    NotMore(&'static str),
    /// At least so many times the most of these routes.
    TimesBest(f64, &'static [&'static str]),
    /// At most so much by itself.
    Most(f64, &'static str),
}

impl Bound {
    /// Whether what was compared in one round is within it.
    fn holds(&self, reached: f64) -> bool {
        match self {
            Self::Times(most, _) | Self::Most(most, _) => reached <= *most,
            Self::TimesBest(least, _) => reached >= *least,
            Self::NotMore(_) => reached <= 0.0,
        }
    }
}

const fn target(what: &'static str, measure: &'static str, figures: &'static [&'static str], bound: Bound) -> Target {
    Target { what, measure, figures, bound }
}

const EVERY: &[&str] = &["cpu_server_us", "cpu_client_us", "cpu_bench_us"];
const ADDED_P50: &[&str] = &["added_p50_us"];
const ADDED_P99: &[&str] = &["added_p99_us"];
const SERVER: &[&str] = &["cpu_server_us"];
const SERVER_BULK: &[&str] = &["cpu_server_s_per_gb"];
const WALL: &[&str] = &["latency_p50_us"];

const TARGETS: &[Target] = &[
    target("server CPU per event", "steady", SERVER, Bound::Times(0.5, "nginx")),
    target("both ends' CPU per event", "steady", BOTH, Bound::Times(0.3, "stunnel")),
    target("both ends' CPU per event", "steady", BOTH, Bound::Times(0.7, "shadowsocks-rust")),
    target("added latency per event, p50", "steady", ADDED_P50, Bound::NotMore("shadowsocks-rust")),
    target("added latency per event, p99", "steady", ADDED_P99, Bound::NotMore("shadowsocks-rust")),
    target("added latency per event, p50", "quarter", ADDED_P50, Bound::NotMore("shadowsocks-rust")),
    target("added latency per event, p99", "quarter", ADDED_P99, Bound::NotMore("shadowsocks-rust")),
    target("events/s", "saturation", &["events_per_s"], Bound::TimesBest(1.3, PAIRS)),
    target("server memory per idle stream", "memory", &["memory_server_kib"], Bound::Times(0.25, "nginx")),
    target("server CPU per GB", "bulk", SERVER_BULK, Bound::Times(0.5, "nginx")),
    target("server CPU per GB", "bulk", SERVER_BULK, Bound::Times(1.2, "shadowsocks-rust")),
    target("MB/s", "bulk", &["mb_per_s"], Bound::TimesBest(1.5, &["nginx"])),
    target("hang-up to the upstream's sight, p50", "cancel", &["cancel_p50_ms"], Bound::Most(2.0, "ms")),
    target("hang-up to the upstream's sight, max", "cancel", &["cancel_max_ms"], Bound::Most(2.0, "ms")),
    target("added time to first token, p50", "first", ADDED_P50, Bound::Most(150.0, "µs")),
    target("short request, time, p50", "short", WALL, Bound::Times(0.3, "nginx")),
    target("short request, CPU of all, caller too", "short", EVERY, Bound::Times(0.3, "nginx")),
];

/// The tables, from a file of lines.
pub(crate) fn report(file: &Path) -> Result<String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let lines: Vec<Line> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let mut measures: Vec<&str> = Vec::new();
    for line in &lines {
        if !measures.contains(&line.measure.as_str()) {
            measures.push(&line.measure);
        }
    }
    let mut report = String::from(
        "## What was aimed at, and what came out\n\n| what | measure | ours | beside | ratio | target | met |\n|---|---|--:|--:|--:|--:|---|\n",
    );
    for target in TARGETS {
        // Writing to a String cannot fail.
        let _ = writeln!(report, "{}", target.row(&lines));
    }
    report.push_str("\n## All figures\n");
    for measure in measures {
        let of_measure: Vec<_> = lines.iter().filter(|line| line.measure == measure).cloned().collect();
        let _ = write!(report, "\n### {measure}\n\n{}", markdown(measure, &of_measure));
    }
    Ok(report)
}

impl Target {
    /// The figure of a route by round; rounds that it did not bear are not there.
    fn of(&self, lines: &[Line], route: &str) -> BTreeMap<u32, f64> {
        let those = lines.iter().filter(|line| line.measure == self.measure && line.route == route);
        those.filter_map(|line| Some((line.round, line.sum(self.figures)?))).collect()
    }

    fn row(&self, lines: &[Line]) -> String {
        let ours = self.of(lines, "ours");
        let (route, theirs) = match &self.bound {
            Bound::Times(_, route) | Bound::NotMore(route) => (*route, self.of(lines, route)),
            Bound::TimesBest(_, routes) => {
                let of = |route: &&'static str| (*route, self.of(lines, route));
                let best = routes.iter().map(of).max_by(|(_, a), (_, b)| f64::total_cmp(&middle(a), &middle(b)));
                best.unwrap_or_default()
            }
            Bound::Most(..) => ("", BTreeMap::new()),
        };
        let by_round = |compare: fn(f64, f64) -> f64| -> BTreeMap<u32, f64> {
            let both = ours.iter().filter_map(|(round, ours)| Some((*round, compare(*ours, *theirs.get(round)?))));
            both.collect()
        };
        let (compared, shown, target) = match &self.bound {
            Bound::Times(times, _) => (by_round(over), "", format!("≤ {times} ×")),
            Bound::TimesBest(times, _) => (by_round(over), "", format!("≥ {times} ×")),
            Bound::NotMore(_) => (by_round(less), " µs apart", "not more".to_owned()),
            Bound::Most(most, unit) => (ours.clone(), "", format!("≤ {most} {unit}")),
        };
        let met = Verdict::of(compared.values().map(|reached| self.bound.holds(*reached))).shown();
        let (beside, shown) = match self.bound {
            Bound::Most(..) => (String::new(), String::new()),
            _ if compared.is_empty() => (format!("{route} {}", shown_of(&theirs)), String::new()),
            _ => (format!("{route} {}", shown_of(&theirs)), shown_of(&compared) + shown),
        };
        format!("| {} | {} | {} | {beside} | {shown} | {target} | {met} |", self.what, self.measure, shown_of(&ours))
    }
}

fn over(ours: f64, theirs: f64) -> f64 {
    ours / theirs
}

fn less(ours: f64, theirs: f64) -> f64 {
    ours - theirs
}

fn shown_of(rounds: &BTreeMap<u32, f64>) -> String {
    cell(&rounds.values().copied().collect::<Vec<_>>())
}

/// The median; nothing is less than anything.
fn middle(rounds: &BTreeMap<u32, f64>) -> f64 {
    if rounds.is_empty() { f64::NEG_INFINITY } else { median(rounds.values().copied().collect()) }
}
