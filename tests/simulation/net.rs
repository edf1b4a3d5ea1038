//! One connection: bytes that are under way, and its end.

use core::time::Duration;
use std::collections::VecDeque;

use bytes::BytesMut;

use super::dice::Dice;

/// One way of a connection.
#[derive(Default)]
pub(crate) struct Pipe {
    under_way: VecDeque<(Duration, BytesMut)>,
    last: Duration,
    /// What arrived and was not used.
    pub(crate) input: BytesMut,
    /// Takes everything and delivers nothing: nobody is told.
    pub(crate) silent: bool,
    /// When the receiver learns that there is no more, if it does.
    pub(crate) end: Option<Duration>,
}

impl Pipe {
    /// Bytes leave, in pieces as a network makes them.
    pub(crate) fn send(&mut self, now: Duration, mut bytes: BytesMut, latency: Duration, dice: &mut Dice) {
        if self.silent || self.end.is_some() {
            return;
        }
        while !bytes.is_empty() {
            let size = if dice.one_in(3) { 1 + dice.below(bytes.len() as u64) as usize } else { bytes.len() };
            let jitter = if dice.one_in(20) { dice.millis(2000) } else { dice.millis(5) };
            self.last = self.last.max(now + latency + jitter);
            self.under_way.push_back((self.last, bytes.split_to(size)));
        }
    }

    /// What has arrived by now goes to the input.
    pub(crate) fn arrive(&mut self, now: Duration) -> bool {
        let mut any = false;
        while self.under_way.front().is_some_and(|(at, _)| *at <= now) {
            let (_, bytes) = self.under_way.pop_front().unwrap();
            self.input.extend_from_slice(&bytes);
            any = true;
        }
        any
    }

    /// It ends: some of what is under way still arrives, cut anywhere.
    pub(crate) fn cut(&mut self, now: Duration, dice: &mut Dice) {
        let left = dice.below(self.under_way.len() as u64 + 1) as usize;
        self.under_way.truncate(left);
        if let Some((_, last)) = self.under_way.back_mut() {
            last.truncate(dice.below(last.len() as u64 + 1) as usize);
        }
        let after = self.under_way.back().map_or(now, |(at, _)| *at);
        if dice.one_in(4) {
            self.silent = true;
        } else {
            self.end = Some(after.max(now) + dice.millis(300));
        }
    }

    pub(crate) fn next(&self) -> Option<Duration> {
        let first = self.under_way.front().map(|(at, _)| *at);
        [first, self.end].into_iter().flatten().min()
    }

    pub(crate) fn has_ended(&self, now: Duration) -> bool {
        self.under_way.is_empty() && self.end.is_some_and(|end| end <= now)
    }
}
