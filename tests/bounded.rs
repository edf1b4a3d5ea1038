//! Memory and descriptors of the server process stay bounded, whatever passes through it. Sizes that say something need a
//! release build: `cargo test --release -p xllm-proxy --test bounded -- --ignored --nocapture`.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/mod.rs"]
mod support;

use std::time::Duration;

use http_body::Frame;
use http_body_util::BodyExt;
use mock_llm::pattern;
use sha2::{Digest, Sha256};
use support::{
    child::Stand,
    process::{descriptors, rss},
    raw::{self, Raw},
    request::{Piece, call, endless, get, streaming, whole},
    secure::https,
    upstream, within,
};
use xllm_proxy::{
    client::Client,
    proto::{Event, frame::BodyLength},
};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

async fn quiet(allow: &[&str]) -> Stand {
    Stand::logging("info", "[limits]\nconnect_seconds = 3600.0\n[client.'*']\nrequests_per_minute = 0", allow).await
}

/// Reads `size` bytes and compares them with what the mock writes.
async fn download(client: &Client, origin: &str, size: u64) {
    let mut body = call(client, get(&format!("{origin}/raw/bytes?n={size}"))).await.unwrap().into_body();
    let (mut at, mut expected) = (0, Vec::new());
    while let Some(frame) = within("a piece", body.frame()).await {
        let piece = frame.unwrap().into_data().unwrap();
        expected.resize(piece.len(), 0);
        pattern(at, &mut expected);
        assert!(piece == expected, "other bytes at {at}");
        at += piece.len() as u64;
    }
    assert_eq!(at, size);
}

/// How much more memory the server holds with `stalled` than without, KiB for each of them.
async fn growth<T>(stand: &Stand, origin: &str, flow: u64, stalled: impl AsyncFnOnce(&Client) -> Vec<T>) -> u64 {
    let client = stand.client();
    download(&client, origin, flow).await;
    let before = rss(stand.server.pid());
    let stalled = stalled(&client).await;
    // While this flows, the others fill all there is to fill.
    download(&client, origin, flow).await;
    let after = rss(stand.server.pid());
    let each = after.saturating_sub(before) / stalled.len() as u64;
    println!("{} stalled: {before} KiB before, {after} KiB after, {each} KiB each", stalled.len());
    each
}

async fn stalled_readers(stand: &Stand, origin: &str, size: u64, flow: u64) {
    let each = growth(stand, origin, flow, async |client| {
        let mut bodies = Vec::new();
        for _ in 0..4 {
            bodies.push(call(client, get(&format!("{origin}/raw/bytes?n={size}"))).await.unwrap());
        }
        bodies
    })
    .await;
    assert!(each < 8 * KIB, "{each} KiB for each exchange");
}

async fn stalled_upstreams(piece: usize, flow: u64) {
    let deaf = upstream::deaf().await;
    let stand = quiet(&[&deaf]).await;
    let each = growth(&stand, &stand.mock.url(), flow, async |client| {
        (0..4)
            .map(|_| {
                let (client, request) = (client.clone(), streaming("POST", &deaf, endless(piece)));
                tokio::spawn(async move { tower::Service::call(&mut client.clone(), request).await })
            })
            .collect()
    })
    .await;
    assert!(each < 8 * KIB, "{each} KiB for each exchange");
}

/// The smallest pieces, each in a record of its own and read alone: the worst that credit allows.
async fn dripping_upload(pieces: u32) {
    // It never answers to TLS, so that no byte of the body is taken.
    let deaf = upstream::deaf().await.replace("http:", "https:");
    let stand = quiet(&[&deaf]).await;
    let mut raw = Raw::connect(&stand.server.address.to_string(), &stand.server.credential).await;
    let mut upload = raw::request("POST", &deaf, &[]);
    upload.body = BodyLength::Unknown;
    let upload = raw.open(&upload);
    let before = rss(stand.server.pid());
    for _ in 0..pieces {
        raw.connection.send_body(Duration::ZERO, upload, "u".into()).unwrap();
        // The answer shows that the server has read all before it.
        raw.open(&raw::request("GET", "ftp://127.0.0.1/", &[]));
        let refused = raw.event().await;
        assert!(matches!(refused, Event::Failed(..)), "{refused:?}");
    }
    let after = rss(stand.server.pid());
    println!("{pieces} dripped pieces: {before} KiB before, {after} KiB after");
    assert!(after < before + 8 * KIB, "{before} KiB, then {after} KiB");
}

