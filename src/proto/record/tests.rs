//! Records against their rules.

use serde_json::Value;

use super::{
    super::{frame, role::Role, suite::AES_GCM},
    *,
};

fn schedule() -> Schedule {
    Schedule::new(&[1; 32], &Secret::new([2; 32]))
}

/// Every suite that this build has.
fn suites() -> Vec<&'static dyn Suite> {
    vec![
        &AES_GCM,
        #[cfg(feature = "aws-lc")]
        &super::super::suite::aws_lc::AWS_LC,
    ]
}

fn sealed(sealer: &mut Sealer, text: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    let start = Sealer::begin(&mut out);
    out.put_slice(text);
    sealer.seal(&mut out, start).expect("seals");
    out
}

#[test]
fn records_open_in_the_order_in_which_they_were_sealed() {
    let (mut sealer, mut opener) = (Sealer::new(schedule(), &AES_GCM), Opener::new(schedule(), &AES_GCM));
    let mut wire = BytesMut::new();
    for size in [1, 512, RECORD_PLAINTEXT] {
        wire.unsplit(sealed(&mut sealer, &vec![7; size]));
    }
    for size in [1, 512, RECORD_PLAINTEXT] {
        assert_eq!(opener.open(&mut wire).expect("opens").expect("is whole"), vec![7; size]);
    }
    assert_eq!(opener.open(&mut wire), Ok(None));
}

#[test]
fn the_ratchet_turns_at_the_epoch_on_both_sides() {
    let (mut sealer, mut opener) = (Sealer::new(schedule(), &AES_GCM), Opener::new(schedule(), &AES_GCM));
    for first in [(1 << EPOCH_BITS) - 1, (3 << EPOCH_BITS) - 1] {
        (sealer.0.next, opener.0.next) = (first, first);
        let before = sealed(&mut sealer, b"a");
        let after = sealed(&mut sealer, b"a");
        assert_ne!(before, after);
        assert_eq!(opener.open(&mut before.clone()).expect("opens").as_deref(), Some(&b"a"[..]));
        assert_eq!(opener.open(&mut after.clone()).expect("opens").as_deref(), Some(&b"a"[..]));
        assert_eq!((sealer.0.epoch, opener.0.epoch), ((first + 1) >> EPOCH_BITS, (first + 1) >> EPOCH_BITS));
    }
}

#[test]
fn the_last_record_of_a_session_is_sealed_and_opened_and_none_comes_behind_it() {
    let (mut sealer, mut opener) = (Sealer::new(schedule(), &AES_GCM), Opener::new(schedule(), &AES_GCM));
    for keys in [&mut sealer.0, &mut opener.0] {
        // To turn the ratchet so often would take minutes.
        (keys.next, keys.epoch) = (SESSION_RECORDS - 1, (SESSION_RECORDS - 1) >> EPOCH_BITS);
    }
    let mut last = sealed(&mut sealer, b"last");
    assert_eq!(opener.open(&mut last.clone()).expect("opens").as_deref(), Some(&b"last"[..]));
    let mut out = BytesMut::new();
    let start = Sealer::begin(&mut out);
    out.put_slice(b"one more");
    let end = Err(Error::violation("more records than a session may have"));
    assert_eq!(sealer.seal(&mut out, start), end);
    assert_eq!(out[LENGTH..], b"one more"[..], "nothing is sealed under a nonce that was used");
    assert_eq!(opener.open(&mut last).map(|_| ()), end, "whatever it is");
}

#[test]
fn what_does_not_verify_is_not_decrypted_either() {
    let text: Vec<u8> = (1..=251).cycle().take(RECORD_PLAINTEXT).collect();
    for suite in suites() {
        let cipher = suite.aead(&Secret::new([7; 32]));
        let mut record = text.clone();
        let tag = cipher.seal(&[1; 12], b"", &mut record);
        record.extend(tag);
        *record.last_mut().expect("a tag") ^= 1;
        assert_eq!(cipher.open(&[1; 12], b"", &mut record), Err(Error::Unauthentic("record")));
        for (at, (left, secret)) in record.chunks(16).zip(text.chunks(16)).enumerate() {
            assert_ne!(left, secret, "{suite:?}: block {at}");
        }
    }
}

#[test]
fn a_record_opens_under_the_keys_of_its_own_session_and_direction_alone() {
    let schedule = |h, k| Schedule::new(&[h; 32], &Secret::new([k; 32]));
    for suite in suites() {
        let record = sealed(&mut Sealer::new(schedule(1, 2), suite), b"where it belongs");
        assert!(Opener::new(schedule(1, 2), suite).open(&mut record.clone()).is_ok());
        for (what, keys) in [("direction", schedule(1, 3)), ("session", schedule(4, 2)), ("key", schedule(4, 3))] {
            let found = Opener::new(keys, suite).open(&mut record.clone());
            assert_eq!(found, Err(Error::Unauthentic("record")), "{suite:?}: another {what}");
        }
    }
}

