//! A request outlives its connection: real binaries' code over loopback, with somebody on the path who cuts, damages or holds.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]
#![allow(clippy::expect_used, reason = "as well")]

#[path = "../support/mod.rs"]
mod support;

mod cuts;
mod ends;
mod nodes;
mod path;

use std::{net::SocketAddr, time::Duration};

use tokio::net::{TcpListener, TcpStream};
use xllm_proxy::client::{Body, Client};

use support::{
    mitm::Mitm,
    relay::Relay,
    request::{call, chunk, get},
};

/// Bytes of a piece.
const SIZE: usize = 100;

/// A client whose path is this, which finds out soon when it is silent, and waits for a proxy that cannot be reached.
fn client(relay: &Relay, mitm: &Mitm) -> Client {
    relay.builder(&mitm.address()).keep_alive(Duration::from_secs(2)).patience(support::LIMIT).build()
}

/// A client, and a stream of which one piece of three has come through `mitm`.
async fn streaming(relay: &Relay, mitm: &Mitm) -> (Client, Body) {
    streaming_by(client(relay, mitm), relay).await
}

async fn streaming_by(client: Client, relay: &Relay) -> (Client, Body) {
    let mut body = call(&client, get(&relay.url("/raw/gated?gate=g&chunks=3&size=100"))).await.unwrap().into_body();
    relay.mock.release("g", 1);
    assert!(chunk(&mut body).await.is_some());
    (client, body)
}

/// The numbers of the pieces of which all that is still to come is made.
async fn rest(mut body: Body) -> Vec<u64> {
    let mut all = Vec::new();
    while let Some(bytes) = chunk(&mut body).await {
        all.extend_from_slice(&bytes);
    }
    assert!(all.len().is_multiple_of(SIZE), "whole pieces");
    all.chunks(SIZE).map(|piece| u64::from_be_bytes(*piece.first_chunk().unwrap())).collect()
}

/// Another path to the server, at the address of one that is gone.
async fn again(address: SocketAddr, server: &str) {
    again_behind(0, drop, address, server).await;
}

/// The same, behind so many connections that something else gets.
async fn again_behind(others: usize, other: impl Fn(TcpStream) + Send + 'static, address: SocketAddr, server: &str) {
    // Who listened there may not have ended yet.
    let bound = async {
        loop {
            match TcpListener::bind(address).await {
                Ok(listener) => return listener,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    let listener = support::within("the address", bound).await;
    let server = server.to_owned();
    tokio::spawn(async move {
        let mut number = 0;
        while let Ok((mut client, _)) = listener.accept().await {
            number += 1;
            if number <= others {
                other(client);
                continue;
            }
            let mut server = TcpStream::connect(&server).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
        }
    });
}
