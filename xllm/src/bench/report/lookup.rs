//! Finding things in the document.

use std::collections::HashMap;

use crate::bench::{
    metric::Metric,
    result::{Definition, Difference, Distribution, Results, Route, RouteResult, Statistic, Step},
};

impl Results {
    pub(super) fn definition(&self, metric: Metric) -> Option<&Definition> {
        self.definitions.iter().find(|definition| definition.metric == metric)
    }

    /// What people call a metric.
    pub(super) fn label(&self, metric: Metric) -> String {
        self.definition(metric).map_or_else(|| format!("{metric:?}"), |definition| definition.label.clone())
    }

    /// Its unit in the document.
    pub(super) fn unit(&self, metric: Metric) -> &str {
        self.definition(metric).map_or("ms", |definition| &definition.unit)
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
        rows.flat_map(move |row| row.values.iter().filter(move |(name, _)| *name == metric).map(|(_, value)| *value))
    }

    /// Proxied less direct, for each pair of which both have a value.
    pub(super) fn paired(&self, metric: Metric) -> Vec<f64> {
        let of = |route| {
            self.requests.iter().filter(move |row| row.route == route).filter_map(move |row| {
                let value = row.values.iter().find(|(name, _)| *name == metric);
                value.map(|(_, value)| (row.pair, *value))
            })
        };
        let direct: HashMap<u64, f64> = of(Route::Direct).collect();
        of(Route::Proxied).filter_map(|(pair, value)| Some(value - direct.get(&pair)?)).collect()
    }
}

impl RouteResult {
    pub(super) fn distribution(&self, metric: Metric) -> Option<&Distribution> {
        self.metrics.iter().find(|distribution| distribution.metric == metric)
    }
}