#[test]
fn a_record_holds_something_and_no_more_than_its_limit() {
    for size in [0, RECORD_PLAINTEXT + 1, 70_000] {
        let mut sealer = Sealer::new(schedule(), &AES_GCM);
        let mut out = BytesMut::new();
        let start = Sealer::begin(&mut out);
        out.put_bytes(7, size);
        assert!(matches!(sealer.seal(&mut out, start), Err(Error::Misuse(_))), "{size}");
        assert_eq!(sealer.0.next, 0, "nothing was sealed");
    }
}

#[test]
fn damage_repeats_gaps_and_swaps_do_not_verify() {
    let mut sealer = Sealer::new(schedule(), &AES_GCM);
    let (one, two) = (sealed(&mut sealer, b"one"), sealed(&mut sealer, b"two"));
    let opener = || Opener::new(schedule(), &AES_GCM);
    for at in 2..one.len() {
        let mut damaged = one.clone();
        damaged[at] ^= 1;
        assert_eq!(opener().open(&mut damaged), Err(Error::Unauthentic("record")), "at {at}");
    }
    assert_eq!(opener().open(&mut two.clone()), Err(Error::Unauthentic("record")), "a gap, or a swap");
    let mut twice = opener();
    assert!(twice.open(&mut one.clone()).is_ok());
    assert_eq!(twice.open(&mut one.clone()), Err(Error::Unauthentic("record")), "a repeat");
}

#[test]
fn a_length_out_of_range_is_refused_before_more_is_awaited() {
    let largest = u16::try_from(RECORD_PLAINTEXT + TAG).expect("fits");
    for size in [0, 16, largest + 1, 0xffff] {
        let mut input = BytesMut::from(&size.to_be_bytes()[..]);
        assert!(matches!(Opener::new(schedule(), &AES_GCM).open(&mut input), Err(Error::Unauthentic(_))), "{size}");
    }
}

/// Vectors that a program made which shares no code with this one (`tests/vectors/README.md`).
fn vectors(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// Hex, or a list of runs of it.
fn bytes(value: &Value) -> Vec<u8> {
    if let Value::Array(runs) = value {
        let times = |run: &Value| run[1].as_u64().and_then(|times| times.try_into().ok()).expect("a count");
        return runs.iter().flat_map(|run| bytes(&run[0]).repeat(times(run))).collect();
    }
    let text = value.as_str().expect("hex");
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex");
    (0..text.len()).step_by(2).map(byte).collect()
}

fn given(h: &Value, k: &Value) -> Schedule {
    let array = |value| <[u8; 32]>::try_from(bytes(value)).expect("32 bytes");
    Schedule::new(&array(h), &Secret::new(array(k)))
}

fn counter(case: &Value) -> u64 {
    case["n"].as_u64().expect("a counter")
}

#[test]
fn nonces_are_those_of_the_vectors() {
    let file = vectors(include_str!("../../../tests/vectors/schedule.json"));
    for case in file["cases"].as_array().expect("cases") {
        let mut keys = Keys::new(given(&case["h"], &case["k"]), &AES_GCM);
        for nonce in case["nonces"].as_array().expect("nonces") {
            keys.next = counter(nonce);
            assert_eq!(keys.nonce().expect("a nonce")[..], bytes(&nonce["nonce"]), "{} at {}", case["name"], nonce["n"]);
            assert_eq!(Some(keys.epoch), nonce["epoch"].as_u64(), "{} at {}", case["name"], nonce["n"]);
        }
    }
}

#[test]
fn records_at_any_place_are_those_of_the_vectors() {
    let file = vectors(include_str!("../../../tests/vectors/records.json"));
    let schedule = || given(&file["h"], &file["k"]);
    for case in file["valid"].as_array().expect("cases") {
        let (mut sealer, mut opener) = (Sealer::new(schedule(), &AES_GCM), Opener::new(schedule(), &AES_GCM));
        (sealer.0.next, opener.0.next) = (counter(case), counter(case));
        let (plaintext, record) = (bytes(&case["plaintext"]), bytes(&case["record"]));
        assert_eq!(sealed(&mut sealer, &plaintext), record, "{}", case["name"]);
        let found = opener.open(&mut BytesMut::from(&record[..])).expect("opens").expect("is whole");
        assert_eq!(found, plaintext, "{}", case["name"]);
    }
    for case in file["invalid"].as_array().expect("cases") {
        let mut opener = Opener::new(schedule(), &AES_GCM);
        opener.0.next = counter(case);
        let walk = |record: Bytes| {
            let mut at = 0;
            while frame::decode(&record, &mut at, Role::Server)?.is_some() {}
            Ok(())
        };
        let found = opener.open(&mut BytesMut::from(&bytes(&case["record"])[..]));
        let outcome = found.and_then(|record| walk(record.expect("is whole")));
        assert_eq!(outcome.expect_err("refused").code().name(), case["code"], "{}", case["name"]);
    }
}
