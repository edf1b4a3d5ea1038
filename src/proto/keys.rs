//! Keys at rest and in use: the credential (section 2), the server's key, and the schedule of record keys (section 4.1).

use core::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, Zeroizing};

use super::crypto::Secret;

/// What every credential begins with, so that secret scanners find a leaked one.
const PREFIX: &str = "xllm1_";
/// Bytes inside a credential: key ID, PSK, server's public key, checksum.
const CREDENTIAL: usize = 16 + 32 + 32 + 4;
/// Characters behind the prefix.
const CREDENTIAL_CHARS: usize = CREDENTIAL * 4 / 3;

/// Names a pre-shared key. Not secret, but hidden from the path.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub [u8; 16]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl FromStr for KeyId {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let mut id = [0; 16];
        if text.len() != 32 {
            return Err(KeyError::Length { expected: 32, found: text.chars().count() });
        }
        if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(KeyError::Alphabet);
        }
        for (at, byte) in id.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| KeyError::Alphabet)?;
        }
        Ok(Self(id))
    }
}

/// A pre-shared key: 32 random bytes, never a password.
pub type Psk = Secret<32>;

/// The text of key material, wrong in some way. Never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Does not begin as it must.
    #[error("it does not begin with `xllm1_`; a credential is the one line that `xllm-proxy client add NAME` prints")]
    Prefix,
    /// Too short or too long: part of the line is missing, or something was pasted behind it.
    #[error("it has {found} characters instead of {expected}: part of it is missing, or something was pasted with it")]
    Length {
        /// Characters it should have.
        expected: usize,
        /// Characters it has.
        found: usize,
    },
    /// A character that cannot occur.
    #[error("it holds a character that cannot occur in it")]
    Alphabet,
    /// A typing error.
    #[error("its checksum is wrong: a character was changed on the way")]
    Checksum,
}

/// All that a client needs to reach its server (section 2.1).
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// Names the key.
    pub key_id: KeyId,
    /// The pre-shared key.
    pub psk: Psk,
    /// The server's static public key.
    pub server: [u8; 32],
}

impl Credential {
    /// The line that `client add` prints. Handle it as the secret that it is.
    pub fn reveal(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0; CREDENTIAL]);
        bytes[..16].copy_from_slice(&self.key_id.0);
        bytes[16..48].copy_from_slice(self.psk.expose());
        bytes[48..80].copy_from_slice(&self.server);
        let checksum = checksum(&bytes[..80]);
        bytes[80..].copy_from_slice(&checksum);
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + CREDENTIAL_CHARS));
        text.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(&bytes[..], &mut text);
        text
    }
}

fn checksum(bytes: &[u8]) -> [u8; 4] {
    let digest: [u8; 32] = Sha256::new().chain_update(PREFIX).chain_update(bytes).finalize().into();
    [digest[0], digest[1], digest[2], digest[3]]
}

impl FromStr for Credential {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let body = text.trim_ascii().strip_prefix(PREFIX).ok_or(KeyError::Prefix)?;
        let found = body.chars().count();
        if found != CREDENTIAL_CHARS {
            return Err(KeyError::Length { expected: PREFIX.len() + CREDENTIAL_CHARS, found: PREFIX.len() + found });
        }
        let mut bytes = Zeroizing::new([0; CREDENTIAL]);
        let read = URL_SAFE_NO_PAD.decode_slice(body, &mut bytes[..]).map_err(|_| KeyError::Alphabet)?;
        debug_assert_eq!(read, CREDENTIAL, "112 characters are 84 bytes");
        if checksum(&bytes[..80]) != bytes[80..] {
            return Err(KeyError::Checksum);
        }
        let mut credential = Self { key_id: KeyId([0; 16]), psk: Secret::new([0; 32]), server: [0; 32] };
        credential.key_id.0.copy_from_slice(&bytes[..16]);
        credential.psk.expose_mut().copy_from_slice(&bytes[16..48]);
        credential.server.copy_from_slice(&bytes[48..80]);
        Ok(credential)
    }
}

