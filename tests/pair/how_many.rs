//! How many exchanges may be open, at an end that keeps to it and against one that does not.

use bytes::Bytes;
use xllm_proxy::proto::{
    Closed, Code, Event, Fault, ServerConfig,
    frame::{BodyLength, Frame, Notice},
};

use crate::pair::{Pair, Scripted, client_config, closed, get, ok, post, server_config};

#[test]
fn a_client_opens_no_more_exchanges_than_its_server_allows() {
    let mut pair = Pair::with(client_config(), ServerConfig { exchanges: 2, ..server_config() }).establish();
    let first = pair.open(&get());
    pair.open(&get());
    assert!(!pair.client.can_open() && pair.client.request(pair.now, &get()).is_err());
    pair.respond(first, &ok());
    pair.finish(first, 0);
    assert_eq!(pair.open(&get()), 3);
}

#[test]
fn exchanges_too_many_are_refused_alone_and_their_numbers_are_used_up() {
    let mut peer = Scripted::established_client(ServerConfig { exchanges: 2, ..server_config() });
    let request = Frame::Request(Box::new(post(BodyLength::Unknown)));
    for number in 1..=3 {
        peer.frame(number, &request);
    }
    let [(3, Frame::Error { seq: 0, notice })] = &peer.hear()[..] else { panic!("not one error") };
    assert_eq!((notice.code, notice.retry), (Code::TooManyExchanges, true));
    peer.frame(3, &Frame::Body(Bytes::from_static(b"crossed it")));
    assert_eq!(peer.events().len(), 2);
    peer.subject.fail(1, &Notice::new(Code::Internal, Fault::Proxy, "x")).unwrap();
    assert_eq!(peer.hear().len(), 1);
    peer.frame(4, &request);
    assert!(matches!(peer.events()[..], [Event::Request(4, _)]));
    assert!(peer.hear().is_empty());
}

#[test]
fn a_flood_of_refused_exchanges_ends_the_session_and_nothing_else() {
    let mut peer = Scripted::established_client(ServerConfig { exchanges: 1, ..server_config() });
    for number in 1..=2_000 {
        peer.frame(number, &Frame::Request(Box::new(get())));
        if peer.subject.is_closed() {
            break;
        }
    }
    let events = peer.events();
    assert!(matches!(closed(&events), Some(Closed::Fault(error)) if error.code() == Code::Violation), "{:?}", closed(&events));
}
