//! The server's program: knows requests by their IDs, answers them, holds what was cut.

use core::time::Duration;
use std::collections::{HashMap, HashSet};

use xllm_proxy::proto::{
    Code, Event, Fault,
    frame::{BodyLength, Headers, Notice, Response},
};

use super::world::{World, body, byte};

/// A request as its upstream has it.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) ask: usize,
    /// Session and number.
    pub(crate) home: (usize, u32),
    uploaded: u64,
    upload_done: bool,
    responded: bool,
    sent: u64,
    pub(crate) ended: bool,
    due: Duration,
    /// Nobody can come back for it.
    pub(crate) over: bool,
}

#[derive(Default)]
pub(crate) struct Server {
    /// Which run of it this is.
    pub(crate) instance: u64,
    pub(crate) jobs: Vec<Job>,
    known: HashMap<[u8; 16], usize>,
    seen: HashSet<[u8; 16]>,
    /// Calls of upstreams, by the request.
    pub(crate) calls: HashMap<usize, usize>,
    /// Sessions that are over and hold something.
    cut: Vec<usize>,
    reviewed: Duration,
}

const REVIEW: Duration = Duration::from_millis(500);

impl Server {
    pub(crate) fn restart(&mut self) {
        self.instance += 1;
        self.jobs.iter_mut().for_each(|job| job.over = true);
        (self.known, self.seen, self.cut) = Default::default();
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.jobs.iter().all(|job| job.over)
    }

    pub(crate) fn next(&self, now: Duration) -> Option<Duration> {
        let review = (!self.cut.is_empty()).then_some(self.reviewed + REVIEW);
        let working = self.jobs.iter().filter(|job| !job.over && !job.ended).map(|job| job.due).filter(|due| *due > now);
        working.chain(review).min()
    }

    fn job(&mut self, session: usize, number: u32) -> Option<&mut Job> {
        self.jobs.iter_mut().find(|job| job.home == (session, number) && !job.over)
    }
}

impl World {
    fn end_job(&mut self, session: usize, number: u32) {
        if let Some(job) = self.server.job(session, number) {
            job.over = true;
            let id = self.plans[job.ask].request.id;
            self.server.known.remove(&id);
            self.server.seen.insert(id);
        }
    }

    fn settle(&mut self, session: usize) {
        let settled: Vec<_> = self.sessions[session].server.drain_settled().collect();
        for number in settled {
            self.end_job(session, number);
        }
    }

