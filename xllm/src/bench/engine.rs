//! The thread that measures: warms up, runs the steps one after another, and works each out when it is over.

use std::{
    sync::{Arc, mpsc},
    time::{Duration, SystemTime},
};

use tokio::sync::watch;

use super::{
    bootstrap::Method,
    digest::{Digest, digest},
    load::{Lane, Ran, Settings, step},
    plan::{CONFIDENCE, Plan, RESAMPLES, workers},
    progress::{Goal, Phase, Progress},
    reader::Reader,
    record::{End, Record},
    result::{Load, Route, Step, Tool, Warning},
    stats::{percentiles, round},
    step::{differences, route, row, typical},
    vain::Ends,
    values::ms,
    warn,
};
use crate::{
    chat::{self, PROXY_ERROR},
    exit::{Exit, Failure},
    options::Target,
};

/// What was measured.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) started: SystemTime,
    pub(super) steps: Vec<Step>,
    pub(super) warnings: Vec<Warning>,
    pub(super) ends: Ends,
}

/// Runs it all; blocks until it is over or `stop` turns true.
pub(super) fn run(
    plan: &Arc<Plan>,
    routes: &[Route],
    stop: &watch::Receiver<bool>,
    progress: &Arc<Progress>,
) -> Result<Measured, Failure> {
    // One thread: what it uses can be told, and no piece waits for another thread to wake up.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::usage(format!("this system gives no event loop: {error}")))?;
    runtime.block_on(async {
        let lanes = plan.lanes(routes)?;
        let outcome = measure(plan, &lanes, stop, progress).await;
        for lane in &lanes {
            lane.transport.settle().await;
        }
        outcome
    })
}

async fn measure(
    plan: &Arc<Plan>,
    lanes: &[Arc<Lane>],
    stop: &watch::Receiver<bool>,
    progress: &Arc<Progress>,
) -> Result<Measured, Failure> {
    progress.steps(plan.loads.len());
    warm_up(plan, lanes, stop, progress).await?;
    let mut measured = Measured { started: SystemTime::now(), steps: Vec::new(), warnings: Vec::new(), ends: Ends::default() };
    for (number, load) in plan.loads.iter().enumerate() {
        if *stop.borrow() {
            break;
        }
        let reader =
            Reader::start(plan.target.api).map_err(|error| Failure::usage(format!("this system gives no threads: {error}")))?;
        progress.enter(Phase::Measuring, number, Some(load.clone()), plan.settings.goal);
        let settings = Settings { phase: number as u64 + 1, ..plan.settings.clone() };
        let ran = step(lanes, load, &settings, stop.clone(), progress, reader.sink()).await;
        progress.enter(Phase::WorkingOut, number, Some(load.clone()), Goal::Unknown);
        // Elsewhere, so that connections are looked after meanwhile.
        let (plan, routes, load) = (plan.clone(), lanes.iter().map(|lane| lane.route).collect::<Vec<_>>(), load.clone());
        let mut ends = measured.ends;
        let work = move || {
            let digests = reader.finish();
            ends.add(&digests);
            (work_out(&plan, &routes, number as u64, &load, &digests, &ran), ends)
        };
        let ((result, warnings), ends) = tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| Failure::usage(format!("the figures could not be worked out: {error}")))?;
        measured.ends = ends;
        measured.warnings.extend(warnings);
        measured.steps.push(result);
    }
    progress.enter(Phase::Over, plan.loads.len(), None, Goal::Unknown);
    Ok(measured)
}

/// Opens connections, and finds out whether there is anything to measure. One route after the other, with all workers on it at once:
/// workers on both would find each other's connections free, and open half as many.
async fn warm_up(
    plan: &Plan,
    lanes: &[Arc<Lane>],
    stop: &watch::Receiver<bool>,
    progress: &Arc<Progress>,
) -> Result<(), Failure> {
    let load = Load::Closed { concurrency: workers(&plan.loads).min(plan.warm_up) };
    let settings = Settings { goal: Goal::Requests(plan.warm_up), cancel_share: 0.0, phase: 0, ..plan.settings.clone() };
    progress.enter(Phase::WarmUp, 0, Some(load.clone()), Goal::Requests(plan.warm_up * lanes.len() as u64));
    for lane in lanes.chunks(1) {
        let (sink, records) = mpsc::channel();
        step(lane, &load, &settings, stop.clone(), progress, sink).await;
        let outcomes: Vec<_> = records.into_iter().map(|record| failure(record, &plan.target)).collect();
        // Some may fail: that is told of what is measured, too. The proxy's failure is told if there is no other.
        if outcomes.iter().all(Option::is_some)
            && let Some(failure) = outcomes.into_iter().flatten().min_by_key(|failure| failure.exit == Exit::Proxy)
        {
            return Err(failure);
        }
    }
    Ok(())
}

