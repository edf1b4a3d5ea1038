//! Reads records on a thread of its own, when nothing is measured: after the step, or, if what is held gets too large, the
//! oldest ones during it.

use std::{collections::VecDeque, io, sync::mpsc, thread};

use super::{
    digest::{Digest, digest},
    record::Record,
};
use crate::config::Api;

/// Bytes of records that wait to be read. Beyond, the oldest are read at once: that takes time from what is measured, on a
/// machine without a core to spare, but memory is bounded.
const MAX_HELD: usize = 256 << 20;

/// The reader of one step.
#[derive(Debug)]
pub(super) struct Reader {
    records: mpsc::Sender<Record>,
    thread: thread::JoinHandle<Vec<Digest>>,
}

impl Reader {
    /// Starts it. Fails if the system gives no thread.
    pub(super) fn start(api: Api) -> io::Result<Self> {
        let (records, incoming) = mpsc::channel();
        let thread = thread::Builder::new().name("reader".to_owned()).spawn(move || read(api, &incoming, MAX_HELD))?;
        Ok(Self { records, thread })
    }

    /// Where records go.
    pub(super) fn sink(&self) -> mpsc::Sender<Record> {
        self.records.clone()
    }

    /// Reads what is left, once all sinks are dropped.
    pub(super) fn finish(self) -> Vec<Digest> {
        drop(self.records);
        self.thread.join().unwrap_or_default()
    }
}

fn read(api: Api, incoming: &mpsc::Receiver<Record>, most: usize) -> Vec<Digest> {
    let (mut held, mut size) = (VecDeque::new(), 0);
    let mut digests = Vec::new();
    for record in incoming {
        size += record.size();
        held.push_back(record);
        while size > most
            && let Some(oldest) = held.pop_front()
        {
            size -= oldest.size();
            digests.push(digest(api, oldest));
        }
    }
    digests.extend(held.into_iter().map(|record| digest(api, record)));
    digests.sort_by_key(|digest| (digest.record.scheduled, digest.record.pair, !digest.record.first));
    digests
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{result::Route, samples};

    #[test]
    fn what_is_read_early_for_want_of_room_is_read_the_same() {
        let digests = |most| {
            let (records, incoming) = mpsc::channel();
            for pair in [2, 0, 1] {
                records.send(samples::record(Route::Direct, pair, &[1.0, 2.5])).expect("somebody reads");
            }
            drop(records);
            let digests = read(Api::OpenAi, &incoming, most);
            digests.into_iter().map(|digest| (digest.record.pair, digest.bytes, digest.values)).collect::<Vec<_>>()
        };
        let (early, late) = (digests(0), digests(usize::MAX));
        assert_eq!(early, late);
        assert_eq!(late.iter().map(|digest| digest.0).collect::<Vec<_>>(), [0, 1, 2]);
    }
}
