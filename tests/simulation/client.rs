//! The client's program: asks, uploads, reads as slowly as it likes, and comes back for what was cut.

use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;
use xllm_proxy::proto::{
    Code, Event,
    frame::{BodyLength, CancelReason, Headers},
};

use super::world::{Fate, World, body, byte};

/// Where a request is.
#[derive(Clone, Copy, Debug)]
enum Home {
    /// Nowhere yet.
    Nowhere,
    /// In this session, with this number.
    In(usize, u32),
    /// Held in this session, with this number; since then; to be asked anew, or resumed; not before then.
    Adrift { at: (usize, u32), since: Duration, anew: bool, due: Duration, tries: u32 },
}

#[derive(Debug)]
pub(crate) struct Ask {
    home: Home,
    given: u64,
    given_all: bool,
    has_head: bool,
    got: u64,
    /// Pieces that the program takes then.
    taking: VecDeque<(Duration, usize)>,
    /// What is left of an adrift time when it goes on, in case it is cut at once.
    tries: u32,
    pub(crate) fate: Option<Fate>,
}

pub(crate) struct Client {
    pub(crate) asks: Vec<Ask>,
    /// Those that are held only so that the server hears of their end: session and number.
    cancels: Vec<(usize, u32)>,
    /// No connection is tried before then.
    pause: Duration,
}

impl Client {
    pub(crate) fn new(count: usize) -> Self {
        let ask = || Ask {
            home: Home::Nowhere,
            given: 0,
            given_all: false,
            has_head: false,
            got: 0,
            taking: VecDeque::new(),
            tries: 0,
            fate: None,
        };
        Self { asks: (0..count).map(|_| ask()).collect(), cancels: Vec::new(), pause: Duration::ZERO }
    }

    pub(crate) fn next(&self, world: &World) -> Option<Duration> {
        let now = world.now;
        let of_asks = self.asks.iter().zip(&world.plans).filter(|(ask, _)| ask.fate.is_none()).flat_map(|(ask, plan)| {
            let home = match ask.home {
                Home::Nowhere => Some(plan.starts),
                Home::In(..) => None,
                Home::Adrift { due, .. } => Some(due),
            };
            [home, ask.taking.front().map(|(at, _)| *at), plan.gives_up]
        });
        of_asks.flatten().chain([self.pause]).filter(|at| *at > now).min()
    }
}

impl World {
    /// A session that opens exchanges, with this run of the server if that matters; if there is none, one is on its way.
    fn session(&mut self, instance: Option<[u8; 8]>) -> Option<usize> {
        let usable = |world: &Self, number: usize| {
            let session = &world.sessions[number];
            let said = session.client.said().and_then(|said| said.instance);
            session.is_up && session.client.can_open() && (instance.is_none() || said == instance)
        };
        if let Some(found) = (0..self.sessions.len()).rev().find(|&number| usable(self, number)) {
            return Some(found);
        }
        let under_way = self.sessions.iter().any(|session| !session.client.is_closed() && !session.is_up);
        let full = self.sessions.iter().any(|session| session.is_up && !session.client.is_draining());
        if !under_way && !full && self.now >= self.client.pause {
            self.client.pause = self.now + self.dice.millis(1000);
            self.connect();
        }
        None
    }

    /// Which run of the server that session is with.
    fn instance(&self, session: usize) -> Option<[u8; 8]> {
        self.sessions[session].client.said().and_then(|said| said.instance)
    }

    pub(crate) fn client_acts(&mut self) {
        for ask in 0..self.client.asks.len() {
            if self.client.asks[ask].fate.is_none() {
                self.act(ask);
            }
        }
        for (old, number) in std::mem::take(&mut self.client.cancels) {
            let instance = self.instance(old);
            match self.session(None) {
                // Its server is no more.
                Some(session) if self.instance(session) != instance => self.sessions[old].client.forget(number),
                Some(session) => {
                    if let Some(held) = self.sessions[old].client.take(number) {
                        self.sessions[session].client.resume(held).expect("it can be opened");
                    }
                }
                None => self.client.cancels.push((old, number)),
            }
        }
    }

