//! Wycheproof's HKDF-SHA-256: by the library that the key schedule of records uses (section 4.1), and by the hash that Noise gets of
//! our suites, for which HKDF is one without a label (section 3).

use hkdf::Hkdf;
use sha2::Sha256;
use snow::params::HashChoice;
use xllm_proxy::proto::crypto::Secret;

use crate::{
    reading::{bytes, number, vectors},
    suites, wycheproof,
};

#[test]
fn the_library_of_the_key_schedule_derives_what_wycheproof_says_and_nothing_too_long() {
    let file = vectors!("foreign/hkdf_sha256_test");
    let (mut valid, mut too_long) = (0, 0);
    for (_, test) in wycheproof(&file) {
        let what = &test["tcId"];
        let (_, hkdf) = Hkdf::<Sha256>::extract(Some(&bytes(&test["salt"])), &bytes(&test["ikm"]));
        let mut out = vec![0; usize::try_from(number(&test["size"])).unwrap()];
        let result = hkdf.expand(&bytes(&test["info"]), &mut out);
        if test["result"] == "valid" {
            assert!(result.is_ok(), "test {what}");
            assert_eq!(out, bytes(&test["okm"]), "test {what}");
            valid += 1;
        } else {
            assert!(result.is_err(), "test {what}");
            too_long += 1;
        }
    }
    assert_eq!((valid, too_long), (83, 3));
}

#[test]
fn the_hash_of_the_handshake_derives_what_wycheproof_says_where_there_is_no_label() {
    let file = vectors!("foreign/hkdf_sha256_test");
    for suite in suites() {
        let (mut run, mut labelled) = (0, 0);
        for (_, test) in wycheproof(&file) {
            if test["info"] != "" {
                labelled += 1;
                continue;
            }
            let mut hash = suite.noise(Secret::new([0; 32])).resolve_hash(&HashChoice::SHA256).unwrap();
            let mut out = [[0; 32]; 3];
            let [first, second, third] = &mut out;
            hash.hkdf(&bytes(&test["salt"]), &bytes(&test["ikm"]), 3, first, second, third);
            let expected = bytes(&test["okm"]);
            assert_eq!(out.as_flattened()[..expected.len()], expected, "{suite:?}, test {}", test["tcId"]);
            run += 1;
        }
        assert_eq!((run, labelled), (31, 55), "{suite:?}");
    }
}
