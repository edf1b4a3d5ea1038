//! The handshake, what the two ends agree on in it, and what a server lets out before it.

use core::time::Duration;

use bytes::BytesMut;
use xllm_proxy::proto::{
    AES_GCM, ClientConfig, Closed, Code, Connection, Error, Event, KeyId, Profile, Role, ServerConfig, ServerKey, Terms,
    crypto::Secret, limits,
};

use crate::{
    BOTH,
    pair::{
        self, Pair, Scripted, client_config, closed, get, ms, new_client, new_server, ok, psk, secs, server_config,
        server_hello,
    },
};

#[test]
fn a_session_is_established_in_one_round_trip_and_the_client_proves_its_key_at_once() {
    let mut pair = Pair::new();
    pair.latency = ms(40);
    let start = pair.now;
    pair.quiet();
    let Event::Established(Some(hello)) = &pair.events(Role::Client)[0] else { panic!("not established") };
    assert_eq!((hello.profile, hello.exchanges, hello.credit), (Profile::Pad, 256, 1 << 20));
    assert_eq!(pair.events(Role::Server)[..], [Event::Hello(KeyId([1; 16])), Event::Established(None)]);
    // Hello, hello, PING, PONG.
    assert_eq!(pair.now - start, ms(160));
    assert_eq!((&pair.to_server.writes[..], &pair.to_client.writes[..]), (&[256, 530][..], &[256, 530][..]));
}

#[test]
fn the_first_request_is_the_proof_of_the_key_if_it_is_there_in_time() {
    let mut pair = Pair::new();
    pair.flush();
    pair.deliver();
    pair.flush();
    pair.deliver();
    let number = pair.client.request(pair.now, &get()).unwrap();
    pair.quiet();
    let events = pair.events(Role::Server);
    assert!(matches!(events[..], [Event::Hello(_), Event::Established(None), Event::Request(1, _)]), "{events:?}");
    assert_eq!((number, &pair.to_server.writes[..]), (1, &[256, 530][..]));
}

#[test]
fn an_unknown_key_and_a_wrong_one_look_the_same() {
    let attempt = |keys| {
        let mut pair = Pair::new();
        pair.keys = keys;
        pair.quiet();
        let client = pair.events(Role::Client);
        assert!(matches!(closed(&client), Some(Closed::Fault(error)) if error.code() == Code::Unauthentic), "{client:?}");
        let before = pair.server.poll_timeout();
        pair.pass(secs(9));
        assert!(!pair.server.is_closed());
        pair.pass(secs(1));
        (client, pair.events(Role::Server), before, pair.to_client.writes, pair.to_server.writes)
    };
    let unknown = attempt(vec![]);
    assert_eq!(unknown, attempt(vec![(KeyId([1; 16]), Secret::new([77; 32]))]));
    assert_eq!((&unknown.3[..], &unknown.4[..]), (&[256][..], &[256][..]));
}

#[test]
fn a_server_that_demands_a_stricter_profile_gets_it() {
    for (asked, demanded, expected) in [
        (Profile::Off, Profile::Off, Profile::Off),
        (Profile::Off, Profile::Pad, Profile::Pad),
        (Profile::Pad, Profile::Off, Profile::Pad),
        (Profile::Off, Profile::Constant, Profile::Pad),
    ] {
        let client = ClientConfig { profile: asked, ..client_config() };
        let mut pair = Pair::with(client, ServerConfig { profile: demanded, ..server_config() });
        pair.quiet();
        let Event::Established(Some(hello)) = &pair.events(Role::Client)[0] else { panic!("not established") };
        assert_eq!(hello.profile, expected);
        let padded = pair.to_server.writes[1] == 530 && pair.to_client.writes[1] == 530;
        assert_eq!(padded, expected == Profile::Pad);
    }
}

#[test]
fn a_client_refuses_a_weaker_profile_and_one_that_it_does_not_have_without_a_record() {
    for asked in [Profile::Paced, Profile::Constant] {
        let mut pair = Pair::with(ClientConfig { profile: asked, ..client_config() }, server_config());
        pair.quiet();
        assert_eq!(closed(&pair.events(Role::Client)), Some(&Closed::ProfileRefused(Profile::Pad)));
        assert_eq!(pair.to_server.writes, [256]);
    }
    for (asked, said) in [(Profile::Pad, Profile::Off), (Profile::Pad, Profile::Paced), (Profile::Off, Profile::Constant)] {
        let mut peer = Scripted::server(ClientConfig { profile: asked, ..client_config() }, &server_hello(said));
        assert_eq!(closed(&peer.events()), Some(&Closed::ProfileRefused(said)));
        assert!(peer.hear().is_empty());
    }
}

#[test]
fn hellos_have_deadlines_at_both_ends() {
    let mut pair = Pair::new();
    (pair.to_server.cut, pair.to_client.cut) = (true, true);
    pair.pass(ms(9_999));
    assert!(!pair.client.is_closed() && !pair.server.is_closed());
    pair.pass(ms(1));
    for role in BOTH {
        assert_eq!(closed(&pair.events(role)), Some(&Closed::TimedOut { in_hello: true }), "{role:?}");
    }
    assert!(pair.to_client.sent.is_empty());

    let mut silent = Scripted::client(server_config());
    silent.now += ms(9_999);
    silent.subject.handle_timeout(silent.now);
    assert!(!silent.subject.is_closed());
    silent.now += ms(1);
    silent.subject.handle_timeout(silent.now);
    assert_eq!(closed(&silent.events()), Some(&Closed::TimedOut { in_hello: true }));
    assert!(silent.hear().is_empty());
}

