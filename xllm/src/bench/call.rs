//! One call: sends the request and notes when each piece of the answer comes. This is the hot path: it copies bytes and reads
//! the clock, and nothing else.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt as _;
use tokio::sync::watch;

use super::{
    record::{Chunk, End, Head, Record},
    result::Route,
};
use crate::transport::{Body, Transport};

/// More than any answer takes to be kept, its pieces' times with it; one that goes on beyond is given up.
const MAX_ANSWER: usize = 64 << 20;

/// Which call it is, and when it was to be made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticket {
    pub(crate) pair: u64,
    pub(crate) route: Route,
    pub(crate) first: bool,
    /// Since the step's beginning.
    pub(crate) scheduled: Duration,
    /// When there was a place for it among those under way.
    pub(crate) ready: Duration,
    /// After how many pieces it is cancelled.
    pub(crate) cancel_after: Option<usize>,
}

/// What all calls of a step have in common.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    /// The step's beginning.
    pub(crate) origin: Instant,
    /// How long to wait for the next piece.
    pub(crate) patience: Duration,
    /// How long a call may take in all.
    pub(crate) limit: Duration,
    /// Turns true when all is to stop.
    pub(crate) stop: watch::Receiver<bool>,
}

/// Makes the call. Whatever happens to it is in the record.
pub(crate) async fn call(transport: &Transport, request: Request<Bytes>, ticket: Ticket, terms: &Terms) -> Record {
    let mut record = Record::new(ticket, terms.origin.elapsed());
    let most = ticket.cancel_after.unwrap_or(usize::MAX);
    let end = tokio::time::timeout(terms.limit, receive(transport, request, most, terms, &mut record)).await;
    record.end = end.unwrap_or(End::Late);
    record.ended = terms.origin.elapsed();
    record
}

impl Record {
    /// Of a call that begins now.
    pub(crate) fn new(ticket: Ticket, sent: Duration) -> Self {
        let Ticket { pair, route, first, scheduled, ready, cancel_after: _ } = ticket;
        Self {
            pair,
            route,
            first,
            scheduled,
            ready,
            sent,
            head: None,
            chunks: Vec::new(),
            body: Vec::new(),
            end: End::Whole,
            ended: sent,
            receipt: None,
        }
    }
}

async fn receive(
    transport: &Transport,
    request: Request<Bytes>,
    most: usize,
    Terms { origin, patience, stop, .. }: &Terms,
    record: &mut Record,
) -> End {
    let mut stop = stop.clone();
    // Without a sender nobody can stop it.
    let mut stopped = pin!(async move {
        if stop.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    });
    // Set anew when it goes off, not at each piece: most never do.
    let mut alarm = pin!(tokio::time::sleep(*patience));
    let response = tokio::select! {
        biased;
        response = transport.send(request, false) => response,
        () = &mut alarm => return End::Silent,
        () = &mut stopped => return End::Cancelled,
    };
    let (parts, mut body): (_, Body) = match response {
        Ok(response) => response.into_parts(),
        Err(error) => return End::Broken(error),
    };
    let mut last = origin.elapsed();
    record.head = Some(Head { at: last, parts: Box::new(parts) });
    while record.chunks.len() < most {
        let frame = tokio::select! {
            biased;
            frame = body.frame() => frame,
            () = &mut alarm => {
                let silent = origin.elapsed().saturating_sub(last);
                if silent >= *patience {
                    return End::Silent;
                }
                alarm.as_mut().reset(tokio::time::Instant::now() + patience.saturating_sub(silent));
                continue;
            }
            () = &mut stopped => return End::Cancelled,
        };
        let data = match frame {
            Some(Ok(frame)) => frame.into_data(),
            Some(Err(error)) => return End::Broken(error),
            None => {
                record.receipt = body.receipt();
                return End::Whole;
            }
        };
        last = origin.elapsed();
        // What is no data is trailers.
        if let Ok(data) = data {
            // Many small pieces are large by their times.
            if record.body.len() + data.len() + (record.chunks.len() + 1) * size_of::<Chunk>() > MAX_ANSWER {
                return End::TooLarge;
            }
            record.chunks.push(Chunk { at: last, length: data.len(), stamps: body.stamps() });
            record.body.extend_from_slice(&data);
        }
    }
    // Dropping the body is what cancels the call.
    End::Cancelled
}
