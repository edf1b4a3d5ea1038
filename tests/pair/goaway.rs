//! A session that one end winds down.

use bytes::Bytes;
use xllm_proxy::proto::{
    Code, Event, Fault, Role,
    frame::{GoAway, Headers, Notice, Request},
};

use crate::{
    BOTH, done,
    pair::{Pair, get, header, ms, ok},
};

#[test]
fn a_servers_goaway_lets_the_open_finish_and_a_request_that_crosses_it_may_be_repeated() {
    let mut pair = Pair::established();
    pair.latency = ms(50);
    let first = pair.open(&get());
    pair.server.go_away(Some(Code::ShuttingDown), "stopping");
    let second = pair.client.request(pair.now, &get()).unwrap();
    pair.quiet();
    let goaway = GoAway { code: Some(Code::ShuttingDown), last: first, text: "stopping".into(), after: None };
    let events = pair.events(Role::Client);
    assert_eq!(events[..], [Event::Adrift(second), Event::GoAway(goaway)]);
    assert!(pair.client.is_new(second), "it can be asked elsewhere, as if it had never been sent");
    assert_eq!(pair.events(Role::Server)[..], [], "the one that crossed was answered for the program");
    assert!(!pair.client.can_open() && pair.client.is_draining());
    pair.server.respond(pair.now, first, &ok()).unwrap();
    pair.server.end(first, Headers::new()).unwrap();
    pair.quiet();
    let events = pair.events(Role::Client);
    assert!(matches!(&events[..], [Event::Response(..), Event::End(..), last] if *last == done()), "{events:?}");
    assert_eq!(pair.events(Role::Server)[..], [done()]);
}

#[test]
fn a_goaway_with_nothing_open_closes_both_ends() {
    for role in BOTH {
        let mut pair = Pair::established();
        pair.end(role).go_away(None, "");
        pair.quiet();
        assert_eq!(pair.events(role)[..], [done()]);
        assert_eq!(pair.events(role.peer()).last(), Some(&done()));
    }
}

#[test]
fn a_clients_goaway_lets_every_request_before_it_finish() {
    let mut pair = Pair::established();
    let first = pair.open(&get());
    let second = pair.client.request(pair.now, &get()).unwrap();
    pair.client.go_away(None, "");
    assert!(!pair.client.can_open());
    pair.quiet();
    let events = pair.events(Role::Server);
    assert!(matches!(events[..], [Event::Request(2, _)]), "{events:?}");
    for number in [first, second] {
        assert!(!pair.client.is_closed() && !pair.server.is_closed());
        pair.server.respond(pair.now, number, &ok()).unwrap();
        pair.server.end(number, Headers::new()).unwrap();
        pair.quiet();
        let events = pair.events(Role::Client);
        assert!(matches!(events[..2], [Event::Response(..), Event::End(..)]), "{events:?}");
    }
    assert!(pair.client.is_closed());
    assert_eq!(pair.events(Role::Server)[..], [done()]);

    // Also when it goes out in one write with the only request, which fills most of a record.
    let mut pair = Pair::established();
    let large = vec![header("x", &"v".repeat(15_000))];
    for _ in 0..3 {
        pair.client.request(pair.now, &Request { headers: large.clone(), ..get() }).unwrap();
    }
    pair.client.go_away(None, "");
    pair.quiet();
    assert_eq!(pair.events(Role::Server).len(), 3);
    assert!(!pair.server.is_closed());
}

#[test]
fn a_session_that_is_cut_ends_every_exchange_at_once_and_says_which_may_be_repeated() {
    let mut pair = Pair::established();
    let (streaming, called, fresh) = (pair.open(&get()), pair.open(&get()), pair.open(&get()));
    pair.server.called(pair.now, called);
    pair.server.called(pair.now, streaming);
    pair.respond(streaming, &ok());
    pair.quiet();
    pair.events(Role::Client);
    // More than the credit allows: it waits, and nobody waits for it.
    let piece = Bytes::from(vec![7; 4 << 20]);
    pair.server.send_data(pair.now, streaming, piece).unwrap();
    let queued = pair.server.queued();
    assert!(queued >= 4 << 20, "{queued}");
    let notice = Notice { after: Some(5000), ..Notice::new(Code::KeyRevoked, Fault::Client, "revoked") };
    pair.server.cut(&notice);
    pair.quiet();
    assert_eq!(pair.server.queued(), 0);
    let events = pair.events(Role::Client);
    let failed: Vec<_> = events
        .iter()
        .filter_map(|event| if let Event::Failed(number, said) = event { Some((*number, said.clone())) } else { None })
        .collect();
    let said = |retry| Notice { retry, ..notice.clone() };
    assert_eq!(failed, [(streaming, said(false)), (called, said(false)), (fresh, said(true))]);
    let goaway = GoAway { code: Some(Code::KeyRevoked), last: fresh, text: "revoked".into(), after: Some(5000) };
    assert!(events.contains(&Event::GoAway(goaway)) && events.last() == Some(&done()), "{events:?}");
    assert!(pair.server.is_closed());
}

#[test]
fn a_request_that_meets_the_word_that_its_client_is_not_wanted_learns_why() {
    let mut pair = Pair::established();
    pair.latency = ms(50);
    pair.server.cut(&Notice { after: Some(7), ..Notice::new(Code::Overloaded, Fault::Proxy, "full") });
    let number = pair.client.request(pair.now, &get()).unwrap();
    pair.quiet();
    let events = pair.events(Role::Client);
    let expected = Notice { after: Some(7), ..Notice::new(Code::Overloaded, Fault::Proxy, "full") }.retry_safe();
    assert_eq!(events[0], Event::Failed(number, expected), "{events:?}");
}
