//! What measuring cost and whether it was in the way, in words: a sentence for the terminal, and facts for the page. Pure.

use super::{
    format::{counted, digits, percent, plain, time, whole},
    result::{Percentiles, Step, Tool},
};

/// A name and what it stands for.
pub(super) type Fact = (&'static str, String);

impl Tool {
    /// Whether it was the bottleneck; not known if nothing was sent.
    fn verdict(&self) -> Option<bool> {
        (self.bottleneck || self.send_lag.count > 0).then_some(self.bottleneck)
    }
}

/// For the terminal.
pub(super) fn sentence(step: &Step) -> String {
    let tool = &step.tool;
    let cpu = match (tool.cpu_us_per_chunk, tool.busy) {
        (Some(cpu), Some(busy)) => format!("{cpu:.1} µs of processor time per piece, {:.0} % of a core", busy * 100.0),
        _ => "its processor time is not known on this system".to_owned(),
    };
    let lag = format!("sends {}, event loop {}", highest(&tool.send_lag), highest(&tool.loop_lag));
    let verdict = match tool.verdict() {
        Some(true) => "It was the bottleneck",
        Some(false) => "It was not the bottleneck",
        None => "Whether it was the bottleneck is not known",
    };
    format!("This program received {} pieces in {:.1} s: {cpu}; {lag}. {verdict}.", tool.chunks, step.wall_s)
}

/// For the page.
pub(super) fn facts(step: &Step) -> Vec<Fact> {
    let tool = &step.tool;
    let mut facts = vec![("Received", format!("{}, {} bytes", counted(tool.chunks, "piece", "pieces"), whole(tool.bytes)))];
    if let Some(seconds) = tool.cpu_s {
        let share = tool.busy.map(|share| format!(", {} of a core", percent(share))).unwrap_or_default();
        facts.push(("Processor time", format!("{} s{share}", digits(seconds))));
    }
    if let Some(micros) = tool.cpu_us_per_chunk {
        facts.push(("For each piece", format!("{} µs", digits(micros))));
    }
    facts.push(("Late sends", several(&tool.send_lag)));
    facts.push(("Late timers", several(&tool.loop_lag)));
    let pace = match tool.verdict() {
        Some(true) => "yes: this program set the pace, not the system",
        Some(false) => "no",
        None => "not known",
    };
    facts.push(("Bottleneck", pace.to_owned()));
    facts
}

/// How late something was, in a sentence: the highest percentile that there are values for.
fn highest(lag: &Percentiles) -> String {
    let [.., p90, p99, _] = lag.known();
    match (p99, p90) {
        _ if lag.count == 0 => "not known how late".to_owned(),
        (Some(p99), _) => format!("{} ms late (p99)", plain(p99)),
        (None, Some(p90)) => format!("{} ms late (p90)", plain(p90)),
        (None, None) => format!("{} ms late at most", plain(lag.max)),
    }
}

/// The same where there is room for more than one.
fn several(lag: &Percentiles) -> String {
    if lag.count == 0 {
        return "not known".to_owned();
    }
    let [p50, _, p99, max] = lag.known().map(|value| time(value.unwrap_or(f64::NAN)));
    format!("p50 {p50}, p99 {p99}, at most {max}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::stats::percentiles;

    #[test]
    fn a_lateness_is_told_by_percentiles_that_there_are_values_for() {
        let lag = |count: u32| percentiles((0..count).map(f64::from).collect());
        let said = [0, 9, 99, 101].map(|count| highest(&lag(count)));
        assert_eq!(said, ["not known how late", "8.000 ms late at most", "88.20 ms late (p90)", "99.00 ms late (p99)"]);
        assert_eq!(several(&lag(0)), "not known");
        assert_eq!(several(&lag(9)).replace('\u{a0}', " "), "p50 4.00 ms, p99 –, at most 8.00 ms");
    }

    #[test]
    fn whether_it_was_the_bottleneck_is_not_known_where_nothing_was_sent() {
        let sent = Percentiles { count: 1, ..Percentiles::default() };
        let of = |bottleneck, send_lag| Tool { send_lag, bottleneck, ..Tool::default() }.verdict();
        assert_eq!([of(false, Percentiles::default()), of(false, sent)], [None, Some(false)]);
        assert_eq!([of(true, Percentiles::default()), of(true, sent)], [Some(true); 2]);
    }
}
