//! How many instructions the hot paths of the core take, counted by callgrind: the same on an idle and on a busy machine.
//!
//! ```text
//! cargo bench -p xllm-proxy --bench instructions               compare with benches/instructions.txt; fails over 3 % more
//! cargo bench -p xllm-proxy --bench instructions -- --record   write what is counted there
//! ```
//!
//! Needs valgrind. Its processor has AES instructions and no wide vectors, whatever the machine has.
#![allow(missing_docs, reason = "a program")]

mod support;

use std::{env, fmt::Write as _, fs, hint::black_box, path::Path, process::Command, time::Duration};

use bytes::{Bytes, BytesMut};
use support::{client, configs, psk, server};
use xllm_proxy::proto::{
    AES_GCM, AWS_LC, Connection, Event, Profile, Role, Terms,
    crypto::{Secret, Suite},
    frame::{self, BodyLength, Frame, Header, Mode, Policy, Request, Response},
    keys::Schedule,
    limits,
    record::{Opener, Sealer},
};

/// What a path may take more than was recorded, in percent.
const TOLERANCE: f64 = 3.0;
const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.txt");

/// Repetitions in one count, so that what is done once does not show.
const ROUNDS: u64 = 500;
/// Exchanges of the scripted session, and the tokens of each.
const EXCHANGES: usize = 32;
const TOKENS: usize = 40;
/// A token's event of the chat completions API is about as large.
const EVENT: usize = 220;

