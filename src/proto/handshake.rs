//! The handshake (section 3): initiator and responder, each step consuming the one before, so that nothing can be sent or
//! believed before the end.

use snow::{Builder, HandshakeState};
use zeroize::Zeroizing;

use super::{
    cbor::{MapReader, MapWriter, required},
    crypto::{Secret, Suite},
    error::Error,
    keys::{Credential, KeyId, Psk, Schedule, ServerKey},
    limits::{self, HELLO, HELLO_PAYLOAD},
    profile::Profile,
};

const PATTERN: &str = "Noise_NKpsk2_25519_AESGCM_SHA256";
/// Where the pattern mixes the PSK in.
const PSK_PLACE: u8 = 2;

/// What a client hello says (section 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientHello {
    /// Names the PSK.
    pub key_id: KeyId,
    /// Profile asked for.
    pub profile: Profile,
}

impl ClientHello {
    fn encode(&self) -> Vec<u8> {
        MapWriter::default().put(0, &self.key_id.0[..]).put(1, self.profile.number()).encode()
    }

    fn decode(payload: &[u8]) -> Result<Self, Error> {
        let mut map = padded_head(payload)?;
        let key_id = KeyId(required(map.array(0)?)?);
        let profile = map.uint(1)?.map_or(Ok(Profile::Pad), Profile::from_number)?;
        map.map(2)?; // parameters, reserved
        Ok(Self { key_id, profile })
    }
}

/// What a server hello says (section 3.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerHello {
    /// Profile in force.
    pub profile: Profile,
    /// Exchanges that the client may have open at once.
    pub exchanges: u32,
    /// Initial upload credit of each exchange, bytes.
    pub credit: u64,
    /// Largest response in buffered mode, bytes.
    pub buffered: u64,
    /// Seconds without an exchange after which the server ends the session.
    pub idle: u64,
    /// The server's clock, milliseconds since 1970.
    pub unix_ms: u64,
    /// Name of the node (section 7).
    pub node: Option<String>,
    /// Seconds for which a cut exchange is held; 0 where the server has no resumption.
    pub hold: u64,
    /// Tells this run of the server from every other: what is held is held by one (section 7.1).
    pub instance: Option<[u8; 8]>,
}

impl ServerHello {
    fn encode(&self) -> Vec<u8> {
        let mut map = MapWriter::default();
        map.put(1, self.profile.number()).put(3, self.exchanges).put(4, self.credit).put(5, self.buffered);
        map.put(6, self.idle).put(7, self.unix_ms).put_some(8, self.node.as_deref());
        map.put_some(9, (self.hold > 0).then_some(self.hold)).put_some(10, self.instance.as_ref().map(|id| &id[..])).encode()
    }

    fn decode(payload: &[u8]) -> Result<Self, Error> {
        let mut map = padded_head(payload)?;
        map.map(2)?; // parameters, reserved
        Ok(Self {
            profile: Profile::from_number(required(map.uint(1)?)?)?,
            exchanges: required(map.ranged(3, 1..=limits::EXCHANGES_MAX)?)?,
            credit: required(map.ranged(4, limits::CREDIT_MIN..=limits::CREDIT_MAX)?)?,
            buffered: required(map.uint(5)?)?,
            idle: required(map.uint(6)?)?,
            unix_ms: required(map.uint(7)?)?,
            node: map.text(8, limits::NODE_NAME)?,
            hold: map.uint(9)?.unwrap_or(0),
            instance: map.array(10)?,
        })
    }
}

/// One head, then zeros to the end (section 3.2).
fn padded_head(payload: &[u8]) -> Result<MapReader<'_>, Error> {
    let (map, rest) = MapReader::prefix(payload)?;
    if rest.iter().any(|&byte| byte != 0) {
        return Err(Error::Malformed("padding that is not zero"));
    }
    Ok(map)
}

fn payload(head: &[u8]) -> Result<[u8; HELLO_PAYLOAD], Error> {
    let mut payload = [0; HELLO_PAYLOAD];
    payload.get_mut(..head.len()).ok_or(Error::Misuse("a hello's parameters do not fit"))?.copy_from_slice(head);
    Ok(payload)
}

/// Both directions' secrets, fresh from the handshake.
#[derive(Debug)]
pub struct Traffic {
    /// Client to server.
    pub client: Schedule,
    /// Server to client.
    pub server: Schedule,
}

impl Traffic {
    fn split(mut state: HandshakeState) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(state.get_handshake_hash());
        let (k1, k2) = state.dangerously_get_raw_split();
        let (k1, k2) = (Zeroizing::new(k1), Zeroizing::new(k2));
        Self { client: Schedule::new(&hash, &Secret::new(*k1)), server: Schedule::new(&hash, &Secret::new(*k2)) }
    }
}

fn builder<'a>(suite: &dyn Suite, ephemeral: Secret<32>) -> Builder<'a> {
    let params = PATTERN.parse().expect("a pattern that snow knows");
    Builder::with_resolver(params, suite.noise(ephemeral)).prologue(limits::PROLOGUE).expect("the prologue is set once")
}

