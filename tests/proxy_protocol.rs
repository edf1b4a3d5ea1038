//! A balancer in front says who its caller is, over a real socket and to the real program.

#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/mod.rs"]
mod support;

use support::{
    child::Stand,
    request::{get, whole},
    within,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use xllm_proxy::client::Client;

const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x02\x30\x39\xc3\x83";
const V1: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.2 12345 50051\r\n";

/// A balancer that sends this header in front of what its callers send. Gives where it listens.
async fn balancer(server: std::net::SocketAddr, header: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut caller, _)) = listener.accept().await {
            let mut server = TcpStream::connect(server).await.unwrap();
            tokio::spawn(async move {
                server.write_all(header).await?;
                tokio::io::copy_bidirectional(&mut caller, &mut server).await
            });
        }
    });
    address
}

async fn client(stand: &Stand, header: &'static [u8]) -> Client {
    let balancer = balancer(stand.server.address, header).await;
    Client::builder(&balancer, stand.server.credential.clone()).unwrap().sessions(1).build()
}

#[tokio::test]
async fn the_log_names_whom_the_balancer_speaks_for() {
    for header in [V1, V2] {
        let stand = Stand::with("[proxy_protocol]\nfrom = ['127.0.0.0/8']", &[]).await;
        whole(&client(&stand, header).await, get(&stand.url("/raw/binary"))).await.unwrap();
        stand.server.logged(&["session opened", "peer=192.0.2.1:12345"]).await;
    }
}

#[tokio::test]
async fn a_header_from_elsewhere_is_the_beginning_of_a_wrong_hello() {
    let stand = Stand::with("[proxy_protocol]\nfrom = ['10.0.0.0/8']\n[limits]\nhello_seconds = 0.2", &[]).await;
    whole(&stand.client(), get(&stand.url("/raw/binary"))).await.unwrap();
    stand.server.logged(&["session opened", "peer=127.0.0.1:"]).await;
    client(&stand, V2).await.connect().await.unwrap_err();
    assert!(!stand.server.log().contains("192.0.2.1"), "{}", stand.server.log());
}

#[tokio::test]
async fn whoever_owes_a_header_gets_no_byte_and_is_closed_at_the_hello_time() {
    let stand = Stand::with("[proxy_protocol]\nfrom = ['127.0.0.1']\n[limits]\nhello_seconds = 0.2", &[]).await;
    for bytes in [&b""[..], &V2[..20], &[7; 256]] {
        let mut prober = TcpStream::connect(stand.server.address).await.unwrap();
        prober.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        // Reset or closed: what it had sent may be unread.
        let _ = within("the close", prober.read_to_end(&mut answer)).await;
        assert!(answer.is_empty());
    }
    stand.server.logged(&["refused: no header of the PROXY protocol", "peer=127.0.0.1:"]).await;
    stand.client().connect().await.unwrap_err();
}
