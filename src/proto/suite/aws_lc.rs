//! The record cipher of AWS-LC, for the programs: three times as fast as the portable one where the processor has wide vectors
//! (docs/performance.md). The bytes are the same; the handshake stays with the portable primitives.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use snow::resolvers::CryptoResolver;

use super::super::{
    crypto::{Aead, Secret, Suite},
    error::Error,
    limits::TAG,
    suite::AES_GCM,
};

/// As [`AES_GCM`], its records by AWS-LC.
pub static AWS_LC: AwsLcSuite = AwsLcSuite;

/// Version 1 on AWS-LC's record cipher. Use [`AWS_LC`].
#[derive(Clone, Copy, Debug)]
pub struct AwsLcSuite;

impl Suite for AwsLcSuite {
    fn aead(&self, key: &Secret<32>) -> Box<dyn Aead> {
        let key = UnboundKey::new(&AES_256_GCM, key.expose()).expect("a key of 32 bytes");
        Box::new(AesGcm(LessSafeKey::new(key)))
    }

    fn noise(&self, ephemeral: Secret<32>) -> Box<dyn CryptoResolver + Send> {
        AES_GCM.noise(ephemeral)
    }
}

/// "Less safe" in that nonces are the caller's: the record layer counts them.
struct AesGcm(LessSafeKey);

impl Aead for AesGcm {
    fn seal(&self, nonce: &[u8; 12], aad: &[u8], in_out: &mut [u8]) -> [u8; TAG] {
        let tag = self
            .0
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), in_out)
            .expect("a record is far below the cipher's length limit");
        tag.as_ref().try_into().expect("a tag of 16 bytes")
    }

    fn open(&self, nonce: &[u8; 12], aad: &[u8], in_out: &mut [u8]) -> Result<usize, Error> {
        let opened = self.0.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), in_out);
        opened.map(|text| text.len()).map_err(|_| Error::Unauthentic("record"))
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::super::{
            handshake::{Initiator, Responder},
            keys::{Credential, KeyId, ServerKey},
            profile::Profile,
        },
        *,
    };

    #[test]
    fn both_ciphers_make_and_read_the_same_bytes() {
        let key = Secret::new([7; 32]);
        let (fast, portable) = (AWS_LC.aead(&key), AES_GCM.aead(&key));
        for size in (0..300).chain([512, 4096, 16 * 1024]) {
            let text: Vec<u8> = (0..=u8::MAX).cycle().take(size).collect();
            let (nonce, aad) = ([size.to_le_bytes()[0]; 12], [size.to_le_bytes()[1], 3]);
            let seal = |aead: &dyn Aead| {
                let mut sealed = text.clone();
                let tag = aead.seal(&nonce, &aad, &mut sealed);
                sealed.extend_from_slice(&tag);
                sealed
            };
            let sealed = seal(&*fast);
            assert_eq!(sealed, seal(&*portable), "{size} bytes");
            for aead in [&fast, &portable] {
                let mut opened = sealed.clone();
                assert_eq!(aead.open(&nonce, &aad, &mut opened), Ok(size));
                assert_eq!(opened[..size], text);
                let mut changed = sealed.clone();
                changed[size] ^= 1;
                assert_eq!(aead.open(&nonce, &aad, &mut changed), Err(Error::Unauthentic("record")));
            }
        }
    }

    #[test]
    fn a_handshake_on_one_suite_is_understood_on_the_other() {
        let key = ServerKey::new(Secret::new([9; 32]));
        let credential = Credential { key_id: KeyId([1; 16]), psk: Secret::new([2; 32]), server: *key.public() };
        let suites: [&dyn Suite; 2] = [&AWS_LC, &AES_GCM];
        let hellos = suites.map(|suite| {
            let (_, hello) = Initiator::start(&credential, Profile::Pad, Secret::new([3; 32]), suite).expect("starts");
            hello
        });
        assert_eq!(hellos[0], hellos[1]);
        for suite in suites {
            let responder = Responder::open(&hellos[0], &key, Secret::new([4; 32]), suite).expect("opens");
            assert_eq!(responder.hello().key_id, credential.key_id);
        }
    }

    #[test]
    fn what_is_shorter_than_a_tag_does_not_verify() {
        for aead in [AWS_LC.aead(&Secret::new([7; 32])), AES_GCM.aead(&Secret::new([7; 32]))] {
            for size in 0..TAG {
                assert_eq!(aead.open(&[0; 12], &[], &mut vec![0; size]), Err(Error::Unauthentic("record")));
            }
        }
    }
}