/// Why a call failed, as the error that ends the command; `None` if it did not.
fn failure(record: Record, target: &Target) -> Option<Failure> {
    let before = format!("{} requests fail: ", record.route.name());
    if let (End::Whole, Some(head)) = (&record.end, &record.head)
        && (!head.parts.status.is_success() || head.parts.headers.contains_key(PROXY_ERROR))
    {
        return Some(chat::failure(target, &head.parts, record.body.get(..chat::MAX_BODY).unwrap_or(&record.body)));
    }
    let digest = digest(target.api, record);
    let reason = digest.failure?;
    Some(match digest.record.end {
        End::Broken(error) => error.into_failure(&before),
        _ => Failure::api(format!("{before}{}", reason.text)),
    })
}

/// The result of a step, and what makes it doubtful.
fn work_out(plan: &Plan, routes: &[Route], number: u64, load: &Load, digests: &[Digest], ran: &Ran) -> (Step, Vec<Warning>) {
    let begin = digests.iter().map(|digest| digest.record.scheduled).min().unwrap_or_default();
    let end = digests.iter().map(|digest| digest.record.ended).max().unwrap_or_default();
    let wall = end.saturating_sub(begin);
    let wall_s = wall.as_secs_f64();
    let method = Method { confidence: CONFIDENCE, resamples: RESAMPLES, seed: plan.settings.seed };
    let step = Step {
        load: load.clone(),
        wall_s: round(wall_s),
        routes: routes
            .iter()
            .map(|name| route(*name, digests, own_s(load, *name, digests, wall_s), &plan.objectives))
            .collect(),
        differences: if routes.len() > 1 { differences(digests, method) } else { Vec::new() },
        typical: typical(digests),
        tool: tool(digests, ran, wall),
        requests: digests.iter().map(|digest| row(number, digest)).collect(),
    };
    let warnings = warn::of_step(number, &step, ran.limited);
    (step, warnings)
}

/// The seconds that a route's rates are over. The workers of a closed loop share their time between the routes, so that over the
/// step's time both rates would be equal by construction: it is the time that they spent on this one.
#[expect(clippy::cast_precision_loss, reason = "a count of workers")]
fn own_s(load: &Load, route: Route, digests: &[Digest], wall_s: f64) -> f64 {
    let Load::Closed { concurrency } = load else { return wall_s };
    let own = || digests.iter().map(|digest| &digest.record).filter(|record| record.route == route);
    // With fewer pairs than workers, some have nothing to do.
    let workers = (own().count() as u64).min(*concurrency).max(1);
    own().map(|record| record.since_sent(record.ended).as_secs_f64()).sum::<f64>() / workers as f64
}

#[expect(clippy::cast_precision_loss, reason = "a count of pieces")]
fn tool(digests: &[Digest], ran: &Ran, wall: Duration) -> Tool {
    let chunks: u64 = digests.iter().map(|digest| digest.chunks).sum();
    let cpu_s = ran.cpu.map(|cpu| cpu.as_secs_f64());
    let sent = digests.iter().filter(|digest| !matches!(digest.record.end, End::Unsent));
    let mut tool = Tool {
        chunks,
        bytes: digests.iter().map(|digest| digest.bytes).sum(),
        cpu_s: cpu_s.map(round),
        busy: cpu_s.map(|cpu| round(cpu / wall.as_secs_f64().max(1e-9))),
        cpu_us_per_chunk: cpu_s.filter(|_| chunks > 0).map(|cpu| round(cpu * 1e6 / chunks as f64)),
        send_lag: percentiles(sent.map(|digest| ms(digest.record.lag())).collect()),
        loop_lag: percentiles(ran.loop_lag.clone()),
        bottleneck: false,
    };
    tool.bottleneck = warn::is_bottleneck(&tool);
    tool
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::samples::sample;

    #[test]
    fn the_slower_route_of_a_closed_loop_has_the_lower_rate() {
        let digests =
            [sample(Route::Direct, 0, &[100.0]), sample(Route::Direct, 1, &[100.0]), sample(Route::Proxied, 0, &[400.0])];
        let of = |load: &Load, route| Duration::from_secs_f64(own_s(load, route, &digests, 9.0)).as_millis();
        let closed = Load::Closed { concurrency: 2 };
        assert_eq!((of(&closed, Route::Direct), of(&closed, Route::Proxied)), (100, 400));
        let open = Load::Open { rate: 1.0, arrivals: crate::bench::result::Arrivals::Poisson };
        assert_eq!(of(&open, Route::Direct), 9000);
    }
}
