//! CPU time of the processes of a route between two moments.

use std::collections::BTreeMap;

use crate::{Result, line::figure, route::Route};

/// Figures by name, as a line of results has them.
pub(crate) type Figures = BTreeMap<String, f64>;

/// The beginning.
pub(crate) struct Cost<'a> {
    route: &'a Route,
    before: BTreeMap<String, u64>,
}

impl<'a> Cost<'a> {
    pub(crate) fn begin(route: &'a Route) -> Result<Self> {
        Ok(Self { route, before: route.cpu()? })
    }

    /// What has been spent since, ns by process.
    pub(crate) fn end(self) -> Result<Spent> {
        let mut spent = self.route.cpu()?;
        for (process, after) in &mut spent {
            *after -= self.before.get(process).copied().unwrap_or_default();
        }
        Ok(Spent(spent))
    }
}

pub(crate) struct Spent(BTreeMap<String, u64>);

impl Spent {
    /// Microseconds for each of so many.
    pub(crate) fn each(&self, count: u64) -> Figures {
        let each = |(process, spent): (&String, &u64)| (format!("cpu_{process}_us"), figure(*spent) / 1e3 / figure(count));
        self.0.iter().map(each).collect()
    }

    /// Seconds for each GB (10^9 bytes).
    pub(crate) fn per_gb(&self, bytes: u64) -> Figures {
        // Nanoseconds per byte are seconds per GB.
        let each = |(process, spent): (&String, &u64)| (format!("cpu_{process}_s_per_gb"), figure(*spent) / figure(bytes));
        self.0.iter().map(each).collect()
    }
}
