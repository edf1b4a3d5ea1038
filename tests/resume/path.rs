//! A path that goes silent, many requests at once, and who gives up meanwhile.

use std::time::Duration;

use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use super::{
    again, again_behind, client, rest, streaming, streaming_by, support,
    support::{
        mitm::{Harm, Mitm, Way},
        relay::Relay,
        request::{call, chunk, get, whole},
        within,
    },
};

#[tokio::test]
async fn a_path_that_goes_silent_is_found_out_and_another_one_taken() {
    let relay = Relay::start().await;
    // The request does not arrive, behind the PING that is the first record; or nothing behind the head. And nobody is told.
    for (way, harm) in [(Way::Up, Harm::Hold(2)), (Way::Down, Harm::Gate)] {
        let mitm = Mitm::harm_first(1, relay.address.parse().unwrap(), way, harm).await;
        if way == Way::Down {
            mitm.let_go();
        }
        let client = client(&relay, &mitm);
        let gate = format!("{way:?}");
        let body =
            call(&client, get(&relay.url(&format!("/raw/gated?gate={gate}&chunks=3&size=100")))).await.unwrap().into_body();
        mitm.hold();
        relay.mock.release(&gate, 3);
        assert_eq!(rest(body).await, [0, 1, 2]);
        assert!(mitm.tapes().len() > 1, "{way:?}: it went another way");
    }
}

#[tokio::test]
async fn a_silent_model_is_waited_for_and_its_connection_kept_alive() {
    let relay = Relay::start().await;
    let mitm = Mitm::listen(relay.address.parse().unwrap()).await;
    let client = client(&relay, &mitm);
    let mut body = call(&client, get(&relay.url("/raw/gated?gate=g&chunks=1&size=100"))).await.unwrap().into_body();
    let before = mitm.tapes()[0].down.len();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let tapes = mitm.tapes();
    assert_eq!(tapes.len(), 1, "it is still the first");
    assert!(tapes[0].down.len() > before, "signs of life go by");
    relay.mock.release("g", 1);
    assert!(chunk(&mut body).await.is_some() && chunk(&mut body).await.is_none());
}

#[tokio::test]
async fn all_requests_of_a_connection_outlive_it() {
    let relay = Relay::start().await;
    let mitm = Mitm::harm_first(1, relay.address.parse().unwrap(), Way::Down, Harm::Cut(60_000)).await;
    let client = client(&relay, &mitm);
    let tasks: Vec<_> = (0..100)
        .map(|number| {
            let (client, url) = (client.clone(), relay.url(&format!("/raw/bytes?n={}&chunk=50", 2000 + number)));
            tokio::spawn(async move { whole(&client, get(&url)).await.map(|response| response.body().len()) })
        })
        .collect();
    for (number, task) in tasks.into_iter().enumerate() {
        assert_eq!(within("an answer", task).await.unwrap().unwrap(), 2000 + number);
    }
    assert_eq!((relay.mock.stats().requests, mitm.tapes().len()), (100, 2));
}

#[tokio::test]
async fn who_gives_up_while_the_connection_is_away_ends_the_upstream_as_soon_as_it_is_back() {
    // It would be held for longer than this test may take.
    let relay = Relay::with("limits.hold_seconds = 3600").await;
    let mitm = Mitm::harm_first(1, relay.address.parse().unwrap(), Way::Up, Harm::Hold(2)).await;
    let client = client(&relay, &mitm);
    let body = call(&client, get(&relay.url("/raw/gated?gate=g&chunks=100"))).await.unwrap().into_body();
    relay.mock.release("g", 1);
    // CANCEL does not arrive, and neither does the answer to a PING.
    drop(body);
    within("the upstream's end", relay.mock.wait_until(|stats| stats.hung_up == 1)).await;
}

#[tokio::test]
async fn who_gives_up_before_the_connection_is_back_ends_the_upstream_then() {
    let relay = Relay::with("limits.hold_seconds = 3600").await;
    let mitm = Mitm::listen(relay.address.parse().unwrap()).await;
    let address = mitm.address;
    let (_client, body) = streaming(&relay, &mitm).await;
    drop(mitm);
    // Time for it to notice; nothing hangs on whether it has.
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(body);
    again(address, &relay.address).await;
    within("the upstream's end", relay.mock.wait_until(|stats| stats.hung_up == 1)).await;
}

#[tokio::test]
async fn a_slow_way_back_loses_nothing() {
    let relay = Relay::start().await;
    let mitm = Mitm::listen(relay.address.parse().unwrap()).await;
    let address = mitm.address;
    let (_client, body) = streaming(&relay, &mitm).await;
    drop(mitm);
    // The upstream goes on meanwhile, and ends.
    relay.mock.release("g", 2);
    within("the upstream's end", relay.mock.wait_until(|stats| stats.completed == 1)).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    again(address, &relay.address).await;
    assert_eq!(rest(body).await, [1, 2]);
}

#[tokio::test]
async fn what_answers_on_the_way_back_without_being_the_proxy_is_waited_out() {
    // A portal that says nothing, one that answers whatever it is asked, and one that closes.
    let silent = |client| {
        tokio::spawn(async move {
            tokio::time::sleep(support::LIMIT).await;
            drop::<TcpStream>(client);
        });
    };
    let talks = |mut client: TcpStream| {
        tokio::spawn(async move { client.write_all(&[b'x'; 1000]).await });
    };
    let others: [fn(TcpStream); 3] = [silent, talks, drop];
    for other in others {
        let relay = Relay::start().await;
        let mitm = Mitm::listen(relay.address.parse().unwrap()).await;
        let builder = relay.builder(&mitm.address()).connect_time(Duration::from_secs(1)).patience(support::LIMIT);
        let address = mitm.address;
        let (client, body) = streaming_by(builder.build(), &relay).await;
        drop(mitm);
        again_behind(2, other, address, &relay.address).await;
        relay.mock.release("g", 2);
        assert_eq!(rest(body).await, [1, 2]);
        drop(client);
    }
}
