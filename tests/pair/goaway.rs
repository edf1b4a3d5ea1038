//! A session that one end winds down.

use bytes::Bytes;
use xllm_proxy::proto::{
    Code, Event, Fault, Role,
    frame::{CancelReason, Frame, GoAway, Headers, Notice, Request},
};

use crate::{
    BOTH, done,
    pair::{Pair, Scripted, get, header, ms, ok},
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
    let own = "the proxy ended this session before it took the request";
    for (code, fault, text) in [
        (Code::Overloaded, Fault::Proxy, "full"),
        (Code::RateLimited, Fault::Client, "too fast"),
        (Code::KeyRevoked, Fault::Client, "revoked"),
        (Code::Internal, Fault::Proxy, own),
    ] {
        let mut pair = Pair::established();
        pair.latency = ms(50);
        pair.server.cut(&Notice { after: Some(7), ..Notice::new(code, Fault::Proxy, text) });
        let number = pair.client.request(pair.now, &get()).unwrap();
        pair.quiet();
        let events = pair.events(Role::Client);
        let expected = Notice { after: Some(7), ..Notice::new(code, fault, text) }.retry_safe();
        assert_eq!(events[0], Event::Failed(number, expected), "{events:?}");
    }
}

#[test]
fn a_server_that_stops_at_once_gives_back_what_its_upstream_was_not_asked() {
    let mut pair = Pair::established();
    let (called, answered, fresh) = (pair.open(&get()), pair.open(&get()), pair.open(&get()));
    pair.server.called(pair.now, called);
    pair.respond(answered, &ok());
    pair.server.cut(&Notice::new(Code::ShuttingDown, Fault::Proxy, "stopping"));
    pair.quiet();
    let events = pair.events(Role::Client);
    let failed =
        |number, retry| Event::Failed(number, Notice { retry, ..Notice::new(Code::ShuttingDown, Fault::Proxy, "stopping") });
    assert_eq!(events[1..4], [failed(called, false), failed(answered, true), Event::Adrift(fresh)]);
    assert!(pair.client.is_new(fresh), "it can be asked elsewhere, as if it had never been sent");
    assert!(!pair.client.holds(called) && !pair.client.holds(answered));
}

#[test]
fn a_second_goaway_takes_back_what_the_first_allowed_and_never_the_other_way_round() {
    let goaway = |last| GoAway { code: Some(Code::Overloaded), last, text: String::new(), after: None };
    for (words, served) in [([3, 1], 1), ([1, 3], 1), ([2, 2], 2)] {
        let mut peer = Scripted::established_server();
        for _ in 0..3 {
            peer.subject.request(peer.now, &get()).unwrap();
        }
        peer.hear();
        for last in words {
            peer.frame(0, &Frame::GoAway(goaway(last)));
        }
        let failed: Vec<_> = peer
            .events()
            .iter()
            .filter_map(|event| if let Event::Failed(number, _) = event { Some(*number) } else { None })
            .collect();
        assert_eq!(failed, (served + 1..=3).collect::<Vec<u32>>(), "{words:?}");
        assert_eq!(peer.subject.open_exchanges(), served as usize);
        // What crossed the word on its way is nothing wrong.
        peer.frame(3, &Frame::Credit(1));
        assert!(!peer.subject.is_closed());
    }
}

#[test]
fn of_a_cancelled_exchange_that_is_not_served_nothing_is_told() {
    let mut peer = Scripted::established_server();
    let (cancelled, other) = (peer.subject.request(peer.now, &get()).unwrap(), peer.subject.request(peer.now, &get()).unwrap());
    peer.hear();
    peer.subject.cancel(cancelled, CancelReason::CallerGone);
    peer.frame(0, &Frame::GoAway(GoAway { code: None, last: 0, text: String::new(), after: None }));
    let events = peer.events();
    assert!(
        matches!(events[..], [Event::Adrift(adrift), Event::GoAway(_), Event::Closed { .. }] if adrift == other),
        "{events:?}"
    );
    assert!(!peer.subject.holds(cancelled));
}

#[test]
fn who_has_said_that_it_goes_says_it_once() {
    for role in BOTH {
        let mut pair = Pair::established();
        pair.open(&get());
        pair.end(role).go_away(Some(Code::ShuttingDown), "first");
        pair.end(role).go_away(Some(Code::Idle), "second");
        pair.end(role).take_traffic();
        pair.quiet();
        assert_eq!(pair.end(role).take_traffic().sent.frames, 1);
        pair.end(role).receive_end();
        pair.events(role);
        pair.end(role).go_away(None, "");
        assert!(!pair.flush() && pair.events(role).is_empty(), "it is over");
    }
}

#[test]
fn a_session_that_is_not_open_yet_ends_at_once() {
    for role in BOTH {
        let mut pair = Pair::new();
        pair.end(role).go_away(None, "");
        assert_eq!(pair.events(role)[..], [done()]);
    }
}
