//! Idleness, silence, and the PINGs that tell one from the other.

use xllm_proxy::proto::{
    Closed, Code, Event, Fault, Role, ServerConfig,
    frame::{Frame, Notice, Ping},
    limits,
};

use crate::{
    done,
    pair::{Pair, Scripted, client_config, closed, get, ms, ok, secs, server_config},
};

#[test]
fn a_session_without_an_exchange_ends_after_the_stated_time() {
    let mut pair = Pair::established();
    let number = pair.open(&get());
    pair.pass(secs(2_000));
    assert!(!pair.server.is_closed(), "an open exchange keeps it");
    pair.respond(number, &ok());
    pair.finish(number, 0);
    pair.pass(ms(599_999));
    assert!(!pair.server.is_closed() && !pair.client.is_closed());
    pair.pass(ms(1));
    assert_eq!(pair.events(Role::Server)[..], [done()]);
    let events = pair.events(Role::Client);
    let [Event::GoAway(goaway), last] = &events[..] else { panic!("{events:?}") };
    assert_eq!((goaway.code, goaway.last), (Some(Code::Idle), number));
    assert_eq!(*last, done());
}

#[test]
fn silence_is_met_by_a_ping_and_a_pong_keeps_the_session() {
    let mut pair = Pair::established();
    let writes = (pair.to_server.writes.len(), pair.to_client.writes.len());
    pair.pass(ms(19_999));
    assert_eq!((pair.to_server.writes.len(), pair.to_client.writes.len()), writes);
    pair.pass(ms(1));
    assert_eq!((pair.to_server.writes.len(), pair.to_client.writes.len()), (writes.0 + 1, writes.1 + 1));
    pair.pass(secs(200));
    assert_eq!((pair.to_server.writes.len(), pair.to_client.writes.len()), (writes.0 + 11, writes.1 + 11));
    assert_eq!((pair.events(Role::Client).len(), pair.events(Role::Server).len()), (0, 0));
}

#[test]
fn a_path_that_went_silent_ends_the_session_after_twice_the_keep_alive_and_at_a_client_that_waits_in_half_of_that() {
    let mut idle = Pair::established();
    (idle.to_server.cut, idle.to_client.cut) = (true, true);
    idle.pass(ms(39_999));
    assert!(!idle.client.is_closed());
    idle.pass(ms(1));
    assert_eq!(closed(&idle.events(Role::Client)), Some(&Closed::TimedOut { in_hello: false }));
    let mut pair = Pair::established();
    let number = pair.open(&get());
    (pair.to_server.cut, pair.to_client.cut) = (true, true);
    pair.pass(ms(19_999));
    assert!(!pair.client.is_closed());
    pair.pass(ms(1));
    assert_eq!(closed(&pair.events(Role::Client)), Some(&Closed::TimedOut { in_hello: false }));
    pair.pass(ms(69_999));
    assert!(pair.server.is_open(number));
    pair.pass(ms(1));
    assert_eq!(closed(&pair.events(Role::Server)), Some(&Closed::TimedOut { in_hello: false }));
}

#[test]
fn pings_are_answered_with_their_token_and_the_silence_of_the_upstream_and_only_the_newest_16() {
    let mut peer = Scripted::established_client(server_config());
    peer.frame(1, &Frame::Request(Box::new(get())));
    assert!(matches!(peer.events()[..], [Event::Request(1, _)]));
    peer.now += ms(100);
    peer.subject.called(peer.now, 1);
    peer.now += ms(1_234);
    let ping = |token: u8| Frame::Ping(Ping { token: [token; 8], silence: 0 });
    peer.frame(1, &ping(200));
    peer.frame(0, &ping(201));
    let pong = |token: u8, silence| Frame::Pong(Ping { token: [token; 8], silence });
    assert_eq!(peer.hear()[..], [(1, pong(200, 1_234)), (0, pong(201, 0))]);
    for token in 0..40 {
        peer.frame(0, &ping(token));
    }
    let expected: Vec<_> = (24..40).map(|token| (0, pong(token, 0))).collect();
    assert_eq!(peer.hear(), expected);
    peer.frame(0, &pong(9, 9));
    assert!(peer.hear().is_empty() && !peer.subject.is_closed(), "a PONG that nobody asked for is ignored");
}

#[test]
fn after_a_machines_sleep_the_peer_still_has_its_time_to_answer_a_ping() {
    let mut pair = Pair::established();
    pair.now += secs(8 * 3600);
    pair.client.handle_timeout(pair.now);
    pair.client.handle_timeout(pair.now);
    assert!(!pair.client.is_closed(), "both intervals are past, but only one was waited for");
    assert_eq!(pair.client.poll_timeout(), Some(pair.now + secs(20)));
    pair.quiet();
    assert!(!pair.client.is_closed());
}

#[test]
fn a_session_says_since_when_nothing_is_open() {
    let mut pair = Pair::established();
    let start = pair.now;
    pair.now += secs(5);
    assert_eq!((pair.client.idle_since(), pair.server.idle_since()), (Some(start), Some(start)));
    let number = pair.open(&get());
    assert_eq!((pair.client.idle_since(), pair.server.idle_since()), (None, None));
    pair.now += secs(5);
    pair.respond(number, &ok());
    pair.finish(number, 0);
    assert_eq!((pair.client.idle_since(), pair.server.idle_since()), (Some(pair.now), Some(pair.now)));
}

#[test]
fn a_session_that_ends_already_does_not_wait_to_be_idle() {
    let config = ServerConfig { idle: secs(30), ..server_config() };
    let mut pair = Pair::with(client_config(), config).establish();
    assert_eq!(pair.server.poll_timeout(), Some(pair.now + secs(30)));
    pair.server.go_away(None, "");
    assert_eq!(pair.server.poll_timeout(), Some(pair.now + limits::SERVER_KEEP_ALIVE));
}

#[test]
fn nothing_is_due_in_a_session_that_is_over() {
    let mut pair = Pair::established();
    pair.client.receive_end();
    pair.events(Role::Client);
    assert_eq!(pair.client.poll_timeout(), None);
    pair.client.handle_timeout(pair.now + secs(1_000_000));
    assert!(pair.events(Role::Client).is_empty() && !pair.flush());
}

#[test]
fn a_ping_on_an_exchange_that_ended_before_it_could_be_answered_gets_no_pong() {
    let mut peer = Scripted::established_server();
    peer.subject.request(peer.now, &get()).unwrap();
    peer.hear();
    peer.frame(1, &Frame::Ping(Ping { token: [5; 8], silence: 0 }));
    peer.frame(1, &Frame::Error { seq: 0, notice: Notice::new(Code::Internal, Fault::Proxy, "") });
    peer.frame(0, &Frame::Ping(Ping { token: [6; 8], silence: 0 }));
    assert_eq!(peer.hear()[..], [(0, Frame::Pong(Ping { token: [6; 8], silence: 0 }))]);
    // One for what is over at a server crossed its end on the way.
    let mut peer = Scripted::established_client(server_config());
    peer.frame(1, &Frame::Request(Box::new(get())));
    peer.subject.fail(1, &Notice::new(Code::Internal, Fault::Proxy, "")).unwrap();
    peer.hear();
    peer.frame(1, &Frame::Ping(Ping { token: [5; 8], silence: 0 }));
    assert!(peer.hear().is_empty() && !peer.subject.is_closed());
}