    pub(crate) fn server_hears(&mut self, session: usize) {
        while let Some(event) = self.sessions[session].server.poll_event() {
            match event {
                Event::Hello(_) => self.answer_hello(session),
                Event::Request(number, request) => {
                    let ask = self.plans.iter().position(|plan| plan.request.id == request.id).unwrap();
                    assert!(*request == self.plans[ask].request, "the head is what was sent");
                    if self.server.known.contains_key(&request.id) || self.server.seen.contains(&request.id) {
                        let notice = Notice::new(Code::DuplicateRequest, Fault::Client, "twice");
                        let _ = self.sessions[session].server.fail(number, &notice);
                        self.sessions[session].server.forget(number);
                        continue;
                    }
                    let calls = self.server.calls.entry(ask).or_default();
                    *calls += 1;
                    assert_eq!(*calls, 1, "request {ask} is called once");
                    self.sessions[session].server.called(self.now, number);
                    self.server.known.insert(request.id, self.server.jobs.len());
                    self.server.jobs.push(Job {
                        ask,
                        home: (session, number),
                        uploaded: 0,
                        upload_done: request.body == BodyLength::None,
                        responded: false,
                        sent: 0,
                        ended: false,
                        due: self.now + self.dice.millis(3000),
                        over: false,
                    });
                }
                Event::Resume(number, resume) => {
                    let found = self.server.known.get(&resume.id).copied();
                    let to = &self.sessions[session].server;
                    let job = found.filter(|_| to.can_adopt()).filter(|&job| {
                        let (at, old) = self.server.jobs[job].home;
                        self.sessions[at].server.can_resume(old, &resume)
                    });
                    if let Some(job) = job {
                        let (at, old) = self.server.jobs[job].home;
                        let held = self.sessions[at].server.take(old).unwrap();
                        self.sessions[session].server.adopt(number, held, &resume);
                        self.server.jobs[job].home = (session, number);
                        self.server.jobs[job].due = self.now;
                    } else if !to.is_closed() {
                        self.sessions[session].server.gone(number);
                    }
                }
                Event::Body(number, bytes) => {
                    self.sessions[session].server.taken(number, bytes.len());
                    let Some(job) = self.server.job(session, number) else { continue };
                    let (ask, from) = (job.ask, job.uploaded);
                    assert!((from..).zip(&bytes).all(|(at, found)| byte(ask, at) == *found), "an upload is a prefix");
                    job.uploaded += bytes.len() as u64;
                }
                Event::BodyEnd(number, _) => {
                    let Some(job) = self.server.job(session, number) else { continue };
                    assert!(!job.upload_done && job.uploaded == self.plans[job.ask].upload, "an upload that ends is whole");
                    job.upload_done = true;
                }
                Event::Cancelled(number, _) => {
                    if let Some(job) = self.server.job(session, number) {
                        job.ended = true;
                    }
                }
                Event::Room(number) => {
                    let now = self.now;
                    if let Some(job) = self.server.job(session, number) {
                        job.due = now;
                    }
                }
                Event::Closed { .. } => {
                    if self.sessions[session].server.holds_any() {
                        self.sessions[session].server.expire(self.now, false);
                        self.server.cut.push(session);
                    }
                    // What waited for room looks anew.
                    let now = self.now;
                    self.server.jobs.iter_mut().filter(|job| job.home.0 == session).for_each(|job| job.due = now);
                }
                _ => {}
            }
        }
        self.settle(session);
    }

    pub(crate) fn server_acts(&mut self) {
        let now = self.now;
        if now >= self.server.reviewed + REVIEW {
            self.server.reviewed = now;
            for session in self.server.cut.clone() {
                self.sessions[session].server.expire(now, false);
                self.settle(session);
            }
            let sessions = &self.sessions;
            self.server.cut.retain(|session| sessions[*session].server.holds_any());
        }
        for job in 0..self.server.jobs.len() {
            self.work(job);
        }
        for session in 0..self.sessions.len() {
            self.settle(session);
        }
    }

    /// The upstream gives a piece.
    fn work(&mut self, number: usize) {
        let now = self.now;
        let job = &mut self.server.jobs[number];
        if job.over || job.ended || job.due > now || !job.upload_done {
            return;
        }
        let ((session, exchange), plan) = (job.home, &self.plans[job.ask]);
        let connection = &mut self.sessions[session].server;
        // A slow model and a fast one.
        job.due = now
            + if self.dice.one_in(30) {
                self.dice.millis(20_000)
            } else {
                self.dice.millis(if number.is_multiple_of(2) { 300 } else { 2 })
            };
        if !job.responded {
            let response = Response { status: 200, headers: Vec::new(), length: None };
            job.responded = connection.respond(now, exchange, &response).is_ok();
            job.ended = !job.responded;
            return;
        }
        let end = plan.fault.unwrap_or(plan.answer);
        if job.sent == end {
            job.ended = true;
            let done = match plan.fault {
                Some(_) => connection.fail(exchange, &Notice::new(Code::UpstreamClosed, Fault::Upstream, "as planned")),
                None => connection.end(exchange, Headers::new()),
            };
            let _ = done;
        } else if connection.has_room(exchange) {
            let size = (1 + self.dice.size(20_000)).min(end - job.sent);
            match connection.send_data(now, exchange, body(job.ask, job.sent, size).into()) {
                Ok(()) => job.sent += size,
                Err(_) => job.ended = true,
            }
        } else if connection.holds(exchange) {
            job.due = now + Duration::from_secs(1);
        }
    }
}
