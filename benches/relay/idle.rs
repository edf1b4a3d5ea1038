//! Streams that have said something and are silent now: the memory that they hold, and how soon the upstream sees them go.

use std::sync::Arc;

use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    Result, Stand,
    call::Connection,
    clock,
    cost::Figures,
    line::{figure, quantile},
    route::Route,
};

/// How many are opened at a time.
const AT_A_TIME: usize = 64;
/// How many hang up at once, and how often.
const CALLERS: u16 = 20;
const TIMES: u16 = 10;

/// Opens so many silent streams; each has got its head and one event.
async fn open(stand: &mut Stand, route: &Route, streams: u16) -> Result<Vec<Connection>> {
    let turns = Arc::new(Semaphore::new(AT_A_TIME));
    let batch = stand.upstream.new_batch();
    let mut opening = JoinSet::new();
    for stream in 0..streams {
        let (route, turns) = (route.clone(), turns.clone());
        let one = async move {
            let _turn = turns.acquire().await?;
            let mut connection = route.connect(stream).await?;
            route.ask(&mut connection, "idle", stream, batch).await?;
            let mut stamps = Vec::new();
            connection.events(&mut stamps).await?;
            match stamps[..] {
                [stamp] if stamp.stream == stream => Ok((stream, connection)),
                _ => Err(format!("stream {stream} got other events than its own")),
            }
            .map_err(Into::into)
        };
        opening.spawn_on(one, &stand.load);
    }
    let mut open = Vec::new();
    while let Some(one) = opening.join_next().await {
        let one: Result<_> = one?;
        open.push(one?);
    }
    open.sort_by_key(|(stream, _)| *stream);
    Ok(open.into_iter().map(|(_, connection)| connection).collect())
}

/// The memory of each process per open stream, above what it held before.
pub(crate) async fn memory(stand: &mut Stand, route: &Route, streams: u16) -> Result<Figures> {
    let before = route.memory()?;
    let open = open(stand, route, streams).await?;
    let mut figures = Figures::new();
    for (name, after) in route.memory()? {
        let before = before.get(&name).copied().unwrap_or_default();
        figures.insert(format!("memory_{name}_kib"), (figure(after) - figure(before)) / 1024.0 / f64::from(streams));
        figures.insert(format!("memory_{name}_before_mib"), figure(before) / f64::from(1 << 20));
    }
    drop(open);
    for _ in 0..streams {
        stand.upstream.gone().await?;
    }
    Ok(figures)
}

/// From the callers' hanging up, all at once, to the upstream's sight of each.
pub(crate) async fn cancel(stand: &mut Stand, route: &Route) -> Result<Figures> {
    let mut times = Vec::new();
    for _ in 0..TIMES {
        let mut left = Vec::new();
        for connection in open(stand, route, CALLERS).await? {
            left.push(clock::now());
            drop(connection);
        }
        for _ in 0..CALLERS {
            let gone = stand.upstream.gone().await?;
            let left = left.get(usize::from(gone.stream)).ok_or("a stream has gone that was not there")?;
            times.push(figure(gone.seen.saturating_sub(*left)) / 1e6);
        }
    }
    times.sort_by(f64::total_cmp);
    let names = [("cancel_p50_ms", 0.5), ("cancel_p99_ms", 0.99), ("cancel_max_ms", 1.0)];
    Ok(names.map(|(name, share)| (name.to_owned(), quantile(&times, share))).into())
}
