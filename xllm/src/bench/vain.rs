//! Runs in which nothing was answered, and whose doing that was. Pure.

use std::collections::BTreeMap;

use super::{
    digest::{Digest, Reason},
    result::Outcome,
};
use crate::exit::{Exit, Failure};

/// How the requests of a run ended, as far as its exit code goes.
#[derive(Debug, Default)]
pub(super) struct Ends {
    answered: bool,
    failures: BTreeMap<Reason, u64>,
}

impl Ends {
    /// Of these requests, too.
    pub(super) fn add(&mut self, digests: &[Digest]) {
        self.answered |= digests.iter().any(|digest| digest.outcome == Outcome::Done);
        for reason in digests.iter().filter_map(|digest| digest.failure.as_ref()) {
            *self.failures.entry(reason.clone()).or_default() += 1;
        }
    }

    /// The error that ends the command, if requests failed and none was answered. It is the proxy's where all of them are; else it
    /// is the most frequent of the API's.
    pub(super) fn in_vain(&self) -> Option<Failure> {
        let Self { answered: false, failures } = self else { return None };
        let most = |exit| {
            let own = failures.iter().filter(move |(reason, _)| reason.exit == exit);
            own.max_by_key(|(_, count)| **count).map(|(reason, _)| format!("every request failed: {}", reason.text))
        };
        most(Exit::Api).map(Failure::api).or_else(|| most(Exit::Proxy).map(Failure::proxy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        bench::{
            digest::digest,
            record::{End, Record},
            result::Route,
            samples,
        },
        config::Api,
        transport::Error,
    };

    /// A call that ended like this.
    fn ended(end: End) -> Digest {
        let record = samples::record(Route::Proxied, 0, &[1.0]);
        digest(Api::OpenAi, Record { end, ..record })
    }

    fn away() -> Digest {
        ended(End::Broken(Error::of("the proxy is away")))
    }

    /// The exit code and what is said, if it was in vain.
    fn of(digests: &[Digest]) -> Option<(Exit, String)> {
        let mut ends = Ends::default();
        // As the steps of a sweep come.
        digests.chunks(1).for_each(|digests| ends.add(digests));
        ends.in_vain().map(|failure| (failure.exit, failure.to_string()))
    }

    #[test]
    fn it_is_the_proxys_doing_if_every_failure_is() {
        assert_eq!(of(&[away(), away()]), Some((Exit::Proxy, "every request failed: the proxy is away".to_owned())));
        let silent = "every request failed: nothing came for as long as --timeout allows".to_owned();
        assert_eq!(of(&[away(), away(), ended(End::Silent)]), Some((Exit::Api, silent)));
    }

    #[test]
    fn of_the_apis_failures_the_most_frequent_is_told() {
        let digests = [ended(End::Late), ended(End::Silent), ended(End::Late)];
        let late = "every request failed: the answer took longer than --deadline allows".to_owned();
        assert_eq!(of(&digests), Some((Exit::Api, late)));
    }

    #[test]
    fn one_answer_is_enough_and_what_was_cancelled_has_not_failed() {
        assert_eq!(of(&[away(), ended(End::Whole)]), None);
        assert_eq!(of(&[ended(End::Cancelled)]), None);
        assert_eq!(of(&[]), None);
        assert!(of(&[ended(End::Cancelled), away()]).is_some());
    }
}
