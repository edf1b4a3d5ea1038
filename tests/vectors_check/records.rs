//! `schedule.json` and `records.json`: section 4.

use bytes::BytesMut;
use xllm_proxy::proto::{
    AES_GCM,
    keys::Schedule,
    record::{Opener, Sealer},
};

use crate::reading::{array, bytes, cases, name, number, secret, vectors};

#[test]
fn the_key_schedule_is_that_of_the_vectors_over_all_epochs() {
    for case in cases(&vectors!("schedule"), "cases") {
        let mut schedule = Schedule::new(&array(&case["h"]), &secret(&case["k"]));
        for (at, epoch) in (0..).zip(case["epochs"].as_array().unwrap()) {
            assert_eq!(number(&epoch["epoch"]), at);
            assert_eq!(schedule.key(), secret(&epoch["key"]), "{} epoch {at}", name(case));
            assert_eq!(*schedule.iv().expose(), array(&epoch["iv"]), "{} epoch {at}", name(case));
            schedule = schedule.next();
        }
    }
}

pub(crate) fn sealed(sealer: &mut Sealer, plaintext: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    let start = Sealer::begin(&mut out);
    out.extend_from_slice(plaintext);
    sealer.seal(&mut out, start).unwrap();
    out
}

#[test]
fn first_records_are_sealed_and_opened_as_the_vectors_say() {
    let file = vectors!("records");
    let schedule = || Schedule::new(&array(&file["h"]), &secret(&file["k"]));
    let mut first = 0;
    for case in cases(&file, "valid").iter().filter(|case| case["n"] == 0) {
        let (plaintext, record) = (bytes(&case["plaintext"]), bytes(&case["record"]));
        assert_eq!(sealed(&mut Sealer::new(schedule(), &AES_GCM), &plaintext), record, "{}", name(case));
        let opened = Opener::new(schedule(), &AES_GCM).open(&mut BytesMut::from(&record[..])).unwrap().unwrap();
        assert_eq!(opened, plaintext, "{}", name(case));
        first += 1;
    }
    assert!(first >= 3);
}
