//! Both sides of the handshake, each against hellos that no key made, honest ones that were changed, and right ones with any payload.
//! What no key made is refused; a payload that is taken says what it is taken for, and the keys at both ends are the same.
//!
//! Script: which of these, then the payload, or places and values of the changes.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use support::{
    QUICK, START, Script, client, client_ephemeral, client_hello, credential, first, hello, psk, server_ephemeral,
    server_hello, server_key, use_secrets_of,
};
use xllm_proxy::proto::{
    Error, Profile,
    handshake::{Initiator, Responder},
    limits::HELLO,
};

fuzz_target!(|input: &[u8]| {
    let mut script = Script::new(input);
    let shape = script.byte();
    let profile = script.profile();
    use_secrets_of(shape.is_multiple_of(5).then_some(input));
    let (initiator, honest) = start(profile);
    match shape % 5 {
        0 => assert!(open(&script.array()).is_err(), "nobody has made it"),
        1 => {
            let mut changed = honest;
            change(&mut changed, &mut script);
            assert_eq!(open(&changed).is_ok(), changed == honest);
        }
        2 => {
            let hello = client_hello(&script.array());
            let Ok(responder) = open(&hello) else { return };
            assert!(matches!(responder.hello().profile, Profile::Off | Profile::Pad | Profile::Paced | Profile::Constant));
            responder.answer(&psk(), &support::hello(profile)).expect("whatever it asked, it can be answered");
        }
        3 => {
            let (mut answer, ours) = open(&honest).expect("honest").answer(&psk(), &hello(profile)).expect("answers");
            let before = answer;
            change(&mut answer, &mut script);
            match initiator.finish(&answer) {
                Ok((said, theirs)) => {
                    assert!(answer == before && said == hello(profile));
                    assert_eq!((ours.client.key(), ours.server.key()), (theirs.client.key(), theirs.server.key()));
                    assert_eq!((ours.client.iv(), ours.server.iv()), (theirs.client.iv(), theirs.server.iv()));
                }
                Err(error) => assert!(answer != before && matches!(error, Error::Unauthentic(_))),
            }
        }
        _ => {
            let answer = server_hello(&honest, &script.array());
            let Ok((said, _)) = initiator.finish(&answer) else { return };
            // What was read is written by a server, and read again, alike.
            let (again, _) = open(&honest).expect("honest").answer(&psk(), &said).expect("what was read can be said");
            let (heard, _) = start(profile).0.finish(&again).expect("honest");
            assert_eq!(said, heard);
            // And a whole client takes it or refuses it, and goes on living.
            let mut end = client(profile, START, &QUICK);
            first(&mut end, START);
            support::receive(&mut end, START, &mut BytesMut::from(&answer[..]));
        }
    }
});

fn start(profile: Profile) -> (Initiator, [u8; HELLO]) {
    Initiator::start(&credential(), profile, client_ephemeral(), &QUICK).expect("the credential is usable")
}

fn open(hello: &[u8; HELLO]) -> Result<Responder, Error> {
    Responder::open(hello, &server_key(), server_ephemeral(), &QUICK)
}

fn change(hello: &mut [u8; HELLO], script: &mut Script<'_>) {
    while !script.is_empty() {
        hello[usize::from(script.byte())] ^= script.byte();
    }
}
