//! Floods by a client that has a key: as much of everything as a session takes, beside another session that streams.

use std::{collections::BTreeMap, time::Duration};

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use xllm_proxy::proto::{
    frame::{BodyLength, CancelReason, Frame, kind},
    limits::{FRAME_COST, RECORD_PLAINTEXT},
};

use super::{
    peer::{Peer, encoded, packed, ping, raw_frame, request},
    support::{upstream, within},
    vigil::Vigil,
};

const MIB: u64 = 1024;

/// What came: how many frames of each kind, by name.
type Heard = BTreeMap<String, u64>;

/// Says all this while it hears what comes, until `enough` of it came or the server has closed.
async fn flood(peer: &mut Peer, records: Vec<BytesMut>, enough: impl Fn(&Heard) -> bool) -> Heard {
    let mut heard = Heard::new();
    let (mut speaker, mut listener) = peer.split();
    let say = async {
        for record in records {
            if speaker.say(&record).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let hear = async {
        while !enough(&heard) {
            let Some(frames) = listener.hear_record().await else { return };
            for (exchange, frame) in frames {
                let name = match frame {
                    Frame::Error { notice, .. } if exchange == 0 => format!("session: {}", notice.code.name()),
                    Frame::Error { notice, .. } => notice.code.name().to_owned(),
                    Frame::Pong(_) => "pong".to_owned(),
                    Frame::End { .. } => "end".to_owned(),
                    _ => "other".to_owned(),
                };
                *heard.entry(name).or_default() += 1;
            }
        }
    };
    tokio::select! {
        () = say => unreachable!("it never ends by itself"),
        () = hear => {}
    }
    heard
}

fn count(heard: &Heard) -> u64 {
    heard.iter().filter(|(name, _)| *name != "other" && *name != "pong").map(|(_, count)| count).sum()
}

fn of(heard: &Heard, name: &str) -> u64 {
    heard.get(name).copied().unwrap_or_default()
}

/// Requests beyond every limit: at once in the session, at once of the client, in a minute.
async fn requests(flood_of: u32) {
    let vigil = Vigil::begin("REQUEST flood", "[limits]\nexchanges = 32\n[client.greedy]\nrequests_per_minute = 20", &[]).await;
    let credential = vigil.server.client_command(&["add", "greedy"]).await;
    let mut peer = Peer::enter(vigil.server.address, &credential).await;
    let url = vigil.url("/raw/binary");
    let frames = (1..=flood_of).map(|number| request(number, "GET", &url, BodyLength::None));
    let heard = flood(&mut peer, packed(frames), |heard| count(heard) == u64::from(flood_of)).await;
    println!("{flood_of} requests: {heard:?}");
    if of(&heard, "session: violation") == 0 {
        assert_eq!(count(&heard), u64::from(flood_of), "each has an answer");
    }
    assert!(of(&heard, "end") <= 40, "a client of 20 a minute");
    assert!(of(&heard, "rate-limited") + of(&heard, "too-many-exchanges") > 0);
    drop(peer);
    vigil.end(48 * MIB).await;
}

/// Requests that are taken back at once, or as soon as the upstream may have been called.
async fn churn(rounds: u32) {
    let vigil = Vigil::begin("REQUEST and CANCEL", "[client.greedy]\nrequests_per_minute = 0", &[]).await;
    let credential = vigil.server.client_command(&["add", "greedy"]).await;
    let mut peer = Peer::enter(vigil.server.address, &credential).await;
    let url = vigil.url("/raw/hang");
    let mut records = Vec::new();
    for number in 1..=rounds {
        let cancel = encoded(number, &Frame::Cancel(CancelReason::CallerGone));
        let ask = request(number, "GET", &url, BodyLength::None);
        if number % 2 == 0 {
            records.extend([ask, cancel]);
        } else {
            records.push(BytesMut::from(&[&ask[..], &cancel].concat()[..]));
        }
    }
    let heard = flood(&mut peer, records, |heard| count(heard) == u64::from(rounds)).await;
    println!("{rounds} taken back: {heard:?}");
    assert_eq!(of(&heard, "session: violation"), 0);
    assert_eq!(count(&heard), u64::from(rounds));
    drop(peer);
    vigil.end(48 * MIB).await;
}

/// Small frames without end that need an answer, or none.
async fn small_frames(records: usize) {
    let vigil = Vigil::begin("PING, CREDIT, padding", "", &[]).await;
    let mut peer = Peer::enter(vigil.server.address, &vigil.server.credential).await;
    let full = |frame: &[u8]| BytesMut::from(&frame.repeat(RECORD_PLAINTEXT / frame.len())[..]);

    let ask = request(1, "GET", &vigil.url("/raw/hang"), BodyLength::None);
    peer.say(&ask).await.unwrap();
    let credit = full(&encoded(1, &Frame::Credit(1)));
    let mut flooding = vec![full(&ping()); records];
    flooding.extend(vec![credit; records.min(40)]);
    flooding.extend(vec![BytesMut::from(&[0][..]); records * 20]);
    flooding.extend(vec![BytesMut::zeroed(RECORD_PLAINTEXT); records]);
    // What crossed the end of an exchange is ignored, as often as it comes.
    flooding.push(encoded(1, &Frame::Cancel(CancelReason::CallerGone)));
    flooding.extend(vec![full(&raw_frame(kind::BODY, 1, b"x")); records]);
    flooding.push(request(2, "GET", &vigil.url("/raw/binary"), BodyLength::None));
    let heard = flood(&mut peer, flooding, |heard| of(heard, "end") == 1).await;
    println!("{records} records full of each: {heard:?}");
    assert_eq!((of(&heard, "cancelled"), of(&heard, "end")), (1, 1), "{heard:?}");
    // At most the newest 16 of those that could not be answered yet.
    assert!((1..=16 * records as u64 + 16).contains(&of(&heard, "pong")), "{heard:?}");
    drop(peer);
    vigil.end(48 * MIB).await;
}

/// Bodies that nobody takes: all the credit in the smallest pieces, each in a record of the largest size, on many exchanges.
async fn bodies(exchanges: u32) {
    // It never answers to TLS, so that no byte of the body is taken.
    let deaf = upstream::deaf().await.replace("http:", "https:");
    let config = "[limits]\nupload_credit = 65536\nconnect_seconds = 3600.0\n";
    let vigil = Vigil::begin("BODY flood", config, &[&deaf]).await;
    let mut peer = Peer::enter(vigil.server.address, &vigil.server.credential).await;
    let pieces = 65_536 / (FRAME_COST + 1);
    let mut records: Vec<_> = packed((1..=exchanges).map(|number| request(number, "POST", &deaf, BodyLength::Unknown)));
    for number in 1..=exchanges {
        for piece in 0..pieces {
            let mut record = raw_frame(kind::BODY, number, b"x");
            if piece % 64 == 0 {
                record.resize(RECORD_PLAINTEXT, 0);
            }
            records.push(record);
        }
    }
    // One more than the credit allows.
    records.push(raw_frame(kind::BODY, exchanges, b"x"));
    let heard = flood(&mut peer, records, |_| false).await;
    assert_eq!(of(&heard, "session: credit-exceeded"), 1, "{heard:?}");
    drop(peer);
    // The credit of all, and what a piece costs the server beside its bytes: 64 stand for about 100.
    vigil.end(32 * MIB + u64::from(exchanges) * 192).await;
}

/// Large answers that are asked for and not read.
async fn slow_reader(answers: u32) {
    // When it leaves, its answers are held for it, within their limit for all.
    let vigil = Vigil::begin("a slow reader", "[limits]\nhold_bytes = 16777216\n", &[]).await;
    let mut peer = Peer::enter(vigil.server.address, &vigil.server.credential).await;
    let url = vigil.url("/raw/bytes?n=1073741824");
    for record in packed((1..=answers).map(|number| request(number, "GET", &url, BodyLength::None))) {
        peer.say(&record).await.unwrap();
    }
    // It reads a little, now and then; the streams beside it go on meanwhile.
    let mut little = [0; 1024];
    for _ in 0..100 {
        within("a little", peer.io.read_exact(&mut little)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(peer);
    // 64 KiB wait to be sealed of each, and 64 KiB more may have been read of its upstream.
    vigil.end(32 * MIB + u64::from(answers) * 512).await;
}

#[tokio::test]
async fn a_flood_of_requests_is_answered_with_refusals() {
    requests(2000).await;
}

#[tokio::test]
async fn requests_that_are_taken_back_at_once_leave_nothing_behind() {
    churn(1000).await;
}

#[tokio::test]
async fn floods_of_small_frames_hold_up_nobody() {
    small_frames(40).await;
}

#[tokio::test]
async fn a_flood_of_bodies_holds_what_the_credit_says() {
    bodies(16).await;
}

#[tokio::test]
async fn large_answers_that_nobody_reads_hold_what_the_queues_hold() {
    slow_reader(64).await;
}

#[tokio::test]
#[ignore = "heavy: run by .ci/run in release"]
async fn heavy_floods_of_requests_are_answered_with_refusals() {
    requests(50_000).await;
    churn(20_000).await;
}

#[tokio::test]
#[ignore = "heavy: run by .ci/run in release"]
async fn heavy_floods_of_small_frames_hold_up_nobody() {
    small_frames(2000).await;
}

#[tokio::test]
#[ignore = "heavy: run by .ci/run in release"]
async fn heavy_floods_of_bodies_hold_what_the_credit_says() {
    bodies(256).await;
}

#[tokio::test]
#[ignore = "heavy: run by .ci/run in release"]
async fn heavy_numbers_of_answers_that_nobody_reads_hold_what_the_queues_hold() {
    slow_reader(256).await;
}
