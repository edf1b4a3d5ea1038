//! Keys that the server does not know, or that are for another.

use std::time::Duration;

use super::support::{
    child::Stand,
    request::{Bystander, assert_clean, assert_error, get, whole},
};
use xllm_proxy::{
    client::{Client, Fault},
    proto::{Credential, KeyId, ServerKey, crypto::Secret},
};

/// A client with this credential is refused, with this word in the log.
async fn assert_refused(stand: &Stand, credential: Credential, wait: Duration, code: &str, blame: Fault, logged: &str) {
    let (good, address) = (stand.client(), stand.server.address.to_string());
    let bystander = Bystander::start(&good, &stand.mock, "bystander").await;
    let bad = Client::builder(&address, credential).unwrap().connect_time(wait).build();
    let error = whole(&bad, get(&stand.url("/raw/binary"))).await.expect_err("it is refused");
    assert_error(&error, code, blame, true);
    assert!(error.to_string().contains(&address), "{error}");
    stand.server.logged(&["refused", logged]).await;
    bystander.finish(&stand.mock).await;
    assert_eq!(stand.mock.stats().requests, 1);
    assert_clean(&stand.server.log());
    let psk = xllm_proxy_psk(&stand.server.credential);
    assert!(!stand.server.log().contains(&psk));
}

/// The part of a credential that holds the PSK, as it is written.
fn xllm_proxy_psk(credential: &Credential) -> String {
    credential.reveal()[30..60].to_owned()
}

const LONG: Duration = Duration::from_secs(50);

#[tokio::test]
async fn a_wrong_key_is_refused() {
    let stand = Stand::start().await;
    let wrong = Credential { psk: Secret::new([1; 32]), ..stand.server.credential.clone() };
    assert_refused(&stand, wrong, LONG, "key-refused", Fault::Client, "did not prove its key").await;
}

#[tokio::test]
async fn an_unknown_key_id_is_refused_in_the_same_way() {
    let stand = Stand::start().await;
    let unknown = Credential { key_id: KeyId([1; 16]), ..stand.server.credential.clone() };
    assert_refused(&stand, unknown, LONG, "key-refused", Fault::Client, "unknown key ID").await;
}

#[tokio::test]
async fn a_credential_for_another_server_meets_silence_until_the_server_closes() {
    let stand = Stand::with("[limits]\nhello_seconds = 0.2", &[]).await;
    let other = *ServerKey::new(Secret::new([5; 32])).public();
    let foreign = Credential { server: other, ..stand.server.credential.clone() };
    assert_refused(&stand, foreign, LONG, "proxy-silent", Fault::Proxy, "not a client of this proxy").await;
}

#[tokio::test]
async fn a_credential_for_another_server_meets_silence_until_the_client_gives_up() {
    let stand = Stand::with("[limits]\nhello_seconds = 3600.0", &[]).await;
    let other = *ServerKey::new(Secret::new([5; 32])).public();
    let foreign = Credential { server: other, ..stand.server.credential.clone() };
    let short = Duration::from_millis(200);
    assert_refused(&stand, foreign, short, "proxy-silent", Fault::Proxy, "not a client of this proxy").await;
}
