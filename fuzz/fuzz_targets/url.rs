//! Any text as the URL of a request. What is judged is what is called, and path and query go on as they were written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use xllm_proxy::http::check_url;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = core::str::from_utf8(input) else { return };
    match check_url(text) {
        Ok(target) => {
            let (origin, uri) = (target.origin(), target.uri());
            assert_eq!(uri.scheme_str(), Some(origin.scheme()));
            assert_eq!((uri.host(), uri.port_u16()), (origin.host_str(), origin.port()));
            assert!((origin.path(), origin.query()) == ("/", None));
            // An empty path is `/` to HTTP.
            let called = uri.path_and_query().map(|path| path.as_str()).unwrap_or_default();
            assert!(text.ends_with(called) || text.ends_with(&called[1..]), "{called}");
        }
        // What is wrong is said without repeating any of it.
        Err(notice) => assert!(notice.text.len() < 128),
    }
});
