//! Recorded streams, with their metrics worked out by hand: `tests/bench/streams/*.toml`. They go through what a run's records
//! go through.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use serde::Deserialize;

use super::{
    digest::{Digest, digest},
    metric::Metric,
    record::{Chunk, End, Head, Record},
    result::{Outcome, Route},
};
use crate::{config::Api, transport};

/// A file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stream {
    api: Api,
    scheduled: f64,
    sent: f64,
    head: f64,
    ended: f64,
    end: Ending,
    chunks: Vec<Piece>,
    expect: Expect,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Ending {
    Whole,
    Broken,
}

#[derive(Debug, Deserialize)]
struct Piece {
    at: f64,
    data: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    outcome: Outcome,
    failure: Option<String>,
    tokens: u64,
    events: usize,
    icl: Option<Vec<f64>>,
    itl: Option<Vec<f64>>,
    values: Option<BTreeMap<Metric, f64>>,
}

impl Stream {
    fn digest(&self) -> Digest {
        let time = |ms: f64| Duration::from_secs_f64(ms / 1e3);
        let (parts, ()) = http::Response::new(()).into_parts();
        let chunk = |piece: &Piece| Chunk { at: time(piece.at), length: piece.data.len(), stamps: None };
        let record = Record {
            pair: 0,
            route: Route::Direct,
            first: true,
            scheduled: time(self.scheduled),
            ready: time(self.scheduled),
            sent: time(self.sent),
            head: Some(Head { at: time(self.head), parts: Box::new(parts) }),
            chunks: self.chunks.iter().map(chunk).collect(),
            body: self.chunks.iter().flat_map(|piece| piece.data.bytes()).collect(),
            end: match self.end {
                Ending::Whole => End::Whole,
                Ending::Broken => End::Broken(transport::Error::of("the connection broke")),
            },
            ended: time(self.ended),
            receipt: None,
        };
        digest(self.api, record)
    }
}

fn streams() -> Vec<(String, Stream)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench/streams");
    let mut files: Vec<_> = fs::read_dir(folder).expect("there").map(|entry| entry.expect("readable").path()).collect();
    files.sort();
    let read = |path: &Path| toml::from_str(&fs::read_to_string(path).expect("readable"));
    files
        .iter()
        .map(|path| (path.display().to_string(), read(path).unwrap_or_else(|error| panic!("{path:?}: {error}"))))
        .collect()
}

fn near(found: &[f64], expected: &[f64]) -> bool {
    found.len() == expected.len() && found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-6)
}

#[test]
fn every_stream_has_the_numbers_that_were_worked_out_by_hand() {
    let streams = streams();
    assert!(streams.len() >= 10);
    for (name, stream) in streams {
        let (found, expect) = (stream.digest(), &stream.expect);
        let failure = found.failure.as_ref().map(|reason| &reason.text);
        assert_eq!((found.outcome, failure), (expect.outcome, expect.failure.as_ref()), "{name}");
        assert_eq!((found.tokens.count(), found.tokens.content().count()), (expect.tokens, expect.events), "{name}");
        assert_eq!(found.values.is_some(), expect.values.is_some(), "{name}");
        let Some((values, expected)) = found.values.as_ref().zip(expect.values.as_ref()) else { continue };
        assert!(near(&values.icl, expect.icl.as_deref().expect("gaps")), "{name}: {:?}", values.icl);
        assert!(near(&values.itl, expect.itl.as_deref().expect("gaps")), "{name}: {:?}", values.itl);
        let metrics = |map: &BTreeMap<Metric, f64>| map.keys().copied().collect::<Vec<_>>();
        assert_eq!(metrics(&values.single), metrics(expected), "{name}");
        for (metric, expected) in expected {
            let found = values.single[metric];
            assert!(near(&[found], &[*expected]), "{name}: {} is {found}, not {expected}", metric.name());
        }
    }
}

#[test]
fn times_do_not_depend_on_how_a_body_is_cut_within_one_moment() {
    for (name, mut stream) in streams() {
        let whole = stream.digest();
        // Each piece in two, both at its time.
        stream.chunks = stream
            .chunks
            .iter()
            .flat_map(|Piece { at, data }| {
                let middle = (0..=data.len() / 2).rev().find(|at| data.is_char_boundary(*at)).unwrap_or(0);
                let (front, back) = data.split_at(middle);
                [front, back].map(|data| Piece { at: *at, data: data.to_owned() })
            })
            .collect();
        assert_eq!(stream.digest().values, whole.values, "{name}");
    }
}
