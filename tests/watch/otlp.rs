//! What is pushed to a collector: the same numbers, by OpenTelemetry's names.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::any_value::Value,
    metrics::v1::{Metric, metric::Data, number_data_point},
};
use prost::Message;
use tokio::{net::TcpListener, sync::watch};
use xllm_proxy::server::{Config, Keys, Server, metrics::otlp};

use super::support::{
    relay::{Relay, get, whole},
    within,
};

/// What came to a collector: the last request, its head, and how many there were.
#[derive(Clone, Debug, Default)]
struct Came {
    count: usize,
    path: String,
    headers: http::HeaderMap,
    body: Bytes,
}

/// A collector that writes down what comes. Its URL.
async fn collector() -> (String, watch::Receiver<Came>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, came) = watch::channel(Came::default());
    let sender = Arc::new(sender);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let sender = sender.clone();
            let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let sender = sender.clone();
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await?.to_bytes();
                    sender.send_modify(|came| {
                        *came = Came { count: came.count + 1, path: head.uri.path().into(), headers: head.headers, body };
                    });
                    Ok::<_, hyper::Error>(http::Response::new(String::new()))
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    (url, came)
}

fn settings(url: &str) -> otlp::Settings {
    let variables = HashMap::from([
        ("OTEL_EXPORTER_OTLP_ENDPOINT", url),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-token=a%20secret"),
        ("OTEL_SERVICE_NAME", "a-proxy"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "100"),
    ]);
    otlp::Settings::new(|name| variables.get(name).map(|&value| value.to_owned())).unwrap().unwrap()
}

fn metric<'a>(metrics: &'a [Metric], name: &str) -> &'a Metric {
    metrics.iter().find(|metric| metric.name == name).unwrap_or_else(|| panic!("no {name}"))
}

fn text(attributes: &[opentelemetry_proto::tonic::common::v1::KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key).unwrap_or_else(|| panic!("no {key}"));
    match found.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        other => panic!("{key} is {other:?}"),
    }
}

#[tokio::test]
async fn a_collector_gets_the_same_numbers_by_their_dotted_names() {
    let (url, mut came) = collector().await;
    let relay = Relay::start().await;
    let client = relay.client();
    relay.mock.release("pushed", 3);
    let answer = client.clone();
    let answer =
        within("an answer", tower::Service::call(&mut { answer }, get(&relay.url("/raw/gated?gate=pushed&chunks=3&size=50"))));
    assert_eq!(whole(answer.await.unwrap().into_body()).await.unwrap().len(), 150);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let pusher = tokio::spawn(otlp::push(relay.server.metrics().clone(), settings(&url), async move { drop(stopped.await) }));

    let complete = |metrics: &[Metric]| match &metric(metrics, "xllm.exchanges.open").data {
        Some(Data::Gauge(gauge)) => gauge.data_points[0].value == Some(number_data_point::Value::AsInt(0)),
        other => panic!("{other:?}"),
    };
    let decoded = |came: &Came| ExportMetricsServiceRequest::decode(came.body.clone()).unwrap();
    let found = within(
        "a push",
        came.wait_for(|came| came.count > 0 && complete(&decoded(came).resource_metrics[0].scope_metrics[0].metrics)),
    )
    .await
    .unwrap()
    .clone();
    assert_eq!(
        (found.path.as_str(), &found.headers["content-type"]),
        ("/v1/metrics", &"application/x-protobuf".parse().unwrap())
    );
    assert_eq!(found.headers["x-token"], "a secret");
    let all = decoded(&found);
    let [resource] = &all.resource_metrics[..] else { panic!("not one resource") };
    assert_eq!(text(&resource.resource.as_ref().unwrap().attributes, "service.name"), "a-proxy");
    let metrics = &resource.scope_metrics[0].metrics;
    let Some(Data::Histogram(first)) = &metric(metrics, "gen_ai.client.operation.time_to_first_chunk").data else { panic!() };
    let [point] = &first.data_points[..] else { panic!("not one host") };
    assert_eq!((point.count, point.explicit_bounds.len(), point.bucket_counts.len()), (1, 14, 15));
    assert_eq!(point.bucket_counts.iter().sum::<u64>(), 1);
    assert_eq!(text(&point.attributes, "server.address"), "127.0.0.1");
    assert!(point.start_time_unix_nano > 0 && point.start_time_unix_nano <= point.time_unix_nano);
    assert_eq!(metric(metrics, "gen_ai.client.operation.time_to_first_chunk").unit, "s");
    let Some(Data::Sum(body)) = &metric(metrics, "xllm.body").data else { panic!() };
    let sent = body.data_points.iter().find(|point| text(&point.attributes, "direction") == "to_client").unwrap();
    assert!(body.is_monotonic && sent.value == Some(number_data_point::Value::AsInt(150)), "{sent:?}");

    // A last one when the server stops.
    let before = came.borrow_and_update().count;
    drop(stop);
    within("the end", pusher).await.unwrap().unwrap();
    assert!(came.borrow().count > before);
}

#[tokio::test]
async fn a_collector_that_is_not_there_stops_nothing() {
    let closed = super::support::upstream::closed().await;
    let (keys, _) = Keys::ephemeral("test").unwrap();
    let server = Server::new(Config::default(), Arc::new(keys)).unwrap();
    within("the end", otlp::push(server.metrics().clone(), settings(&format!("http://{closed}")), async {})).await.unwrap();
}