/// The client's side, between the hellos.
#[derive(Debug)]
pub struct Initiator(HandshakeState);

impl Initiator {
    /// Begins: gives the client hello to send. `ephemeral` must be fresh random bytes.
    ///
    /// # Errors
    /// [`Error::Unauthentic`] if the credential's server key is no usable X25519 point.
    pub fn start(
        credential: &Credential,
        profile: Profile,
        ephemeral: Secret<32>,
        suite: &dyn Suite,
    ) -> Result<(Self, [u8; HELLO]), Error> {
        let mut state = builder(suite, ephemeral)
            .remote_public_key(&credential.server)
            .and_then(|builder| builder.psk(PSK_PLACE, credential.psk.expose()))
            .and_then(Builder::build_initiator)
            .map_err(|_| Error::Misuse("the handshake could not begin"))?;
        let head = ClientHello { key_id: credential.key_id, profile }.encode();
        let mut hello = [0; HELLO];
        let written = state.write_message(&payload(&head)?, &mut hello).map_err(|_| Error::Unauthentic("server key"))?;
        debug_assert_eq!(written, HELLO, "a hello has one size");
        Ok((Self(state), hello))
    }

    /// Opens the server hello.
    ///
    /// # Errors
    /// [`Error::Unauthentic`] if it does not open (section 3.8), [`Error::Malformed`] if its payload cannot be read.
    pub fn finish(mut self, hello: &[u8; HELLO]) -> Result<(ServerHello, Traffic), Error> {
        let mut payload = [0; HELLO_PAYLOAD];
        self.0.read_message(hello, &mut payload).map_err(|_| Error::Unauthentic("server hello"))?;
        Ok((ServerHello::decode(&payload)?, Traffic::split(self.0)))
    }
}

/// The server's side, after the client hello was opened and before the PSK is known.
#[derive(Debug)]
pub struct Responder {
    state: HandshakeState,
    hello: ClientHello,
}

impl Responder {
    /// Opens a client hello. `ephemeral` must be fresh random bytes.
    ///
    /// # Errors
    /// [`Error::Unauthentic`] if it does not open, [`Error::Malformed`] if its payload cannot be read. Either is answered with
    /// silence (section 3.7).
    pub fn open(hello: &[u8; HELLO], key: &ServerKey, ephemeral: Secret<32>, suite: &dyn Suite) -> Result<Self, Error> {
        let mut state = builder(suite, ephemeral)
            .local_private_key(key.private().expose())
            .and_then(Builder::build_responder)
            .map_err(|_| Error::Misuse("the handshake could not begin"))?;
        let mut payload = [0; HELLO_PAYLOAD];
        state.read_message(hello, &mut payload).map_err(|_| Error::Unauthentic("client hello"))?;
        Ok(Self { state, hello: ClientHello::decode(&payload)? })
    }

    /// What the client said.
    pub const fn hello(&self) -> &ClientHello {
        &self.hello
    }

    /// Answers under this PSK: gives the server hello to send. For an unknown key ID, pass random bytes (section 3.6).
    ///
    /// # Errors
    /// [`Error::Unauthentic`] if the client's ephemeral key is no usable point, [`Error::Misuse`] if `hello` does not fit.
    pub fn answer(mut self, psk: &Psk, hello: &ServerHello) -> Result<([u8; HELLO], Traffic), Error> {
        self.state.set_psk(PSK_PLACE.into(), psk.expose()).map_err(|_| Error::Misuse("the handshake takes no PSK"))?;
        let mut out = [0; HELLO];
        let written =
            self.state.write_message(&payload(&hello.encode())?, &mut out).map_err(|_| Error::Unauthentic("client hello"))?;
        debug_assert_eq!(written, HELLO, "a hello has one size");
        Ok((out, Traffic::split(self.state)))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::suite::AES_GCM, *};

    fn hello() -> ServerHello {
        ServerHello {
            profile: Profile::Pad,
            exchanges: 100,
            credit: 1 << 20,
            buffered: 1 << 23,
            idle: 600,
            unix_ms: 1_800_000_000_000,
            node: Some("a".repeat(64)),
            hold: 60,
            instance: Some([7; 8]),
        }
    }

    fn pair() -> (ServerKey, Credential) {
        let key = ServerKey::new(Secret::new([9; 32]));
        let credential = Credential { key_id: KeyId([1; 16]), psk: Secret::new([2; 32]), server: *key.public() };
        (key, credential)
    }

