//! The command line.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Parser, ValueEnum};

use crate::attack::{Attack, Target};

/// What the relay costs, end to end, beside the straight way and beside its peers.
#[derive(Debug, Parser)]
#[command(name = "relay", max_term_width = 100, args_override_self = true)]
pub(crate) struct Args {
    /// What to measure [default: all]
    #[arg(value_enum)]
    pub(crate) measures: Vec<Measure>,
    /// How often each measure is taken on each route, in turn; each time they begin with another
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// How long a load is measured
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = positive)]
    pub(crate) seconds: f64,
    /// Streams at once under load
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) streams: u16,
    /// Events a second of each stream in the steady load
    #[arg(long, default_value_t = 50.0, value_parser = positive)]
    pub(crate) rate: f64,
    /// Events a second of all streams together in the flood
    #[arg(long, default_value_t = 200_000.0, value_parser = positive)]
    pub(crate) flood: f64,
    /// Events of a stream that may be on their way at saturation
    #[arg(long, default_value_t = 4)]
    pub(crate) window: usize,
    /// Silent streams whose memory is measured
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) idle: u16,
    /// Size of the large answer, GB
    #[arg(long, value_name = "GB", default_value_t = 1.0, value_parser = positive)]
    pub(crate) bulk: f64,
    /// Our binaries: xllm-proxy and xllm in this folder (repeatable, to compare builds) [default: a
    /// release build, made first]
    #[arg(long, value_name = "NAME=FOLDER", value_parser = named)]
    pub(crate) ours: Vec<(String, PathBuf)>,
    /// Other routes: a JSON array, as benches/peers.sh writes it
    #[arg(long, value_name = "FILE")]
    pub(crate) peers: Option<PathBuf>,
    /// Where the upstream listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub(crate) upstream: SocketAddr,
    /// Print the results as lines of JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Measure nothing: print the tables, in Markdown, of what --json has printed into this file
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Which hostile load `hostile` measures beside (repeatable) [default: each]
    #[arg(long, value_enum, value_name = "ATTACK")]
    pub(crate) beside: Vec<Attack>,
    /// Attack, as the process beside a `hostile` measure
    #[arg(long, hide = true, value_enum, requires = "target", requires = "sink")]
    pub(crate) attack: Option<Attack>,
    /// The server that is attacked; a key of one of its clients is in `$XLLM_PROXY_KEY`
    #[arg(long, hide = true)]
    target: Option<SocketAddr>,
    /// Where the attacker takes its own uploads
    #[arg(long, hide = true)]
    sink: Option<SocketAddr>,
    /// What cargo passes
    #[arg(long, hide = true)]
    bench: bool,
    /// What cargo passes: nothing is measured
    #[arg(long, hide = true)]
    pub(crate) test: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Measure {
    /// Memory per open and silent stream; once, before anything else has grown the processes
    Memory,
    /// CPU per event and added latency of streams at their own pace
    Steady,
    /// The same at a quarter of the pace
    Quarter,
    /// What is carried where more is offered than most routes can carry
    Flood,
    /// Events per second where all streams write as fast as they are read
    Saturation,
    /// One large answer on one connection
    Bulk,
    /// From 20 callers' hanging up at once to the upstream's sight of it
    Cancel,
    /// Time to the first token on a connection that is there already
    First,
    /// A short request, each on a new connection to the near end
    Short,
    /// What a handshake with the server costs
    Handshake,
    /// What hostile load takes from streams at a quarter of the pace beside it; only where it is named
    Hostile,
}

impl Args {
    /// Who is attacked.
    pub(crate) fn target(&self) -> crate::Result<Target> {
        let (Some(server), Some(sink)) = (self.target, self.sink) else { return Err("an attack needs its target".into()) };
        Ok(Target { server, sink, credential: std::env::var("XLLM_PROXY_KEY")?.parse()? })
    }
}

impl Measure {
    /// Whether a route has the straight way measured directly before it, for what it adds. `first` does so call by call, and where
    /// more is offered than can be carried, a latency is that of a full queue: one less another says nothing.
    pub(crate) const fn is_beside_straight(self) -> bool {
        matches!(self, Self::Steady | Self::Quarter | Self::Short)
    }

    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

fn positive(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "it is a number")?;
    // What is beyond makes no sense, and no duration.
    if (1e-3..=1e9).contains(&number) { Ok(number) } else { Err("it is between 0.001 and 10^9".to_owned()) }
}

fn named(text: &str) -> Result<(String, PathBuf), String> {
    let (name, folder) = text.split_once('=').ok_or("it is NAME=FOLDER")?;
    Ok((name.to_owned(), folder.into()))
}
