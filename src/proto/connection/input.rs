//! What arrives: hellos, records, frames (sections 3 to 5).

use core::time::Duration;

use bytes::{Bytes, BytesMut};

use super::{
    super::{
        error::{Code, Error, Fault},
        exchange::Exchange,
        frame::{self, Frame, GoAway, Notice, Request, kind},
        handshake::{Responder, ServerHello, Traffic},
        keys::Psk,
        limits::{self, HELLO},
        profile::Profile,
        record::{Opener, Sealer},
        role::Role,
    },
    Closed, Config, Connection, Event, Fresh, REFUSED_MAX, Stage, Terms,
};

impl Connection {
    /// Takes all that can be used of the bytes that arrived; what is left belongs to a unit that is not whole yet (at most
    /// one record, unless a key look-up is due).
    pub fn receive(&mut self, now: Duration, input: &mut BytesMut) {
        loop {
            match self.stage {
                Stage::Closed | Stage::Discarding => return input.clear(),
                Stage::AwaitingKey(..) => return,
                Stage::AwaitingHello(_) | Stage::HelloSent(_) => {
                    let Some(&hello) = input.first_chunk::<HELLO>() else { return };
                    let _ = input.split_to(HELLO);
                    self.traffic.received.wire += HELLO as u64;
                    self.heard = now;
                    self.receive_hello(now, &hello);
                }
                Stage::AwaitingFirst | Stage::Open => {
                    let Some((_, opener)) = &mut self.keys else { return };
                    let before = input.len();
                    match opener.open(input) {
                        Ok(None) => return,
                        Ok(Some(record)) => {
                            self.traffic.received.wire += (before - input.len()) as u64;
                            self.traffic.received.records += 1;
                            self.receive_record(now, &record);
                        }
                        Err(error) => self.fault(error),
                    }
                }
            }
        }
    }

    fn receive_hello(&mut self, now: Duration, hello: &[u8; HELLO]) {
        match (core::mem::replace(&mut self.stage, Stage::Closed), &self.config) {
            (Stage::HelloSent(initiator), Config::Client(config)) => match initiator.finish(hello) {
                Ok((said, _)) if said.profile < config.profile || said.profile > Profile::STRICTEST => {
                    self.close(Closed::ProfileRefused(said.profile));
                }
                Ok((said, traffic)) => {
                    self.set_keys(traffic);
                    self.profile = said.profile;
                    self.exchanges_max = said.exchanges;
                    self.said = Some(said.clone());
                    self.confirm = true;
                    self.open(now, Some(said));
                }
                Err(error) => self.close(Closed::Fault(error)),
            },
            (Stage::AwaitingHello(fresh), Config::Server(config)) => {
                let Fresh { ephemeral, decoy } = *fresh;
                let open = |key| Responder::open(hello, key, ephemeral.clone(), self.suite);
                let mut tries = config.keys.iter().map(open);
                let first = tries.next().unwrap_or(Err(Error::Misuse("a server without a key")));
                // Why the current key did not fit is what is told: the others are exceptions.
                match first.or_else(|error| tries.find_map(Result::ok).ok_or(error)) {
                    Ok(responder) => {
                        self.events.push_back(Event::Hello(responder.hello().key_id));
                        self.stage = Stage::AwaitingKey(Box::new(responder), decoy);
                    }
                    Err(error) => self.reject(error),
                }
            }
            _ => {}
        }
    }

    /// Server: gives the PSK of the key ID that [`Event::Hello`] named, `None` if there is none (section 3.6), and what its client is
    /// granted.
    ///
    /// # Errors
    /// [`Error::Misuse`] if no hello waits.
    pub fn answer_hello(&mut self, psk: Option<&Psk>, terms: &Terms, unix_ms: u64) -> Result<(), Error> {
        let misuse = Error::Misuse("no hello waits for an answer");
        let Config::Server(config) = &self.config else { return Err(misuse) };
        let (responder, decoy) = match core::mem::replace(&mut self.stage, Stage::AwaitingFirst) {
            Stage::AwaitingKey(responder, decoy) => (responder, decoy),
            other => {
                self.stage = other;
                return Err(misuse);
            }
        };
        let psk = psk.cloned().unwrap_or(decoy);
        let asked = responder.hello().profile;
        let said = ServerHello {
            profile: asked.max(config.profile).max(terms.profile).min(Profile::STRICTEST),
            exchanges: config.exchanges,
            credit: config.credit,
            buffered: config.buffered,
            // Rounded up: a client that trusts it must not think that the session is over at once.
            idle: config.idle.as_secs() + u64::from(config.idle.subsec_nanos() > 0),
            unix_ms,
            node: config.node.as_deref().map(str::to_owned),
            // Rounded down: what a client comes back for in time is there.
            hold: terms.hold.map_or(0, |hold| hold.time.as_secs()),
            instance: terms.hold.map(|_| config.instance),
        };
        self.hold = terms.hold;
        self.share = self.keep();
        match responder.answer(&psk, &said) {
            Ok((hello, traffic)) => {
                self.hello = Some(hello);
                self.profile = said.profile;
                self.set_keys(traffic);
            }
            Err(error) => self.reject(error),
        }
        Ok(())
    }