async fn many_exchanges(few: u32, many: u32) {
    let stand = quiet(&[]).await;
    let client = stand.client();
    let mut seen = Vec::new();
    for number in 1..=many {
        assert_eq!(whole(&client, get(&stand.url("/raw/binary"))).await.unwrap().body().len(), 256);
        if number == few || number == many {
            seen.push((rss(stand.server.pid()), descriptors(stand.server.pid())));
        }
    }
    println!("after {few} and after {many} exchanges, KiB and descriptors: {seen:?}");
    assert!(seen[1].0 < seen[0].0 + 3 * KIB, "{seen:?}");
    assert_eq!(seen[0].1, seen[1].1);
}

async fn byte_for_byte(size: u64) {
    let stand = quiet(&[]).await;
    let client = stand.client();
    let before = rss(stand.server.pid());
    download(&client, &stand.mock.url(), size).await;
    let mut sha256 = Sha256::new();
    let piece = move |at: u64| {
        let mut bytes = vec![0; usize::try_from((size - at).min(MIB)).unwrap()];
        pattern(at, &mut bytes);
        bytes
    };
    let pieces = (0..size).step_by(usize::try_from(MIB).unwrap());
    pieces.clone().for_each(|at| sha256.update(piece(at)));
    let body = futures::stream::iter(pieces.map(move |at| -> Piece { Ok(Frame::data(piece(at).into())) }));
    let request = streaming("POST", &stand.url("/raw/sink"), body);
    let response = tower::Service::call(&mut client.clone(), request).await.unwrap();
    let answer = String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
    let expected = support::hex(&sha256.finalize());
    assert!(answer.contains(&expected) && answer.contains(&size.to_string()), "{answer}");
    let after = rss(stand.server.pid());
    println!("{size} bytes each way: {before} KiB before, {after} KiB after");
    assert!(after < before + 16 * KIB, "{before} KiB, then {after} KiB");
}

#[tokio::test]
async fn a_reader_that_stalls_costs_the_server_little() {
    let stand = quiet(&[]).await;
    stalled_readers(&stand, &stand.mock.url(), GIB, 8 * MIB).await;
}

#[tokio::test]
async fn a_reader_that_stalls_a_stream_of_http_2_costs_the_server_little() {
    let (stand, origin) = https(&["h2"], "").await;
    stalled_readers(&stand, &origin, GIB, 8 * MIB).await;
}

#[tokio::test]
async fn an_upstream_that_stalls_costs_the_server_little() {
    stalled_upstreams(64 * 1024, 8 * MIB).await;
}

#[tokio::test]
async fn an_upload_of_tiny_pieces_costs_the_server_little() {
    dripping_upload(2000).await;
}

#[tokio::test]
async fn many_exchanges_leave_nothing_behind() {
    many_exchanges(100, 500).await;
}

#[tokio::test]
async fn large_bodies_arrive_byte_for_byte() {
    byte_for_byte(8 * MIB + 1).await;
}

#[tokio::test]
#[ignore = "heavy: run by .ci/run in release"]
async fn heavy_readers_that_stall_for_long_cost_the_server_little() {
    let stand = quiet(&[]).await;
    stalled_readers(&stand, &stand.mock.url(), GIB, 256 * MIB).await;
    let (stand, origin) = https(&["h2"], "").await;
    stalled_readers(&stand, &origin, GIB, 256 * MIB).await;
}

#[tokio::test]
#[ignore = "heavy: run by .ci/run in release"]
async fn heavy_upstreams_that_stall_for_long_cost_the_server_little() {
    stalled_upstreams(64 * 1024, 256 * MIB).await;
    stalled_upstreams(10, 256 * MIB).await;
}

#[tokio::test]
#[ignore = "heavy: run by .ci/run in release"]
async fn heavy_uploads_of_tiny_pieces_cost_the_server_little() {
    dripping_upload(16_000).await;
}

#[tokio::test]
#[ignore = "heavy: run by .ci/run in release"]
async fn heavy_numbers_of_exchanges_leave_nothing_behind() {
    many_exchanges(1000, 10_000).await;
}

#[tokio::test]
#[ignore = "heavy: run by .ci/run in release"]
async fn heavy_bodies_arrive_byte_for_byte() {
    byte_for_byte(GIB).await;
}
