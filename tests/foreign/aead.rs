//! Wycheproof's AES-GCM, as far as our records have it: keys of 256 bits, nonces of 96, tags of 128.

use serde_json::Value;
use xllm_proxy::proto::{Error, crypto::Suite};

use crate::{
    reading::{array, bytes, number, secret, vectors},
    suites, wycheproof,
};

fn check(suite: &dyn Suite, case: &Value) {
    let what = format!("{suite:?}, test {}", case["tcId"]);
    let cipher = suite.aead(&secret(&case["key"]));
    let (nonce, aad, text) = (array(&case["iv"]), bytes(&case["aad"]), bytes(&case["msg"]));
    let mut wire = bytes(&case["ct"]);
    wire.extend(bytes(&case["tag"]));

    let mut sealed = text.clone();
    let tag = cipher.seal(&nonce, &aad, &mut sealed);
    sealed.extend(tag);
    let mut opened = wire.clone();
    let result = cipher.open(&nonce, &aad, &mut opened);
    match case["result"].as_str().unwrap() {
        "valid" => {
            assert_eq!(sealed, wire, "{what}");
            assert_eq!(result, Ok(text.len()), "{what}");
            assert_eq!(opened[..text.len()], text, "{what}");
        }
        "invalid" => {
            assert_ne!(sealed, wire, "{what}");
            assert_eq!(result, Err(Error::Unauthentic("record")), "{what}");
            // Whoever looks in spite of the error finds nothing that was decrypted.
            assert_ne!(opened[..text.len()], text, "{what}");
        }
        other => panic!("{what}: {other}"),
    }
}

#[test]
fn records_are_sealed_as_wycheproof_says_and_what_it_calls_invalid_does_not_open() {
    let file = vectors!("foreign/aes_gcm_test");
    for suite in suites() {
        let (mut run, mut other_keys, mut other_nonces) = ([0, 0], 0, 0);
        for (group, test) in wycheproof(&file) {
            assert_eq!(group["tagSize"], 128);
            match (number(&group["keySize"]), number(&group["ivSize"])) {
                (256, 96) => {
                    check(suite, test);
                    run[usize::from(test["result"] == "valid")] += 1;
                }
                (256, _) => other_nonces += 1,
                _ => other_keys += 1,
            }
        }
        assert_eq!((run, other_keys, other_nonces), ([27, 39], 211, 39), "{suite:?}");
    }
}
