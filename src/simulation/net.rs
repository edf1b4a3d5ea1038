//! Connections in memory: they delay, stall, take only so much ahead, are damaged, and end in every way that TCP knows, each direction and
//! each end at a moment of its own.

use std::{
    collections::VecDeque,
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, Weak},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use super::dice;
use crate::proto::limits;

/// How a network behaves as long as it works.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    pub(crate) latency: Duration,
    /// One piece in so many is late by as much more, milliseconds; the first of a connection are not.
    pub(crate) late: Option<(u64, u64)>,
    /// Bytes that one direction takes before they are read.
    pub(crate) room: usize,
    /// From then on nothing is late or cut any more.
    pub(crate) calm: Duration,
}

impl Weather {
    fn is_calm(&self, now: Instant, start: Instant) -> bool {
        now >= start + self.calm
    }
}

/// Bytes of a direction in which nothing is damaged: a hello that is wrong says that the key is.
const HELLO: u64 = limits::HELLO as u64;
/// Bytes of a direction of which none is late.
const FIRST: u64 = 1000;

/// One direction.
struct Direction {
    under_way: VecDeque<(Instant, BytesMut)>,
    /// Bytes that were taken and not read.
    size: usize,
    /// Nothing arrives before.
    last: Instant,
    sent: u64,
    /// Takes what it has room for, and delivers nothing.
    silent: bool,
    /// From when on the reader learns that there is no more; with an error, or in order.
    end: Option<(Instant, bool)>,
    /// From when on the writer learns it.
    broken: Option<Instant>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Direction {
    fn new(now: Instant) -> Self {
        Self {
            under_way: VecDeque::new(),
            size: 0,
            last: now,
            sent: 0,
            silent: false,
            end: None,
            broken: None,
            reader: None,
            writer: None,
        }
    }

    fn wake(&mut self) {
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }

    /// Of what is under way, a part is lost: from any byte on.
    fn truncate(&mut self) {
        let left = fastrand::usize(..=self.under_way.len());
        self.under_way.truncate(left);
        if let Some((_, last)) = self.under_way.back_mut() {
            last.truncate(fastrand::usize(..=last.len()));
        }
    }
}

/// How a connection is cut.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    /// Both directions, each in its own way.
    Both,
    /// One direction goes silent, and nobody is told.
    OneWay,
    /// Both.
    Silence,
    /// What is under way in one direction is changed.
    Damage,
}

pub(crate) const CUTS: [Cut; 6] = [Cut::Both, Cut::Both, Cut::Both, Cut::OneWay, Cut::Silence, Cut::Damage];

struct Link {
    ways: [Direction; 2],
    weather: Weather,
    /// Behind so many bytes in this direction it is cut.
    at: Option<(usize, u64)>,
    /// When the run began.
    start: Instant,
}

impl Link {
    fn cut(&mut self, cut: Cut) {
        let now = Instant::now();
        match cut {
            Cut::Both => {
                let told = [0, 1].map(|_| !dice::one_in(4));
                for (side, way) in self.ways.iter_mut().enumerate() {
                    way.truncate();
                    way.silent = true;
                    let after = way.under_way.back().map_or(now, |(at, _)| *at).max(now);
                    if told[side] {
                        way.end.get_or_insert((after + dice::millis(300), dice::one_in(2)));
                    }
                    // That nobody takes what is written is told on the way back.
                    if told[1 - side] {
                        way.broken.get_or_insert(now + dice::millis(300));
                    }
                    way.wake();
                }
            }
            Cut::OneWay => self.ways[fastrand::usize(..2)].silence(),
            Cut::Silence => self.ways.iter_mut().for_each(Direction::silence),
            Cut::Damage => {
                let way = &mut self.ways[fastrand::usize(..2)];
                if let Some((_, bytes)) = way.under_way.back_mut().filter(|(_, bytes)| way.sent > HELLO && !bytes.is_empty()) {
                    let at = fastrand::usize(..bytes.len());
                    bytes[at] ^= 1 << dice::below(8);
                }
            }
        }
    }
}

impl Direction {
    fn silence(&mut self) {
        self.truncate();
        self.silent = true;
    }
}

fn lock(link: &Mutex<Link>) -> MutexGuard<'_, Link> {
    link.lock().expect("nothing in it panics")
}

/// With which a connection is cut.
pub(crate) struct Scissors(Weak<Mutex<Link>>);

impl Scissors {
    /// Says whether there was something to cut.
    pub(crate) fn cut(&self, cut: Cut) -> bool {
        let Some(link) = self.0.upgrade() else { return false };
        lock(&link).cut(cut);
        true
    }
}

/// One end of a connection.
pub(crate) struct Wire {
    link: Arc<Mutex<Link>>,
    side: usize,
    read: Pin<Box<Sleep>>,
    write: Pin<Box<Sleep>>,
}

