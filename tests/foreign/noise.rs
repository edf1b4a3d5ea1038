//! The Noise vectors of cacophony, by snow with the resolver of our suites.

use serde_json::Value;
use snow::{
    Builder, HandshakeState, TransportState,
    params::{HandshakeModifier, NoiseParams},
};
use xllm_proxy::proto::crypto::{Secret, Suite};

use crate::{
    reading::{array, bytes, cases, vectors},
    suites,
};

const OURS: &str = "Noise_NKpsk2_25519_AESGCM_SHA256";

/// One side (`init` or `resp`) of a vector, before its first message.
fn side(suite: &dyn Suite, vector: &Value, which: &str) -> HandshakeState {
    let field = |name: &str| vector.get(format!("{which}_{name}")).map(bytes);
    let params = params(vector);
    let places: Vec<_> = params
        .handshake
        .modifiers
        .list
        .iter()
        .map(|modifier| match modifier {
            HandshakeModifier::Psk(place) => *place,
            HandshakeModifier::Fallback => panic!("a vector of a pattern that falls back"),
        })
        .collect();
    // The resolver's only randomness: what the side draws as its ephemeral key. The responder of a one-way pattern has none.
    let ephemeral = field("ephemeral").map_or([0; 32], |key| key.try_into().unwrap());
    let (prologue, own, remote, psks) =
        (field("prologue").unwrap(), field("static"), field("remote_static"), psks(vector, which));
    let mut builder = Builder::with_resolver(params, suite.noise(Secret::new(ephemeral))).prologue(&prologue).unwrap();
    if let Some(key) = &own {
        builder = builder.local_private_key(key).unwrap();
    }
    if let Some(key) = &remote {
        builder = builder.remote_public_key(key).unwrap();
    }
    assert_eq!(places.len(), psks.len());
    for (place, psk) in places.into_iter().zip(&psks) {
        builder = builder.psk(place, psk).unwrap();
    }
    if which == "init" { builder.build_initiator() } else { builder.build_responder() }.unwrap()
}

fn psks(vector: &Value, which: &str) -> Vec<[u8; 32]> {
    vector.get(format!("{which}_psks")).map(|list| list.as_array().unwrap().iter().map(array).collect()).unwrap_or_default()
}

fn messages(vector: &Value) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    cases(vector, "messages").iter().map(|message| (bytes(&message["payload"]), bytes(&message["ciphertext"])))
}

/// Runs the handshake, and gives both sides at its end with how many messages it took.
fn shake(suite: &dyn Suite, vector: &Value) -> (HandshakeState, HandshakeState, usize) {
    let name = &vector["protocol_name"];
    let (mut init, mut resp) = (side(suite, vector, "init"), side(suite, vector, "resp"));
    let mut count = 0;
    for (payload, sealed) in messages(vector) {
        if init.is_handshake_finished() {
            break;
        }
        let (from, to) = if count % 2 == 0 { (&mut init, &mut resp) } else { (&mut resp, &mut init) };
        let mut out = [0; 1024];
        let written = from.write_message(&payload, &mut out).unwrap();
        assert_eq!(out[..written], sealed, "{name}, message {count}");
        let read = to.read_message(&sealed, &mut out).unwrap();
        assert_eq!(out[..read], payload, "{name}, message {count}");
        count += 1;
    }
    assert!(init.is_handshake_finished() && resp.is_handshake_finished(), "{name}");
    for side in [&init, &resp] {
        assert_eq!(side.get_handshake_hash(), bytes(&vector["handshake_hash"]), "{name}");
    }
    (init, resp, count)
}

/// Sends what follows the handshake, and gives how many messages that were.
fn transport(vector: &Value, (init, resp, before): (HandshakeState, HandshakeState, usize)) -> usize {
    let name = &vector["protocol_name"];
    let one_way = params(vector).handshake.pattern.is_oneway();
    let [mut init, mut resp]: [TransportState; 2] = [init, resp].map(|side| side.into_transport_mode().unwrap());
    let mut count = 0;
    for (payload, sealed) in messages(vector).skip(before) {
        let turn = one_way || (before + count) % 2 == 0;
        let (from, to) = if turn { (&mut init, &mut resp) } else { (&mut resp, &mut init) };
        let mut out = [0; 1024];
        let written = from.write_message(&payload, &mut out).unwrap();
        assert_eq!(out[..written], sealed, "{name}, message {count} of the transport");
        let mut changed = sealed.clone();
        changed[0] ^= 1;
        assert!(to.read_message(&changed, &mut out).is_err(), "{name}, message {count} of the transport, changed");
        let read = to.read_message(&sealed, &mut out).unwrap();
        assert_eq!(out[..read], payload, "{name}, message {count} of the transport");
        count += 1;
    }
    count
}

fn params(vector: &Value) -> NoiseParams {
    vector["protocol_name"].as_str().unwrap().parse().unwrap()
}

#[test]
fn every_pattern_on_our_primitives_says_what_the_vectors_say_message_by_message() {
    let file = vectors!("foreign/noise");
    let vectors = cases(&file, "vectors");
    assert_eq!((vectors.len(), vectors.iter().filter(|vector| vector["protocol_name"] == OURS).count()), (59, 1));
    for suite in suites() {
        let (mut handshake, mut after) = (0, 0);
        for vector in vectors {
            let ends = shake(suite, vector);
            handshake += ends.2;
            after += transport(vector, ends);
        }
        assert_eq!((handshake, after), (143, 211), "{suite:?}");
    }
}

#[test]
fn the_keys_that_records_are_made_of_are_those_that_seal_the_transport_of_our_pattern() {
    let file = vectors!("foreign/noise");
    let vector = cases(&file, "vectors").iter().find(|vector| vector["protocol_name"] == OURS).unwrap();
    for suite in suites() {
        let (mut init, mut resp, before) = shake(suite, vector);
        let (k1, k2) = init.dangerously_get_raw_split();
        assert_eq!((k1, k2), resp.dangerously_get_raw_split());
        let ciphers = [k1, k2].map(|key| suite.aead(&Secret::new(key)));
        let mut count = 0;
        for (payload, sealed) in messages(vector).skip(before) {
            let mut nonce = [0; 12];
            nonce[4..].copy_from_slice(&(count as u64 / 2).to_be_bytes());
            let mut out = payload.clone();
            let tag = ciphers[count % 2].seal(&nonce, &[], &mut out);
            out.extend(tag);
            assert_eq!(out, sealed, "{suite:?}, message {count}");
            assert_eq!(ciphers[count % 2].open(&nonce, &[], &mut out), Ok(payload.len()), "{suite:?}, message {count}");
            count += 1;
        }
        assert!(count >= 4, "{count}");
    }
}