    fn set_keys(&mut self, traffic: Traffic) {
        let (ours, theirs) = match self.role() {
            Role::Client => (traffic.client, traffic.server),
            Role::Server => (traffic.server, traffic.client),
        };
        self.keys = Some((Sealer::new(ours, self.suite), Opener::new(theirs, self.suite)));
    }

    fn open(&mut self, now: Duration, hello: Option<ServerHello>) {
        self.stage = Stage::Open;
        self.idle_since = now;
        self.events.push_back(Event::Established(hello));
    }

    fn receive_record(&mut self, now: Duration, record: &Bytes) {
        self.heard = now;
        self.pinged = None;
        if matches!(self.stage, Stage::AwaitingFirst) {
            self.open(now, None);
        }
        let mut at = 0;
        while !self.is_closed() {
            match frame::decode(record, &mut at, self.role().peer()) {
                Ok(None) => break,
                Ok(Some((exchange, frame))) => {
                    self.traffic.received.frames += 1;
                    if let Frame::Body(body) | Frame::Data { payload: body, .. } = &frame {
                        self.traffic.received.body += body.len() as u64;
                    }
                    if let Err(error) = self.receive_frame(now, exchange, frame) {
                        self.fault(error);
                    }
                }
                Err(error) => self.fault(error),
            }
        }
        self.finish_drain();
    }

    fn receive_frame(&mut self, now: Duration, exchange: u32, frame: Frame) -> Result<(), Error> {
        if let Frame::Credit(_) | Frame::Ping(_) | Frame::Pong(_) = frame
            && let Some(open) = self.exchanges.get(&exchange)
        {
            open.check_answered()?;
        }
        match frame {
            Frame::Error { seq: 0, notice } if exchange == 0 => {
                self.close(Closed::Refused(notice));
                Ok(())
            }
            Frame::Error { .. } if exchange == 0 => Err(Error::sequence("a session's error with a place in a response")),
            Frame::Ping(_) | Frame::Pong(_) if exchange != 0 && !self.is_open(exchange) => self.check_past(exchange),
            Frame::Ping(ping) => {
                if self.pongs.len() == limits::PINGS {
                    self.pongs.pop_front();
                }
                self.pongs.push_back((exchange, ping.token));
                Ok(())
            }
            Frame::Pong(pong) => {
                if let Some(ping) = self.arrivals.answered(pong.token) {
                    self.arrived(ping);
                }
                Ok(())
            }
            Frame::GoAway(goaway) => {
                self.receive_goaway(now, goaway);
                Ok(())
            }
            Frame::Credit(amount) => match self.exchanges.get_mut(&exchange) {
                Some(open) => {
                    open.out.add_credit(amount)?;
                    self.list(exchange);
                    Ok(())
                }
                None => self.check_past(exchange),
            },
            frame if self.is_server() => self.receive_at_server(now, exchange, frame),
            frame => self.receive_at_client(now, exchange, frame),
        }
    }

    /// A frame for an exchange that is not open crossed its end on the way, or never had one (section 5.2).
    fn check_past(&self, exchange: u32) -> Result<(), Error> {
        let unserved = self.draining.is_some_and(|last| exchange > last);
        if exchange <= self.newest && (self.is_server() || unserved) {
            Ok(())
        } else {
            Err(Error::sequence("a frame on an exchange that is not open"))
        }
    }

    fn receive_at_server(&mut self, now: Duration, exchange: u32, frame: Frame) -> Result<(), Error> {
        match frame {
            Frame::Request(request) => self.receive_request(now, exchange, request),
            Frame::Resume(resume) => {
                self.check_new(exchange)?;
                if self.hold.is_none() {
                    return self.refuse((kind::GONE, exchange, None, Bytes::new()));
                }
                if let Some(notice) = self.refusal(exchange) {
                    return self.refuse((kind::ERROR, exchange, Some(0), notice.encode()));
                }
                self.check_refused()?;
                self.events.push_back(Event::Resume(exchange, resume));
                Ok(())
            }
            Frame::Body(bytes) => {
                let Some(open) = self.exchanges.get_mut(&exchange) else { return self.check_past(exchange) };
                // Counted all the same: a PONG says that it came, and so has RESUMED to.
                open.on_body(&bytes)?;
                if !open.has_ended() {
                    self.events.push_back(Event::Body(exchange, bytes));
                }
                Ok(())
            }
            Frame::BodyEnd(end) => {
                let Some(open) = self.exchanges.get_mut(&exchange) else { return self.check_past(exchange) };
                if !open.has_ended() && open.on_body_end(&end)? {
                    self.events.push_back(Event::BodyEnd(exchange, end.trailers));
                }
                Ok(())
            }
            Frame::Cancel(reason) => {
                let Some(open) = self.exchanges.get_mut(&exchange) else { return self.check_past(exchange) };
                let notice = Notice::new(Code::Cancelled, Fault::Client, "the exchange was cancelled");
                let known = !open.has_ended();
                open.end_with_session();
                open.push_error(notice.encode(), true)?;
                self.list(exchange);
                if known {
                    self.events.push_back(Event::Cancelled(exchange, reason));
                }
                Ok(())
            }
            _ => Err(Error::Misuse("a frame that the decoder lets through from the wrong side")),
        }
    }

