//! A peer that has the right keys and says whatever the fuzzer wants.

use core::time::Duration;

use bytes::BytesMut;
use xllm_proxy::proto::{
    Connection, Event, Profile, Role, frame,
    handshake::{Initiator, Responder, Traffic},
    limits::{HELLO, RECORD_PLAINTEXT},
    record::{Opener, Sealer},
};

use crate::{QUICK, client, client_ephemeral, credential, hello, psk, receive, server, server_ephemeral, server_key};

/// A peer that did an honest handshake.
pub struct Peer {
    role: Role,
    sealer: Sealer,
    opener: Opener,
    heard: BytesMut,
}

impl Peer {
    /// A client of its own will, and the server that it talks to.
    pub fn client(profile: Profile, now: Duration) -> (Self, Connection) {
        let mut subject = server(now, &QUICK);
        let (initiator, hello) = Initiator::start(&credential(), profile, client_ephemeral(), &QUICK).expect("a hello");
        receive(&mut subject, now, &mut BytesMut::from(&hello[..]));
        let (_, traffic) = initiator.finish(&first(&mut subject, now)).expect("an honest server's hello");
        (Self::new(Role::Client, traffic), subject)
    }

    /// A server of its own will, and the client that talks to it.
    pub fn server(profile: Profile, now: Duration) -> (Self, Connection) {
        let mut subject = client(profile, now, &QUICK);
        let responder = Responder::open(&first(&mut subject, now), &server_key(), server_ephemeral(), &QUICK).expect("opens");
        let said = hello(profile);
        let (hello, traffic) = responder.answer(&psk(), &said).expect("answers");
        let events = receive(&mut subject, now, &mut BytesMut::from(&hello[..]));
        assert_eq!(events, [Event::Established(Some(said))]);
        (Self::new(Role::Server, traffic), subject)
    }

    fn new(role: Role, traffic: Traffic) -> Self {
        let (ours, theirs) = match role {
            Role::Client => (traffic.client, traffic.server),
            Role::Server => (traffic.server, traffic.client),
        };
        Self { role, sealer: Sealer::new(ours, &QUICK), opener: Opener::new(theirs, &QUICK), heard: BytesMut::new() }
    }

    /// Seals a record with this plaintext; an empty or oversized one is made to fit.
    pub fn seal(&mut self, out: &mut BytesMut, plaintext: &[u8]) {
        let start = Sealer::begin(out);
        let plaintext = if plaintext.is_empty() { &[0] } else { plaintext };
        out.extend_from_slice(&plaintext[..plaintext.len().min(RECORD_PLAINTEXT)]);
        self.sealer.seal(out, start).expect("a plaintext within its limits");
    }

    /// Opens what the subject sent. Whatever was done to it, its own records verify and their frames can be read.
    pub fn hear(&mut self, wire: &[u8]) {
        self.heard.extend_from_slice(wire);
        while let Some(record) = self.opener.open(&mut self.heard).expect("a subject's record verifies") {
            let mut at = 0;
            let mut some = false;
            while frame::decode(&record, &mut at, self.role.peer()).expect("a subject's frame can be read").is_some() {
                some = true;
            }
            assert!(some, "a record without a frame");
        }
        assert!(self.heard.is_empty(), "a subject sends whole records");
    }
}

/// The hello that this end sends.
pub fn first(end: &mut Connection, now: Duration) -> [u8; HELLO] {
    let mut out = BytesMut::new();
    assert!(end.poll_transmit(now, &mut out), "a hello is due");
    out[..].try_into().expect("a hello has one size")
}
