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
