//! A client that gives an exchange up, at every moment of it.

use bytes::Bytes;
use xllm_proxy::proto::{
    Code, Event, Fault, Role, ServerConfig,
    frame::{BodyEnd, BodyLength, CancelReason, Frame, Headers, Notice, Request},
    limits,
};

use crate::pair::{Pair, Scripted, client_config, get, ms, ok, post, server_config};

fn one_at_a_time() -> Pair {
    Pair::with(client_config(), ServerConfig { exchanges: 1, ..server_config() }).establish()
}

#[test]
fn a_cancel_before_the_head_frees_the_slot_and_reports_nothing_more() {
    for sealed in [true, false] {
        let mut pair = one_at_a_time();
        let number = pair.client.request(pair.now, &get()).unwrap();
        if sealed {
            pair.quiet();
        }
        assert!(!pair.client.can_open());
        pair.client.cancel(number, CancelReason::CallerGone);
        pair.quiet();
        let events = pair.events(Role::Server);
        assert!(
            matches!(events[..], [Event::Request(1, _), Event::Cancelled(1, CancelReason::CallerGone)]),
            "the numbers on the wire have no gap: {events:?}"
        );
        assert_eq!(pair.events(Role::Client)[..], []);
        assert!(pair.client.can_open());
        assert_eq!(pair.open(&get()), 2);
    }
}

#[test]
fn a_cancel_in_the_middle_throws_away_what_is_under_way() {
    let mut pair = one_at_a_time();
    pair.latency = ms(50);
    let number = pair.open(&post(BodyLength::Unknown));
    pair.respond(number, &ok());
    pair.data(number, b"under way");
    pair.flush();
    pair.client.cancel(number, CancelReason::ResponseRefused);
    assert!(pair.client.send_body(pair.now, number, Bytes::from_static(b"no more")).is_err());
    assert!(!pair.client.can_open(), "a cancelled exchange stays open until its last frame");
    pair.quiet();
    assert_eq!(pair.events(Role::Server)[..], [Event::Cancelled(number, CancelReason::ResponseRefused)]);
    assert_eq!(pair.events(Role::Client)[..], []);
    assert!(pair.client.can_open() && pair.server.open_exchanges() == 0);
    assert!(pair.server.send_data(pair.now, number, Bytes::from_static(b"late")).is_err());
}

#[test]
fn a_cancel_that_crosses_the_end_changes_nothing() {
    let mut pair = one_at_a_time();
    pair.latency = ms(50);
    let number = pair.open(&get());
    pair.respond(number, &ok());
    pair.data(number, b"all of it");
    pair.server.end(number, Headers::new()).unwrap();
    pair.flush();
    pair.client.cancel(number, CancelReason::CallerGone);
    pair.quiet();
    assert_eq!((pair.events(Role::Client).len(), pair.events(Role::Server).len()), (0, 0));
    assert!(pair.client.can_open() && !pair.client.is_closed() && !pair.server.is_closed());
    assert_eq!(pair.open(&get()), 2);
}

#[test]
fn the_error_for_a_cancelled_exchange_is_its_last_frame_and_nothing_queued_goes_before_it() {
    let mut peer = Scripted::established_client(server_config());
    let request = Request { credit: limits::CREDIT_MIN, ..get() };
    peer.frame(1, &Frame::Request(Box::new(request)));
    peer.subject.respond(peer.now, 1, &ok()).unwrap();
    for _ in 0..20 {
        peer.subject.send_data(peer.now, 1, Bytes::from(vec![0; 1_000])).unwrap();
    }
    peer.subject.end(1, Headers::new()).unwrap();
    // 15 fit the credit; the rest and the END wait.
    assert_eq!(peer.hear().len(), 1 + 15);
    peer.frame(1, &Frame::Cancel(CancelReason::CallerGone));
    let [(1, Frame::Error { seq: 16, notice })] = &peer.hear()[..] else { panic!("not an error alone") };
    assert_eq!((notice.code, notice.fault, notice.retry), (Code::Cancelled, Fault::Client, false));
    assert_eq!(peer.subject.open_exchanges(), 0);
    peer.frame(1, &Frame::Cancel(CancelReason::CallerGone));
    peer.frame(1, &Frame::Credit(1 << 20));
    assert!(peer.hear().is_empty() && !peer.subject.is_closed());
}

#[test]
fn a_cancelled_exchange_gives_no_credit() {
    let mut pair = Pair::established();
    let request = Request { credit: limits::CREDIT_MIN, ..get() };
    let (due, late) = (pair.open(&request), pair.open(&request));
    for number in [due, late] {
        pair.respond(number, &ok());
    }
    for number in [due, late] {
        pair.data(number, &[0; 16_000]);
    }
    pair.quiet();
    assert_eq!(pair.events(Role::Client).len(), 2);
    assert!(pair.client.taken(due, 16_000), "credit falls due, and then nobody wants more");
    for number in [due, late] {
        pair.client.cancel(number, CancelReason::CallerGone);
    }
    assert!(!pair.client.taken(late, 16_000));
    pair.client.take_traffic();
    pair.flush();
    assert_eq!(pair.client.take_traffic().sent.frames, 2, "a CANCEL each");
    pair.quiet();
    assert_eq!(pair.client.open_exchanges(), 0);
}

#[test]
fn what_comes_of_an_upload_that_has_its_answer_is_thrown_away() {
    let mut peer = Scripted::established_client(server_config());
    peer.frame(1, &Frame::Request(Box::new(post(BodyLength::Unknown))));
    peer.events();
    peer.subject.fail(1, &Notice::new(Code::UploadTooLarge, Fault::Client, "too large")).unwrap();
    // Before the ERROR is sealed.
    peer.frame(1, &Frame::Body(Bytes::from_static(b"more")));
    peer.frame(1, &Frame::BodyEnd(BodyEnd { total: 4, trailers: vec![] }));
    peer.frame(1, &Frame::Cancel(CancelReason::UploadFailed));
    assert_eq!(peer.events()[..], [], "its program hears nothing of it");
    assert!(matches!(peer.hear()[..], [(1, Frame::Error { .. })]));
}

#[test]
fn an_exchange_that_its_program_drops_is_cancelled_by_a_client_and_failed_by_a_server() {
    let mut pair = Pair::established();
    let (first, second) = (pair.open(&get()), pair.open(&get()));
    pair.client.abandon(first);
    pair.server.abandon(second);
    pair.quiet();
    assert_eq!(pair.events(Role::Server)[..], [Event::Cancelled(first, CancelReason::CallerGone)]);
    let events = pair.events(Role::Client);
    let [Event::Failed(failed, notice)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((*failed, notice.code, notice.fault, notice.retry), (second, Code::Internal, Fault::Proxy, false));
}
