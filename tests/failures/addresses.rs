//! An address at which there is no xllm-proxy.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use mock_llm::MockLlm;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use xllm_proxy::{
    client::{Client, Error, Fault},
    server::Keys,
};

use super::support::{
    mitm::{Harm, Mitm, Way},
    relay::Relay,
    request::{assert_error, call, get, whole},
    upstream, within,
};

async fn ask(address: &str, wait: Duration) -> Error {
    let (_, credential) = Keys::ephemeral("x").unwrap();
    let client = Client::builder(address, credential).unwrap().connect_time(wait).build();
    let error = whole(&client, get("http://127.0.0.1:9/secret-path")).await.unwrap_err();
    assert!(error.to_string().contains(address), "{error}");
    error
}

const LONG: Duration = Duration::from_secs(50);
const SHORT: Duration = Duration::from_millis(200);

/// Something that does this with each connection. Gives its address, and how many there were.
async fn something<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> (String, Arc<AtomicUsize>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, count) = (listener.local_addr().unwrap().to_string(), Arc::new(AtomicUsize::new(0)));
    let counter = count.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(stream));
        }
    });
    (address, count)
}

#[tokio::test]
async fn a_proxy_that_does_not_run_is_unreachable() {
    let address = upstream::closed().await.to_string();
    let error = ask(&address, LONG).await;
    assert_error(&error, "proxy-unreachable", Fault::Network, true);
    assert!(error.to_string().contains("is xllm-proxy running?"), "{error}");
}

#[tokio::test]
async fn a_proxy_whose_name_is_unknown_is_unreachable() {
    assert_error(&ask("no-such-host.invalid:50051", LONG).await, "proxy-unreachable", Fault::Network, true);
}

#[tokio::test]
async fn an_http_server_at_the_address_is_not_taken_for_a_proxy() {
    let mock = MockLlm::start(mock_llm::Config::default()).await.unwrap();
    assert_error(&ask(&mock.addr().to_string(), LONG).await, "proxy-silent", Fault::Proxy, true);
}

#[tokio::test]
async fn a_server_that_says_much_is_not_taken_for_a_proxy() {
    let (address, _) = something(|mut stream| async move {
        let page = format!("HTTP/1.1 400 Bad Request\r\ncontent-length: 1000\r\n\r\n{}", "x".repeat(1000));
        let _ = stream.write_all(page.as_bytes()).await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let error = ask(&address, LONG).await;
    assert_error(&error, "key-refused", Fault::Client, true);
    assert!(error.to_string().contains("not an xllm-proxy"), "{error}");
}

#[tokio::test]
async fn something_silent_at_the_address_is_given_up() {
    let (address, _) = something(|mut stream| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let error = ask(&address, SHORT).await;
    assert_error(&error, "proxy-silent", Fault::Proxy, true);
    assert!(error.to_string().contains("0.2 s"), "{error}");
}

#[tokio::test]
async fn something_that_closes_at_once_is_named() {
    let (address, _) = something(|stream| async move { drop(stream) }).await;
    assert_error(&ask(&address, LONG).await, "proxy-silent", Fault::Proxy, true);
}

#[tokio::test]
async fn a_tls_address_without_tls_is_unreachable() {
    let (address, _) = something(|stream| async move { drop(stream) }).await;
    let (_, credential) = Keys::ephemeral("x").unwrap();
    let client = Client::builder(&format!("https://{address}"), credential).unwrap().build();
    let error = whole(&client, get("http://127.0.0.1:9/")).await.unwrap_err();
    assert_error(&error, "proxy-unreachable", Fault::Network, true);
    assert!(error.to_string().contains("TLS"), "{error}");
}

#[tokio::test]
async fn all_who_wait_for_one_attempt_to_connect_share_its_failure() {
    let (address, count) = something(|mut stream| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let (_, credential) = Keys::ephemeral("x").unwrap();
    let client = Client::builder(&address, credential).unwrap().connect_time(SHORT).build();
    let calls = (0..50).map(|_| whole(&client, get("http://127.0.0.1:9/")));
    for outcome in within("the failures", futures::future::join_all(calls)).await {
        assert_error(&outcome.unwrap_err(), "proxy-silent", Fault::Proxy, true);
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
    // It is no verdict for ever.
    whole(&client, get("http://127.0.0.1:9/")).await.unwrap_err();
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_session_that_nobody_waits_for_any_more_is_not_left_behind() {
    let relay = Relay::start().await;
    let mitm = Mitm::harm(relay.address.parse().unwrap(), Way::Down, Harm::Hold(0)).await;
    let client = relay.builder(&mitm.address()).build();
    let url = relay.url("/raw/binary");
    {
        let mut call = std::pin::pin!(call(&client, get(&url)));
        // Until the hello is on its way.
        while mitm.tapes().first().is_none_or(|tape| tape.up.is_empty()) {
            assert!(futures::poll!(&mut call).is_pending());
            tokio::task::yield_now().await;
        }
    }
    mitm.let_go();
    mitm.left(1).await;
    assert!(whole(&client, get(&url)).await.is_ok());
}
