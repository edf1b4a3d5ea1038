//! Records on their way to an end that has the key: cut anywhere, and changed, lost, repeated or moved. What is opened is a prefix of
//! what was sealed, and all of it only if nothing was done.
//!
//! Script: sizes of the records (a piece of bytes, each a power of two and some), then what is done to them, then the cuts.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use support::{QUICK, Script, key_of};
use xllm_proxy::proto::{
    crypto::Secret,
    keys::Schedule,
    limits::RECORD_PLAINTEXT,
    record::{Opener, Sealer},
};

/// Of this input alone (see [`support::use_secrets_of`]).
fn schedule(input: &[u8]) -> Schedule {
    Schedule::new(&[6; 32], &Secret::new(key_of(input)))
}

fuzz_target!(|input: &[u8]| {
    let schedule = || schedule(input);
    let mut script = Script::new(input);
    let (plain, mut wires) = seal(schedule, script.piece());
    let honest: Vec<u8> = wires.concat();
    while script.byte() != 0 {
        change(&mut wires, &mut script);
    }
    let wire = wires.concat();
    let (opened, fault) = open(schedule, &wire, script.rest());
    assert!(opened.len() <= plain.len() && plain.starts_with(&opened), "what is opened was sealed, in this order");
    assert_eq!(wire == honest, opened.len() == plain.len() && !fault && wire.len() == honest.len());
});

/// Plaintexts of these sizes, and their records.
fn seal(schedule: impl Fn() -> Schedule, sizes: &[u8]) -> (Vec<Bytes>, Vec<BytesMut>) {
    let mut sealer = Sealer::new(schedule(), &QUICK);
    let sizes = sizes.iter().take(32).map(|&size| ((1 << (size >> 4)) + usize::from(size & 15)).min(RECORD_PLAINTEXT));
    sizes
        .enumerate()
        .map(|(number, size)| {
            let text = Bytes::from(vec![number as u8; size]);
            let mut wire = BytesMut::new();
            let start = Sealer::begin(&mut wire);
            wire.extend_from_slice(&text);
            sealer.seal(&mut wire, start).expect("within the limits");
            (text, wire)
        })
        .unzip()
}

fn change(wires: &mut Vec<BytesMut>, script: &mut Script<'_>) {
    let (what, which, at) = (script.byte(), usize::from(script.byte()), usize::from(script.short()));
    let other = usize::from(script.byte());
    let Some(which) = which.checked_rem(wires.len()) else { return };
    let at = at.checked_rem(wires[which].len()).unwrap_or(0);
    match what % 6 {
        0 if !wires[which].is_empty() => wires[which][at] ^= script.byte(),
        1 => wires[which].truncate(at),
        2 => _ = wires.remove(which),
        3 => {
            let again = wires[which].clone();
            wires.insert(other % (wires.len() + 1), again);
        }
        4 => {
            let other = other % wires.len();
            wires.swap(which, other);
        }
        _ => wires[which].extend_from_slice(script.piece()),
    }
}

/// What an end opens, and whether it ends with a fault. It stops there, as a session does.
fn open(schedule: impl Fn() -> Schedule, mut wire: &[u8], cuts: &[u8]) -> (Vec<Bytes>, bool) {
    let mut opener = Opener::new(schedule(), &QUICK);
    let (mut input, mut opened) = (BytesMut::new(), Vec::new());
    let mut cuts = cuts.iter().map(|&cut| usize::from(cut));
    loop {
        loop {
            match opener.open(&mut input) {
                Ok(Some(text)) => opened.push(text),
                Ok(None) => break,
                Err(_) => return (opened, true),
            }
        }
        if wire.is_empty() {
            return (opened, false);
        }
        let (piece, rest) = wire.split_at(cuts.next().unwrap_or(usize::MAX).min(wire.len()));
        wire = rest;
        input.extend_from_slice(piece);
    }
}
