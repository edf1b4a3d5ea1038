//! Wycheproof's X25519, by the Dh that snow gets of our suites.

use snow::params::DHChoice;
use xllm_proxy::proto::crypto::Secret;

use crate::{
    reading::{array, bytes, vectors},
    suites, wycheproof,
};

#[test]
fn every_shared_secret_is_that_of_wycheproof_and_an_all_zero_one_is_refused() {
    let file = vectors!("foreign/x25519_test");
    for suite in suites() {
        let (mut shared, mut refused) = (0, 0);
        for (group, test) in wycheproof(&file) {
            let what = format!("{suite:?}, test {}", test["tcId"]);
            assert_eq!(group["curve"], "curve25519", "{what}");
            let mut dh = suite.noise(Secret::new([0; 32])).resolve_dh(&DHChoice::Curve25519).unwrap();
            dh.set(&bytes(&test["private"]));
            let expected: [u8; 32] = array(&test["shared"]);
            let mut out = [0xaa; 32];
            let result = dh.dh(&bytes(&test["public"]), &mut out);
            // What Wycheproof calls acceptable (points of the twist, public keys beyond the prime) RFC 7748 calculates with.
            if expected == [0; 32] {
                assert!(result.is_err(), "{what}");
                assert_eq!(out, [0xaa; 32], "{what}");
                refused += 1;
            } else {
                assert!(result.is_ok(), "{what}");
                assert_eq!(out, expected, "{what}");
                shared += 1;
            }
        }
        assert_eq!((shared, refused), (487, 31), "{suite:?}");
    }
}