/// A connection, which may be cut behind so many bytes in one direction.
pub(crate) fn pair(weather: Weather, at: Option<(usize, u64)>, start: Instant) -> ([Wire; 2], Scissors) {
    let now = Instant::now();
    let link = Arc::new(Mutex::new(Link { ways: [Direction::new(now), Direction::new(now)], weather, at, start }));
    let wire = |side| Wire { link: link.clone(), side, read: Box::pin(sleep_until(now)), write: Box::pin(sleep_until(now)) };
    ([wire(0), wire(1)], Scissors(Arc::downgrade(&link)))
}

/// Comes back at this moment; ready if it is past.
fn at(timer: &mut Pin<Box<Sleep>>, moment: Instant, cx: &mut Context<'_>) -> Poll<()> {
    timer.as_mut().reset(moment);
    timer.as_mut().poll(cx)
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { link, side, read, .. } = &mut *self;
        loop {
            let due = {
                let way = &mut lock(link).ways[1 - *side];
                let now = Instant::now();
                let mut any = false;
                while let Some((when, bytes)) = way.under_way.front_mut()
                    && *when <= now
                    && buf.remaining() > 0
                {
                    let count = bytes.len().min(buf.remaining());
                    buf.put_slice(&bytes[..count]);
                    bytes.advance(count);
                    way.size = way.size.saturating_sub(count);
                    any |= count > 0;
                    if bytes.is_empty() {
                        way.under_way.pop_front();
                    }
                }
                if any {
                    way.writer.take().into_iter().for_each(Waker::wake);
                    return Poll::Ready(Ok(()));
                }
                let first = way.under_way.front().map(|(when, _)| *when);
                let end = way.end.filter(|_| first.is_none());
                if let Some((_, failed)) = end.filter(|(when, _)| *when <= now) {
                    return Poll::Ready(if failed { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) });
                }
                way.reader = Some(cx.waker().clone());
                first.or(end.map(|(when, _)| when))
            };
            match due {
                Some(due) => ready!(at(read, due, cx)),
                None => return Poll::Pending,
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Self { link, side, write, .. } = &mut *self;
        let (side, mut link) = (*side, lock(link));
        let (weather, now) = (link.weather, Instant::now());
        if link.ways[side].broken.is_some_and(|broken| broken <= now) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let is_calm = weather.is_calm(now, link.start);
        let limit = link.at.filter(|(cut, _)| *cut == side && !is_calm).map(|(_, limit)| limit);
        let way = &mut link.ways[side];
        let count = weather.room.saturating_sub(way.size).min(bytes.len());
        if count == 0 {
            way.writer = Some(cx.waker().clone());
            let broken = way.broken;
            drop(link);
            // It is not past: this only has it come back then.
            return broken
                .map_or(Poll::Pending, |broken| at(write, broken, cx).map(|()| Err(io::ErrorKind::BrokenPipe.into())));
        }
        way.size += count;
        let mut rest = &bytes[..count];
        while !way.silent && !rest.is_empty() {
            let piece = if dice::one_in(3) { fastrand::usize(1..=rest.len()) } else { rest.len() };
            let late = weather.late.filter(|(times, _)| !is_calm && way.sent > FIRST && dice::one_in(*times));
            let jitter = dice::millis(1) + late.map_or(Duration::ZERO, |(_, most)| dice::millis(most));
            way.last = way.last.max(now + weather.latency + jitter);
            way.sent += piece as u64;
            way.under_way.push_back((way.last, rest[..piece].into()));
            rest = &rest[piece..];
        }
        way.reader.take().into_iter().for_each(Waker::wake);
        if limit.is_some_and(|limit| link.ways[side].sent >= limit) {
            link.at = None;
            link.cut(dice::one_of(&CUTS));
        }
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let link = &mut *lock(&self.link);
        link.ways[self.side].finish(link.weather, false);
        Poll::Ready(Ok(()))
    }
}

impl Direction {
    /// Nothing more is written.
    fn finish(&mut self, weather: Weather, failed: bool) {
        if !self.silent && self.end.is_none() {
            self.end = Some((self.last.max(Instant::now() + weather.latency), failed));
        }
        self.wake();
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let link = &mut *lock(&self.link);
        let (side, weather) = (self.side, link.weather);
        // Who closes with something unread resets the connection, and what it wrote before may be lost.
        let unread = !link.ways[1 - side].under_way.is_empty();
        if unread && !link.ways[side].silent {
            link.ways[side].truncate();
        }
        let told = !link.ways[side].silent;
        link.ways[side].finish(weather, unread);
        let back = &mut link.ways[1 - side];
        if told {
            back.broken.get_or_insert(Instant::now() + weather.latency);
        }
        back.silent = true;
        back.under_way.clear();
        back.wake();
    }
}
