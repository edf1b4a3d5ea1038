//! TLS on either side: a balancer before the proxy, and HTTPS upstreams. Roots come from `SSL_CERT_FILE`, which a process
//! reads: so each of these has a process of its own.

use std::process::Command;

use tempfile::TempDir;
use xllm_proxy::client::Client;

use super::support::{
    relay::Relay,
    request::{Bystander, call, chunk, get, whole},
    secure::{Authority, https},
    within,
};

const PROXY: &str = "TEST_PROXY";
const KEY: &str = "TEST_KEY";
const URL: &str = "TEST_URL";

#[tokio::test]
async fn the_relay_works_inside_tls() {
    let relay = Relay::start().await;
    let (folder, authority) = (TempDir::new().unwrap(), Authority::new());
    let roots = folder.path().join("ca.pem");
    authority.write(&roots);
    let balancer = authority.terminate(relay.address.parse().unwrap(), &[]).await;
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "tls::a_client_of_a_proxy_behind_tls", "--ignored"])
        .env("SSL_CERT_FILE", &roots)
        .env(PROXY, format!("https://localhost:{}", balancer.port()))
        .env(KEY, &**relay.credential.reveal())
        .env(URL, relay.url("/raw/binary"));
    let output = within("the child", tokio::task::spawn_blocking(move || command.output())).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(relay.mock.stats().completed, 3);
}

#[tokio::test]
#[ignore = "the other half of `the_relay_works_inside_tls`, which runs it"]
async fn a_client_of_a_proxy_behind_tls() {
    let [Ok(proxy), Ok(key), Ok(url)] = [PROXY, KEY, URL].map(std::env::var) else { return };
    let client = Client::builder(&proxy, key.parse().unwrap()).unwrap().sessions(1).build();
    for _ in 0..3 {
        assert_eq!(whole(&client, get(&url)).await.unwrap().body().len(), 256);
    }
}

#[tokio::test]
async fn chunks_of_an_https_upstream_come_one_by_one_and_cancelling_stops_it() {
    for (protocols, version) in [(&["http/1.1"][..], "HTTP/1.1"), (&["h2", "http/1.1"], "HTTP/2.0")] {
        let (stand, url) = https(protocols, "").await;
        let client = stand.client();
        let bystander = Bystander::start_at(&client, &stand.mock, &url, "bystander").await;
        let mut body = call(&client, get(&format!("{url}/raw/gated?gate=g&chunks=100"))).await.unwrap().into_body();
        for _ in 0..20 {
            stand.mock.release("g", 1);
            assert_eq!(chunk(&mut body).await.unwrap().len(), 8);
        }
        drop(body);
        within("the upstream's end", stand.mock.wait_until(|stats| stats.hung_up == 1)).await;
        bystander.finish(&stand.mock).await;
        assert_eq!(format!("{:?}", stand.mock.requests()[0].version), version);
    }
}

#[tokio::test]
async fn chunks_of_more_exchanges_than_an_http_2_connection_has_streams_come_one_by_one() {
    let (stand, url) = https(&["h2"], "").await;
    let client = stand.client();
    let mut bodies = Vec::new();
    for number in 0..150 {
        let url = format!("{url}/raw/gated?gate=gate-{number}&chunks=3");
        bodies.push(call(&client, get(&url)).await.unwrap().into_body());
    }
    for _ in 0..3 {
        for (number, body) in bodies.iter_mut().enumerate() {
            stand.mock.release(&format!("gate-{number}"), 1);
            assert!(chunk(body).await.is_some());
        }
    }
    for body in &mut bodies {
        assert!(chunk(body).await.is_none());
    }
}
