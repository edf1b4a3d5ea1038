//! Where the time of a proxied request went, from the stamps that the proxy set.
//!
//! The two clocks need not agree: of each, differences alone are used. What the proxy's clock cannot see is the rest,
//!
//! ```text
//! network = (arrival here - send here) - (left the proxy - REQUEST was there)
//! ```
//!
//! which is both ways together. How it divides between them no clock here can tell. Pure.

use super::{
    digest::Digest,
    record::Chunk,
    result::{Parts, Split, TokenSplit},
    stats::percentiles,
    tokens::Event,
    values::ms,
};

/// Of one event of a stamped answer: where the time since its send went.
pub(super) fn of_event(digest: &Digest, event: &Event) -> Option<TokenSplit> {
    let chunk = digest.record.chunks.get(event.chunk as usize)?;
    of_chunk(digest, chunk)
}

fn of_chunk(digest: &Digest, chunk: &Chunk) -> Option<TokenSplit> {
    let stamps = chunk.stamps?;
    let asked = digest.record.receipt?.sent?;
    let micros = |micros: u64| std::time::Duration::from_micros(micros);
    let at = ms(digest.record.since_sent(chunk.at));
    Some(TokenSplit {
        upstream: ms(micros(stamps.arrived.saturating_sub(asked))),
        proxy: ms(micros(asked + stamps.held)),
        network: at - ms(micros(stamps.arrived + stamps.held)),
    })
}

/// Of all stamped answers of a route; `None` if there are none.
pub(super) fn split<'d>(digests: impl Iterator<Item = &'d Digest>) -> Option<Split> {
    let (mut first, mut later) = (Three::default(), Three::default());
    let (mut held, mut jitter, mut least) = (Vec::new(), Vec::new(), f64::INFINITY);
    for digest in digests {
        let events: Vec<_> = digest.tokens.content().filter_map(|event| of_event(digest, event)).collect();
        let Some(opening) = events.first() else { continue };
        first.push(*opening);
        for pair in events.windows(2) {
            later.push(TokenSplit {
                upstream: pair[1].upstream - pair[0].upstream,
                proxy: pair[1].proxy - pair[0].proxy,
                network: pair[1].network - pair[0].network,
            });
        }
        let chunks = &digest.record.chunks;
        held.extend(chunks.iter().filter_map(|chunk| Some(ms(std::time::Duration::from_micros(chunk.stamps?.held)))));
        let network: Vec<f64> = chunks.iter().filter_map(|chunk| Some(of_chunk(digest, chunk)?.network)).collect();
        let floor = network.iter().copied().fold(f64::INFINITY, f64::min);
        jitter.extend(network.iter().map(|network| network - floor));
        least = least.min(floor);
    }
    (!first.upstream.is_empty()).then(|| Split {
        first_token: first.parts(),
        later_tokens: later.parts(),
        held: percentiles(held),
        jitter: percentiles(jitter),
        // Less than nothing it cannot be; clocks tick in microseconds.
        one_way_estimate: (least / 2.0).max(0.0),
    })
}

#[derive(Default)]
struct Three {
    upstream: Vec<f64>,
    proxy: Vec<f64>,
    network: Vec<f64>,
}

impl Three {
    fn push(&mut self, split: TokenSplit) {
        self.upstream.push(split.upstream);
        self.proxy.push(split.proxy);
        self.network.push(split.network);
    }

    fn parts(self) -> Parts {
        Parts { upstream: percentiles(self.upstream), proxy: percentiles(self.proxy), network: percentiles(self.network) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{result::Route, samples};

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }

    #[test]
    fn a_tokens_time_is_the_sum_of_its_parts() {
        // Sent on after 0.1 ms; the tokens came to the proxy after 20 and 25 ms, were held for 0.05 and 0.02 ms, and were here
        // after 20.45 and 25.32 ms.
        let digest = samples::stamped(0, &[20.45, 25.32], &[(20_000, 50), (25_000, 20)], 100);
        let splits: Vec<_> = digest.tokens.content().filter_map(|event| of_event(&digest, event)).collect();
        for (split, [upstream, proxy, network]) in splits.iter().zip([[19.9, 0.15, 0.4], [24.9, 0.12, 0.3]]) {
            near(split.upstream, upstream);
            near(split.proxy, proxy);
            near(split.network, network);
        }
        let found = split(std::iter::once(&digest)).expect("stamped");
        near(found.first_token.upstream.p50, 19.9);
        near(found.later_tokens.upstream.p50, 5.0);
        near(found.later_tokens.proxy.p50, -0.03);
        near(found.later_tokens.network.p50, -0.1);
        near(found.held.max, 0.05);
        near(found.jitter.max, 0.1);
        near(found.one_way_estimate, 0.15);
    }

    #[test]
    fn without_stamps_there_is_no_split() {
        assert_eq!(split(std::iter::once(&samples::sample(Route::Proxied, 0, &[1.0]))), None);
    }
}