    fn act(&mut self, ask: usize) {
        let now = self.now;
        if self.plans[ask].gives_up.is_some_and(|at| at <= now) {
            match self.client.asks[ask].home {
                Home::Nowhere => {}
                Home::In(session, number) => self.sessions[session].client.cancel(number, CancelReason::CallerGone),
                Home::Adrift { at: (session, number), .. } => {
                    self.sessions[session].client.cancel(number, CancelReason::CallerGone);
                    self.client.cancels.push((session, number));
                }
            }
            self.client.asks[ask].fate = Some(Fate::Cancelled);
            return;
        }
        match self.client.asks[ask].home {
            Home::Nowhere if self.plans[ask].starts <= now => {
                if let Some(session) = self.session(None) {
                    let number = self.sessions[session].client.request(now, &self.plans[ask].request).unwrap();
                    self.client.asks[ask].home = Home::In(session, number);
                }
            }
            Home::Adrift { at, since, anew, due, tries } if due <= now => self.bring_back(ask, at, since, anew, tries),
            _ => {}
        }
        self.upload(ask);
        while let Some(&(at, size)) = self.client.asks[ask].taking.front()
            && at <= now
        {
            self.client.asks[ask].taking.pop_front();
            if let Home::In(session, number) | Home::Adrift { at: (session, number), .. } = self.client.asks[ask].home {
                self.sessions[session].client.taken(number, size);
            }
        }
    }

    fn bring_back(&mut self, ask: usize, at: (usize, u32), since: Duration, anew: bool, tries: u32) {
        let now = self.now;
        let (old, number) = at;
        let (is_new, instance) = (self.sessions[old].client.is_new(number), self.instance(old));
        let lose = |world: &mut Self| {
            world.sessions[old].client.forget(number);
            world.client.asks[ask].fate = Some(Fate::Lost);
            assert!(!world.strict, "request {ask} is lost");
        };
        let again = |world: &mut Self| {
            let due = now + Duration::from_millis(20) + world.dice.millis(1000);
            world.client.asks[ask].home = Home::Adrift { at, since, anew, due, tries };
        };
        let time = self.terms.hold.unwrap().time;
        if !is_new && now >= since + time {
            return lose(self);
        }
        let Some(session) = self.session(None) else { return again(self) };
        if !is_new && self.instance(session) != instance {
            return lose(self);
        }
        if !self.sessions[old].client.can_go_on(number, anew) {
            return lose(self);
        }
        let held = self.sessions[old].client.take(number).unwrap();
        let to = &mut self.sessions[session].client;
        let number = if anew { to.ask_again(held) } else { to.resume(held) }.expect("it can be opened");
        let ask = &mut self.client.asks[ask];
        (ask.home, ask.tries) = (Home::In(session, number), tries + 1);
    }

    fn upload(&mut self, ask: usize) {
        let (Home::In(session, number) | Home::Adrift { at: (session, number), .. }) = self.client.asks[ask].home else {
            return;
        };
        let (plan, this) = (&self.plans[ask], &mut self.client.asks[ask]);
        let client = &mut self.sessions[session].client;
        if this.given_all || plan.request.body == BodyLength::None || !(client.is_open(number) || client.holds(number)) {
            return;
        }
        while this.given < plan.upload && client.has_room(number) {
            let size = (1 + self.dice.size(30_000)).min(plan.upload - this.given);
            if client.send_body(self.now, number, body(ask, this.given, size).into()).is_err() {
                return;
            }
            this.given += size;
        }
        if this.given == plan.upload {
            this.given_all = client.end_body(number, Headers::new()).is_ok();
        }
    }

