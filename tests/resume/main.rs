//! A request outlives its connection: real binaries' code over loopback, with somebody on the path who cuts, damages or holds.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]
#![allow(clippy::expect_used, reason = "as well")]

#[path = "../support/mod.rs"]
mod support;

mod cuts;
mod ends;
mod path;

use std::{net::SocketAddr, time::Duration};

use tokio::net::{TcpListener, TcpStream};
use xllm_proxy::client::{Body, Client};

use support::{
    mitm::Mitm,
    relay::Relay,
    request::{call, chunk, get},
};

/// A client whose path is this, which finds out soon when it is silent, and waits for a proxy that cannot be reached.
fn client(relay: &Relay, mitm: &Mitm) -> Client {
    relay.builder(&mitm.address()).keep_alive(Duration::from_secs(2)).patience(support::LIMIT).build()
}

/// A client, and a stream of which one piece of three has come through `mitm`.
async fn streaming(relay: &Relay, mitm: &Mitm) -> (Client, Body) {
    let client = client(relay, mitm);
    let mut body = call(&client, get(&relay.url("/raw/gated?gate=g&chunks=3&size=100"))).await.unwrap().into_body();
    relay.mock.release("g", 1);
    assert!(chunk(&mut body).await.is_some());
    (client, body)
}

/// Another path to the server, at the address of one that is gone.
async fn again(address: SocketAddr, server: &str) {
    let listener = TcpListener::bind(address).await.unwrap();
    let server = server.to_owned();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = TcpStream::connect(&server).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
        }
    });
}
