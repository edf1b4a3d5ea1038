//! Any bytes as the plaintext of a record, read as either end reads them. What can be read is written and read again alike,
//! and what was written once is written the same ever after.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use xllm_proxy::proto::{Role, frame};

fuzz_target!(|input: &[u8]| {
    let record = Bytes::copy_from_slice(input);
    for from in [Role::Client, Role::Server] {
        let mut at = 0;
        loop {
            let before = at;
            let Ok(Some((exchange, frame))) = frame::decode(&record, &mut at, from) else { break };
            assert!(at > before && at <= record.len(), "reading goes forward, within the record");

            let mut once = BytesMut::new();
            frame.encode(exchange, &mut once).expect("what was read can be written");
            let once = once.freeze();
            let mut end = 0;
            let again = frame::decode(&once, &mut end, from).expect("what was written can be read");
            assert_eq!(end, once.len(), "a frame is written whole");
            let (number, again) = again.expect("a frame");
            assert_eq!((number, &again), (exchange, &frame));
            let mut twice = BytesMut::new();
            again.encode(number, &mut twice).expect("what was read can be written");
            assert_eq!(once, twice);
        }
    }
});
