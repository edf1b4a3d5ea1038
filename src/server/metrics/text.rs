//! The text that Prometheus reads.

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, prometheus_text, text},
    metrics::MetricType,
    registry::{self, Registry},
};

use super::{
    Metrics,
    family::{Kind, Unit, Value, seconds},
};

/// Which of its texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The older one, which everything understands.
    Prometheus,
}

impl Format {
    /// What a scraper wants that sends this `accept`.
    pub fn accepted(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// The `content-type` of its text.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
        }
    }
}

impl Metrics {
    /// All metrics, as they are now.
    pub fn text(self: &Arc<Self>, format: Format) -> String {
        let (mut registry, mut text) = (Registry::default(), String::new());
        registry.register_collector(Box::new(self.clone()));
        let written = match format {
            Format::OpenMetrics => text::encode(&mut text, &registry),
            Format::Prometheus => prometheus_text::encode(&mut text, &registry),
        };
        debug_assert_eq!(written, Ok(()), "a string takes everything");
        text
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in self.families() {
            // Without a series there is nothing to say of it.
            if family.points.is_empty() {
                continue;
            }
            let unit = match family.unit {
                Unit::None => None,
                Unit::Seconds => Some(registry::Unit::Seconds),
                Unit::Bytes => Some(registry::Unit::Bytes),
            };
            let kind = match family.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
            };
            let mut encoder = encoder.encode_descriptor(family.name, family.help, unit.as_ref(), kind)?;
            for point in &family.points {
                if point.labels.is_empty() {
                    value(&mut encoder, kind, &point.value)?;
                } else {
                    value(&mut encoder.encode_family(&point.labels)?, kind, &point.value)?;
                }
            }
        }
        Ok(())
    }
}

fn value(encoder: &mut MetricEncoder<'_>, kind: MetricType, value: &Value) -> fmt::Result {
    match (value, kind) {
        (Value::Count(count), MetricType::Counter) => encoder.encode_counter::<NoLabelSet, _, u64>(count, None),
        (Value::Number(number), MetricType::Counter) => encoder.encode_counter::<NoLabelSet, _, f64>(number, None),
        (Value::Count(count), _) => encoder.encode_gauge(&i64::try_from(*count).unwrap_or(i64::MAX)),
        (Value::Number(number), _) => encoder.encode_gauge(number),
        (Value::Times(times), _) => {
            let bounds = times.bounds.iter().map(|&bound| seconds(bound, 1e6)).chain([f64::INFINITY]);
            let buckets: Vec<_> = bounds.zip(times.counts).collect();
            encoder.encode_histogram::<NoLabelSet>(seconds(times.micros, 1e6), times.count(), &buckets, None)
        }
    }
}
