//! What a run consists of: its rules, and what each request uploads and gets.

use std::{sync::LazyLock, time::Duration};

use bytes::Bytes;

use super::{dice, net::Weather};
use crate::proto::{Hold, Profile, limits};

/// Which kind of run it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The network does no harm: all has to be prompt.
    Smooth,
    /// Whatever it does, the server lives and holds for long: nothing may be lost.
    Strict,
    /// Servers are killed or stop, and hold for a short time or not at all.
    Harsh,
}

#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) kind: Kind,
    pub(crate) weather: Weather,
    pub(crate) hold: Option<Hold>,
    /// What a server holds of all.
    pub(crate) most: usize,
    pub(crate) exchanges: u32,
    pub(crate) upload_credit: u64,
    pub(crate) idle: Duration,
    pub(crate) profile: Profile,
    // Of the client:
    pub(crate) sessions: usize,
    pub(crate) credit: u64,
    pub(crate) warm: bool,
    pub(crate) patience: Duration,
    /// How often, milliseconds, a connection is cut.
    pub(crate) cuts: u64,
}

/// When a caller wants no more of its request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum GivesUp {
    After(Duration),
    /// Of the answer.
    AtByte(u64),
    /// The body that it uploads breaks off there.
    Breaks(u64),
}

/// How fast something goes on: pauses of up to so many milliseconds, and one in so many of up to as many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) usual: u64,
    pub(crate) slow: (u64, u64),
}

impl Pace {
    fn draw() -> Self {
        Self { usual: dice::one_of(&[0, 2, 300]), slow: (dice::one_of(&[30, 100]), dice::one_of(&[1000, 20_000])) }
    }

    pub(crate) fn pause(self) -> Duration {
        dice::millis(if dice::one_in(self.slow.0) { self.slow.1 } else { self.usual })
    }
}

/// What a request uploads and gets, the same for whoever looks.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) upload: u64,
    /// Whether the length of the upload is said.
    pub(crate) is_known: bool,
    pub(crate) uploads: Pace,
    pub(crate) answer: u64,
    pub(crate) answers: Pace,
    /// Bytes of a piece of the answer at most.
    pub(crate) piece: u64,
    /// The answer begins before the upload is whole.
    pub(crate) early: bool,
    pub(crate) buffered: bool,
    pub(crate) timings: bool,
    /// Where the upstream fails, if it does.
    pub(crate) fault: Option<u64>,
    pub(crate) reads: Pace,
    pub(crate) starts: Duration,
    pub(crate) gives_up: Option<GivesUp>,
}

const PATTERN: usize = 1 << 16;

/// Largest piece of a body.
pub(crate) const PIECE: u64 = PATTERN as u64;

/// Bytes that do not repeat for long, twice.
static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut bytes = vec![0; PATTERN];
    fastrand::Rng::with_seed(1).fill(&mut bytes);
    bytes.repeat(2)
});

/// So much of the body of request `ask`, either way.
pub(crate) fn body(ask: usize, from: u64, size: u64) -> Bytes {
    let from = usize::try_from((from + ask as u64 * 977) % PIECE).expect("it is small");
    Bytes::from_static(&BYTES[from..][..usize::try_from(size).expect("it is small")])
}

impl Rules {
    pub(crate) fn draw(kind: Kind) -> Self {
        let smooth = kind == Kind::Smooth;
        let calm = if smooth { Duration::ZERO } else { dice::secs(30, 120) };
        let hold = match kind {
            Kind::Smooth | Kind::Strict => {
                Some(Hold { time: Duration::from_mins(20), keep: limits::KEEP, finish: dice::one_in(4) })
            }
            Kind::Harsh => (!dice::one_in(8)).then(|| Hold {
                time: Duration::from_secs(5 + dice::below(60)),
                keep: dice::one_of(&[limits::KEEP, 64 * 1024]),
                finish: dice::one_in(4),
            }),
        };
        Self {
            kind,
            weather: Weather {
                latency: dice::millis(if smooth { 5 } else { 200 }),
                late: (!smooth).then(|| (dice::one_of(&[20, 100]), dice::one_of(&[500, 2000, 15_000]))),
                room: dice::one_of(if smooth { &[30_000, 200_000, 1 << 20] } else { &[2_000, 30_000, 1 << 20] }),
                calm,
            },
            hold,
            most: if kind == Kind::Harsh && dice::one_in(2) { 200_000 } else { 1 << 30 },
            exchanges: if smooth { 256 } else { dice::one_of(&[2, 4, 100, 256]) },
            upload_credit: dice::one_of(&[limits::CREDIT_MIN, 100_000, 1 << 20]),
            idle: if dice::one_in(4) { Duration::from_secs(20) } else { Duration::from_mins(10) },
            profile: dice::one_of(&[Profile::Off, Profile::Pad]),
            sessions: 1 + fastrand::usize(..3),
            credit: dice::one_of(&[limits::CREDIT_MIN, 100_000, 1 << 20]),
            warm: dice::one_in(3),
            patience: match kind {
                Kind::Smooth | Kind::Strict => Duration::from_hours(1),
                Kind::Harsh => Duration::from_secs(dice::one_of(&[0, 10, 60])),
            },
            cuts: dice::one_of(&[1000, 10_000, 60_000]),
        }
    }

    pub(crate) fn plans(&self) -> Vec<Plan> {
        let count = if self.exchanges >= 100 && dice::one_in(8) { 70 + dice::below(60) } else { 1 + dice::below(8) };
        let few = count < 70;
        // Nobody may hear that one without an end was given up, and it would be read on for ever.
        let endless = self.hold.is_none_or(|hold| !hold.finish);
        (0..count).map(|_| Plan::draw(few, endless)).collect()
    }
}

impl Plan {
    /// What the network carries of it, either way; of an answer without an end nobody knows.
    pub(crate) const fn bytes(&self) -> u64 {
        self.upload + if self.answer == u64::MAX { 0 } else { self.answer }
    }

    fn draw(few: bool, endless: bool) -> Self {
        let upload = if dice::one_in(2) { dice::size(if few { 200_000 } else { 20_000 }) } else { 0 };
        let most = if few && dice::one_in(10) { 2_000_000 } else { 60_000 };
        let answer = dice::size(most);
        let gives_up = match dice::below(16) {
            0 => Some(GivesUp::After(dice::millis(1000))),
            1 => Some(GivesUp::After(dice::millis(60_000))),
            2 => Some(GivesUp::AtByte(dice::below(answer + 1))),
            3 if upload > 0 => Some(GivesUp::Breaks(dice::below(upload))),
            _ => None,
        };
        Self {
            upload,
            is_known: dice::one_in(2),
            uploads: Pace::draw(),
            // Of one that is given up, there may be no end.
            answer: if gives_up.is_some() && dice::one_in(2) && endless { u64::MAX } else { answer },
            answers: Pace::draw(),
            // Not of too many pieces: it would take too long to run.
            piece: dice::one_of(&[100, 3000, 30_000, PIECE]).max(answer / 100).min(PIECE),
            early: dice::one_in(4),
            buffered: !matches!(gives_up, Some(GivesUp::AtByte(_))) && dice::one_in(6),
            timings: dice::one_in(3),
            fault: dice::one_in(8).then(|| dice::below(answer + 1)),
            reads: Pace::draw(),
            starts: dice::millis(if few { 30_000 } else { 2_000 }),
            gives_up,
        }
    }
}
