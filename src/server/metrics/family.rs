//! A metric: its names, what it means, and its values. Both ways out read this.

use std::borrow::Cow;

use super::cells::Buckets;

/// What kind of number it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only rises, from the start of the process.
    Counter,
    /// As it is.
    Gauge,
    /// Times, in buckets.
    Histogram,
}

/// In what it is counted. A part of the name, in Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Things.
    None,
    Seconds,
    Bytes,
}

/// One metric.
#[derive(Debug)]
pub(super) struct Family {
    /// For Prometheus, without unit and `_total`.
    pub(super) name: &'static str,
    /// For OpenTelemetry.
    #[cfg_attr(not(feature = "otlp"), expect(dead_code, reason = "what is pushed has these names"))]
    pub(super) dotted: &'static str,
    pub(super) kind: Kind,
    pub(super) unit: Unit,
    /// One sentence or more, with their full stops.
    pub(super) help: &'static str,
    pub(super) points: Vec<Point>,
}

/// Of each kind one constructor: names, unit, meaning, values.
impl Family {
    pub(super) const fn counter(
        name: &'static str,
        dotted: &'static str,
        unit: Unit,
        help: &'static str,
        points: Vec<Point>,
    ) -> Self {
        Self { name, dotted, kind: Kind::Counter, unit, help, points }
    }

    pub(super) const fn gauge(
        name: &'static str,
        dotted: &'static str,
        unit: Unit,
        help: &'static str,
        points: Vec<Point>,
    ) -> Self {
        Self { name, dotted, kind: Kind::Gauge, unit, help, points }
    }

    pub(super) const fn times(name: &'static str, dotted: &'static str, help: &'static str, points: Vec<Point>) -> Self {
        Self { name, dotted, kind: Kind::Histogram, unit: Unit::Seconds, help, points }
    }
}

/// A label's name, as Prometheus has it, and its value.
pub(super) type Label = (&'static str, Cow<'static, str>);

/// One series.
#[derive(Clone, Debug)]
pub(super) struct Point {
    pub(super) labels: Vec<Label>,
    pub(super) value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Count(u64),
    Number(f64),
    Times(Buckets),
}

impl From<u64> for Value {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<Buckets> for Value {
    fn from(times: Buckets) -> Self {
        Self::Times(times)
    }
}

/// The one series of a metric without labels.
pub(super) fn one(value: impl Into<Value>) -> Vec<Point> {
    vec![Point { labels: Vec::new(), value: value.into() }]
}

/// The series of a metric with one label.
pub(super) fn by<L: Into<Cow<'static, str>>>(
    label: &'static str,
    values: impl IntoIterator<Item = (L, impl Into<Value>)>,
) -> Vec<Point> {
    values.into_iter().map(|(of, value)| Point { labels: vec![(label, of.into())], value: value.into() }).collect()
}

/// So many parts of a second.
#[expect(clippy::cast_precision_loss, reason = "a sum of times needs no more than 52 bits of it")]
pub(super) fn seconds(ticks: u64, per_second: f64) -> f64 {
    ticks as f64 / per_second
}
