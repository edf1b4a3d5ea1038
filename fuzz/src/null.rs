//! A suite without secrets: every tag verifies and nothing is encrypted, so that the fuzzer's own bytes are hellos and records.

use snow::{
    Error,
    params::{CipherChoice, DHChoice, HashChoice},
    resolvers::CryptoResolver,
    types::{Cipher, Dh, Hash, Random},
};
use xllm_proxy::proto::{
    AES_GCM,
    crypto::{Aead, Secret, Suite},
    limits::TAG,
};

pub static NULL: Null = Null;

#[derive(Debug)]
pub struct Null;

impl Suite for Null {
    fn aead(&self, _: &Secret<32>) -> Box<dyn Aead> {
        Box::new(Self)
    }

    fn noise(&self, ephemeral: Secret<32>) -> Box<dyn CryptoResolver + Send> {
        Box::new(Resolver(AES_GCM.noise(ephemeral)))
    }
}

impl Aead for Null {
    fn seal(&self, _: &[u8; 12], _: &[u8], _: &mut [u8]) -> [u8; TAG] {
        [0; TAG]
    }

    fn open(&self, _: &[u8; 12], _: &[u8], in_out: &mut [u8]) -> Result<usize, xllm_proxy::proto::Error> {
        Ok(in_out.len() - TAG)
    }
}

struct Resolver(Box<dyn CryptoResolver + Send>);

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        self.0.resolve_rng()
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        matches!(choice, DHChoice::Curve25519).then(|| Box::new(Key([0; 32])) as _)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        self.0.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        matches!(choice, CipherChoice::AESGCM).then(|| Box::new(Null) as _)
    }
}

impl Cipher for Null {
    fn name(&self) -> &'static str {
        "AESGCM"
    }

    fn set(&mut self, _: &[u8; 32]) {}

    fn encrypt(&self, _: u64, _: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        out[..plaintext.len()].copy_from_slice(plaintext);
        out[plaintext.len()..][..TAG].fill(0);
        plaintext.len() + TAG
    }

    fn decrypt(&self, _: u64, _: &[u8], ciphertext: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        let size = ciphertext.len().checked_sub(TAG).ok_or(Error::Decrypt)?;
        out[..size].copy_from_slice(&ciphertext[..size]);
        Ok(size)
    }
}

/// A key that is its own public key.
struct Key([u8; 32]);

impl Dh for Key {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        self.0.len()
    }

    fn priv_len(&self) -> usize {
        self.0.len()
    }

    fn set(&mut self, private: &[u8]) {
        self.0.copy_from_slice(private);
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), Error> {
        rng.try_fill_bytes(&mut self.0)
    }

    fn pubkey(&self) -> &[u8] {
        &self.0
    }

    fn privkey(&self) -> &[u8] {
        &self.0
    }

    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), Error> {
        out[..32].copy_from_slice(&public[..32]);
        Ok(())
    }
}
