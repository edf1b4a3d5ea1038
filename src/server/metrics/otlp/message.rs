//! The message: all metrics as they are now, by their dotted names.

use std::time::SystemTime;

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    metrics::v1::{
        AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics,
        Sum, metric::Data, number_data_point,
    },
    resource::v1::Resource,
};

use super::super::{
    Metrics,
    family::{Family, Kind, Label, Point, Unit, Value, seconds},
    unix_ms,
};

pub(super) fn export(metrics: &Metrics, resource: &[(String, String)]) -> ExportMetricsServiceRequest {
    let nano = |time| unix_ms(time).saturating_mul(1_000_000);
    let span = Span { start: nano(metrics.started), now: nano(SystemTime::now()) };
    let all = metrics.families().into_iter().filter(|family| !family.points.is_empty());
    let scope = InstrumentationScope {
        name: "xllm-proxy".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        ..InstrumentationScope::default()
    };
    let scoped = ScopeMetrics {
        scope: Some(scope),
        metrics: all.map(|family| span.metric(family)).collect(),
        ..ScopeMetrics::default()
    };
    let resource =
        Resource { attributes: resource.iter().map(|(key, value)| attribute(key, value)).collect(), ..Resource::default() };
    let all = ResourceMetrics { resource: Some(resource), scope_metrics: vec![scoped], ..ResourceMetrics::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![all] }
}

/// The time that the values are of, nanoseconds since 1970.
#[derive(Clone, Copy)]
struct Span {
    start: u64,
    now: u64,
}

impl Span {
    fn metric(self, family: Family) -> Metric {
        let cumulative = AggregationTemporality::Cumulative.into();
        let data = match family.kind {
            Kind::Gauge => Data::Gauge(Gauge { data_points: self.numbers(family.points) }),
            Kind::Counter => Data::Sum(Sum {
                data_points: self.numbers(family.points),
                aggregation_temporality: cumulative,
                is_monotonic: true,
            }),
            Kind::Histogram => Data::Histogram(Histogram {
                data_points: family.points.into_iter().filter_map(|point| self.times(point)).collect(),
                aggregation_temporality: cumulative,
            }),
        };
        let unit = match family.unit {
            Unit::None => "1",
            Unit::Seconds => "s",
            Unit::Bytes => "By",
        };
        Metric {
            name: family.dotted.into(),
            description: family.help.into(),
            unit: unit.into(),
            data: Some(data),
            ..Metric::default()
        }
    }

    fn numbers(self, points: Vec<Point>) -> Vec<NumberDataPoint> {
        let number = |point: Point| {
            let value = match point.value {
                Value::Count(count) => number_data_point::Value::AsInt(i64::try_from(count).unwrap_or(i64::MAX)),
                Value::Number(number) => number_data_point::Value::AsDouble(number),
                Value::Times(_) => return None,
            };
            Some(NumberDataPoint {
                attributes: attributes(&point.labels),
                start_time_unix_nano: self.start,
                time_unix_nano: self.now,
                value: Some(value),
                ..NumberDataPoint::default()
            })
        };
        points.into_iter().filter_map(number).collect()
    }

    fn times(self, point: Point) -> Option<HistogramDataPoint> {
        let Value::Times(times) = point.value else { return None };
        Some(HistogramDataPoint {
            attributes: attributes(&point.labels),
            start_time_unix_nano: self.start,
            time_unix_nano: self.now,
            count: times.count(),
            sum: Some(seconds(times.micros, 1e6)),
            bucket_counts: times.counts.into(),
            explicit_bounds: times.bounds.iter().map(|&bound| seconds(bound, 1e6)).collect(),
            ..HistogramDataPoint::default()
        })
    }
}

fn attributes(labels: &[Label]) -> Vec<KeyValue> {
    let dotted = |name| if name == "server_address" { "server.address" } else { name };
    labels.iter().map(|(name, value)| attribute(dotted(name), value)).collect()
}

fn attribute(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}
