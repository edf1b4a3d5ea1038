//! Records: counter, nonce, ratchet, sealing and opening in place (section 4).
//!
//! ```text
//! length u16 │ ciphertext (frames, then zero padding) │ tag 16
//!   └─ associated data
//! ```

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    crypto::{Aead, Secret, Suite},
    error::Error,
    keys::Schedule,
    limits::{EPOCH_BITS, LENGTH, RECORD_PLAINTEXT, SESSION_RECORDS, TAG},
};

/// One direction's key, nonce base and counter.
struct Keys {
    suite: &'static dyn Suite,
    /// `None` only while the ratchet turns.
    schedule: Option<Schedule>,
    aead: Box<dyn Aead>,
    iv: Secret<12>,
    epoch: u64,
    next: u64,
}

impl Keys {
    fn new(schedule: Schedule, suite: &'static dyn Suite) -> Self {
        Self { aead: suite.aead(&schedule.key()), iv: schedule.iv(), schedule: Some(schedule), suite, epoch: 0, next: 0 }
    }

    /// The nonce of the next record, after turning the ratchet where an epoch begins (section 4.2).
    fn nonce(&mut self) -> Result<[u8; 12], Error> {
        if self.next >= SESSION_RECORDS {
            return Err(Error::violation("more records than a session may have"));
        }
        while self.epoch < self.next >> EPOCH_BITS {
            let schedule = self.schedule.take().map(Schedule::next).ok_or(Error::Misuse("the ratchet broke"))?;
            self.aead = self.suite.aead(&schedule.key());
            self.iv = schedule.iv();
            self.schedule = Some(schedule);
            self.epoch += 1;
        }
        let mut nonce = *self.iv.expose();
        for (byte, counter) in nonce[4..].iter_mut().zip(self.next.to_be_bytes()) {
            *byte ^= counter;
        }
        Ok(nonce)
    }
}

/// Seals records of one direction.
pub struct Sealer(Keys);

impl Sealer {
    /// Begins with record 0.
    pub fn new(schedule: Schedule, suite: &'static dyn Suite) -> Self {
        Self(Keys::new(schedule, suite))
    }

    /// Begins a record at the end of `out`: frames are appended next, then [`Sealer::seal`] takes what this gave.
    pub fn begin(out: &mut BytesMut) -> usize {
        let start = out.len();
        out.put_bytes(0, LENGTH);
        start
    }

    /// Seals what was appended since `start`, in place.
    ///
    /// # Errors
    /// [`Error::Misuse`] if the plaintext is empty or over its limit; `violation` at the session's last record.
    pub fn seal(&mut self, out: &mut BytesMut, start: usize) -> Result<(), Error> {
        let size = out.len() - start - LENGTH;
        let length = u16::try_from(size + TAG).ok().filter(|_| (1..=RECORD_PLAINTEXT).contains(&size));
        let length = length.ok_or(Error::Misuse("a record's plaintext is empty or too long"))?.to_be_bytes();
        let nonce = self.0.nonce()?;
        let (head, text) = out[start..].split_at_mut(LENGTH);
        head.copy_from_slice(&length);
        let tag = self.0.aead.seal(&nonce, &length, text);
        self.0.next += 1;
        out.put_slice(&tag);
        Ok(())
    }
}

/// Opens records of one direction.
pub struct Opener(Keys);

impl Opener {
    /// Begins with record 0.
    pub fn new(schedule: Schedule, suite: &'static dyn Suite) -> Self {
        Self(Keys::new(schedule, suite))
    }

    /// Takes the next record off `input` and opens it in place; `None` if it is not all there yet.
    ///
    /// # Errors
    /// [`Error::Unauthentic`] if it does not verify, or has a length out of range; then before more is awaited.
    pub fn open(&mut self, input: &mut BytesMut) -> Result<Option<Bytes>, Error> {
        let Some(&length) = input.first_chunk::<LENGTH>() else { return Ok(None) };
        let size = usize::from(u16::from_be_bytes(length));
        if !(TAG + 1..=RECORD_PLAINTEXT + TAG).contains(&size) {
            return Err(Error::Unauthentic("record length"));
        }
        if input.len() < LENGTH + size {
            return Ok(None);
        }
        let mut record = input.split_to(LENGTH + size).split_off(LENGTH);
        let nonce = self.0.nonce()?;
        let text = self.0.aead.open(&nonce, &length, &mut record)?;
        record.truncate(text);
        self.0.next += 1;
        Ok(Some(record.freeze()))
    }
}

impl core::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Sealer").field("next", &self.0.next).finish_non_exhaustive()
    }
}

impl core::fmt::Debug for Opener {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Opener").field("next", &self.0.next).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
