//! What is sent: all that is ready, in as few records as hold it (section 4.5).

use core::time::Duration;

use bytes::{BufMut, BytesMut};

use super::{
    super::{
        error::Error,
        exchange::{Exchange, Place, Wrote},
        frame::{self, Ping, kind},
        limits::{LENGTH, RECORD_PLAINTEXT, TRANSMIT_BATCH, UNARRIVED},
        record::Sealer,
        wire::{varint, varint_len},
    },
    Closed, Connection, Event,
};

/// What an exchange costs, beside its frames, whose end may not have arrived.
const ENDED_COST: usize = 4096;

impl Connection {
    pub(super) fn list(&mut self, exchange: u32) {
        if let Some(open) = self.exchanges.get_mut(&exchange)
            && !open.out.is_empty()
            && !core::mem::replace(&mut open.listed, true)
        {
            self.ready.push_back(exchange);
        }
    }

    /// Appends what is to be sent now, about 64 KiB at most; `false` if there is nothing. Call it again when this is written.
    pub fn poll_transmit(&mut self, now: Duration, out: &mut BytesMut) -> bool {
        let before = out.len();
        if let Some(hello) = self.hello.take() {
            out.put_slice(&hello);
        }
        while out.len() - before < TRANSMIT_BATCH && self.keys.is_some() {
            let start = Sealer::begin(out);
            if let Err(error) = self.fill(now, out, start + LENGTH) {
                // A frame of our own that cannot be encoded: the session cannot go on.
                out.truncate(start);
                self.close(Closed::Fault(error));
                break;
            }
            let used = out.len() - start - LENGTH;
            if used == 0 {
                out.truncate(start);
                break;
            }
            out.put_bytes(0, self.profile.padded(used) - used);
            let sealed = self.keys.as_mut().map(|(sealer, _)| sealer.seal(out, start));
            if let Some(Err(error)) = sealed {
                out.truncate(start);
                self.close(Closed::Fault(error));
                break;
            }
            self.traffic.sent.records += 1;
        }
        self.finish_drain();
        self.traffic.sent.wire += (out.len() - before) as u64;
        out.len() > before
    }

    /// Puts all frames that are ready and fit into the record that begins at `text`.
    fn fill(&mut self, now: Duration, out: &mut BytesMut, text: usize) -> Result<(), Error> {
        // A PONG says that all before its PING has arrived. What was thrown away instead, because its exchange was refused or has gone to
        // another session, is told before: the client may still need it.
        if !self.fill_control(out, text) {
            return Ok(());
        }
        while let Some(number) = self.failed.pop_front() {
            if matches!(self.write(number, now, out, text)?, Wrote::NoRoom) {
                self.failed.push_front(number);
                return Ok(());
            }
        }
        if !self.pongs.is_empty() && !self.fill_pongs(now, out, text) {
            return Ok(());
        }
        // Half of a record at most, so that credit, which costs its peer nothing, holds up no body.
        while out.len() - text <= RECORD_PLAINTEXT / 2
            && let Some(exchange) = self.crediting.pop_front()
        {
            let Some(open) = self.exchanges.get_mut(&exchange).filter(|open| !open.is_cancelled()) else { continue };
            let amount = varint(open.take_owed());
            open.crediting = false;
            let _fits = put_small(out, text, kind::CREDIT, exchange, None, &amount);
            self.traffic.sent.frames += 1;
        }
        while let Some(number) = self.ready.pop_front() {
            match self.write(number, now, out, text)? {
                Wrote::NoRoom => {
                    self.ready.push_front(number);
                    break;
                }
                Wrote::Some => self.ready.push_back(number),
                Wrote::All | Wrote::Stopped | Wrote::Last => {}
            }
        }
        self.fill_control(out, text);
        if out.len() > text
            && let Some(token) = self.arrivals.ask(now, false)
        {
            self.control.push_back((kind::PING, 0, None, Ping { token, silence: 0 }.encode()));
            self.fill_control(out, text);
        }
        if core::mem::take(&mut self.confirm) {
            let _ = put_small(out, text, kind::PING, 0, None, &Ping { token: [0; 8], silence: 0 }.encode());
            self.traffic.sent.frames += 1;
        }
        Ok(())
    }

