//! Sessions that are replayed, slow, or very many.

use std::time::Duration;

use futures::{StreamExt, future::join_all, stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::sleep,
};
use xllm_proxy::{
    client::Client,
    proto::{Code, frame::BodyLength},
};

use super::{
    crowd,
    peer::{Peer, ping, request},
    support::{
        mitm::Mitm,
        request::{get, whole},
        upstream, within,
    },
    vigil::Vigil,
};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const BOUND: u64 = 48 * 1024;

#[tokio::test]
async fn a_conversation_that_is_sent_again_reaches_no_upstream() {
    let (url, connections) = upstream::serving(OK, 1).await;
    let vigil = Vigil::begin("replays", "[limits]\nhello_seconds = 1.0", &[&url]).await;
    let mitm = Mitm::listen(vigil.server.address).await;
    let client = Client::builder(&mitm.address(), vigil.server.credential.clone()).unwrap().build();
    assert_eq!(whole(&client, get(&url)).await.unwrap().body(), "ok");
    client.close(Duration::from_secs(5)).await;
    let tape = mitm.tapes().remove(0);
    let (server, up) = (vigil.server.address, &tape.up);
    let again = async |number: usize| {
        let mut io = crowd::connect(number, server).await.unwrap();
        io.write_all(up).await.unwrap();
        let mut answer = Vec::new();
        within("the close", io.read_to_end(&mut answer)).await.unwrap();
        assert!(answer.len() == 256 && answer != tape.down[..256], "a fresh hello and nothing more");
    };
    join_all((0..50).map(again)).await;
    assert_eq!(connections.borrow().opened, 1, "the one that was recorded");
    vigil.end(BOUND).await;
}

/// Sessions that begin a record of full size, and send it a byte at a time.
async fn slow_records(count: usize) {
    // All come in at once, from one address.
    let config = "[limits]\nidle_seconds = 2.0\nunauthenticated = 2000\nunauthenticated_per_address = 2000";
    let vigil = Vigil::begin("slow records", config, &[]).await;
    let (server, credential) = (vigil.server.address, vigil.server.credential.clone());
    let slow = async |_| {
        let mut peer = Peer::enter(server, &credential).await;
        let record = peer.seal(&[0; 16_384]);
        // What is no whole record is no sign of life: the session ends when it has been idle for long enough.
        let (mut speaker, mut listener) = peer.split();
        let drip = async {
            for &byte in &record {
                if speaker.io.write_all(&[byte]).await.is_err() {
                    break;
                }
                sleep(Duration::from_millis(20)).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = drip => unreachable!("it never ends by itself"),
            verdict = listener.verdict() => assert_eq!(verdict, Some(Code::Idle)),
        }
    };
    join_all((0..count).map(slow)).await;
    vigil.end(16 * 1024 + 48 * count as u64).await;
}

/// One session after the other, some at once: opened, and closed in order, cut, or with a request under way.
async fn many(count: usize) {
    // What is held for those that went without a word is not what is looked for here.
    let vigil = Vigil::begin("many sessions", "[limits]\nhold_seconds = 0\n", &[]).await;
    let (server, credential, url) = (vigil.server.address, vigil.server.credential.clone(), vigil.url("/raw/binary"));
    let one = async |number: usize| {
        let mut peer = Peer::enter(server, &credential).await;
        match number % 4 {
            0 => peer.io.shutdown().await.unwrap(),
            1 => socket2::SockRef::from(&peer.io).set_linger(Some(Duration::ZERO)).unwrap(),
            2 => peer.say(&request(1, "GET", &url, BodyLength::None)).await.unwrap(),
            _ => {
                peer.say(&ping()).await.unwrap();
                assert!(peer.hear().await.is_some());
            }
        }
    };
    stream::iter((0..count).map(one)).buffer_unordered(50).count().await;
    vigil.end(BOUND).await;
}

#[tokio::test]
async fn records_that_come_a_byte_at_a_time_hold_up_nobody() {
    slow_records(100).await;
}

#[tokio::test]
async fn sessions_that_come_and_go_leave_nothing_behind() {
    many(400).await;
}

#[tokio::test]
#[ignore = "heavy: run by .ci/run in release"]
async fn heavy_records_that_come_a_byte_at_a_time_hold_up_nobody() {
    slow_records(800).await;
}

#[tokio::test]
#[ignore = "heavy: run by .ci/run in release"]
async fn heavy_numbers_of_sessions_leave_nothing_behind() {
    many(10_000).await;
}
