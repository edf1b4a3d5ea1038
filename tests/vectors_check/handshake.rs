//! `handshake.json`: section 3.

use core::time::Duration;

use bytes::BytesMut;
use serde_json::Value;
use xllm_proxy::proto::{
    AES_GCM, ClientConfig, Closed, Code, Connection, Credential, Error, Event, KeyId, Profile, ServerConfig, ServerKey,
    handshake::{Initiator, Responder, ServerHello},
    keys::Schedule,
};

use crate::{
    pair::{self, client_config, server_config},
    reading::{array, bytes, cases, name, number, secret, vectors},
};

pub(crate) fn said(fields: &Value) -> ServerHello {
    ServerHello {
        profile: Profile::from_number(number(&fields["profile"])).unwrap(),
        exchanges: number(&fields["max_exchanges"]).try_into().unwrap(),
        credit: number(&fields["upload_credit"]),
        buffered: number(&fields["max_buffered"]),
        idle: number(&fields["idle_seconds"]),
        unix_ms: number(&fields["clock_ms"]),
        node: fields["node"].as_str().map(Into::into),
        hold: number(&fields["hold_seconds"]),
        instance: fields["instance"].as_str().map(|_| array(&fields["instance"])),
    }
}

#[test]
fn both_sides_of_the_handshake_make_the_bytes_of_the_vectors() {
    let file = vectors!("handshake");
    let (mut clients, mut servers) = (0, 0);
    for case in cases(&file, "cases") {
        let name = name(case);
        let key = ServerKey::new(secret(&case["server_private"]));
        assert_eq!(*key.public(), array(&case["server_public"]), "{name}");
        let hash = array(&case["handshake_hash"]);
        let schedule = |k: &str| Schedule::new(&hash, &secret(&case[k]));
        let key_id = KeyId(array(&case["client_fields"]["key_id"]));
        let profile = Profile::from_number(number(&case["client_fields"]["profile"])).unwrap();
        let credential = Credential { key_id, psk: secret(&case["psk"]), server: *key.public() };
        let hellos = (array(&case["client_hello"]), array(&case["server_hello"]));

        if case["client_plain"] == true {
            let ephemeral = secret(&case["client_ephemeral_private"]);
            let (initiator, hello) = Initiator::start(&credential, profile, ephemeral, &AES_GCM).unwrap();
            assert_eq!(hello, hellos.0, "{name}");
            let (hello, traffic) = initiator.finish(&hellos.1).unwrap();
            assert_eq!(hello, said(&case["server_fields"]), "{name}");
            assert_eq!(traffic.client.key(), schedule("k1").key(), "{name}");
            assert_eq!(traffic.server.key(), schedule("k2").key(), "{name}");
            assert_eq!(traffic.server.iv(), schedule("k2").iv(), "{name}");
            clients += 1;
        }

        let ephemeral = secret(&case["server_ephemeral_private"]);
        let responder = Responder::open(&hellos.0, &key, ephemeral, &AES_GCM).unwrap();
        assert_eq!((responder.hello().key_id, responder.hello().profile), (key_id, profile), "{name}");
        let (answer, traffic) = responder.answer(&credential.psk, &said(&case["server_fields"])).unwrap();
        if case["server_plain"] == true {
            assert_eq!(answer, hellos.1, "{name}");
            assert_eq!(traffic.client.key(), schedule("k1").key(), "{name}");
            assert_eq!(traffic.server.key(), schedule("k2").key(), "{name}");
            servers += 1;
        }
    }
    assert!(clients >= 5 && servers >= 5, "{clients} {servers}");
}

#[test]
fn a_client_hello_that_a_server_must_refuse_gets_no_byte_and_a_close_at_the_deadline() {
    let file = vectors!("handshake");
    for case in cases(&file, "invalid") {
        let config = ServerConfig { keys: [ServerKey::new(secret(&case["server_private"]))].into(), ..server_config() };
        let deadline = config.hello_time;
        let mut server = pair::new_server(config, Duration::ZERO);
        server.receive(Duration::ZERO, &mut BytesMut::from(&bytes(&case["client_hello"])[..]));
        let expected = if case["opens"] == true { Code::Malformed } else { Code::Unauthentic };
        let Some(Event::Rejected(error)) = server.poll_event() else { panic!("accepted: {}", name(case)) };
        assert_eq!(error.code(), expected, "{}", name(case));
        assert!(!server.poll_transmit(Duration::ZERO, &mut BytesMut::new()), "{}", name(case));
        assert!(!server.is_closed(), "{}", name(case));
        assert_eq!(server.poll_timeout(), Some(deadline), "{}", name(case));
        server.handle_timeout(deadline);
        assert!(server.is_closed() && !server.poll_transmit(deadline, &mut BytesMut::new()), "{}", name(case));
    }
}

#[test]
fn a_server_hello_that_a_client_must_refuse_closes_without_a_record() {
    let file = vectors!("handshake");
    for case in cases(&file, "invalid_server") {
        let name = name(case);
        let key_id = KeyId(bytes(&case["client_payload"])[3..19].try_into().unwrap());
        let credential = Credential { key_id, psk: secret(&case["psk"]), server: array(&case["server_public"]) };
        let profile = Profile::from_number(number(&case["asked_profile"])).unwrap();
        let config = ClientConfig { credential, profile, ..client_config() };
        let ephemeral = secret(&case["client_ephemeral_private"]);
        let mut client = Connection::client(config, ephemeral, Duration::ZERO, &AES_GCM).unwrap();
        let mut out = BytesMut::new();
        assert!(client.poll_transmit(Duration::ZERO, &mut out));
        assert_eq!(out, bytes(&case["client_hello"]), "{name}");
        client.receive(Duration::ZERO, &mut BytesMut::from(&bytes(&case["server_hello"])[..]));
        let code = match client.poll_event().unwrap() {
            Event::Closed { why: Closed::ProfileRefused(_), .. } => "profile-refused",
            Event::Closed { why: Closed::Fault(Error::Malformed(_)), .. } => "malformed",
            Event::Closed { why: Closed::Fault(Error::Unauthentic("server hello")), .. } => "key-refused",
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(case["code"], code, "{name}");
        assert!(client.is_closed() && !client.poll_transmit(Duration::ZERO, &mut BytesMut::new()), "{name}");
    }
}