    fn asked(&mut self, session: usize, number: u32) -> Option<usize> {
        let here = |home: &Home| matches!(home, Home::In(at, found) if (*at, *found) == (session, number));
        self.client.asks.iter().position(|ask| ask.fate.is_none() && here(&ask.home))
    }

    fn set_adrift(&mut self, session: usize, number: u32, anew: bool) {
        let now = self.now;
        let Some(ask) = self.asked(session, number) else { return };
        let tries = self.client.asks[ask].tries;
        let due = if tries == 0 { now } else { now + self.dice.millis(100 << tries.min(5)) };
        self.client.asks[ask].home = Home::Adrift { at: (session, number), since: now, anew, due, tries };
    }

    fn data(&mut self, ask: usize, bytes: &Bytes) {
        let slow = self.dice.one_in(50);
        let at = self.now + if slow { self.dice.millis(5000) } else { self.dice.millis(10) };
        let this = &mut self.client.asks[ask];
        assert!((this.got..).zip(bytes).all(|(at, found)| byte(ask, at) == *found), "what is delivered is a prefix");
        this.got += bytes.len() as u64;
        assert!(this.has_head && this.got <= self.plans[ask].answer);
        let at = this.taking.back().map_or(at, |(last, _)| at.max(*last));
        this.taking.push_back((at, bytes.len()));
    }

    pub(crate) fn client_hears(&mut self, session: usize) {
        while let Some(event) = self.sessions[session].client.poll_event() {
            match event {
                Event::Established(_) => {
                    self.sessions[session].is_up = true;
                    self.client.pause = self.now;
                }
                Event::Resumed(number) => {
                    if let Some(ask) = self.asked(session, number) {
                        self.client.asks[ask].tries = 0;
                    }
                }
                Event::Gone(number) => self.set_adrift(session, number, true),
                Event::Adrift(number) => {
                    let anew = self.sessions[session].client.is_new(number);
                    self.set_adrift(session, number, anew);
                }
                Event::Response(number, _) => {
                    let ask = self.asked(session, number).expect("somebody asked");
                    assert!(!std::mem::replace(&mut self.client.asks[ask].has_head, true), "one head");
                }
                Event::Data(number, bytes, _) => {
                    let ask = self.asked(session, number).expect("somebody asked");
                    self.data(ask, &bytes);
                }
                Event::End(number, _) => {
                    let ask = self.asked(session, number).expect("somebody asked");
                    let (this, plan) = (&mut self.client.asks[ask], &self.plans[ask]);
                    assert!(plan.fault.is_none() && this.got == plan.answer, "an answer that ends is whole");
                    this.fate = Some(Fate::Whole);
                }
                Event::Failed(number, notice) => {
                    let ask = self.asked(session, number).expect("somebody asked");
                    let (this, plan) = (&mut self.client.asks[ask], &self.plans[ask]);
                    let planned = notice.code == Code::UpstreamClosed;
                    assert!(planned || !self.strict, "{notice:?}");
                    assert!(!planned || plan.fault == Some(this.got), "all that came before the failure");
                    this.fate = Some(if planned { Fate::Failed } else { Fate::Lost });
                }
                Event::Closed { .. } => self.client_lost(session),
                _ => {}
            }
        }
    }

    fn client_lost(&mut self, session: usize) {
        self.client.cancels.extend(self.sessions[session].client.cancels().map(|number| (session, number)));
        for ask in 0..self.client.asks.len() {
            let Home::In(at, number) = self.client.asks[ask].home else { continue };
            if at != session || self.client.asks[ask].fate.is_some() {
                continue;
            }
            if self.sessions[session].client.holds(number) {
                let anew = self.sessions[session].client.is_new(number);
                self.set_adrift(session, number, anew);
            } else {
                assert!(!self.strict, "request {ask} is lost with its session");
                self.client.asks[ask].fate = Some(Fate::Lost);
            }
        }
    }
}
