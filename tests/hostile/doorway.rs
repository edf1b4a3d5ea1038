//! Those without a key: many, slow, silent, and gone without a word.

use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

use super::{
    crowd, hellos,
    peer::{Peer, request},
    support::{
        process::raise_descriptors,
        request::{get, whole},
        within,
    },
    vigil::Vigil,
};
use xllm_proxy::proto::frame::BodyLength;

const MIB: u64 = 1024;

/// Ends a connection with a reset, as a program that crashes can.
fn reset(stream: &TcpStream) {
    socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// Reads to the end, however it ends; how many bytes came.
async fn end_of(stream: &mut TcpStream) -> usize {
    let mut read = Vec::new();
    let _ = within("the server's close", stream.read_to_end(&mut read)).await;
    read.len()
}

/// Hellos a byte at a time, slower than there is time for.
async fn slow_hellos(count: usize, hello: Duration, pause: Duration) {
    let config = format!("[limits]\nhello_seconds = {}\nunauthenticated = {}\n", hello.as_secs_f64(), 2 * count);
    let vigil = Vigil::begin("slow hellos", &config, &[]).await;
    let (server, bytes) = (vigil.server.address, hellos::good(&vigil.server.credential).1);
    let slow = async |number: usize| {
        let start = Instant::now();
        let mut stream = crowd::connect(number / 100, server).await.unwrap();
        let (mut input, mut output) = stream.split();
        let drip = async {
            for byte in bytes {
                if output.write_all(&[byte]).await.is_err() {
                    break;
                }
                sleep(pause).await;
            }
            std::future::pending::<()>().await;
        };
        let mut answer = Vec::new();
        let end = tokio::select! {
            () = drip => unreachable!("it never ends by itself"),
            end = within("the server's close", input.read_to_end(&mut answer)) => end,
        };
        assert!(end.is_ok() && answer.is_empty(), "{end:?}, {} bytes", answer.len());
        assert!(start.elapsed() >= hello, "closed after {:?}", start.elapsed());
    };
    join_all((0..count).map(slow)).await;
    // A place in the doorway is a socket and some 32 KiB.
    vigil.end(16 * MIB + count as u64 * 48).await;
}

/// Peers that come and do nothing more, or go without a word, at each point on the way in.
async fn silent_and_gone(each: usize) {
    let config = "[limits]\nhello_seconds = 2\nidle_seconds = 2\n";
    let vigil = Vigil::begin("silent and gone", config, &[]).await;
    let (server, credential) = (vigil.server.address, vigil.server.credential.clone());
    let mut kept = Vec::new();
    for leave in [false, true] {
        let mut here = crowd::many(each, |number| number / 50, server).await;
        for (stream, said) in here.iter_mut().zip([0, 1, 100, 255, 256].into_iter().cycle()) {
            let hello = hellos::good(&credential).1;
            let _ = stream.write_all(&hello[..said]).await;
        }
        for _ in 0..each / 5 {
            here.push(Peer::greet(server, &credential).await.io);
            here.push(Peer::enter(server, &credential).await.io);
            let mut asks = Peer::enter(server, &credential).await;
            asks.say(&request(1, "GET", &vigil.url("/raw/bytes?n=100000"), BodyLength::None)).await.unwrap();
            here.push(asks.io);
        }
        if leave {
            here.iter().for_each(reset);
        } else {
            kept.extend(here);
        }
    }
    // Those that are silent: at the hello deadline, or when there was no request for as long as a session may be idle.
    join_all(kept.iter_mut().map(end_of)).await;
    drop(kept);
    // Two times so many and three fifths of them again, each a socket and some 32 KiB.
    vigil.end(16 * MIB + each as u64 * 160).await;
}

/// More at once than there are places, from one address and from many; a client comes in all the same.
async fn crowds(wanted: usize) {
    // Beside them there are the client's and the mock's.
    let count = wanted.min(raise_descriptors().saturating_sub(500));
    let vigil = Vigil::begin("crowds", "", &[]).await;
    let server = vigil.server.address;
    for (name, parties) in [("one address", 1), ("many addresses", count.div_ceil(20))] {
        let start = Instant::now();
        let mut here = crowd::many(count, |number| 1 + number % parties, server).await;
        let came = start.elapsed();
        // Who comes now finds all places taken.
        for _ in 0..10 {
            whole(&vigil.server.client(), get(&vigil.url("/raw/binary"))).await.unwrap();
        }
        // All but those for whom there is a place have been sent away.
        let places = if parties == 1 { 200 } else { 1000 };
        let sent_away = count.saturating_sub(places);
        let gone = join_all(here.iter_mut().take(sent_away).map(|stream| async {
            // `many` gives them as they are through, which is not quite the order in which the server accepts them.
            tokio::time::timeout(Duration::from_secs(5), end_of(stream)).await.is_ok()
        }));
        let gone = gone.await.into_iter().filter(|gone| *gone).count();
        println!("{count} from {name} in {came:?}: {gone} of {sent_away} sent away before their deadline");
        assert!(gone + 256 >= sent_away, "{gone} of {sent_away}");
    }
    vigil.end(128 * MIB).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hellos_that_come_a_byte_at_a_time_hold_up_nobody() {
    slow_hellos(400, Duration::from_secs(3), Duration::from_millis(100)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_that_are_silent_or_gone_leave_nothing_behind() {
    silent_and_gone(100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_before_the_door_keeps_no_client_out() {
    crowds(2000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "heavy: run by .ci/run in release"]
async fn heavy_hellos_that_come_a_byte_at_a_time_hold_up_nobody() {
    slow_hellos(4000, Duration::from_secs(10), Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "heavy: run by .ci/run in release"]
async fn heavy_numbers_of_silent_peers_leave_nothing_behind() {
    silent_and_gone(500).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "heavy: run by .ci/run in release"]
async fn heavy_crowds_before_the_door_keep_no_client_out() {
    crowds(5000).await;
}
