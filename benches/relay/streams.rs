//! Many streams at once: the steady load, where each speaks at its own pace, and saturation, where each writes as fast as it is read.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{
        Semaphore,
        mpsc::{UnboundedSender, unbounded_channel},
    },
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};

use crate::{
    Result, Stand, clock,
    cost::{Cost, Figures, Spent},
    line::{figure, quantile},
    route::Route,
};

/// All streams are open by then, or never.
const OPEN: Duration = Duration::from_mins(1);
/// From the moment that all streams are open until something is measured.
const WARM_UP: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// So many events a second and stream.
    Rate(f64),
    /// As fast as they are read: so many events of a stream may be on their way.
    Window(usize),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) streams: u16,
    pub(crate) pace: Pace,
    pub(crate) time: Duration,
}

/// What came, of all streams together.
#[derive(Default)]
struct Tally {
    measuring: bool,
    events: u64,
    /// From the moment that each was due to the caller's reading, µs; at saturation from its writing. A route that takes the cores
    /// from the upstream delays its events before they are written: that is on its account, too.
    latency: Vec<f64>,
    /// How much of that the upstream was late with writing, µs.
    late: Vec<f64>,
}

/// Figures of this load on this route.
pub(crate) async fn measure(stand: &Stand, route: &Route, load: Load) -> Result<Figures> {
    let tally = Arc::new(Mutex::new(Tally::default()));
    let (open, mut opened) = unbounded_channel();
    let deadline = Instant::now() + OPEN;
    let (credit, what, argument) = match load.pace {
        Pace::Rate(rate) => (None, "paced", clock::nanos(Duration::from_secs_f64(1.0 / rate))),
        Pace::Window(window) => (Some(stand.upstream.credit(load.streams.into(), window)), "credit", 0),
    };
    let mut streams = JoinSet::new();
    for stream in 0..load.streams {
        let one = Stream {
            route: route.clone(),
            number: stream,
            open: open.clone(),
            tally: tally.clone(),
            credit: credit.as_ref().map(|credit| credit.0.clone()),
        };
        streams.spawn_on(one.follow(what, argument), &stand.load);
    }
    let work = async {
        for open in 0..load.streams {
            let opened = timeout_at(deadline, opened.recv()).await;
            opened.map_err(|_| format!("{open} of {} streams spoke within {OPEN:?}", load.streams))?;
        }
        sleep(WARM_UP).await;
        tally.lock().unwrap_or_else(PoisonError::into_inner).measuring = true;
        let (began, cost) = (Instant::now(), Cost::begin(route)?);
        sleep(load.time).await;
        let (took, spent) = (began.elapsed(), cost.end()?);
        let tally = std::mem::take(&mut *tally.lock().unwrap_or_else(PoisonError::into_inner));
        figures(tally, load, took, &spent)
    };
    let figures = tokio::select! {
        figures = work => figures,
        Some(ended) = streams.join_next() => match ended? {
            Ok(()) => Err("a stream that never ends has ended".into()),
            Err(error) => Err(error),
        },
    };
    streams.shutdown().await;
    figures
}

fn figures(mut tally: Tally, load: Load, took: Duration, spent: &Spent) -> Result<Figures> {
    if tally.events == 0 {
        return Err("not one event came".into());
    }
    let mut figures = spent.each(tally.events);
    let per_second = figure(tally.events) / took.as_secs_f64();
    figures.insert("events_per_s".to_owned(), per_second);
    if let Pace::Rate(rate) = load.pace {
        // What the upstream has left out, because it or the path was too far behind, is missing here.
        figures.insert("arrived_percent".to_owned(), 100.0 * per_second / (rate * f64::from(load.streams)));
    }
    for (name, values) in [("latency", &mut tally.latency), ("late", &mut tally.late)] {
        // At saturation nothing is due at any moment.
        if values.is_empty() {
            continue;
        }
        values.sort_by(f64::total_cmp);
        figures.insert(format!("{name}_p50_us"), quantile(values, 0.5));
        figures.insert(format!("{name}_p99_us"), quantile(values, 0.99));
    }
    Ok(figures)
}

struct Stream {
    route: Route,
    number: u16,
    open: UnboundedSender<()>,
    tally: Arc<Mutex<Tally>>,
    credit: Option<Arc<[Semaphore]>>,
}

impl Stream {
    async fn follow(self, what: &'static str, argument: u64) -> Result<()> {
        let mut connection = self.route.connect(self.number).await?;
        self.route.ask(&mut connection, what, self.number, argument).await?;
        let (mut stamps, mut next, mut opened) = (Vec::new(), 0, false);
        loop {
            connection.events(&mut stamps).await?;
            if stamps.is_empty() {
                return Ok(());
            }
            let now = clock::now();
            let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
            for stamp in &stamps {
                if stamp.stream != self.number || stamp.number != next {
                    let (name, number) = (self.route.name(), stamp.number);
                    let of = stamp.stream;
                    return Err(
                        format!("{name}: stream {} got event {number} of stream {of}, not its {next}", self.number).into()
                    );
                }
                next += 1;
                if tally.measuring {
                    tally.events += 1;
                    tally.latency.push(figure(now - stamp.due()) / 1e3);
                    if self.credit.is_none() {
                        tally.late.push(f64::from(stamp.late) / 1e3);
                    }
                }
            }
            drop(tally);
            if let Some(credit) = self.credit.as_ref().and_then(|credit| credit.get(usize::from(self.number))) {
                credit.add_permits(stamps.len());
            }
            if !opened {
                self.open.send(())?;
                opened = true;
            }
        }
    }
}
