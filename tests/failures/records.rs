//! Harm done on the path: every record that is damaged, moved, repeated, missing or cut ends the session, and only that.

use super::support::{
    child::Stand,
    mitm::{Harm, Mitm, Way},
    request::{Bystander, assert_clean, assert_error, get, request, whole},
};
use xllm_proxy::client::{Builder, Client, Error, Fault};

const SIZE: usize = 256 * 1024;

fn through(stand: &Stand, mitm: &Mitm) -> Builder {
    Client::builder(&mitm.address(), stand.server.credential.clone()).unwrap().sessions(1)
}

/// What a client is told whose session suffers this, in the middle of a large upload or download.
async fn suffer(stand: &Stand, way: Way, harm: Harm, gate: &str) -> Error {
    let client = stand.client();
    let bystander = Bystander::start(&client, &stand.mock, gate).await;
    let mitm = Mitm::harm(stand.server.address, way, harm).await;
    let request = match way {
        Way::Up => request("POST", &stand.url("/raw/sink?q=secret-query"), "secret".repeat(SIZE / 6)),
        Way::Down => get(&stand.url(&format!("/raw/bytes?n={SIZE}&q=secret-query"))),
    };
    let error = whole(&through(stand, &mitm).build(), request).await.expect_err("it fails");
    bystander.finish(&stand.mock).await;
    error
}

#[tokio::test]
async fn harm_to_a_record_on_its_way_up_ends_the_session_with_the_servers_word() {
    let stand = Stand::with("[limits]\nhello_seconds = 0.5\nhold_seconds = 0", &[]).await;
    for (number, harm) in [
        Harm::Flip(2, 2),
        Harm::Flip(3, 1000),
        Harm::Flip(4, usize::MAX),
        Harm::Swap(2),
        Harm::Repeat(2),
        Harm::Drop(3),
        Harm::Shorten(3),
    ]
    .into_iter()
    .enumerate()
    {
        let error = suffer(&stand, Way::Up, harm, &format!("up-{number}")).await;
        assert_error(&error, "unauthentic", Fault::Network, false);
    }
    stand.server.logged(&["session ended", "did not verify", "unauthentic"]).await;
    assert_clean(&stand.server.log());
}

#[tokio::test]
async fn harm_to_a_record_on_its_way_down_ends_the_session_with_the_clients_word() {
    let stand = Stand::with("[limits]\nhold_seconds = 0", &[]).await;
    for (number, harm) in [
        Harm::Flip(1, 2),
        Harm::Flip(2, 300),
        Harm::Flip(4, usize::MAX),
        Harm::Swap(2),
        Harm::Repeat(1),
        Harm::Drop(2),
        Harm::Shorten(3),
    ]
    .into_iter()
    .enumerate()
    {
        let error = suffer(&stand, Way::Down, harm, &format!("down-{number}")).await;
        assert_error(&error, "unauthentic", Fault::Network, false);
    }
    stand.server.logged(&["session ended", "the client found our bytes wrong or damaged"]).await;
    assert_clean(&stand.server.log());
}

#[tokio::test]
async fn a_record_of_a_length_that_cannot_be_ends_the_session_at_once() {
    let stand = Stand::with("[limits]\nhold_seconds = 0", &[]).await;
    // 16 400 becomes 16 401.
    for way in [Way::Up, Way::Down] {
        let error = suffer(&stand, way, Harm::Flip(3, 1), &format!("{way:?}")).await;
        assert_error(&error, "unauthentic", Fault::Network, false);
    }
    assert_clean(&stand.server.log());
}

#[tokio::test]
async fn a_record_that_is_cut_ends_the_session() {
    let stand = Stand::with("[limits]\nhold_seconds = 0", &[]).await;
    for way in [Way::Up, Way::Down] {
        let error = suffer(&stand, way, Harm::Cut(20_000), &format!("{way:?}")).await;
        assert_error(&error, "session-lost", Fault::Network, false);
    }
    stand.server.logged(&["session lost with requests under way"]).await;
    assert_clean(&stand.server.log());
}

#[tokio::test]
async fn harm_to_the_first_record_is_answered_with_silence_and_reaches_no_upstream() {
    let stand = Stand::with("[limits]\nhello_seconds = 0.3\nhold_seconds = 0", &[]).await;
    let error = suffer(&stand, Way::Up, Harm::Flip(1, 40), "up").await;
    assert_error(&error, "session-lost", Fault::Network, false);
    stand.server.logged(&["refused", "the first record is wrong"]).await;
    assert_eq!(stand.mock.stats().requests, 1);
    assert_clean(&stand.server.log());
}

#[tokio::test]
async fn harm_to_the_clients_hello_is_answered_with_silence() {
    let stand = Stand::with("[limits]\nhello_seconds = 0.3", &[]).await;
    for byte in [0, 31, 32, 255] {
        let error = suffer(&stand, Way::Up, Harm::Flip(0, byte), &format!("up-{byte}")).await;
        assert_error(&error, "proxy-silent", Fault::Proxy, true);
    }
    stand.server.logged(&["refused: not a client of this proxy"]).await;
    assert_clean(&stand.server.log());
}

#[tokio::test]
async fn harm_to_the_servers_hello_is_seen_by_the_client() {
    let stand = Stand::start().await;
    for byte in [0, 31, 32, 255] {
        let error = suffer(&stand, Way::Down, Harm::Flip(0, byte), &format!("down-{byte}")).await;
        assert_error(&error, "key-refused", Fault::Client, true);
        assert!(error.to_string().contains("damaged"), "{error}");
    }
}