/// Shows the key ID alone.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// The server's static X25519 key.
#[derive(Clone)]
pub struct ServerKey {
    private: Secret<32>,
    public: [u8; 32],
}

impl ServerKey {
    /// The key whose private half is these bytes.
    pub fn new(private: Secret<32>) -> Self {
        let public = PublicKey::from(&StaticSecret::from(*private.expose())).to_bytes();
        Self { private, public }
    }

    /// The public half, as credentials carry it.
    pub const fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// The private half.
    pub const fn private(&self) -> &Secret<32> {
        &self.private
    }
}

impl fmt::Debug for ServerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerKey(…)")
    }
}

/// One direction's secret in one epoch (section 4.1). Consumed to get the next: an old one cannot be used again.
#[derive(Debug)]
pub struct Schedule(Secret<32>);

impl Schedule {
    /// `secret[0]` of a direction whose `Split()` key is `k`, bound to the transcript by the handshake hash.
    pub fn new(handshake_hash: &[u8; 32], k: &Secret<32>) -> Self {
        let (mut prk, _) = Hkdf::<Sha256>::extract(Some(handshake_hash), k.expose());
        let secret = Secret::new(prk.into());
        prk.as_mut_slice().zeroize();
        Self(secret)
    }

    fn expand<const N: usize>(&self, label: &[u8]) -> Secret<N> {
        let mut out = Secret::new([0; N]);
        Hkdf::<Sha256>::from_prk(self.0.expose())
            .expect("32 bytes are a PRK of SHA-256")
            .expand(label, out.expose_mut())
            .expect("at most 32 bytes are asked for");
        out
    }

    /// `key[e]`.
    pub fn key(&self) -> Secret<32> {
        self.expand(b"xllm/1 key")
    }

    /// `iv[e]`.
    pub fn iv(&self) -> Secret<12> {
        self.expand(b"xllm/1 iv")
    }

    /// `secret[e + 1]`; this one is wiped.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.expand(b"xllm/1 next"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential() -> Credential {
        Credential { key_id: KeyId([1; 16]), psk: Secret::new([2; 32]), server: [3; 32] }
    }

    #[test]
    fn a_credential_survives_its_text() {
        let text = credential().reveal();
        assert_eq!(text.len(), 118);
        assert_eq!(text.parse(), Ok(credential()));
        assert_eq!(format!(" {}\n", *text).parse(), Ok(credential()));
    }

    #[test]
    fn each_way_of_being_wrong_is_told_apart() {
        let text = credential().reveal();
        assert_eq!("sk-ant-123".parse::<Credential>(), Err(KeyError::Prefix));
        assert_eq!(text[..100].parse::<Credential>(), Err(KeyError::Length { expected: 118, found: 100 }));
        assert_eq!(text.replace('A', "!").parse::<Credential>(), Err(KeyError::Alphabet));
        for at in PREFIX.len()..text.len() {
            let mut changed = text.as_bytes().to_vec();
            changed[at] = if changed[at] == b'x' { b'y' } else { b'x' };
            let changed = String::from_utf8(changed).expect("ASCII");
            assert_eq!(changed.parse::<Credential>(), Err(KeyError::Checksum), "changed at {at}");
        }
    }

    #[test]
    fn nothing_shows_a_secret() {
        let shown = format!("{:?} {:?} {:?}", credential(), credential().psk, ServerKey::new(Secret::new([7; 32])));
        assert!(!shown.contains("2, 2") && !shown.contains("7, 7") && !shown.contains("0202"), "{shown}");
    }

    #[test]
    fn key_ids_survive_their_text() {
        let id = KeyId([0xab; 16]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("xyz".parse::<KeyId>().is_err());
        assert_eq!("+1".repeat(16).parse::<KeyId>(), Err(KeyError::Alphabet));
    }
}
