//! The connection to the proxy is cut at random places, in the handshake, in heads, bodies and ends: callers of the gateway notice
//! nothing, and each upstream is called once.

use std::{
    fmt::Write as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use fastrand::Rng;
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::{
    caller::{Http, body, json, whole},
    support::{Gateway, Start, World, soon},
};

/// Numbers that follow from a seed, for all who draw.
#[derive(Clone)]
struct Dice(Arc<Mutex<Rng>>);

impl Dice {
    fn roll(&self, below: u64) -> u64 {
        self.0.lock().expect("no panic").u64(..below)
    }

    /// Bytes of a connection before it is cut.
    fn budget(&self) -> usize {
        let budget = match self.roll(20) {
            // The hellos, and the first record.
            0..3 => self.roll(900),
            3..10 => self.roll(5000),
            10..19 => self.roll(60_000),
            _ => self.roll(500_000),
        };
        usize::try_from(budget).expect("it is small")
    }
}

/// A wire to a server that cuts each connection after some bytes of one way, in order or not.
async fn cutting_wire(server: &str, dice: Dice) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let cuts = Arc::<AtomicUsize>::default();
    let (server, counted) = (server.to_owned(), cuts.clone());
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let Ok(far) = TcpStream::connect(&server).await else { continue };
            let (up, reset, budget) = (dice.roll(4) == 0, dice.roll(2) == 0, dice.budget());
            let cuts = counted.clone();
            tokio::spawn(async move {
                if reset {
                    // The last bytes that were passed on may be lost with it.
                    let _ = (near.set_zero_linger(), far.set_zero_linger());
                }
                let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                let cut = tokio::select! {
                    cut = pass(near_in, far_out, if up { budget } else { usize::MAX }) => cut,
                    cut = pass(far_in, near_out, if up { usize::MAX } else { budget }) => cut,
                };
                cuts.fetch_add(usize::from(cut), Relaxed);
            });
        }
    });
    (address, cuts)
}

/// Passes on so many bytes; whether there were as many.
async fn pass(
    mut from: impl tokio::io::AsyncRead + Unpin,
    mut to: impl tokio::io::AsyncWrite + Unpin,
    mut budget: usize,
) -> bool {
    let mut buffer = [0; 4096];
    while budget > 0 {
        let most = budget.min(buffer.len());
        match from.read(&mut buffer[..most]).await {
            Ok(length @ 1..) if to.write_all(&buffer[..length]).await.is_ok() => budget -= length,
            _ => return false,
        }
    }
    true
}

fn pattern(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    mock_llm::pattern(0, &mut bytes);
    bytes
}

/// One request of some kind, and what its answer must be.
async fn ask(gateway: &Gateway, dice: &Dice) {
    let http = if dice.roll(2) == 0 { Http::One } else { Http::Two };
    let size = usize::try_from(dice.roll(40_000)).expect("it is small");
    if dice.roll(5) > 0 {
        // Without a length: nothing but the relay can know that it is whole.
        let path = format!("/anthropic/raw/bytes?n={size}&chunk={}", 64 + dice.roll(500));
        let answer = whole(gateway.ask(http, gateway.get(&path)).await).await;
        assert_eq!(answer.status(), 200, "{:?}", answer.body());
        assert!(answer.body() == &pattern(size), "{} of {size} bytes", answer.body().len());
    } else {
        let request = gateway.post("/anthropic/raw/sink").body(body(pattern(size))).expect("valid");
        let answer = whole(gateway.send(http, request).await).await;
        let said = json(answer.body());
        let sha256 = Sha256::digest(pattern(size)).iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a String takes it");
            text
        });
        assert_eq!((said["bytes"].as_u64(), said["sha256"].as_str()), (Some(size as u64), Some(&*sha256)), "{said}");
    }
}

async fn outlive(wanted: usize) {
    let seed = std::env::var("XLLM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("XLLM_SEED={seed} has the same places once more");
    let dice = Dice(Arc::new(Mutex::new(Rng::with_seed(seed))));
    let world = Arc::new(World::new().await);
    let (wire, cuts) = cutting_wire(&world.relay.address, dice.clone()).await;
    let gateway = world.start(Start { proxy: Some(&wire), args: &["--wait", "100"], ..Start::default() }).await;
    let gateway = Arc::new(gateway);
    let asked = Arc::<AtomicUsize>::default();
    let workers: Vec<_> = (0..16)
        .map(|_| {
            let (gateway, dice, cuts, asked) = (gateway.clone(), dice.clone(), cuts.clone(), asked.clone());
            tokio::spawn(async move {
                while cuts.load(Relaxed) < wanted {
                    asked.fetch_add(1, Relaxed);
                    soon(ask(&gateway, &dice)).await;
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.expect("every answer is whole");
    }
    let (asked, called) = (asked.load(Relaxed), world.mock.stats().requests);
    println!("{} cuts, {asked} requests, {called} calls", cuts.load(Relaxed));
    assert_eq!(called, asked as u64, "one call for each");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_outlive_their_connections() {
    outlive(60).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "heavy: run by .ci/run in release, the full 10,000 with XLLM_CUTS=10000"]
async fn heavy_numbers_of_cuts_are_not_noticed() {
    outlive(std::env::var("XLLM_CUTS").ok().and_then(|cuts| cuts.parse().ok()).unwrap_or(500)).await;
}
