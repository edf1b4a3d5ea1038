//! Two hundred streams, while all that can change does: none is lost that should live, and all are cut that should die. Each answer's
//! end proves its count of bytes, and its receipt is the server's own word.

use futures::future::join_all;
use http_body_util::BodyExt;
use xllm_proxy::{
    client::{Body, Client, Fault},
    proto::Credential,
};

use super::support::{
    child::Stand,
    request::{assert_clean, assert_error, call, chunk, get},
    within,
};

const EACH: usize = 50;
const CHUNKS: usize = 6;
const SIZE: usize = 300;

/// The streams of one client.
struct Streams {
    name: &'static str,
    bodies: Vec<Body>,
    taken: usize,
}

impl Streams {
    async fn start(stand: &Stand, name: &'static str, credential: &Credential) -> Self {
        // Some to a session, so that there are several of them.
        let clients: Vec<_> = (0..5).map(|_| client(stand, credential)).collect();
        let begin = |number: usize| {
            let url = stand.url(&format!("/raw/gated?gate={name}{number}&chunks={CHUNKS}&size={SIZE}"));
            let client = clients[number % clients.len()].clone();
            async move { call(&client, get(&url)).await.expect("it begins").into_body() }
        };
        let bodies = join_all((0..EACH).map(begin)).await;
        Self { name, bodies, taken: 0 }
    }

    /// One more chunk of each.
    async fn go_on(&mut self, stand: &Stand) {
        (0..EACH).for_each(|number| stand.mock.release(&format!("{}{number}", self.name), 1));
        let number = self.taken as u64;
        let next = async |body: &mut Body| {
            let chunk = chunk(body).await.expect("the stream goes on");
            assert_eq!((&chunk[..8], chunk.len()), (&number.to_be_bytes()[..], SIZE));
        };
        join_all(self.bodies.iter_mut().map(next)).await;
        self.taken += 1;
    }

    /// All that is left, whole.
    async fn finish(mut self, stand: &Stand) {
        while self.taken < CHUNKS {
            self.go_on(stand).await;
        }
        for mut body in self.bodies {
            assert!(chunk(&mut body).await.is_none());
            let receipt = body.receipt().expect("an end has a receipt");
            assert!(receipt.first <= receipt.last && receipt.last <= receipt.end, "{receipt:?}");
        }
    }

    /// None goes on, and each learns why.
    async fn are_cut(self, code: &str, blame: Fault) {
        for mut body in self.bodies {
            let error = within("the cut", body.frame()).await.expect("no end").expect_err("no data");
            assert_error(&error, code, blame, false);
        }
    }
}

fn client(stand: &Stand, credential: &Credential) -> Client {
    Client::builder(&stand.server.address.to_string(), credential.clone()).unwrap().sessions(1).build()
}

#[tokio::test]
async fn two_hundred_streams_live_through_every_change_and_die_only_when_they_should() {
    const LIMITS: &str = "[limits]\ndrain_seconds = 10.0\n";
    let mut stand = Stand::logging("info", LIMITS, &[]).await;
    let (laptop, server) = (stand.server.credential.clone(), &stand.server);
    let (renewed, revoked, slow) =
        (server.client_command(&["add", "renewed"]).await, server.client_command(&["add", "revoked"]).await, {
            server.client_command(&["add", "slow"]).await
        });
    let mut laptop = Streams::start(&stand, "laptop", &laptop).await;
    let mut renewed = Streams::start(&stand, "renewed", &renewed).await;
    let mut revoked = Streams::start(&stand, "revoked", &revoked).await;
    let mut slow = Streams::start(&stand, "slow", &slow).await;
    for streams in [&mut laptop, &mut renewed, &mut revoked, &mut slow] {
        streams.go_on(&stand).await;
    }

    // A configuration under which none of them could begin; and one that is faulty.
    stand
        .server
        .configure(&format!("{LIMITS}[origins]\nknown = false\n[client.'*']\nrequests_per_minute = 1\nexchanges = 1\n"));
    stand.server.hang_up();
    stand.server.logged(&["reloaded"]).await;
    stand.server.configure("nonsense");
    stand.server.hang_up();
    stand.server.logged(&["not reloaded"]).await;
    stand.server.command(&["client", "rotate", "renewed", "--keep", "1h"]).await;
    stand.server.command(&["server-key", "rotate"]).await;
    for streams in [&mut laptop, &mut renewed, &mut revoked, &mut slow] {
        streams.go_on(&stand).await;
    }

    stand.server.command(&["client", "revoke", "revoked"]).await;
    revoked.are_cut("key-revoked", Fault::Client).await;
    within("the end of their calls", stand.mock.wait_until(|stats| stats.hung_up == EACH as u64)).await;
    // A key that has been replaced and now ends: no new sessions, and the streams go on.
    stand.server.command(&["client", "rotate", "renewed", "--keep", "0s"]).await;
    for streams in [&mut laptop, &mut renewed, &mut slow] {
        streams.go_on(&stand).await;
    }

    stand.server.terminate();
    stand.server.logged(&["stopping"]).await;
    laptop.finish(&stand).await;
    renewed.finish(&stand).await;
    slow.are_cut("shutting-down", Fault::Proxy).await;
    stand.server.logged(&["stopped before all requests were finished", &format!("requests={EACH}")]).await;
    assert_eq!(stand.server.exit_code().await, Some(3));
    let log = stand.server.log();
    assert_eq!(log.matches("outcome=\"complete\"").count(), 2 * EACH);
    assert_eq!(log.matches("outcome=\"key-revoked\"").count(), EACH);
    assert_eq!(log.matches("outcome=\"shutting-down\"").count(), EACH);
    assert_eq!(stand.mock.stats().requests, 4 * EACH as u64);
    assert_clean(&log);
}