/// A path: its name, how often it is gone in one count, and how.
type Scenario = (&'static str, u64, fn());

const SCENARIOS: [Scenario; 11] = [
    ("seal 512 bytes", ROUNDS, || seal(&AWS_LC, 512)),
    ("seal 16 KiB", ROUNDS, || seal(&AWS_LC, limits::RECORD_PLAINTEXT)),
    ("open 512 bytes", ROUNDS, || open(&AWS_LC, 512)),
    ("open 16 KiB", ROUNDS, || open(&AWS_LC, limits::RECORD_PLAINTEXT)),
    ("seal 512 bytes, portable", ROUNDS, || seal(&AES_GCM, 512)),
    ("encode a DATA frame", ROUNDS, encode),
    ("decode a DATA frame, padded", ROUNDS, decode),
    ("session: handshake, both ends", 1, || measured(|| drop(Pair::open()))),
    ("session: an exchange without its tokens", EXCHANGES as u64, exchanges),
    ("session: a token, alone in its record", (EXCHANGES * TOKENS) as u64, || tokens(true)),
    ("session: a token among others", (EXCHANGES * TOKENS) as u64, || tokens(false)),
];

/// What is counted. Callgrind knows it by its name.
#[inline(never)]
fn measured(path: impl FnOnce()) {
    path();
}

fn schedule() -> Schedule {
    Schedule::new(&[1; 32], &Secret::new([2; 32]))
}

fn put(sealer: &mut Sealer, out: &mut BytesMut, plaintext: &[u8]) {
    let start = Sealer::begin(out);
    out.extend_from_slice(plaintext);
    sealer.seal(out, start).expect("a plaintext within its limits");
}

fn seal(suite: &'static dyn Suite, size: usize) {
    let (plaintext, mut sealer, mut out) = (vec![7; size], Sealer::new(schedule(), suite), BytesMut::with_capacity(1 << 17));
    measured(|| {
        for _ in 0..ROUNDS {
            out.clear();
            put(&mut sealer, &mut out, black_box(&plaintext));
        }
    });
}

fn open(suite: &'static dyn Suite, size: usize) {
    let (plaintext, mut sealer, mut wire) = (vec![7; size], Sealer::new(schedule(), suite), BytesMut::new());
    for _ in 0..ROUNDS {
        put(&mut sealer, &mut wire, &plaintext);
    }
    let mut opener = Opener::new(schedule(), suite);
    measured(|| {
        for _ in 0..ROUNDS {
            black_box(opener.open(&mut wire).expect("verifies").expect("is whole"));
        }
    });
}

fn token() -> Frame {
    Frame::Data { seq: 77, payload: Bytes::from(vec![b'x'; EVENT]) }
}

fn encode() {
    let (token, mut out) = (token(), BytesMut::with_capacity(1024));
    measured(|| {
        for _ in 0..ROUNDS {
            out.clear();
            black_box(&token).encode(1, &mut out).expect("a frame within its limits");
        }
    });
}

fn decode() {
    let mut out = BytesMut::new();
    token().encode(1, &mut out).expect("a frame within its limits");
    out.resize(Profile::Pad.padded(out.len()), 0);
    let record = out.freeze();
    measured(|| {
        for _ in 0..ROUNDS {
            let mut at = 0;
            while let Some(frame) = frame::decode(black_box(&record), &mut at, Role::Server).expect("a frame that can be read")
            {
                black_box(frame);
            }
        }
    });
}

/// Both ends of a session.
struct Pair {
    client: Connection,
    server: Connection,
    /// On the way to the server, and to the client.
    wires: [BytesMut; 2],
    now: Duration,
}

impl Pair {
    /// After the handshake.
    fn open() -> Self {
        let mut pair = Self::new();
        pair.settle();
        pair
    }

    fn new() -> Self {
        let now = Duration::ZERO;
        let (near, far) = configs();
        Self {
            client: client(near, now, &AWS_LC),
            server: server(far, now, &AWS_LC),
            wires: [BytesMut::with_capacity(1 << 17), BytesMut::with_capacity(1 << 17)],
            now,
        }
    }

    /// Until nothing more is to be said: every event taken, every piece too. Gives the pieces that came.
    fn settle(&mut self) -> usize {
        let mut pieces = 0;
        loop {
            self.now += Duration::from_micros(10);
            let [up, down] = &mut self.wires;
            let mut moved = self.client.poll_transmit(self.now, up);
            self.server.receive(self.now, up);
            while let Some(event) = self.server.poll_event() {
                if matches!(event, Event::Hello(_)) {
                    self.server.answer_hello(Some(&psk()), &Terms::default(), 0).expect("a hello waits");
                }
            }
            moved |= self.server.poll_transmit(self.now, down);
            self.client.receive(self.now, down);
            while let Some(event) = self.client.poll_event() {
                if let Event::Data(number, bytes, _) = event {
                    self.client.taken(number, bytes.len());
                    pieces += 1;
                }
            }
            if !moved {
                return pieces;
            }
        }
    }
}

fn request() -> Request {
    let header = |name: &str, value: &'static [u8]| Header { name: name.into(), value: Bytes::from_static(value) };
    Request {
        id: [7; 16],
        method: "POST".into(),
        url: "https://api.openai.com/v1/chat/completions".into(),
        headers: vec![header("content-type", b"application/json"), header("authorization", b"Bearer of a key")],
        mode: Mode::Streaming,
        timings: false,
        policy: Policy::Neutral,
        body: BodyLength::None,
        credit: 1 << 20,
    }
}

/// Exchanges side by side, from their requests to the heads of their answers.
fn begin(pair: &mut Pair) -> Vec<u32> {
    let numbers: Vec<u32> = (0..EXCHANGES).map(|_| pair.client.request(pair.now, &request()).expect("may be opened")).collect();
    pair.settle();
    for &number in &numbers {
        let head = Response { status: 200, headers: Vec::new(), length: None };
        pair.server.respond(pair.now, number, &head).expect("is open");
    }
    pair.settle();
    numbers
}

fn end(pair: &mut Pair, numbers: &[u32]) {
    for &number in numbers {
        pair.server.end(number, Vec::new()).expect("is open");
    }
    pair.settle();
    assert_eq!(pair.client.open_exchanges(), 0);
}

fn exchanges() {
    let mut pair = Pair::open();
    measured(|| {
        let numbers = begin(&mut pair);
        end(&mut pair, &numbers);
    });
}

/// The tokens of such exchanges, through both ends. Each travels `alone`, or with those of the other streams.
fn tokens(alone: bool) {
    let mut pair = Pair::open();
    let numbers = begin(&mut pair);
    let token = Bytes::from(vec![b'x'; EVENT]);
    let mut pieces = 0;
    measured(|| {
        for _ in 0..TOKENS {
            for &number in &numbers {
                pair.server.send_data(pair.now, number, token.clone()).expect("is open");
                pieces += if alone { pair.settle() } else { 0 };
            }
            pieces += pair.settle();
        }
    });
    end(&mut pair, &numbers);
    assert_eq!(pieces, EXCHANGES * TOKENS);
}

/// Instructions of a scenario: this program once more, under callgrind.
fn count(index: usize, rounds: u64) -> u64 {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("callgrind");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no", "--toggle-collect=*instructions::measured*"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(env::current_exe().expect("a path"))
        .args(["--scenario", &index.to_string()])
        .output()
        .expect("valgrind is needed: on Debian, apt-get install valgrind");
    assert!(output.status.success(), "valgrind failed:\n{}", String::from_utf8_lossy(&output.stderr));
    let counts = fs::read_to_string(file).expect("callgrind writes its counts");
    let total = counts.lines().find_map(|line| line.strip_prefix("totals: ")).expect("a total");
    let total: u64 = total.trim().parse().expect("a number");
    assert!(total > 0, "nothing was counted: callgrind did not find the function by its name");
    total / rounds
}

/// The recorded count of a scenario.
fn recorded(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().replace(' ', "").parse().ok())
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn percent(count: u64, before: u64) -> f64 {
    (count as f64 / before as f64 - 1.0) * 100.0
}

fn main() {
    let mut arguments = env::args().skip(1);
    let mut record = false;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--scenario" => {
                let index: usize = arguments.next().and_then(|index| index.parse().ok()).expect("a scenario's number");
                return SCENARIOS[index].2();
            }
            "--record" => record = true,
            _ => {} // what cargo adds
        }
    }
    let before = fs::read_to_string(RECORDED).unwrap_or_default();
    let mut written =
        String::from("# Instructions of one go, by callgrind: cargo bench -p xllm-proxy --bench instructions -- --record\n");
    let mut slower = Vec::new();
    for (index, (name, rounds, _)) in SCENARIOS.iter().enumerate() {
        let count = count(index, *rounds);
        let change = match recorded(&before, name) {
            Some(before) => {
                let change = percent(count, before);
                if change > TOLERANCE {
                    slower.push(*name);
                }
                format!("{change:+6.2} %")
            }
            None if record => "new".into(),
            None => {
                slower.push(*name);
                "not recorded".into()
            }
        };
        println!("{name:<42} {count:>9}  {change}");
        writeln!(written, "{name:<42} {count:>9}").expect("a string takes it");
    }
    if record {
        fs::write(Path::new(RECORDED), written).expect("the record can be written");
    } else if !slower.is_empty() {
        println!("more than {TOLERANCE} % over what is recorded, or not recorded: {}", slower.join(", "));
        println!("if it is worth it, record the new counts with: cargo bench -p xllm-proxy --bench instructions -- --record");
        std::process::exit(1);
    }
}
