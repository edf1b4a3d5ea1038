//! Records that arrive where they do not belong, and what is missing at an end: none of it is told, and none of it looks whole.

use bytes::BytesMut;
use xllm_proxy::proto::{
    AES_GCM, Closed, Code, Connection, Event, Role,
    crypto::Secret,
    frame::{BodyLength, Frame, GoAway, Response},
};

use crate::{
    BOTH, done,
    pair::{Pair, Scripted, client_config, closed, get, ok, post, server_config},
};

/// A session with an exchange, and the next record that this end gets, taken off the path.
fn underway(mut pair: Pair, to: Role) -> (Pair, BytesMut) {
    let number = pair.open(&post(BodyLength::Unknown));
    pair.respond(number, &ok());
    if to == Role::Client {
        pair.data(number, b"a piece");
    } else {
        pair.body(number, b"a piece");
    }
    pair.flush();
    let (_, record) = pair.link(to).under_way.pop_front().unwrap();
    assert!(pair.to_client.under_way.is_empty() && pair.to_server.under_way.is_empty());
    (pair, record)
}

/// This end is given a record that is not for it, and then the one that was due: it ends the session, and tells of neither.
fn refuses(pair: &mut Pair, to: Role, strange: &BytesMut, due: &BytesMut, what: &str) {
    let now = pair.now;
    pair.link(to).under_way.extend([(now, strange.clone()), (now, due.clone())]);
    pair.quiet();
    let events = pair.events(to);
    let [Event::Closed { why: Closed::Fault(error), .. }] = &events[..] else { panic!("{what}, {to:?}: {events:?}") };
    assert_eq!(error.code(), Code::Unauthentic, "{what}, {to:?}");
}

#[test]
fn a_record_that_comes_back_to_its_sender_ends_the_session() {
    for to in BOTH {
        // The same frames at the same place of either direction.
        let (mut pair, due) = underway(Pair::established(), to);
        let (_, sent) = underway(Pair::established(), to.peer());
        refuses(&mut pair, to, &sent, &due, "reflected");
    }
}

#[test]
fn a_record_of_another_session_of_the_same_client_ends_the_session() {
    let anew = |client: Option<u8>, server: Option<u8>| {
        let mut pair = Pair::new();
        let now = pair.now;
        if let Some(ephemeral) = client {
            pair.client = Connection::client(client_config(), Secret::new([ephemeral; 32]), now, &AES_GCM).unwrap();
        }
        if let Some(ephemeral) = server {
            pair.server =
                Connection::server(server_config(), Secret::new([ephemeral; 32]), Secret::new([5; 32]), now, &AES_GCM);
        }
        pair.establish()
    };
    for to in BOTH {
        // A hello that somebody sends again brings the one half of it.
        for (what, other) in [("both anew", anew(Some(33), Some(44))), ("the client's hello again", anew(None, Some(44)))] {
            let (mut pair, due) = underway(Pair::established(), to);
            let (_, strange) = underway(other, to);
            assert_ne!(strange, due);
            refuses(&mut pair, to, &strange, &due, what);
        }
        let (mut pair, due) = underway(Pair::established(), to);
        let (_, same) = underway(anew(Some(3), Some(4)), to);
        assert_eq!(same, due, "with the same randomness it would be the same session");
        let now = pair.now;
        pair.link(to).under_way.push_back((now, same));
        pair.quiet();
        assert_eq!(closed(&pair.events(to)), None);
    }
}

#[test]
fn nothing_counts_behind_the_end_of_a_session() {
    let goodbye = Frame::GoAway(GoAway { code: None, last: 0, text: String::new(), after: None });
    let mut client = Scripted::established_client(server_config());
    client.frame(0, &goodbye);
    assert_eq!(client.events()[..], [done()]);
    client.frame(1, &Frame::Request(Box::new(get())));
    let mut server = Scripted::established_server();
    server.frame(0, &goodbye);
    assert_eq!(server.events().last(), Some(&done()));
    server.frame(1, &Frame::Response(ok()));
    for mut peer in [client, server] {
        for behind in [&[0; 600][..], &[0xff; 3], b"HTTP/1.1 200 OK\r\n"] {
            peer.feed(behind);
        }
        assert_eq!((&peer.events()[..], &peer.hear()[..]), (&[][..], &[][..]), "{:?}", peer.subject.role());
    }
}

#[test]
fn an_answer_of_which_every_byte_came_is_not_whole_without_its_end() {
    let mut pair = Pair::established();
    let number = pair.open(&get());
    pair.respond(number, &Response { length: Some(5), ..ok() });
    pair.data(number, b"bytes");
    pair.quiet();
    assert!(matches!(pair.events(Role::Client)[..], [Event::Data(..)]));
    // END is sealed, and its record is cut at each place: at its border nothing of it is there.
    pair.server.end(number, vec![]).unwrap();
    pair.flush();
    let (_, record) = pair.to_client.under_way.pop_front().unwrap();
    pair.client.receive(pair.now, &mut BytesMut::from(&record[..record.len() - 1]));
    assert_eq!(pair.events(Role::Client)[..], []);
    pair.client.receive_end();
    assert_eq!(pair.events(Role::Client)[..], [Event::Closed { why: Closed::Lost { in_hello: false }, unsent: vec![] }]);
}

#[test]
fn an_upload_of_which_every_byte_came_is_not_whole_without_its_end() {
    let mut pair = Pair::established();
    let number = pair.open(&post(BodyLength::Known(5)));
    pair.body(number, b"bytes");
    pair.quiet();
    assert!(matches!(pair.events(Role::Server)[..], [Event::Body(..)]));
    pair.server.receive_end();
    assert_eq!(pair.events(Role::Server)[..], [Event::Closed { why: Closed::Lost { in_hello: false }, unsent: vec![] }]);
}
