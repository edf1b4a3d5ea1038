//! Deterministic stand-ins for randomness: the same seed gives the same bytes everywhere.

/// Letters of identifiers such as `chatcmpl-…` and `msg_01…`.
pub(crate) const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Letters of `x-request-id`, `cf-ray` and UUIDs.
pub(crate) const HEX: &[u8; 16] = b"0123456789abcdef";

/// The output function of `SplitMix64`: well mixed, and addressable at any position.
pub(crate) const fn mix(position: u64) -> u64 {
    let mut z = position.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A seed out of a text (FNV-1a).
pub(crate) fn seed(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// `length` letters of `alphabet`, picked by `seed`.
pub(crate) fn word(seed: u64, length: usize, alphabet: &[u8]) -> String {
    (0u64..).take(length).map(|i| char::from(alphabet[index(mix(seed.wrapping_add(i << 32)), alphabet.len())])).collect()
}

/// `number` folded into `0..length`; `length` is not zero.
pub(crate) fn index(number: u64, length: usize) -> usize {
    usize::try_from(number % length as u64).unwrap_or(0)
}
