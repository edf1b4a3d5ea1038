//! A server that is watched while it is attacked, and a client beside the attack.

use std::{ops::Deref, time::Duration};

use http_body_util::BodyExt;
use mock_llm::pattern;
use tokio::{sync::watch, task::JoinHandle};
use xllm_proxy::client::Client;

use super::support::{
    LIMIT,
    child::Stand,
    process::{connections, descriptors, peak, raise_descriptors, rss},
    request::{Bystander, call, get},
    within,
};

/// Streams of the client beside the attack, one after the other on each of so many tracks.
const TRACKS: usize = 3;
/// Bytes of each.
const SIZE: u64 = 100_000;

/// Connections to upstreams that may be kept for later requests.
const KEPT: usize = 300;

/// A server, and what it held before the attack.
pub(crate) struct Vigil {
    stand: Stand,
    name: &'static str,
    before: u64,
    connections: usize,
    descriptors: usize,
    client: Client,
    bystander: Option<Bystander>,
    stop: watch::Sender<bool>,
    tracks: Vec<JoinHandle<u64>>,
}

impl Deref for Vigil {
    type Target = Stand;

    fn deref(&self) -> &Stand {
        &self.stand
    }
}

impl Vigil {
    /// A server with this configuration (TOML) and these origins allowed, and a client that streams from now on.
    pub(crate) async fn begin(name: &'static str, config: &str, allow: &[&str]) -> Self {
        raise_descriptors();
        // The good client streams as fast as the machine can.
        let config = format!("{config}\n[client.laptop]\nrequests_per_minute = 0\n");
        let stand = Stand::logging("info", &config, allow).await;
        let client = stand.client();
        // What serving needs is there before anything is measured.
        let url = stand.url(&format!("/raw/bytes?n={SIZE}&chunk=1000"));
        futures::future::join_all((0..=TRACKS).map(|_| whole(&client, &url))).await;
        let bystander = Some(Bystander::start(&client, &stand.mock, "bystander").await);
        let (stop, stopped) = watch::channel(false);
        let tracks = (0..TRACKS).map(|_| tokio::spawn(track(client.clone(), url.clone(), stopped.clone()))).collect();
        let pid = stand.server.pid();
        let (before, connections, descriptors) = (rss(pid), connections(stand.server.address.port()), descriptors(pid));
        Self { stand, name, before, connections, descriptors, client, bystander, stop, tracks }
    }

    /// The attack is over: the client beside it has got every byte, and a new one is served; the server has never held more than
    /// `bound` KiB beyond what it held before; the peers' descriptors are given back; and it stops in order, with no session left.
    pub(crate) async fn end(mut self, bound: u64) {
        self.stop.send_replace(true);
        let mut streams = 0;
        for track in self.tracks.drain(..) {
            streams += within("a stream beside the attack", track).await.expect("it delivers every byte");
        }
        let (pid, port) = (self.stand.server.pid(), self.stand.server.address.port());
        // A connection that the peer has reset is none any more before the server has looked at it.
        let most = self.descriptors + KEPT;
        let gone = async {
            while connections(port) > self.connections || descriptors(pid) > most {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let gone = tokio::time::timeout(LIMIT, gone).await;
        let (sockets, files) = (connections(port), descriptors(pid));
        let (had, name) = ((self.connections, self.descriptors), self.name);
        assert!(gone.is_ok(), "{name}: {sockets} connections and {files} descriptors, {had:?} before");
        whole(&self.stand.client(), &self.stand.url(&format!("/raw/bytes?n={SIZE}"))).await;
        self.bystander.take().expect("it began").finish(&self.stand.mock).await;
        let (peak, after) = (peak(pid), rss(pid));
        println!("{}: {} KiB before, {peak} at most, {after} after; {streams} streams beside it", self.name, self.before);
        let grown = peak.saturating_sub(self.before);
        assert!(grown <= bound, "{}: {grown} KiB more than before, the bound is {bound}", self.name);
        self.client.close(Duration::from_secs(5)).await;
        self.stand.server.terminate();
        assert!(self.stand.server.exited().await, "{}: what is left of the attack holds up the end", self.name);
    }
}

/// Streams until it is told to stop, and says how many were whole.
async fn track(client: Client, url: String, stopped: watch::Receiver<bool>) -> u64 {
    let mut streams = 0;
    loop {
        whole(&client, &url).await;
        streams += 1;
        if *stopped.borrow() {
            return streams;
        }
    }
}

/// A whole answer, each byte compared.
async fn whole(client: &Client, url: &str) {
    let mut body = call(client, get(url)).await.expect("the request is taken").into_body();
    let (mut at, mut expected) = (0, Vec::new());
    while let Some(frame) = within("a piece", body.frame()).await {
        let piece = frame.expect("the stream goes on").into_data().expect("data");
        expected.resize(piece.len(), 0);
        pattern(at, &mut expected);
        assert!(piece == expected, "other bytes at {at}");
        at += piece.len() as u64;
    }
    assert_eq!(at, SIZE);
}