#[test]
fn garbage_before_authentication_gets_no_byte_and_a_close_at_the_deadline_only() {
    let noise: Vec<u8> = (0..70_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let silent = |mut server: Connection, garbage: &[u8], step: usize| {
        let mut input = BytesMut::new();
        for piece in garbage.chunks(step) {
            input.extend_from_slice(piece);
            server.receive(ms(3), &mut input);
            assert!(!server.poll_transmit(ms(3), &mut BytesMut::new()) && !server.is_closed());
            assert!(input.len() <= 16_402, "what is thrown away is not kept");
        }
        assert_eq!(server.poll_timeout(), Some(limits::HELLO_TIME));
        server.handle_timeout(limits::HELLO_TIME - ms(1));
        assert!(!server.is_closed());
        server.handle_timeout(limits::HELLO_TIME);
        assert!(server.is_closed() && !server.poll_transmit(limits::HELLO_TIME, &mut BytesMut::new()));
    };
    for garbage in [&noise[..1], &noise[..255], &noise[..256], &noise[..], b"GET / HTTP/1.1\r\nhost: proxy\r\n\r\n", &[0; 600]]
    {
        for step in [1.max(garbage.len() / 300), 7, 256, 70_000] {
            silent(new_server(server_config(), Duration::ZERO), garbage, step);
        }
    }
    // The same behind a hello that opens.
    for garbage in [&noise[..100], &noise[..], &[0, 17, 1], &[0, 16], &[0xff, 0xff], &[0; 20]] {
        for step in [1.max(garbage.len() / 300), 70_000] {
            let mut server = new_server(server_config(), Duration::ZERO);
            let mut hello = BytesMut::new();
            new_client(client_config(), Duration::ZERO).poll_transmit(Duration::ZERO, &mut hello);
            server.receive(Duration::ZERO, &mut hello);
            server.answer_hello(Some(&psk()), &Terms::default(), 0).unwrap();
            assert!(server.poll_transmit(Duration::ZERO, &mut hello));
            silent(server, garbage, step);
        }
    }
}

#[test]
fn an_answer_to_a_hello_that_is_not_there_is_refused_and_changes_nothing() {
    let misuse = |end: &mut Connection| {
        let answer = end.answer_hello(Some(&psk()), &Terms::default(), 0);
        assert!(matches!(answer, Err(Error::Misuse(_))), "{answer:?}");
    };
    let mut pair = Pair::new();
    misuse(&mut pair.client);
    misuse(&mut pair.server);
    let mut pair = pair.establish();
    misuse(&mut pair.client);
    misuse(&mut pair.server);
    let number = pair.open(&get());
    pair.respond(number, &ok());
}

#[test]
fn a_server_that_cannot_say_who_it_is_answers_no_hello() {
    let node = "a".repeat(limits::HELLO_PAYLOAD);
    let mut pair = Pair::with(client_config(), ServerConfig { node: Some(node.into()), ..server_config() });
    pair.quiet();
    let events = pair.events(Role::Server);
    assert!(matches!(events[..], [Event::Hello(_), Event::Rejected(Error::Misuse(_))]), "{events:?}");
    assert!(pair.to_client.sent.is_empty());
}

#[test]
fn a_stranger_that_goes_away_is_over_in_order() {
    let mut server = new_server(server_config(), Duration::ZERO);
    server.receive(Duration::ZERO, &mut BytesMut::from(&[7; limits::HELLO][..]));
    assert!(matches!(server.poll_event(), Some(Event::Rejected(_))));
    server.receive_end();
    server.receive_end();
    assert_eq!((server.poll_event(), server.poll_event()), (Some(crate::done()), None));
}

#[test]
fn a_hello_that_opens_is_answered_whatever_came_right_behind_it() {
    for garbage in [&[0, 0][..], &[0xff; 2], &[0; 700]] {
        let mut server = new_server(server_config(), Duration::ZERO);
        let mut input = BytesMut::new();
        new_client(client_config(), Duration::ZERO).poll_transmit(Duration::ZERO, &mut input);
        input.extend_from_slice(garbage);
        server.receive(Duration::ZERO, &mut input);
        server.answer_hello(Some(&psk()), &Terms::default(), 0).unwrap();
        server.receive(Duration::ZERO, &mut input);
        let mut answer = BytesMut::new();
        assert!(server.poll_transmit(Duration::ZERO, &mut answer) && !server.is_closed());
        assert_eq!((answer.len(), server.poll_transmit(Duration::ZERO, &mut answer)), (256, false));
    }
}

#[test]
fn a_server_is_known_by_each_of_its_keys() {
    let new = ServerKey::new(Secret::new([42; 32]));
    let keys = [new.clone(), pair::server_key()];
    for known_by in &keys {
        let credential = xllm_proxy::proto::Credential { server: *known_by.public(), ..pair::credential() };
        let server = ServerConfig { keys: keys.clone().into(), ..server_config() };
        Pair::with(ClientConfig { credential, ..client_config() }, server).establish();
    }
    let foreign = *ServerKey::new(Secret::new([43; 32])).public();
    let credential = xllm_proxy::proto::Credential { server: foreign, ..pair::credential() };
    let mut pair =
        Pair::with(ClientConfig { credential, ..client_config() }, ServerConfig { keys: keys.into(), ..server_config() });
    pair.quiet();
    assert!(matches!(pair.events(Role::Server)[..], [Event::Rejected(error)] if error.code() == Code::Unauthentic));
}

#[test]
fn a_server_key_of_small_order_is_refused_before_anything_is_sent() {
    let credential = xllm_proxy::proto::Credential { server: [0; 32], ..pair::credential() };
    let config = ClientConfig { credential, ..client_config() };
    assert!(Connection::client(config, Secret::new([3; 32]), Duration::ZERO, &AES_GCM).is_err());
}
