//! Client hellos, good ones and such as no client would make.

use snow::Builder;
use xllm_proxy::proto::{
    AES_GCM, Credential, KeyId, Profile,
    crypto::{Secret, Suite},
    handshake::Initiator,
    limits::{HELLO, HELLO_PAYLOAD, PROLOGUE},
};

pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

/// A hello of this credential.
pub(crate) fn good(credential: &Credential) -> (Initiator, [u8; HELLO]) {
    Initiator::start(credential, Profile::Pad, Secret::new(random()), &AES_GCM).unwrap()
}

/// To this server, with a key ID that it does not know.
pub(crate) fn stranger(credential: &Credential) -> Credential {
    Credential { key_id: KeyId(random()), ..credential.clone() }
}

/// To this server, with a key ID that it knows and another PSK.
pub(crate) fn impostor(credential: &Credential) -> Credential {
    Credential { psk: Secret::new(random()), ..credential.clone() }
}

/// A hello that opens, with this payload and zeros behind it.
pub(crate) fn with_payload(server: &[u8; 32], head: &[u8]) -> [u8; HELLO] {
    let mut payload = [0; HELLO_PAYLOAD];
    payload[..head.len()].copy_from_slice(head);
    let params = "Noise_NKpsk2_25519_AESGCM_SHA256".parse().unwrap();
    let builder = Builder::with_resolver(params, AES_GCM.noise(Secret::new(random())));
    let builder = builder.prologue(PROLOGUE).unwrap().remote_public_key(server).unwrap().psk(2, &[7; 32]).unwrap();
    let mut hello = [0; HELLO];
    assert_eq!(builder.build_initiator().unwrap().write_message(&payload, &mut hello).unwrap(), HELLO);
    hello
}

/// Payloads that are malformed (sections 1.3 and 3.3), each behind a hello that opens.
pub(crate) fn malformed() -> Vec<Vec<u8>> {
    let mut id = vec![0xa1, 0x00, 0x50];
    id.extend([1; 16]);
    let with = |more: &[u8]| [&id[..], more].concat();
    let mut strict = with(&[0x01, 0x04]);
    strict[0] = 0xa2;
    vec![
        vec![],                       // no map
        vec![0xa0],                   // no key ID
        vec![0xa1, 0x00, 0x41, 0x01], // a short one
        vec![0xbf, 0xff],             // indefinite length
        vec![0xbb; 9],                // a map of 2^63 entries
        vec![0x81; HELLO_PAYLOAD],    // nested without end
        with(&[0x01]),                // padding that is not zero
        strict,                       // a profile that there is not
    ]
}
