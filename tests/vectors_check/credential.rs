//! `credential.json`: section 2.

use xllm_proxy::proto::{Credential, KeyId, keys::KeyError};

use crate::reading::{array, cases, name, secret, vectors};

#[test]
fn credentials_are_read_and_written_as_the_vectors_say() {
    let file = vectors!("credential");
    for case in cases(&file, "valid") {
        let text = case["text"].as_str().unwrap();
        let credential: Credential = text.parse().unwrap();
        assert_eq!(credential.key_id, KeyId(array(&case["key_id"])), "{}", name(case));
        assert_eq!(credential.psk, secret(&case["psk"]), "{}", name(case));
        assert_eq!(credential.server, array(&case["server_public"]), "{}", name(case));
        assert_eq!(*credential.reveal(), text.trim(), "{}", name(case));
    }
    for case in cases(&file, "invalid") {
        let reason = match case["text"].as_str().unwrap().parse::<Credential>().unwrap_err() {
            KeyError::Prefix => "prefix",
            KeyError::Length { .. } => "length",
            KeyError::Alphabet => "alphabet",
            KeyError::Checksum => "checksum",
        };
        assert_eq!(case["reason"], reason, "{}", name(case));
    }
}
