//! One row per request, for spreadsheets and notebooks.

use std::io;

use super::{
    format,
    metric::{Metric, Per},
    result::{Load, Outcome, Results, Row},
};

/// What each row begins with.
const FIRST: [&str; 14] = [
    "step",
    "load",
    "pair",
    "route",
    "first",
    "outcome",
    "status",
    "failure",
    "scheduled_ms",
    "sent_ms",
    "chunks",
    "events",
    "tokens",
    "bytes",
];
/// What each row ends with.
const LAST: [&str; 2] = ["longest_gap_ms", "median_gap_ms"];

/// Writes it.
pub(super) fn write(to: impl io::Write, results: &Results) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(to);
    let metrics: Vec<Metric> = Metric::ALL.iter().copied().filter(|metric| metric.per() == Per::Request).collect();
    let names = metrics.iter().map(|metric| match metric.unit() {
        "ms" => format!("{}_ms", metric.name()),
        _ => metric.name().to_owned(),
    });
    writer.write_record(FIRST.iter().map(|name| (*name).to_owned()).chain(names).chain(LAST.map(str::to_owned)))?;
    for step in &results.steps {
        for row in &step.requests {
            writer.write_record(record(row, &step.load, &metrics))?;
        }
    }
    writer.flush()
}

fn record(row: &Row, load: &Load, metrics: &[Metric]) -> Vec<String> {
    let some = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    let outcome = match row.outcome {
        Outcome::Done => "done",
        Outcome::Failed => "failed",
        Outcome::Cancelled => "cancelled",
    };
    let mut fields = vec![
        row.step.to_string(),
        format::load(load),
        row.pair.to_string(),
        row.route.name().to_owned(),
        row.first.to_string(),
        outcome.to_owned(),
        row.status.map_or_else(String::new, |status| status.to_string()),
        row.failure.clone().unwrap_or_default(),
        row.scheduled.to_string(),
        row.sent.to_string(),
        row.chunks.to_string(),
        row.events.to_string(),
        row.tokens.to_string(),
        row.bytes.to_string(),
    ];
    fields.extend(metrics.iter().map(|metric| some(row.values.get(metric).copied())));
    fields.extend([some(row.longest_gap), some(row.median_gap)]);
    fields
}
