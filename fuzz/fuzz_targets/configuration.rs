//! Any text behind a configuration that holds a secret: it is taken, or refused in few words that repeat no secret.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use xllm_proxy::server::Config;

const SECRET: &str = "hush-hush-hush";

fuzz_target!(|input: &[u8]| {
    let Ok(text) = str::from_utf8(input) else { return };
    let text = format!("request_headers = {{ set = {{ x-team = \"{SECRET}\" }} }}\n{text}");
    let parse = || Config::parse(&text, Path::new("fuzz.toml"), &[]);
    match parse() {
        Ok(config) => {
            let (shown, again) = (format!("{config:?}"), format!("{:?}", parse().expect("it was taken before")));
            // Its maps have no order.
            let sorted = |text: &str| {
                let mut bytes = text.as_bytes().to_vec();
                bytes.sort_unstable();
                bytes
            };
            assert!(sorted(&shown) == sorted(&again) && !shown.contains(SECRET));
        }
        Err(error) => {
            let said = error.to_string();
            // A name in it may be shown.
            assert!(!said.is_empty() && said.len() < 2000 + 8 * text.len(), "few words: {} bytes", said.len());
            assert!(!said.contains(SECRET), "it is said aloud: {said}");
        }
    }
});
