//! The real suite with a memory: the keys of all runs are alike, and X25519 on them would be nearly all that a run does.

use std::{cell::RefCell, collections::HashMap};

use snow::{
    Error,
    params::{CipherChoice, DHChoice, HashChoice},
    resolvers::CryptoResolver,
    types::{Cipher, Dh, Hash, Random},
};
use xllm_proxy::proto::{
    AES_GCM,
    crypto::{Aead, Secret, Suite},
};

pub static QUICK: Quick = Quick;

#[derive(Debug)]
pub struct Quick;

impl Suite for Quick {
    fn aead(&self, key: &Secret<32>) -> Box<dyn Aead> {
        AES_GCM.aead(key)
    }

    fn noise(&self, ephemeral: Secret<32>) -> Box<dyn CryptoResolver + Send> {
        Box::new(Resolver(AES_GCM.noise(ephemeral)))
    }
}

struct Resolver(Box<dyn CryptoResolver + Send>);

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        self.0.resolve_rng()
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        thread_local!(static UNSET: RefCell<Option<Key>> = const { RefCell::new(None) });
        matches!(choice, DHChoice::Curve25519).then_some(())?;
        let make = || self.0.resolve_dh(choice).map(|dh| Key { private: dh.privkey().to_vec(), public: dh.pubkey().to_vec() });
        let unset = UNSET.with_borrow_mut(|unset| {
            *unset = unset.take().or_else(make);
            unset.clone()
        });
        unset.map(|key| Box::new(key) as _)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        self.0.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        self.0.resolve_cipher(choice)
    }
}

/// A key pair whose results are looked up.
#[derive(Clone)]
struct Key {
    private: Vec<u8>,
    public: Vec<u8>,
}

/// By private and public key; `None` where the point is refused.
type Shared = HashMap<(Vec<u8>, Vec<u8>), Option<Vec<u8>>>;

thread_local! {
    static PUBLIC: RefCell<HashMap<Vec<u8>, Vec<u8>>> = RefCell::default();
    static SHARED: RefCell<Shared> = RefCell::default();
}

/// A fuzzer that invents keys must not fill the memory.
const REMEMBERED: usize = 64;

impl Key {
    /// The same key in the real suite.
    fn real(&self) -> Box<dyn Dh> {
        let mut dh = AES_GCM.noise(Secret::new([0; 32])).resolve_dh(&DHChoice::Curve25519).expect("the suite has X25519");
        dh.set(&self.private);
        dh
    }
}

impl Dh for Key {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        self.public.len()
    }

    fn priv_len(&self) -> usize {
        self.private.len()
    }

    fn set(&mut self, private: &[u8]) {
        self.private = private.to_vec();
        self.public = PUBLIC.with_borrow_mut(|known| {
            if known.len() > REMEMBERED {
                known.clear();
            }
            known.entry(private.to_vec()).or_insert_with(|| self.real().pubkey().to_vec()).clone()
        });
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), Error> {
        let mut private = vec![0; self.private.len()];
        rng.try_fill_bytes(&mut private)?;
        self.set(&private);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        &self.private
    }

    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), Error> {
        let shared = SHARED.with_borrow_mut(|known| {
            if known.len() > REMEMBERED {
                known.clear();
            }
            let compute = || {
                let mut shared = vec![0; self.public.len()];
                self.real().dh(public, &mut shared).is_ok().then_some(shared)
            };
            known.entry((self.private.clone(), public.to_vec())).or_insert_with(compute).clone()
        });
        out[..self.public.len()].copy_from_slice(&shared.ok_or(Error::Dh)?);
        Ok(())
    }
}