    fn check_new(&mut self, exchange: u32) -> Result<(), Error> {
        if exchange != self.newest + 1 {
            return Err(Error::violation("an exchange number out of turn"));
        }
        self.newest = exchange;
        Ok(())
    }

    fn check_refused(&self) -> Result<(), Error> {
        if self.control.len() >= REFUSED_MAX {
            return Err(Error::violation("a flood of exchanges that cannot be served"));
        }
        Ok(())
    }

    fn refuse(&mut self, answer: (u8, u32, Option<u64>, Bytes)) -> Result<(), Error> {
        self.check_refused()?;
        self.control.push_back(answer);
        Ok(())
    }

    /// Why no exchange may be opened now, if none may.
    fn refusal(&self, exchange: u32) -> Option<Notice> {
        if self.draining.is_some_and(|last| exchange > last) {
            Some(Notice::new(Code::ShuttingDown, Fault::Proxy, "the proxy ends this session; use a new one"))
        } else if self.exchanges.len() >= self.exchanges_max as usize {
            Some(Notice::new(Code::TooManyExchanges, Fault::Client, "too many requests at once in this session"))
        } else {
            None
        }
    }

    fn receive_request(&mut self, now: Duration, exchange: u32, request: Box<Request>) -> Result<(), Error> {
        self.check_new(exchange)?;
        let Config::Server(config) = &self.config else { return Err(Error::Misuse("a client serves nothing")) };
        let credit = (request.credit, config.credit);
        if let Some(notice) = self.refusal(exchange) {
            self.traffic.refused += 1;
            return self.refuse((kind::ERROR, exchange, Some(0), notice.retry_safe().encode()));
        }
        self.exchanges.insert(exchange, Exchange::new(Role::Server, &request, credit, self.keep(), now));
        self.events.push_back(Event::Request(exchange, request));
        Ok(())
    }

    fn receive_at_client(&mut self, now: Duration, exchange: u32, frame: Frame) -> Result<(), Error> {
        let Some(open) = self.exchanges.get_mut(&exchange) else { return self.check_past(exchange) };
        if open.is_unsent() {
            return Err(Error::sequence("an answer to what was not asked yet"));
        }
        let quiet = open.is_cancelled();
        let event = match frame {
            Frame::Response(response) => {
                open.on_response(&response)?;
                Event::Response(exchange, response)
            }
            Frame::Data { seq, payload } => {
                let (bytes, stamps) = open.on_data(seq, payload)?;
                Event::Data(exchange, bytes, stamps)
            }
            Frame::End { seq, end } => {
                open.on_end(seq, &end)?;
                self.exchanges.remove(&exchange);
                self.idle_since = now;
                Event::End(exchange, end)
            }
            // Not in this session; or our first REQUEST arrived after we were told that there is none.
            Frame::Error { seq: 0, notice } if open.is_refused_here(&notice) => {
                self.go_adrift(now, exchange);
                return Ok(());
            }
            // By one of ours that was under way for long: the exchange is there, and we are still who wants it.
            Frame::Error { seq, notice } if notice.code == Code::Superseded => {
                open.check_place(seq)?;
                self.go_adrift(now, exchange);
                return Ok(());
            }
            Frame::Error { seq, notice } => {
                let notice = open.on_error(seq, notice)?;
                self.exchanges.remove(&exchange);
                self.idle_since = now;
                Event::Failed(exchange, notice)
            }
            Frame::Resumed(resumed) => {
                open.on_resumed(&resumed)?;
                self.crediting.extend(open.begins_crediting().then_some(exchange));
                self.list(exchange);
                Event::Resumed(exchange)
            }
            Frame::Gone => {
                open.on_gone()?;
                self.hold_one(now, exchange, Exchange::is_resumable);
                Event::Gone(exchange)
            }
            _ => return Err(Error::Misuse("a frame that the decoder lets through from the wrong side")),
        };
        if !quiet {
            self.events.push_back(event);
        }
        Ok(())
    }

