//! Where a stream of server-sent events stands: between two events, or inside one. Nothing is parsed or kept beyond that.

/// Follows a stream by its line ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Events {
    /// Nothing has come since the last line end.
    line_is_empty: bool,
    /// Nothing but line ends has come since the last blank line.
    event_is_empty: bool,
    /// A line feed that comes next belongs to the line end before it.
    carriage: bool,
}

impl Default for Events {
    /// Before the first event.
    fn default() -> Self {
        Self { line_is_empty: true, event_is_empty: true, carriage: false }
    }
}

/// Two line ends are at most so long: what comes before them makes no difference.
const TAIL: usize = 4;

impl Events {
    /// Takes note of what went by.
    pub(super) fn see(&mut self, bytes: &[u8]) {
        let tail = match bytes.len().checked_sub(TAIL) {
            Some(at) if at > 0 => {
                *self = Self { line_is_empty: false, event_is_empty: false, carriage: false };
                &bytes[at..]
            }
            _ => bytes,
        };
        for &byte in tail {
            match byte {
                b'\n' if self.carriage => self.carriage = false,
                b'\n' | b'\r' => {
                    self.event_is_empty = self.line_is_empty;
                    self.line_is_empty = true;
                    self.carriage = byte == b'\r';
                }
                _ => *self = Self { line_is_empty: false, event_is_empty: false, carriage: false },
            }
        }
    }

    /// Whether a line put here would stand between two events. After a lone carriage return that is not known yet.
    pub(super) const fn between(self) -> bool {
        self.line_is_empty && self.event_is_empty && !self.carriage
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(text: &str) -> bool {
        let mut events = Events::default();
        events.see(text.as_bytes());
        events.between()
    }

    #[test]
    fn a_blank_line_ends_an_event_in_every_spelling() {
        for text in
            ["", "\n", "data: x\n\n", "data: x\r\n\r\n", "data: x\r\r\n", "event: a\ndata: b\n\n\n", ": comment\n\n", "a\n\r\n"]
        {
            assert!(between(text), "{text:?}");
        }
        for text in
            ["d", "data: x", "data: x\n", "data: x\r\n", "data: x\r\n\r", "data: x\n\ndata: y\n", "data: x\n\n:", "\n\nd\r"]
        {
            assert!(!between(text), "{text:?}");
        }
    }

    #[test]
    fn the_cut_into_pieces_makes_no_difference() {
        let text = "event: a\r\ndata: é\r\n\r\ndata: b\n\n\r\ndata: c\r\r\n: d\n\n\n\nlast\n";
        for from in 0..text.len() {
            let whole = {
                let mut events = Events::default();
                text.as_bytes()[..from].iter().for_each(|byte| events.see(&[*byte]));
                events.between()
            };
            for cut in 0..=from {
                let mut events = Events::default();
                events.see(&text.as_bytes()[..cut]);
                events.see(&text.as_bytes()[cut..from]);
                assert_eq!(events.between(), whole, "{from} {cut}");
            }
        }
    }
}
