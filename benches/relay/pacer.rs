//! Writes the events of the steady load, each at its own moment.
//!
//! A timer of tokio has a grain of a millisecond: hundreds of streams would speak in bursts, and a relay that packs what is ready
//! together would look better than it is. So a thread of its own sleeps to the very moment, and writes one event at a time. Where
//! the cores are taken it is late all the same; each event says by how much, so that its latency can be counted from when it was due.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    io::{ErrorKind, Write as _},
    net::TcpStream,
    sync::mpsc::{Receiver, Sender, TryRecvError, channel},
    thread,
    time::Duration,
};

use crate::{
    clock,
    event::{Event, FRAMED, Stamp},
    system,
};

/// Further behind than this, ns, a stream's missed events are left out: the load is one of live streams, not of a backlog. They are
/// missing in the share that arrived.
const BEHIND: u64 = 100_000_000;
/// The longest sleep, so that new streams are seen.
const NAP: Duration = Duration::from_millis(1);

/// A stream whose head is written.
#[derive(Debug)]
pub(crate) struct Stream {
    /// In non-blocking mode.
    pub(crate) socket: TcpStream,
    pub(crate) number: u16,
    /// From event to event, ns.
    pub(crate) period: u64,
}

struct Paced {
    stream: Stream,
    written: u32,
    /// What the socket did not take of the last event.
    rest: Vec<u8>,
}

/// Starts the thread; streams that are sent there are served until their connection breaks.
pub(crate) fn start() -> Sender<Stream> {
    let (sender, streams) = channel();
    thread::spawn(move || {
        system::sleep_precisely();
        run(&streams)
    });
    sender
}

/// Ends when nobody can send streams any more.
fn run(streams: &Receiver<Stream>) -> Option<()> {
    let (mut event, mut paced, mut due) = (Event::new(), Vec::new(), BinaryHeap::new());
    loop {
        let new = if due.is_empty() {
            // Between two loads the places of the last one are free again.
            paced.clear();
            Some(streams.recv().ok()?)
        } else {
            match streams.try_recv() {
                Ok(stream) => Some(stream),
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Disconnected) => return None,
            }
        };
        if let Some(stream) = new {
            due.push(Reverse((clock::now() + phase(&stream), paced.len())));
            paced.push(Some(Paced { stream, written: 0, rest: Vec::new() }));
            continue;
        }
        let Reverse((moment, place)) = *due.peek()?;
        let now = clock::now();
        if moment > now {
            thread::sleep(Duration::from_nanos(moment - now).min(NAP));
            continue;
        }
        due.pop();
        let slot: &mut Option<Paced> = paced.get_mut(place)?;
        let one = slot.as_mut()?;
        if one.write(&mut event, moment).is_ok() {
            let next = moment + one.stream.period;
            due.push(Reverse((if now.saturating_sub(next) > BEHIND { now } else { next }, place)));
        } else {
            *slot = None;
        }
    }
}

/// Where in its period a stream begins: at random, as streams that know nothing of each other do, and for the same stream always
/// alike.
fn phase(stream: &Stream) -> u64 {
    // The finisher of `SplitMix64`.
    let mut mixed = (u64::from(stream.number) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) % stream.period
}

impl Paced {
    fn write(&mut self, event: &mut Event, due: u64) -> std::io::Result<()> {
        if !self.rest.is_empty() {
            let taken = taken(self.stream.socket.write(&self.rest))?;
            self.rest.drain(..taken);
            if !self.rest.is_empty() {
                return Ok(());
            }
        }
        let sent = clock::now();
        let late = u32::try_from(sent - due).unwrap_or(u32::MAX);
        let bytes = event.stamped(Stamp { sent, late, stream: self.stream.number, number: self.written });
        match taken(self.stream.socket.write(bytes))? {
            0 => {}
            taken => {
                self.written += 1;
                self.rest.extend_from_slice(&bytes[taken..FRAMED]);
            }
        }
        Ok(())
    }
}

/// A full socket takes nothing: the path is slower than the load.
fn taken(written: std::io::Result<usize>) -> std::io::Result<usize> {
    match written {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}
