//! What all workers counted, summed up.

use std::{borrow::Cow, sync::Arc};

use super::{
    Metrics,
    cells::{Bounds, Buckets},
    family::{Point, by, one},
    names::Names,
    shard::{Client, Flow, GEN_AI_BOUNDS, Host, Shard},
};

/// OpenTelemetry's `server.address`.
const ADDRESS: &str = "server_address";
const TO_CLIENT: &str = "to_client";
const FROM_CLIENT: &str = "from_client";

/// A name, and what each worker has of it.
type Parts<T> = Vec<(Arc<str>, Vec<Arc<T>>)>;

pub(super) struct Sums {
    shards: Vec<Arc<Shard>>,
    hosts: Parts<Host>,
    clients: Parts<Client>,
}

impl Sums {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let shards = metrics.shards();
        Self {
            hosts: named(&shards, &metrics.hosts, Shard::known_host),
            clients: named(&shards, &metrics.clients, Shard::known_client),
            shards,
        }
    }

    pub(super) fn of(&self, read: impl Fn(&Shard) -> u64) -> u64 {
        self.shards.iter().map(|shard| read(shard)).sum()
    }

    pub(super) fn times(&self, bounds: &'static Bounds, read: impl Fn(&Shard) -> Buckets) -> Vec<Point> {
        one(sum(bounds, self.shards.iter().map(|shard| read(shard))))
    }

    pub(super) fn ways(&self, read: impl Fn(&Flow) -> u64) -> Vec<Point> {
        let ways = [(TO_CLIENT, self.of(|shard| read(&shard.sent))), (FROM_CLIENT, self.of(|shard| read(&shard.received)))];
        by("direction", ways)
    }

    /// The times of each host that has any.
    pub(super) fn host_times(&self, read: impl Fn(&Host) -> Buckets) -> Vec<Point> {
        let all = self.hosts.iter().map(|(name, parts)| (name, sum(&GEN_AI_BOUNDS, parts.iter().map(|part| read(part)))));
        by(ADDRESS, all.filter(|(_, times)| times.count() > 0).map(|(name, times)| (name.to_string(), times)))
    }

    /// How exchanges ended with each host.
    pub(super) fn outcomes(&self) -> Vec<Point> {
        let mut points = Vec::new();
        for (name, parts) in &self.hosts {
            let Some((first, rest)) = parts.split_first() else { continue };
            let mut outcomes: Vec<_> = first.outcomes().collect();
            for part in rest {
                outcomes.iter_mut().zip(part.outcomes()).for_each(|((_, count), (_, more))| *count += more);
            }
            for (outcome, count) in outcomes.into_iter().filter(|(_, count)| *count > 0) {
                let labels = vec![("outcome", outcome.label().into()), (ADDRESS, Cow::Owned(name.to_string()))];
                points.push(Point { labels, value: count.into() });
            }
        }
        points
    }

    fn by_client(&self, read: impl Fn(&Client) -> u64) -> impl Iterator<Item = (String, u64)> {
        self.clients.iter().map(move |(name, parts)| (name.to_string(), parts.iter().map(|part| read(part)).sum()))
    }

    pub(super) fn client_exchanges(&self) -> Vec<Point> {
        by("client", self.by_client(|client| client.exchanges.get()))
    }

    pub(super) fn client_bytes(&self) -> Vec<Point> {
        let point = |(name, count): (String, u64), way: &'static str| Point {
            labels: vec![("client", name.into()), ("direction", way.into())],
            value: count.into(),
        };
        let sent = self.by_client(|client| client.sent.get()).map(|each| point(each, TO_CLIENT));
        sent.chain(self.by_client(|client| client.received.get()).map(|each| point(each, FROM_CLIENT))).collect()
    }
}

fn named<T>(shards: &[Arc<Shard>], names: &Names, find: impl Fn(&Shard, usize) -> Option<&Arc<T>>) -> Parts<T> {
    let parts = |place| shards.iter().filter_map(|shard| find(shard, place).cloned()).collect();
    names
        .list()
        .into_iter()
        .map(|(name, place)| (name, parts(place)))
        .filter(|(_, parts): &(_, Vec<_>)| !parts.is_empty())
        .collect()
}

fn sum(bounds: &'static Bounds, parts: impl Iterator<Item = Buckets>) -> Buckets {
    parts.fold(Buckets::empty(bounds), |mut sum, part| {
        sum.add(&part);
        sum
    })
}
