//! A proxy that is away for a while: who waits for it, and for how long.

use std::{
    io::{self, Write},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures::future::join_all;
use http_body::Frame;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};
use xllm_proxy::client::{Client, Error, Fault};

use super::support::{
    LIMIT,
    mitm::{Harm, Mitm, Way},
    relay::Relay,
    request::{Request, assert_error, channel, get, request, streaming, whole},
    upstream::closed,
    within,
};

/// Listens before a server, and closes the first `count` connections at once. The last counts all that came.
async fn reluctant(server: SocketAddr, count: usize) -> (String, watch::Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, (sender, came)) = (listener.local_addr().unwrap().to_string(), watch::channel(0));
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            sender.send_modify(|came| *came += 1);
            if *sender.borrow() > count {
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(server).await.unwrap();
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                });
            }
        }
    });
    (address, came)
}

/// Waits until so many sessions were opened.
async fn opened(mitm: &Mitm, count: usize) {
    within("a session", async {
        while mitm.tapes().iter().filter(|tape| !tape.down.is_empty()).count() < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_request_waits_for_a_proxy_that_comes_back() {
    let mut relay = Relay::start().await;
    let client = relay.builder(&relay.address).patience(LIMIT).build();
    relay.stop().await;
    let url = relay.url("/raw/binary");
    let waiting = whole(&client, get(&url));
    let back = async {
        // The request has been refused by then; were it not, it would still have to be answered.
        tokio::time::sleep(Duration::from_millis(300)).await;
        relay.start_again().await;
    };
    let (response, ()) = tokio::join!(waiting, back);
    assert!(response.is_ok(), "{response:?}");
}

/// What comes of a request that is under way when the server's word that it stops is: it was sent to a server that has gone, and
/// another one is there, or not.
async fn crossing(another: bool, request: impl FnOnce(&Relay) -> Request) -> (Result<Bytes, Error>, Relay) {
    let mut relay = Relay::start().await;
    let mitm = Mitm::harm(relay.address.parse().unwrap(), Way::Down, Harm::Gate).await;
    mitm.let_go();
    let client = relay.builder(&mitm.address()).build();
    assert!(whole(&client, get(&relay.url("/raw/binary"))).await.is_ok());
    mitm.hold();
    relay.stop().await;
    if another {
        relay.start_again().await;
    }
    let before = mitm.tapes()[0].up.len();
    let sent = async {
        within("the request", async {
            while mitm.tapes()[0].up.len() == before {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        mitm.let_go();
    };
    let (response, ()) = tokio::join!(whole(&client, request(&relay)), sent);
    (response.map(http::Response::into_body), relay)
}

#[tokio::test]
async fn a_request_that_crosses_the_word_that_the_proxy_stops_is_sent_once_more() {
    for size in [0, 10, 300_000] {
        let (body, relay) = crossing(true, |relay| request("POST", &relay.url("/raw/sink"), vec![b'x'; size])).await;
        assert!(body.is_ok(), "{body:?}");
        let recorded = relay.mock.requests();
        let [_, recorded] = &recorded[..] else { panic!("one before, and one that was sent once more") };
        assert_eq!((recorded.body_len, recorded.body_complete), (u64::try_from(size).unwrap(), true));
    }
}

#[tokio::test]
async fn without_another_proxy_it_fails_at_once_as_one_that_comes_later_does() {
    let (answer, relay) = crossing(false, |relay| get(&relay.url("/raw/binary"))).await;
    let error = answer.unwrap_err();
    assert_eq!((error.code(), error.blame(), error.retry_safe()), ("shutting-down", Fault::Proxy, true), "{error}");
    assert_eq!(relay.mock.stats().requests, 1, "the one before");
}

#[tokio::test]
async fn a_body_that_comes_piece_by_piece_is_sent_once_more_as_far_as_it_came() {
    let (pieces, body) = channel();
    pieces.unbounded_send(Ok(Frame::data("begun, ".into()))).unwrap();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(500)).await;
        pieces.unbounded_send(Ok(Frame::data("and ended".into()))).unwrap();
    });
    let (body, _relay) = crossing(true, |relay| streaming("POST", &relay.url("/raw/echo"), body)).await;
    // "begun, and ended"
    let body = body.unwrap();
    assert!(String::from_utf8_lossy(&body).contains("\"YmVndW4sIGFuZCBlbmRlZA==\""), "{body:?}");
}

#[tokio::test]
async fn all_who_wait_share_each_attempt() {
    let relay = Relay::start().await;
    let (address, came) = reluctant(relay.address.parse().unwrap(), 3).await;
    let client = relay.builder(&address).patience(LIMIT).connect_time(LIMIT).build();
    let url = relay.url("/raw/binary");
    let answers = join_all((0..50).map(|_| whole(&client, get(&url)))).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(*came.borrow(), 4, "three that failed, and one for all");
}

#[tokio::test]
async fn patience_that_runs_out_says_so() {
    let relay = Relay::start().await;
    let address = closed().await.to_string();
    let client = relay.builder(&address).patience(Duration::from_millis(400)).build();
    let errors = join_all((0..5).map(|_| whole(&client, get("https://api.openai.com/")))).await;
    for error in errors {
        let error = error.unwrap_err();
        assert_error(&error, "proxy-unreachable", Fault::Network, true);
        assert!(error.to_string().contains("is xllm-proxy running? (waited "), "{error}");
        assert!(error.retry_after().is_some_and(|after| after >= Duration::from_secs(1)));
    }
}

#[tokio::test]
async fn a_key_that_is_refused_is_told_at_once() {
    let mut relay = Relay::start().await;
    let client = relay.builder(&relay.address).patience(Duration::MAX).warm(true).build();
    relay.change_keys(|keys| keys.remove("test"));
    for _ in 0..3 {
        let error = whole(&client, get(&relay.url("/raw/binary"))).await.unwrap_err();
        assert_error(&error, "key-refused", Fault::Client, true);
        assert!(error.retry_after().is_none() && !error.to_string().contains("waited"), "{error}");
    }
}

#[tokio::test]
async fn whoever_waits_learns_that_the_client_was_closed() {
    let relay = Relay::start().await;
    let client = relay.builder(&closed().await.to_string()).patience(Duration::MAX).build();
    let (waiting, close) = (client.clone(), client);
    let waiting = tokio::spawn(async move { waiting.connect().await });
    tokio::task::yield_now().await;
    close.close(LIMIT).await;
    let error = within("the word that it is closed", waiting).await.unwrap().unwrap_err();
    assert_error(&error, "client-closed", Fault::Client, true);
}

#[tokio::test]
async fn a_warm_client_is_back_before_it_is_needed() {
    let mut relay = Relay::start().await;
    let mitm = Mitm::listen(relay.address.parse().unwrap()).await;
    let client = relay.builder(&mitm.address()).warm(true).build();
    client.connect().await.unwrap();
    for count in 2..4 {
        relay.restart().await;
        opened(&mitm, count).await;
    }
    assert!(whole(&client, get(&relay.url("/raw/binary"))).await.is_ok());
    assert_eq!(mitm.tapes().len(), 3, "the request found a session");
}

/// A log in memory.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_warm_client_logs_once_that_the_proxy_went_and_once_that_it_is_back() {
    let relay = Relay::start().await;
    let (address, mut came) = reluctant(relay.address.parse().unwrap(), 4).await;
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    // For this thread, on which all tasks of this test run.
    let _guard = tracing::subscriber::set_default(subscriber);
    let client = relay.builder(&address).warm(true).connect_time(LIMIT).build();
    assert!(client.connect().await.is_err());
    within("all attempts", came.wait_for(|came| *came == 5)).await.unwrap();
    let lines = |level: &str| {
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        log.lines().filter(|line| line.contains("client::pool") && line.contains(level)).count()
    };
    within("the word that it is back", async {
        while lines(" INFO ") == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    assert!(whole(&client, get(&relay.url("/raw/binary"))).await.is_ok());
    assert_eq!((lines(" WARN "), lines(" INFO "), *came.borrow()), (1, 1, 5));
}

#[tokio::test]
async fn a_warm_client_replaces_a_session_that_the_server_ends_for_want_of_requests() {
    let relay = Relay::with("[limits]\nidle_seconds = 0.1").await;
    let mitm = Mitm::listen(relay.address.parse().unwrap()).await;
    let client = relay.builder(&mitm.address()).warm(true).build();
    client.connect().await.unwrap();
    opened(&mitm, 4).await;
    drop(client);
}

#[tokio::test]
async fn a_warm_client_that_is_dropped_ends_its_session_and_opens_no_other() {
    let relay = Relay::start().await;
    let mitm = Mitm::listen(relay.address.parse().unwrap()).await;
    let client = relay.builder(&mitm.address()).warm(true).build();
    client.connect().await.unwrap();
    let kept = Arc::new(client.clone());
    drop(client);
    assert!(whole(&kept, get(&relay.url("/raw/binary"))).await.is_ok());
    drop(kept);
    mitm.left(1).await;
    // Anything that was still at work would be back by now: the first pause is at most 100 ms.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(mitm.tapes().len(), 1);
}

#[tokio::test]
async fn a_client_without_warmth_connects_when_it_is_needed() {
    let relay = Relay::with("[limits]\nidle_seconds = 0.1").await;
    let mitm = Mitm::listen(relay.address.parse().unwrap()).await;
    let client: Client = relay.builder(&mitm.address()).build();
    client.connect().await.unwrap();
    mitm.left(1).await;
    assert_eq!(mitm.tapes().len(), 1);
}