    /// Puts the PONGs that are due, and says whether all of them fitted.
    fn fill_pongs(&mut self, now: Duration, out: &mut BytesMut, text: usize) -> bool {
        // The program has yet to see what it may refuse.
        if self.events.iter().any(|event| matches!(event, Event::Request(..) | Event::Resume(..))) {
            return true;
        }
        let server = self.is_server();
        while let Some((exchange, token)) = self.pongs.front().copied() {
            let open = self.exchanges.get(&exchange);
            let silence = open.filter(|_| server).map_or(0, |open| open.silence(now));
            if exchange == 0 || open.is_some() {
                if !put_small(out, text, kind::PONG, exchange, None, &Ping { token, silence }.encode()) {
                    return false;
                }
                self.traffic.sent.frames += 1;
            }
            self.pongs.pop_front();
        }
        true
    }

    /// Puts the next frame of an exchange into the record that begins at `text`.
    fn write(&mut self, number: u32, now: Duration, out: &mut BytesMut, text: usize) -> Result<Wrote, Error> {
        let Some(open) = self.exchanges.get_mut(&number) else { return Ok(Wrote::Stopped) };
        let (body, kept) = (open.sealed, open.out.kept());
        let room = RECORD_PLAINTEXT - (out.len() - text);
        let (ping, pieces) = (self.arrivals.next(), self.unarrived < UNARRIVED);
        let wrote = open.write(number, Place { out, room, ping, pieces, now })?;
        self.confirm = false;
        self.traffic.sent.body += open.sealed - body;
        self.traffic.sent.frames += u64::from(!matches!(wrote, Wrote::NoRoom | Wrote::Stopped));
        if open.out.kept() > kept {
            self.unarrived += open.out.kept() - kept;
            self.arrivals.sealed(now, open.out.kept() - kept);
        }
        match wrote {
            Wrote::NoRoom => return Ok(wrote),
            Wrote::Some => {}
            Wrote::All | Wrote::Stopped => open.listed = false,
            Wrote::Last => {
                self.idle_since = now;
                if let Some(ended) = self.exchanges.remove(&number) {
                    self.sealed_last(number, ended, now);
                }
                return Ok(wrote);
            }
        }
        if open.out.take_room() {
            self.events.push_back(Event::Room(number));
        }
        Ok(wrote)
    }

    /// The last frame of an exchange was sealed. If it can be asked for once more, it is kept until it is known to have arrived.
    fn sealed_last(&mut self, number: u32, ended: Exchange, now: Duration) {
        self.finished.push((number, ended.tally()));
        if ended.is_resumable() && ended.out.kept() > 0 {
            self.arrivals.sealed(now, ENDED_COST);
            self.settling.insert(number, ended);
        } else {
            self.settled.push(number);
        }
    }

    /// Puts what is about the session, and says whether all of it fitted. Our own GOAWAY does not overtake a REQUEST or RESUME
    /// that was made before it: its receiver may close at once.
    fn fill_control(&mut self, out: &mut BytesMut, text: usize) -> bool {
        while let Some((kind, exchange, seq, payload)) = self.control.front() {
            if *kind == kind::GOAWAY && self.exchanges.values().any(Exchange::is_unsent) {
                break;
            }
            if !put_small(out, text, *kind, *exchange, *seq, payload) {
                return false;
            }
            self.traffic.sent.frames += 1;
            self.control.pop_front();
        }
        true
    }
}

/// Puts a frame into the record that begins at `text`, if it fits.
fn put_small(out: &mut BytesMut, text: usize, kind: u8, exchange: u32, seq: Option<u64>, payload: &[u8]) -> bool {
    let size = seq.map_or(0, varint_len) + payload.len();
    let fits = out.len() - text + frame::framed_len(exchange, size) <= RECORD_PLAINTEXT;
    if fits {
        frame::put(out, kind, exchange, seq, payload);
    }
    fits
}
