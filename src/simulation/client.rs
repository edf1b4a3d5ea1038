//! The callers: the real client and its pool, and what somebody does with it: uploads, reads as slowly as it likes, gives up.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::{
    dice,
    net::Wire,
    plan::{GivesUp, Kind, Plan, body},
    world::{Fate, World},
};
use crate::{
    client::{Client, Error, Mode, Reach, Timings, Transport},
    proto::{Credential, KeyId},
    server::simulated::{is_part, key, psk},
};

impl Transport for Wire {}

pub(crate) fn client(world: &Arc<World>) -> Client {
    let rules = &world.rules;
    let credential = Credential { key_id: KeyId([1; 16]), psk: psk(), server: *key().public() };
    let world = world.clone();
    let reach = Reach(Arc::new(move || {
        let dial = world.clone().dial();
        Box::pin(async move { Ok(Box::new(dial.await?) as Box<dyn Transport>) })
    }));
    Client::builder("proxy.example", credential)
        .expect("a proxy URL")
        .profile(rules.profile)
        .sessions(rules.sessions)
        .credit(rules.credit)
        .warm(rules.warm)
        .patience(rules.patience)
        .reach(reach)
        .build()
}

/// Makes a request and waits for its end.
pub(crate) async fn ask(world: Arc<World>, client: Client, ask: usize) {
    let working = world.work();
    let plan = &world.plans[ask];
    sleep(plan.starts).await;
    world.note("asks", ask, 0);
    let fate = match plan.gives_up {
        Some(GivesUp::After(time)) => timeout(time, attempt(&world, client, ask)).await.unwrap_or(Ok(Fate::GivenUp)),
        _ => attempt(&world, client, ask).await,
    };
    let fate = fate.unwrap_or_else(|(error, got)| judge(&world, plan, ask, &error, got));
    world.note("ended", ask, fate as u64);
    world.ask(ask, |ask| (ask.fate, ask.ended) = (Some(fate), Some(Instant::now())));
    drop(working);
}

/// What came of a request that failed when so much of its answer had come.
fn judge(world: &World, plan: &Plan, ask: usize, error: &Error, got: u64) -> Fate {
    world.note(error.code(), ask, got);
    match (error.code(), plan.gives_up) {
        ("upstream-closed", _) if plan.fault.is_some() => {
            assert!(plan.buffered || plan.fault == Some(got), "{ask}: all that came before the failure");
            Fate::Failed
        }
        ("upload-failed", Some(GivesUp::Breaks(_))) => Fate::GivenUp,
        // Who has never reached a proxy does not wait for what may be something else. Nothing was sent.
        ("proxy-silent", _) if got == 0 && error.retry_safe() => {
            world.ask(ask, |ask| ask.retry_safe = true);
            Fate::Lost
        }
        _ => {
            assert!(world.rules.kind == Kind::Harsh, "request {ask} is lost: {} ({error})", error.code());
            world.ask(ask, |ask| ask.retry_safe = error.retry_safe());
            Fate::Lost
        }
    }
}

async fn attempt(world: &Arc<World>, mut client: Client, ask: usize) -> Result<Fate, (Error, u64)> {
    let plan = &world.plans[ask];
    let upload = Upload { world: world.clone(), ask, at: 0, pause: None, ended: plan.upload == 0 };
    let method = if plan.upload > 0 { http::Method::POST } else { http::Method::GET };
    let mut request = http::Request::builder().method(method).uri(format!("https://api.example/{ask}"));
    if plan.timings {
        request = request.extension(Timings);
    }
    if plan.buffered {
        request = request.extension(Mode::Buffered);
    }
    let request = request.body(upload).expect("a request");
    let response = tower::Service::call(&mut client, request).await.map_err(|error| (error, 0))?;
    drop(client);
    world.note("head", ask, 0);
    let gives_up = match plan.gives_up {
        Some(GivesUp::AtByte(at)) => at,
        _ => u64::MAX,
    };
    let (mut body, mut at) = (response.into_body(), 0);
    while let Some(frame) = body.frame().await {
        let bytes = frame.map_err(|error| (error, at))?.into_data().expect("there are no trailers");
        let size = bytes.len() as u64;
        assert!(
            plan.fault.unwrap_or(plan.answer) >= at + size && is_part(ask, at, &bytes),
            "{ask}: what comes is what was sent"
        );
        at += size;
        world.note("down", ask, at);
        if at >= gives_up {
            return Ok(Fate::GivenUp);
        }
        world.pause(ask, plan.reads.pause()).await;
    }
    if at >= gives_up {
        return Ok(Fate::GivenUp);
    }
    assert!(plan.fault.is_none() && at == plan.answer, "{ask}: an answer that ends is whole");
    Ok(Fate::Whole)
}

/// A body that is uploaded in pieces, as they come.
struct Upload {
    world: Arc<World>,
    ask: usize,
    at: u64,
    pause: Option<Pin<Box<Sleep>>>,
    ended: bool,
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        let plan = &this.world.plans[this.ask];
        if this.ended {
            return Poll::Ready(None);
        }
        if let Some(pause) = &mut this.pause {
            ready!(pause.as_mut().poll(cx));
        }
        let pause = plan.uploads.pause();
        this.pause = (pause > Duration::ZERO).then(|| Box::pin(sleep(pause)));
        this.world.ask(this.ask, |ask| ask.slept += pause + Duration::from_millis(1));
        let breaks = match plan.gives_up {
            Some(GivesUp::Breaks(at)) => at,
            _ => u64::MAX,
        };
        if this.at >= breaks {
            this.ended = true;
            return Poll::Ready(Some(Err("it breaks off")));
        }
        let size = (1 + dice::size(29_999)).min(plan.upload.min(breaks) - this.at);
        let bytes = body(this.ask, this.at, size);
        this.at += size;
        this.ended = this.at == plan.upload && !plan.is_known;
        if size == 0 {
            this.ended = true;
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        let plan = &self.world.plans[self.ask];
        if plan.is_known || plan.upload == 0 { SizeHint::with_exact(plan.upload - self.at) } else { SizeHint::default() }
    }
}
