//! A good client's streams in peace, and beside each kind of hostile load.

use std::{
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use clap::ValueEnum as _;
use tokio::time::sleep;

use crate::{
    Result, Stand,
    args::Args,
    attack::Attack,
    clock,
    cost::Figures,
    line::{Line, figure},
    ours::Ours,
    progress,
    route::Route,
    streams::{self, Load, Pace},
    system,
};

/// From the beginning of an attack until its effect is measured: by then every place is taken that it can take.
const GROW: Duration = Duration::from_secs(3);
/// The CPU of an attack is that of so many nanoseconds in a hundredth of a second.
const PERCENT: f64 = 1e7;

/// What is measured in one round: the streams in peace, then beside each attack.
pub(crate) async fn rounds(stand: &Stand, straight: &Route, args: &Args) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for ours in &stand.ours {
        let sink = free()?;
        // With the places that an attack takes up as they are by default.
        let fresh = ours.with(&format!("[origins]\nallow = [\"http://{sink}\"]\n"))?;
        let route = Route::new(fresh.described())?;
        // A client for each, so that none finds the limits of another's.
        let mut attackers = Vec::new();
        let wanted = if args.beside.is_empty() { Attack::value_variants() } else { &args.beside };
        for attack in wanted {
            attackers.push((*attack, fresh.add_client(&attack.name())?));
        }
        for round in 1..=args.rounds {
            let mut peace = None;
            for attack in std::iter::once(None).chain(attackers.iter().map(Some)) {
                let name = attack.map_or_else(|| "in peace".to_owned(), |(attack, _)| attack.name());
                progress(&format!("{}, round {round} of {}: {name}", ours.name, args.rounds));
                let attack = attack.map(|(attack, key)| Attacker::start(*attack, &fresh, key, sink)).transpose()?;
                if attack.is_some() {
                    sleep(GROW).await;
                }
                let load = Load {
                    streams: args.streams,
                    pace: Pace::Rate(args.rate / 4.0),
                    time: Duration::from_secs_f64(args.seconds),
                };
                let began = attack.as_ref().map(Attacker::spent).transpose()?;
                let line =
                    |figures| Line { measure: "hostile".to_owned(), round, route: format!("{}, {name}", ours.name), figures };
                let before = line(streams::measure(stand, straight, load).await?);
                let mut line = line(streams::measure(stand, &route, load).await?);
                line.add_what_is_added(&before);
                if let (Some(attack), Some((cpu, since))) = (&attack, began) {
                    line.figures.insert("cpu_attack_percent".to_owned(), attack.percent(cpu, since)?);
                }
                match &peace {
                    Some(peace) => compare(&mut line.figures, peace),
                    None => peace = Some(line.figures.clone()),
                }
                lines.push(line);
            }
        }
    }
    progress("");
    Ok(lines)
}

/// How many times what is added in peace.
fn compare(figures: &mut Figures, peace: &Figures) {
    for quantile in ["p50", "p99"] {
        let of = |figures: &Figures| figures.get(&format!("added_{quantile}_us")).copied();
        if let (Some(here), Some(peace)) = (of(figures), of(peace)) {
            figures.insert(format!("times_{quantile}"), here / peace);
        }
    }
}

/// A port that is free just now.
fn free() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// This program as the attacker. Dropping it ends it.
struct Attacker(Child);

impl Attacker {
    fn start(attack: Attack, on: &Ours, credential: &str, sink: SocketAddr) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--attack", &attack.name(), "--target", &on.proxy.to_string(), "--sink", &sink.to_string()]);
        command.env("XLLM_PROXY_KEY", credential).stdin(Stdio::null());
        Ok(Self(command.spawn()?))
    }

    fn spent(&self) -> Result<(u64, Instant)> {
        Ok((system::cpu(self.0.id())?, Instant::now()))
    }

    /// Percent of one core since then.
    fn percent(&self, cpu: u64, since: Instant) -> Result<f64> {
        let spent = self.spent()?.0 - cpu;
        Ok(figure(spent) / (figure(clock::nanos(since.elapsed())) / 1e9 * PERCENT))
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