    #[test]
    fn both_sides_arrive_at_the_same_keys() {
        let (key, credential) = pair();
        let (initiator, first) = Initiator::start(&credential, Profile::Off, Secret::new([3; 32]), &AES_GCM).expect("starts");
        let responder = Responder::open(&first, &key, Secret::new([4; 32]), &AES_GCM).expect("opens");
        assert_eq!(*responder.hello(), ClientHello { key_id: KeyId([1; 16]), profile: Profile::Off });
        let (second, ours) = responder.answer(&credential.psk, &hello()).expect("answers");
        let (said, theirs) = initiator.finish(&second).expect("finishes");
        assert_eq!(said, hello());
        assert_eq!(ours.client.key(), theirs.client.key());
        assert_eq!(ours.server.iv(), theirs.server.iv());
        assert_ne!(ours.client.key(), ours.server.key(), "each direction has its own");
    }

    #[test]
    fn a_wrong_psk_or_any_changed_byte_is_refused() {
        let (key, credential) = pair();
        let start = || Initiator::start(&credential, Profile::Pad, Secret::new([3; 32]), &AES_GCM).expect("starts");
        let (_, first) = start();
        for at in 0..HELLO {
            let mut changed = first;
            changed[at] ^= 0x80;
            // X25519 ignores the top bit of a public key, but the transcript does not.
            assert!(Responder::open(&changed, &key, Secret::new([4; 32]), &AES_GCM).is_err(), "client hello at {at}");
        }
        let open = || Responder::open(&first, &key, Secret::new([4; 32]), &AES_GCM).expect("opens");
        let (second, _) = open().answer(&credential.psk, &hello()).expect("answers");
        for at in 0..HELLO {
            let mut changed = second;
            changed[at] ^= 1;
            assert!(start().0.finish(&changed).is_err(), "server hello at {at}");
        }
        let (wrong, _) = open().answer(&Secret::new([8; 32]), &hello()).expect("answers");
        assert_eq!(start().0.finish(&wrong).err(), Some(Error::Unauthentic("server hello")));
    }

    #[test]
    fn a_hello_that_does_not_fit_is_refused() {
        let (key, credential) = pair();
        let (_, first) = Initiator::start(&credential, Profile::Pad, Secret::new([3; 32]), &AES_GCM).expect("starts");
        let responder = Responder::open(&first, &key, Secret::new([4; 32]), &AES_GCM).expect("opens");
        let long = ServerHello { node: Some("a".repeat(HELLO_PAYLOAD)), ..hello() };
        assert!(matches!(responder.answer(&credential.psk, &long), Err(Error::Misuse(_))));
    }

    #[test]
    fn a_hello_that_lacks_what_it_must_say_or_says_it_in_another_way_is_malformed() {
        let encoded = |pairs: &[(u64, ciborium::Value)]| {
            let mut map = MapWriter::default();
            for (key, value) in pairs {
                map.put(*key, value.clone());
            }
            map.encode()
        };
        let pairs = |head: Vec<u8>| -> Vec<(u64, ciborium::Value)> {
            let head: ciborium::Value = ciborium::from_reader(&head[..]).expect("CBOR");
            let number = |key: ciborium::Value| key.into_integer().ok().and_then(|key| key.try_into().ok()).expect("a number");
            head.into_map().expect("a map").into_iter().map(|(key, value)| (number(key), value)).collect()
        };
        let client = ClientHello { key_id: KeyId([1; 16]), profile: Profile::Off };
        let (client_said, server_said) = (pairs(client.encode()), pairs(hello().encode()));
        let read_client = |pairs: &[(u64, ciborium::Value)]| ClientHello::decode(&encoded(pairs));
        let read_server = |pairs: &[(u64, ciborium::Value)]| ServerHello::decode(&encoded(pairs));
        assert_eq!((read_client(&client_said), read_server(&server_said)), (Ok(client), Ok(hello())));
        for strange in [ciborium::Value::Bool(true), ciborium::Value::Array(vec![])] {
            let wrong = |pairs: &[(u64, ciborium::Value)], at: usize| {
                let mut pairs = pairs.to_vec();
                pairs[at].1 = strange.clone();
                pairs
            };
            for at in 0..client_said.len() {
                assert!(matches!(read_client(&wrong(&client_said, at)), Err(Error::Malformed(_))), "client, {at}");
            }
            for at in 0..server_said.len() {
                assert!(matches!(read_server(&wrong(&server_said, at)), Err(Error::Malformed(_))), "server, {at}");
            }
        }
        for at in 0..server_said.len() {
            let mut without = server_said.clone();
            let (key, _) = without.remove(at);
            let read = read_server(&without);
            let may = matches!(key, 8..=10);
            assert_eq!(read.is_ok(), may, "without {key}");
            assert_ne!(read, Ok(hello()));
        }
        assert!(read_client(&client_said[1..]).is_err(), "without a key ID");
        assert_eq!(read_client(&client_said[..1]).expect("may lack a profile").profile, Profile::Pad);
    }

    #[test]
    fn a_server_key_of_small_order_is_refused() {
        let (_, credential) = pair();
        let broken = Credential { server: [0; 32], ..credential };
        assert!(Initiator::start(&broken, Profile::Pad, Secret::new([3; 32]), &AES_GCM).is_err());
    }
}
