//! HTTP/2 upstreams that say of a request that they did not process it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use h2::Reason;
use mock_llm::MockLlm;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use xllm_proxy::client::Fault::Upstream;

use super::{
    assert_fails,
    support::{
        child::Stand,
        request::{get, request, whole},
        secure::https_before,
    },
};

/// Resets so many streams with this reason, and answers those that come after. Counts them all.
async fn resetting(times: usize, reason: Reason) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counter = count.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let counter = counter.clone();
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((_, mut answer))) = connection.accept().await {
                    if counter.fetch_add(1, Ordering::SeqCst) < times {
                        answer.send_reset(reason);
                    } else {
                        answer.send_response(http::Response::new(()), true).unwrap();
                    }
                }
            });
        }
    });
    (address, count)
}

/// Closes so many connections at their first request, with `last` as the last stream that was processed, and serves those
/// that come after. Counts them all.
async fn leaving(times: usize, last: u32) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counter = count.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if counter.fetch_add(1, Ordering::SeqCst) < times {
                tokio::spawn(leave(stream, last));
            } else {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((_, mut answer))) = connection.accept().await {
                    answer.send_response(http::Response::new(()), true).unwrap();
                }
            }
        }
    });
    (address, count)
}

/// Reads frames until a request has come, then sends SETTINGS and GOAWAY (RFC 9113 sections 6.5 and 6.8).
async fn leave(mut stream: TcpStream, last: u32) {
    stream.read_exact(&mut [0; b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len()]).await.unwrap();
    let mut head = [0; 9];
    while head[3] != 1 {
        stream.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        stream.read_exact(&mut vec![0; length as usize]).await.unwrap();
    }
    let (settings, goaway) = ([0, 0, 0, 4, 0, 0, 0, 0, 0], [0, 0, 8, 7, 0, 0, 0, 0, 0]);
    stream.write_all(&[&settings[..], &goaway, &last.to_be_bytes(), &[0; 4]].concat()).await.unwrap();
    stream.shutdown().await.unwrap();
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

async fn stand(times: usize, reason: Reason) -> (Stand, String, Arc<AtomicUsize>) {
    let (address, count) = resetting(times, reason).await;
    let (stand, url) = before(address).await;
    (stand, url, count)
}

async fn before(address: SocketAddr) -> (Stand, String) {
    let mock = MockLlm::start(mock_llm::Config::default()).await.unwrap();
    https_before(address, mock, &["h2"], "").await
}

#[tokio::test]
async fn a_request_without_a_body_that_is_refused_unseen_goes_out_again() {
    let (stand, url, count) = stand(2, Reason::REFUSED_STREAM).await;
    assert_eq!(whole(&stand.client(), get(&url)).await.unwrap().status(), 200);
    assert_eq!(count.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn an_upstream_that_refuses_for_ever_is_given_up() {
    let (stand, url, count) = stand(usize::MAX, Reason::REFUSED_STREAM).await;
    assert_fails(&stand, get(&url), "upstream-closed", Upstream, false).await;
    assert_eq!(count.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_request_with_a_body_goes_out_once() {
    let (stand, url, count) = stand(1, Reason::REFUSED_STREAM).await;
    assert_fails(&stand, request("POST", &url, "secret-body"), "upstream-closed", Upstream, false).await;
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_request_that_may_have_been_processed_goes_out_once() {
    for reason in [Reason::INTERNAL_ERROR, Reason::CANCEL, Reason::NO_ERROR] {
        let (stand, url, count) = stand(1, reason).await;
        assert_fails(&stand, get(&url), "upstream-closed", Upstream, false).await;
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn a_request_that_crosses_the_end_of_its_connection_goes_out_again_if_it_has_no_body() {
    let (address, count) = leaving(2, 0).await;
    let (stand, url) = before(address).await;
    assert_eq!(whole(&stand.client(), get(&url)).await.unwrap().status(), 200);
    assert_eq!(count.load(Ordering::SeqCst), 3);

    let (address, count) = leaving(1, 0).await;
    let (stand, url) = before(address).await;
    assert_fails(&stand, request("POST", &url, "secret-body"), "upstream-closed", Upstream, false).await;
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_request_that_an_ending_connection_took_goes_out_once() {
    let (address, count) = leaving(1, 1).await;
    let (stand, url) = before(address).await;
    assert_fails(&stand, get(&url), "upstream-closed", Upstream, false).await;
    assert_eq!(count.load(Ordering::SeqCst), 1);
}
