//! Finding things in the document.

use std::collections::HashMap;

use super::{
    metric::Metric,
    result::{Difference, Distribution, Results, Route, RouteResult, Statistic, Step, Warning},
    stats::Known,
};

impl Results {
    /// The step that a warning is about, where there are several.
    pub(super) fn place(&self, warning: &Warning) -> Option<&Step> {
        self.steps.get(usize::try_from(warning.step?).ok()?).filter(|_| self.steps.len() > 1)
    }
}

impl Step {
    pub(super) fn route(&self, route: Route) -> Option<&RouteResult> {
        self.routes.iter().find(|result| result.route == route)
    }

    pub(super) fn difference(&self, metric: Metric, statistic: Statistic) -> Option<&Difference> {
        self.differences.iter().find(|difference| difference.metric == metric && difference.statistic == statistic)
    }

    /// A metric of every request of a route that has one.
    pub(super) fn values(&self, route: Route, metric: Metric) -> impl Iterator<Item = f64> {
        let rows = self.requests.iter().filter(move |row| row.route == route);
        rows.filter_map(move |row| row.values.get(&metric).copied())
    }

    /// Proxied less direct, for each pair of which both have a value.
    pub(super) fn paired(&self, metric: Metric) -> Vec<f64> {
        let of = |route| {
            let rows = self.requests.iter().filter(move |row| row.route == route);
            rows.filter_map(move |row| Some((row.pair, *row.values.get(&metric)?)))
        };
        let direct: HashMap<u64, f64> = of(Route::Direct).collect();
        of(Route::Proxied).filter_map(|(pair, value)| Some(value - direct.get(&pair)?)).collect()
    }
}

impl Distribution {
    /// The median, and the highest of the 90th and 99th percentile that there are values for.
    pub(super) fn middle_and_tail(&self) -> Vec<Known> {
        let [p50, p90, p99, ..] = self.known();
        [p50].into_iter().chain([p99, p90].into_iter().find(|known| known.value.is_some())).collect()
    }
}

impl RouteResult {
    pub(super) fn distribution(&self, metric: Metric) -> Option<&Distribution> {
        self.metrics.iter().find(|distribution| distribution.metric == metric)
    }
}
