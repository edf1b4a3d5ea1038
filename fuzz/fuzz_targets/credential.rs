//! Any text as a credential and as a key ID. What is taken is written again as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use xllm_proxy::proto::{Credential, KeyId};

fuzz_target!(|input: &[u8]| {
    let Ok(text) = core::str::from_utf8(input) else { return };
    match text.parse::<Credential>() {
        Ok(credential) => {
            assert_eq!(credential.reveal().as_str(), text.trim_ascii());
            let shown = format!("{credential:?}");
            assert!(!shown.contains(&credential.reveal()[28..]), "the secret is not shown");
        }
        // What is wrong is said without repeating any of it.
        Err(error) => assert!(error.to_string().len() < 128),
    }
    if let Ok(id) = text.parse::<KeyId>() {
        assert_eq!(id.to_string(), text.to_ascii_lowercase());
    }
});
