//! When an answer is said: pace, pauses, gates, cuts, and the cutting into writes.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::Stream;
use futures::stream::unfold;
use http::StatusCode;
use http::header::CACHE_CONTROL;
use http::{HeaderValue, header::CONTENT_LENGTH};
use http_body::Frame;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};

use crate::body::{Cut, Reply, Streamed, full};
use crate::context::{Context, JSON};
use crate::gzip::Packer;
use crate::random::{index, mix};
use crate::script::{Chunking, Hang, LineEnd, Script};

/// Deltas before the pause, unless scripted.
const SILENCE_AFTER: usize = 1;
/// Bytes of a binary answer in one delta.
const PIECE: usize = 4096;
/// Longest piece of a body that is cut at random.
const LONGEST_PIECE: usize = 128;

/// One event of a streamed answer.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) bytes: Bytes,
    /// Whether it carries a piece of the answer, and so is paced, gated and counted.
    pub(crate) delta: bool,
}

/// One thing a body does next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Waits until so long after the start.
    At(Duration),
    Permit(Arc<Semaphore>),
    Send(Bytes),
    Hang,
    Cut,
}

impl Step {
    /// The bytes that it sends.
    fn sent(&mut self) -> Option<&mut Bytes> {
        match self {
            Self::Send(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// The body that takes `steps`, counting time from `start`.
pub(crate) fn play(steps: Vec<Step>, start: Instant) -> impl Stream<Item = Result<Frame<Bytes>, Cut>> + Send {
    unfold(steps.into_iter(), move |mut steps| async move {
        loop {
            match steps.next()? {
                Step::Send(bytes) => return Some((Ok(Frame::data(bytes)), steps)),
                Step::Cut => return Some((Err(Cut), steps)),
                Step::At(offset) => until(start + offset).await,
                Step::Permit(gate) => pass(&gate).await,
                Step::Hang => std::future::pending().await,
            }
        }
    })
}

async fn until(deadline: Instant) {
    // A deadline that has passed costs no timer.
    if Instant::now() < deadline {
        sleep_until(deadline).await;
    }
}

pub(crate) async fn pass(gate: &Semaphore) {
    // Fails only when a gate is closed, which none ever is.
    if let Ok(permit) = gate.acquire().await {
        permit.forget();
    }
}

/// When delta `index` is due after the start. Absolute, so that waits do not add up to drift.
fn due(script: &Script, index: usize) -> Duration {
    let rate = script.tokens_per_s.unwrap_or(0.0);
    let mut due = Duration::from_millis(script.first_token_ms.unwrap_or(0));
    if rate > 0.0 {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        due += Duration::from_secs_f64(f64::from(index) / rate);
    }
    if index >= script.silence_after.unwrap_or(SILENCE_AFTER) {
        due += Duration::from_millis(script.silence_ms.unwrap_or(0));
    }
    due
}

impl Context {
    /// A streamed answer. `failure` makes the event that a scripted error in mid-stream sends, given
    /// how many events came before.
    pub(crate) fn stream(&self, events: Vec<Event>, failure: impl Fn(usize) -> Bytes) -> Reply {
        let mut steps = self.steps(events, |sent| Step::Send(failure(sent)));
        self.end_lines(&mut steps);
        let steps = if self.gzip { packed(steps) } else { steps };
        let body = Streamed::boxed(play(self.recut(steps), self.start), None);
        let mut reply = self.packed_reply(StatusCode::OK, "text/event-stream; charset=utf-8", body);
        let no_cache = HeaderValue::from_static("no-cache");
        reply.headers_mut().insert(CACHE_CONTROL, no_cache);
        reply
    }

    /// Bytes that are no text, in pieces of which each is a delta. They have no shape of an error, so one in their middle cuts
    /// them off. `known`: their length is announced.
    pub(crate) fn binary(&self, content_type: &'static str, bytes: &Bytes, known: bool) -> Reply {
        let piece = |from| Event { bytes: bytes.slice(from..bytes.len().min(from + PIECE)), delta: true };
        let pieces = (0..bytes.len()).step_by(PIECE).map(piece).collect();
        let steps = self.recut(self.steps(pieces, |_| Step::Cut));
        let length = known.then_some(bytes.len() as u64);
        let mut reply = self.reply(StatusCode::OK, content_type, Streamed::boxed(play(steps, self.start), length));
        if let Some(length) = length {
            reply.headers_mut().insert(CONTENT_LENGTH, length.into());
        }
        reply
    }

    /// An answer in one document, sent when its last of `deltas` is due.
    pub(crate) async fn whole(&self, value: &serde_json::Value, deltas: usize) -> Reply {
        if self.script.hang == Some(Hang::Body) {
            let hang = play(vec![Step::Hang], self.start);
            return self.reply(StatusCode::OK, JSON, Streamed::boxed(hang, None));
        }
        let reached = |after: Option<usize>| after.filter(|after| *after <= deltas);
        let error_after = reached(self.script.error_after);
        until(self.start + due(&self.script, error_after.unwrap_or(deltas).saturating_sub(1))).await;
        if let Some(gate) = self.gate() {
            pass(&gate).await;
        }
        if error_after.is_some() {
            return self.fault(&self.scripted_fault());
        }
        let body = self.write(value);
        let length = body.len() as u64;
        let steps = if reached(self.script.drop_after).is_some() {
            vec![Step::Send(body.slice(..body.len() / 2)), Step::Cut]
        } else if matches!(self.script.chunking, None | Some(Chunking::Event)) {
            return self.packed_reply(StatusCode::OK, JSON, full(body));
        } else {
            vec![Step::Send(body)]
        };
        let body = Streamed::boxed(play(self.recut(steps), self.start), Some(length));
        let mut reply = self.packed_reply(StatusCode::OK, JSON, body);
        reply.headers_mut().insert(CONTENT_LENGTH, length.into());
        reply
    }

    fn steps(&self, events: Vec<Event>, failure: impl Fn(usize) -> Step) -> Vec<Step> {
        let script = &self.script;
        if script.hang == Some(Hang::Body) {
            return vec![Step::Hang];
        }
        let end = |deltas: usize, sent: usize| {
            if script.drop_after == Some(deltas) {
                Some(Step::Cut)
            } else if script.error_after == Some(deltas) {
                Some(failure(sent))
            } else {
                None
            }
        };
        let gate = self.gate();
        let mut steps = Vec::with_capacity(events.len() * 2);
        let mut deltas = 0;
        for (sent, Event { bytes, delta }) in events.into_iter().enumerate() {
            if !delta {
                steps.push(Step::Send(bytes));
                continue;
            }
            if deltas == 0
                && let Some(end) = end(0, sent)
            {
                steps.push(end);
                break;
            }
            let due = due(script, deltas);
            if !due.is_zero() {
                steps.push(Step::At(due));
            }
            steps.extend(gate.clone().map(Step::Permit));
            steps.push(Step::Send(bytes));
            deltas += 1;
            if let Some(end) = end(deltas, sent + 1) {
                steps.push(end);
                break;
            }
        }
        steps
    }

    fn gate(&self) -> Option<Arc<Semaphore>> {
        self.script.gate.as_deref().map(|name| self.state.gate(name))
    }

    fn recut(&self, steps: Vec<Step>) -> Vec<Step> {
        match self.script.chunking {
            Some(Chunking::Bytes(size)) => recut(steps, std::iter::repeat(size.get())),
            Some(Chunking::Random(seed)) => {
                // Mostly short, as a cut inside an event is what is looked for.
                let size = |i| 1 + index(mix(seed ^ i), 1 + index(mix(!seed ^ i), LONGEST_PIECE));
                recut(steps, (0..).map(size))
            }
            None | Some(Chunking::Event) => steps,
        }
    }

    /// Gives the lines of a stream the ends that the script asks for.
    fn end_lines(&self, steps: &mut [Step]) {
        let end = self.script.line_end.unwrap_or(LineEnd::Lf).text();
        let mut sent: Vec<_> = steps.iter_mut().filter_map(Step::sent).collect();
        if end != "\n" {
            for bytes in &mut sent {
                // JSON has no line ends of its own.
                let text = String::from_utf8_lossy(bytes).replace('\n', end);
                **bytes = text.into();
            }
        }
        if self.script.unterminated == Some(true)
            && let Some(last) = sent.last_mut()
        {
            last.truncate(last.len() - end.len());
        }
    }
}

/// What packs to what `steps` send; a stream that is cut is left without its end.
fn packed(steps: Vec<Step>) -> Vec<Step> {
    let mut packer = Packer::new();
    let whole = !matches!(steps.last(), Some(Step::Cut | Step::Hang));
    let mut steps = steps;
    for bytes in steps.iter_mut().filter_map(Step::sent) {
        *bytes = packer.piece(bytes);
    }
    if whole {
        steps.push(Step::Send(packer.end()));
    }
    steps
}

/// Cuts what is sent into pieces of the endless `sizes`; only the last before an end is shorter.
fn recut(steps: Vec<Step>, mut sizes: impl Iterator<Item = usize>) -> Vec<Step> {
    let mut next = move || sizes.next().unwrap_or(1);
    let mut size = next();
    let mut cut = Vec::with_capacity(steps.len());
    let mut waiting = BytesMut::new();
    let flush = |waiting: &mut BytesMut, cut: &mut Vec<Step>| {
        if !waiting.is_empty() {
            cut.push(Step::Send(waiting.split().freeze()));
        }
    };
    for step in steps {
        match step {
            Step::Send(bytes) => {
                waiting.extend_from_slice(&bytes);
                while waiting.len() >= size {
                    cut.push(Step::Send(waiting.split_to(size).freeze()));
                    size = next();
                }
            }
            Step::At(_) | Step::Permit(_) => cut.push(step),
            Step::Hang | Step::Cut => {
                flush(&mut waiting, &mut cut);
                cut.push(step);
            }
        }
    }
    flush(&mut waiting, &mut cut);
    cut
}

#[cfg(test)]
mod tests {
    use super::{Duration, Script, due};

    #[test]
    fn deadlines_are_absolute_and_the_pause_shifts_all_behind_it() {
        let script = Script {
            tokens_per_s: Some(100.0),
            first_token_ms: Some(250),
            silence_ms: Some(2000),
            silence_after: Some(3),
            ..Script::default()
        };
        let dues = [0, 1, 2, 3, 4, 1000].map(|index| due(&script, index));
        let expected = [250, 260, 270, 2280, 2290, 12250].map(Duration::from_millis);
        assert_eq!(dues, expected);
        assert_eq!(due(&Script::default(), 1_000_000), Duration::ZERO);
    }
}
