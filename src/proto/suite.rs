//! The real primitives behind [`crypto`](super::crypto)'s traits, and snow's resolver on the same: AES-256-GCM, X25519 and
//! SHA-256 of the current RustCrypto and dalek crates (snow's own resolver pulls in older ones).

use aes_gcm::{Aes256Gcm, KeyInit, aead::AeadInOut};
use sha2::{Digest, Sha256};
use snow::{
    Error as NoiseError,
    params::{CipherChoice, DHChoice, HashChoice},
    resolvers::CryptoResolver,
    types::{Cipher, Dh, Hash, Random},
};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, Zeroizing};

use super::{
    crypto::{Aead, Secret, Suite},
    error::Error,
    limits::TAG,
};

#[cfg(feature = "aws-lc")]
pub(super) mod aws_lc;

/// `Noise_NKpsk2_25519_AESGCM_SHA256` and AES-256-GCM records.
pub static AES_GCM: AesGcmSuite = AesGcmSuite;

/// The suite of version 1. Use [`AES_GCM`].
#[derive(Clone, Copy, Debug)]
pub struct AesGcmSuite;

impl Suite for AesGcmSuite {
    fn aead(&self, key: &Secret<32>) -> Box<dyn Aead> {
        Box::new(AesGcm(Aes256Gcm::new(key.expose().into())))
    }

    fn noise(&self, ephemeral: Secret<32>) -> Box<dyn CryptoResolver + Send> {
        Box::new(Resolver { ephemeral })
    }
}

struct AesGcm(Aes256Gcm);

impl Aead for AesGcm {
    fn seal(&self, nonce: &[u8; 12], aad: &[u8], in_out: &mut [u8]) -> [u8; TAG] {
        self.0
            .encrypt_inout_detached(nonce.into(), aad, in_out.into())
            .expect("a record is far below the cipher's length limit")
            .into()
    }

    fn open(&self, nonce: &[u8; 12], aad: &[u8], in_out: &mut [u8]) -> Result<usize, Error> {
        let (text, tag) = in_out.split_last_chunk_mut::<TAG>().ok_or(Error::Unauthentic("record"))?;
        let opened = self.0.decrypt_inout_detached(nonce.into(), aad, (&mut *text).into(), (&*tag).into());
        opened.map(|()| text.len()).map_err(|_| Error::Unauthentic("record"))
    }
}

struct Resolver {
    ephemeral: Secret<32>,
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Once(Some(self.ephemeral.clone()))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        matches!(choice, DHChoice::Curve25519).then(|| Box::new(X25519::default()) as _)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        matches!(choice, HashChoice::SHA256).then(|| Box::new(NoiseHash::default()) as _)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        matches!(choice, CipherChoice::AESGCM).then(|| Box::new(NoiseCipher(None)) as _)
    }
}

/// The caller's 32 bytes, given out once: a handshake draws exactly one ephemeral key.
struct Once(Option<Secret<32>>);

impl Random for Once {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), NoiseError> {
        let secret = self.0.take().ok_or(NoiseError::Rng)?;
        if dest.len() != secret.expose().len() {
            return Err(NoiseError::Rng);
        }
        dest.copy_from_slice(secret.expose());
        Ok(())
    }
}

struct X25519 {
    private: StaticSecret,
    private_bytes: Zeroizing<[u8; 32]>,
    public: [u8; 32],
}

impl Default for X25519 {
    fn default() -> Self {
        // snow sets or generates a key before it uses one.
        Self { private: StaticSecret::from([0; 32]), private_bytes: Zeroizing::default(), public: [0; 32] }
    }
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, privkey: &[u8]) {
        self.private_bytes.copy_from_slice(privkey);
        self.private = StaticSecret::from(*self.private_bytes);
        self.public = PublicKey::from(&self.private).to_bytes();
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), NoiseError> {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.try_fill_bytes(&mut *bytes)?;
        self.set(&*bytes);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        &*self.private_bytes
    }

    fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), NoiseError> {
        let public: [u8; 32] = pubkey.get(..32).and_then(|key| key.try_into().ok()).ok_or(NoiseError::Dh)?;
        let shared = self.private.diffie_hellman(&PublicKey::from(public));
        // A point of small order would make the secret known to everyone.
        if !shared.was_contributory() {
            return Err(NoiseError::Dh);
        }
        out[..32].copy_from_slice(shared.as_bytes());
        Ok(())
    }
}

struct NoiseCipher(Option<Aes256Gcm>);

impl NoiseCipher {
    /// AESGCM of the Noise specification, section 12.4: four zero bytes, then the counter, big-endian.
    fn nonce(counter: u64) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&counter.to_be_bytes());
        nonce
    }

    fn keyed(&self) -> &Aes256Gcm {
        self.0.as_ref().expect("snow sets the key before it uses a cipher")
    }
}

impl Cipher for NoiseCipher {
    fn name(&self) -> &'static str {
        "AESGCM"
    }

    fn set(&mut self, key: &[u8; 32]) {
        self.0 = Some(Aes256Gcm::new(key.into()));
    }

    fn encrypt(&self, nonce: u64, authtext: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        let (text, rest) = out.split_at_mut(plaintext.len());
        text.copy_from_slice(plaintext);
        let tag = self
            .keyed()
            .encrypt_inout_detached((&Self::nonce(nonce)).into(), authtext, text.into())
            .expect("a hello is far below the cipher's length limit");
        rest[..TAG].copy_from_slice(&tag);
        plaintext.len() + TAG
    }

    fn decrypt(&self, nonce: u64, authtext: &[u8], ciphertext: &[u8], out: &mut [u8]) -> Result<usize, NoiseError> {
        let (text, tag) = ciphertext.split_last_chunk::<TAG>().ok_or(NoiseError::Decrypt)?;
        let out = out.get_mut(..text.len()).ok_or(NoiseError::Decrypt)?;
        out.copy_from_slice(text);
        self.keyed()
            .decrypt_inout_detached((&Self::nonce(nonce)).into(), authtext, out.into(), tag.into())
            .map_err(|_| NoiseError::Decrypt)?;
        Ok(text.len())
    }
}

#[derive(Default)]
struct NoiseHash(Sha256);

impl Hash for NoiseHash {
    fn name(&self) -> &'static str {
        "SHA256"
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        32
    }

    fn reset(&mut self) {
        self.0 = Sha256::new();
    }

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        let mut digest: [u8; 32] = self.0.finalize_reset().into();
        out[..32].copy_from_slice(&digest);
        digest.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn randomness_is_given_out_once_and_whole() {
        let mut once = Once(Some(Secret::new([7; 32])));
        let mut bytes = [0; 32];
        assert!(once.try_fill_bytes(&mut bytes).is_ok());
        assert_eq!(bytes, [7; 32]);
        assert!(once.try_fill_bytes(&mut bytes).is_err(), "a second key from the same bytes would be the same key");
        for size in [0, 31, 33, 64] {
            assert!(Once(Some(Secret::new([7; 32]))).try_fill_bytes(&mut vec![0; size]).is_err(), "{size}");
        }
    }
}
