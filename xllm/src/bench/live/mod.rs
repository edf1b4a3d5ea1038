//! The run while it runs, on stderr: a picture that is redrawn on a terminal, a line now and then elsewhere.
//!
//! It must not disturb what is measured: a thread of its own, outside the load's runtime, looks ten times a second; the load never waits
//! for a terminal, it only writes numbers down under a lock that is held for microseconds.

mod screen;
mod words;

use std::{
    io::{self, IsTerminal as _, Write as _},
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use console::Term;

use super::progress::{Phase, Progress};
use crate::env::Env;
use screen::Screen;
use words::Rates;

/// How often the picture is drawn.
const PERIOD: Duration = Duration::from_millis(100);
/// How often a log gets a line.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// The view, which is there until it is dropped. Then nothing of it is left on a terminal.
#[derive(Debug)]
pub(crate) struct Live {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Live {
    /// Shows the progress from now on; with `quiet`, nothing.
    pub(crate) fn start(progress: Arc<Progress>, quiet: bool, env: &Env) -> Self {
        if quiet {
            return Self { stop: None, thread: None };
        }
        let smart = env.get("TERM") != Some("dumb");
        let terminal = smart && io::stderr().is_terminal();
        let coloured = env.get("NO_COLOR").is_none();
        let (stop, stopped) = mpsc::channel();
        let view = move || if terminal { draw(&progress, coloured, &stopped) } else { log(&progress, &stopped) };
        // Without a thread the run is as good, only unseen.
        let thread = thread::Builder::new().name("live".to_owned()).spawn(view).ok();
        Self { stop: Some(stop), thread }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // If it panicked, it has said so itself.
            let _ = thread.join();
        }
    }
}

fn draw(progress: &Progress, coloured: bool, stopped: &mpsc::Receiver<()>) {
    let (mut screen, terminal) = (Screen::new(coloured), Term::stderr());
    let columns = || terminal.size().1.into();
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(PERIOD) {
        say(&screen.show(&progress.snapshot(), columns()));
    }
    say(&screen.clear(columns()));
}

fn log(progress: &Progress, stopped: &mpsc::Receiver<()>) {
    let mut rates = Rates::default();
    let mut due = Instant::now() + LINE_EVERY;
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(due.saturating_duration_since(Instant::now())) {
        due += LINE_EVERY;
        let snapshot = progress.snapshot();
        let rates = rates.now(&snapshot);
        if snapshot.phase != Phase::Over {
            say(&format!("xllm: {}\n", words::plain(&snapshot, rates)));
        }
    }
}

/// In one write. Without stderr there is nobody to tell.
fn say(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod samples {
    use super::*;
    use crate::bench::{
        progress::{Goal, Running, Snapshot},
        result::{Load, Route},
    };

    /// Ten seconds into the second of four steps.
    pub(super) fn snapshot(goal: Goal, done: u64) -> Snapshot {
        let times = [21.5, 33.0].map(|millis: f64| Some(Duration::from_secs_f64(millis / 1e3)));
        let running =
            |route| Running { route, requests: done, first: times, end: times.map(|time| time.map(|time| time * 20)) };
        Snapshot {
            phase: Phase::Measuring,
            step: 1,
            steps: 4,
            load: Some(Load::Closed { concurrency: 4 }),
            goal,
            elapsed: Duration::from_secs(10),
            done,
            failed: 0,
            cancelled: 0,
            in_flight: 4,
            chunks: done * 40,
            routes: vec![running(Route::Direct), running(Route::Proxied)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_ends_as_soon_as_it_is_dropped_and_is_not_there_if_nobody_wants_it() {
        let progress = Arc::new(Progress::default());
        let live = Live::start(progress.clone(), false, &Env::of(&[]));
        assert!(live.thread.is_some());
        // Nothing else ends the thread: this returns, or the test never does.
        drop(live);
        assert_eq!(Arc::strong_count(&progress), 1);
        assert!(Live::start(progress, true, &Env::of(&[])).thread.is_none());
    }
}
