//! A path that goes silent, many requests at once, and who gives up meanwhile.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    again, client, streaming,
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
    // The first record is a PING and its PONG. Then the request does not arrive, or nothing behind the head; and nobody is told.
    for (way, unit) in [(Way::Up, 2), (Way::Down, 3)] {
        let mitm = Mitm::harm_first(1, relay.address.parse().unwrap(), way, Harm::Hold(unit)).await;
        let client = client(&relay, &mitm);
        let gate = format!("{way:?}");
        let mut body =
            call(&client, get(&relay.url(&format!("/raw/gated?gate={gate}&chunks=3&size=100")))).await.unwrap().into_body();
        let start = Instant::now();
        relay.mock.release(&gate, 3);
        for number in 0..3_u64 {
            assert_eq!(chunk(&mut body).await.unwrap()[..8], number.to_be_bytes());
        }
        assert!(chunk(&mut body).await.is_none());
        if way == Way::Down {
            assert!(start.elapsed() >= Duration::from_secs(1), "it was silent: {:?}", start.elapsed());
        }
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
    let relay = Relay::start().await;
    let mitm = Mitm::harm_first(1, relay.address.parse().unwrap(), Way::Up, Harm::Hold(2)).await;
    let client = client(&relay, &mitm);
    let body = call(&client, get(&relay.url("/raw/gated?gate=g&chunks=100"))).await.unwrap().into_body();
    relay.mock.release("g", 1);
    // CANCEL does not arrive, and neither does the answer to a PING.
    drop(body);
    within("the upstream's end", relay.mock.wait_until(|stats| stats.hung_up == 1)).await;
}

#[tokio::test]
async fn a_slow_way_back_loses_nothing() {
    let relay = Relay::start().await;
    let mitm = Mitm::listen(relay.address.parse().unwrap()).await;
    let address = mitm.address;
    let (_client, mut body) = streaming(&relay, &mitm).await;
    drop(mitm);
    // The upstream goes on meanwhile, and ends.
    relay.mock.release("g", 2);
    within("the upstream's end", relay.mock.wait_until(|stats| stats.completed == 1)).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    again(address, &relay.address).await;
    for number in 1..3_u64 {
        assert_eq!(chunk(&mut body).await.unwrap()[..8], number.to_be_bytes());
    }
    assert!(chunk(&mut body).await.is_none());
}
