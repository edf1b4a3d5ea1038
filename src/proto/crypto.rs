//! What the core asks of cryptography: secret bytes that wipe and mask themselves, and a suite of primitives behind traits, so
//! that a fuzzer can put a null suite in their place.

use core::fmt;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{error::Error, limits::TAG};

/// `N` secret bytes: wiped on drop, masked in Debug, compared in constant time.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret<const N: usize>([u8; N]);

impl<const N: usize> Secret<N> {
    /// Takes the bytes over. The caller's copy is the caller's to wipe.
    pub const fn new(bytes: [u8; N]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn expose(&self) -> &[u8; N] {
        &self.0
    }

    pub(crate) const fn expose_mut(&mut self) -> &mut [u8; N] {
        &mut self.0
    }
}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl<const N: usize> PartialEq for Secret<N> {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl<const N: usize> Eq for Secret<N> {}

/// Authenticated encryption under one key.
pub trait Aead: Send + Sync {
    /// Encrypts in place and gives the tag.
    fn seal(&self, nonce: &[u8; 12], aad: &[u8], in_out: &mut [u8]) -> [u8; TAG];

    /// Decrypts ciphertext and tag in place, and gives the length of the plaintext, which is then at their front.
    ///
    /// # Errors
    /// [`Error::Unauthentic`] if the tag does not verify; `in_out` is then not to be used.
    fn open(&self, nonce: &[u8; 12], aad: &[u8], in_out: &mut [u8]) -> Result<usize, Error>;
}

/// A set of primitives.
pub trait Suite: Send + Sync + fmt::Debug {
    /// The record cipher under this key.
    fn aead(&self, key: &Secret<32>) -> Box<dyn Aead>;

    /// Primitives for the Noise handshake. Its only randomness is `ephemeral`, the private ephemeral key.
    fn noise(&self, ephemeral: Secret<32>) -> Box<dyn snow::resolvers::CryptoResolver + Send>;
}