    /// Client: it is not in this session; it goes on in another, if somebody still wants it, or the server has yet to hear that nobody
    /// does.
    fn go_adrift(&mut self, now: Duration, exchange: u32) {
        if self.hold_one(now, exchange, |open| open.is_resumable() || open.owes_cancel()) {
            self.events.push_back(Event::Adrift(exchange));
        }
    }

    /// Client: it is open here no more. Says whether it is held, as it is if it is `wanted`.
    fn hold_one(&mut self, now: Duration, exchange: u32, wanted: impl FnOnce(&Exchange) -> bool) -> bool {
        self.idle_since = now;
        let Some(open) = self.exchanges.remove(&exchange).filter(wanted) else { return false };
        self.held.insert(exchange, open);
        true
    }

    fn receive_goaway(&mut self, now: Duration, goaway: GoAway) {
        if self.is_server() {
            self.all_seen(goaway.last);
        }
        // It never rises; and which exchanges are served is not for a client to say (section 5.8).
        let last = if self.is_server() { self.newest } else { goaway.last };
        let last = self.draining.map_or(last, |known| known.min(last));
        self.draining = Some(last);
        if !self.is_server() {
            let mut unserved: Vec<_> = self.exchanges.keys().copied().filter(|&number| number > last).collect();
            unserved.sort_unstable();
            for number in unserved {
                let Some(exchange) = self.exchanges.get_mut(&number) else { continue };
                let may_go = matches!(goaway.code, None | Some(Code::Idle | Code::ShuttingDown));
                if exchange.is_from_elsewhere() || (may_go && exchange.renew()) {
                    self.go_adrift(now, number);
                } else if self.exchanges.remove(&number).is_some_and(|exchange| !exchange.is_cancelled()) {
                    self.events.push_back(Event::Failed(number, goaway.refusal()));
                }
            }
            self.events.push_back(Event::GoAway(goaway));
        }
    }

    /// The byte stream ended.
    pub fn receive_end(&mut self) {
        match self.stage {
            Stage::Closed => {}
            Stage::HelloSent(_) | Stage::AwaitingHello(_) | Stage::AwaitingKey(..) | Stage::AwaitingFirst => {
                self.close(Closed::Lost { in_hello: true });
            }
            Stage::Discarding => self.close(Closed::Done),
            Stage::Open if self.exchanges.is_empty() => self.close(Closed::Done),
            Stage::Open => self.close(Closed::Lost { in_hello: false }),
        }
    }

    /// The peer broke the session: say so, and close (section 8.2).
    fn fault(&mut self, error: Error) {
        if matches!(self.stage, Stage::AwaitingFirst) {
            return self.reject(error);
        }
        let fault = match (error, self.role()) {
            (Error::Unauthentic(_), _) => Fault::Network,
            (_, Role::Client) => Fault::Proxy,
            (_, Role::Server) => Fault::Client,
        };
        let notice = Notice::new(error.code(), fault, error.to_string());
        self.close(Closed::Fault(error));
        self.control.push_back((kind::ERROR, 0, Some(0), notice.encode()));
    }

    /// A hello that opened is still answered: what came right behind it, in the same segment or not, changes nothing (section 3.7).
    pub(super) fn reject(&mut self, error: Error) {
        self.stage = Stage::Discarding;
        self.keys = None;
        self.events.push_back(Event::Rejected(error));
    }

    pub(super) fn close(&mut self, why: Closed) {
        self.stage = Stage::Closed;
        let (is_server, holds) = (self.is_server(), self.holds_cut());
        let mut unsent = Vec::new();
        for (number, exchange) in self.exchanges.drain() {
            // What was never sealed goes on elsewhere however this one ended.
            let outlives = why.is_cut() && holds;
            let is_wanted = exchange.is_resumable() && (outlives || exchange.is_new());
            if is_wanted || (outlives && exchange.owes_cancel()) {
                self.held.insert(number, exchange);
            } else if is_server {
                self.finished.push((number, exchange.tally()));
                self.settled.push(number);
            } else if !exchange.is_asked() {
                unsent.push(number);
            }
        }
        // In order or not: nothing says that their ends have arrived.
        self.held.extend(self.settling.drain());
        unsent.sort_unstable();
        self.ready.clear();
        self.failed.clear();
        self.crediting.clear();
        self.control.clear();
        self.pongs.clear();
        self.confirm = false;
        self.events.push_back(Event::Closed { why, unsent });
    }

    pub(super) fn finish_drain(&mut self) {
        let drained = self.draining.is_some() && self.exchanges.is_empty() && self.control.is_empty();
        if drained && matches!(self.stage, Stage::Open) {
            self.close(Closed::Done);
        }
    }
}
