//! An answer on its way to the client.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

use super::{Account, Stop};
use crate::{
    driver::Exchange,
    http::{from_map, policy::Filter},
    proto::{
        Code, Connection, Error, Fault,
        frame::{Notice, Response},
        wire::VARINT_MAX,
    },
    server::{
        guard::origins::Rule,
        memory::Whole,
        upstream::{answer::Answer, failure::head_too_large},
    },
};

/// Relays one answer.
pub(super) struct Relayed<'a> {
    pub(super) exchange: &'a Exchange,
    pub(super) filter: Filter<'a>,
    pub(super) rule: &'a Rule,
}

impl Relayed<'_> {
    fn respond(&self, answer: &mut Answer, length: Option<u64>) -> Result<(), Stop> {
        let headers = self.rule.conceal(self.filter.apply(&answer.take_headers()));
        // A larger one than the protocol has is no length of anything.
        let length = length.filter(|length| *length <= VARINT_MAX);
        let response = Response { status: answer.status.as_u16(), headers: from_map(&headers), length };
        self.call(|connection, now, number| connection.respond(now, number, &response))
    }

    /// A call of the core. `too-large` is the upstream's fault; an exchange that is over is known to the client.
    fn call<T>(&self, call: impl FnOnce(&mut Connection, Duration, u32) -> Result<T, Error>) -> Result<T, Stop> {
        self.exchange.with(|connection, now, number| {
            call(connection, now, number).map_err(|error| match error {
                Error::Misbehaved(Code::TooLarge, _) => head_too_large().into(),
                // A slip of ours: the client has to hear of it.
                error if connection.is_open(number) => Notice::new(Code::Internal, Fault::Proxy, error.to_string()).into(),
                _ => Stop::Abandoned,
            })
        })
    }

    /// The next piece of an answer's body; its trailers are kept when they come.
    async fn next(&self, answer: &mut Answer) -> Result<Option<Bytes>, Stop> {
        while !answer.bodiless {
            let Some(frame) = answer.frame().await? else { break };
            match frame.into_data() {
                Ok(bytes) => return Ok(Some(bytes)),
                Err(frame) => {
                    let found = frame.into_trailers().unwrap_or_default();
                    answer.trailers = self.rule.conceal(self.filter.fields(&found));
                }
            }
        }
        Ok(None)
    }

    /// Gives on a piece, and waits until there is room for another: the upstream is read no faster than the client takes.
    async fn send(&self, bytes: Bytes, account: &mut Account) -> Result<(), Stop> {
        account.bytes += bytes.len() as u64;
        let is_piece = !bytes.is_empty();
        let (room, now) = self.call(|connection, now, number| {
            connection.send_data(now, number, bytes)?;
            Ok((connection.has_room(number), now))
        })?;
        if is_piece {
            account.pieces += 1;
            account.meter.piece(now);
        }
        if room || self.exchange.room().await { Ok(()) } else { Err(Stop::Abandoned) }
    }

    fn end(&self, trailers: &HeaderMap) -> Result<(), Stop> {
        self.call(|connection, _, number| connection.end(number, from_map(trailers)))
    }

    /// Each piece at once.
    pub(super) async fn stream(&self, mut answer: Answer, account: &mut Account) -> Result<(), Stop> {
        let length = answer.length();
        if answer.is_streamed() {
            account.meter.streams();
        }
        self.respond(&mut answer, length)?;
        while let Some(bytes) = self.next(&mut answer).await? {
            self.send(bytes, account).await?;
        }
        self.end(&answer.trailers)
    }

    /// All of it, or an error and no half answer.
    pub(super) async fn buffer(
        &self,
        mut answer: Answer,
        limit: u64,
        mut held: Whole<'_>,
        account: &mut Account,
    ) -> Result<(), Stop> {
        let too_large = || {
            let text = format!("the answer is over the proxy's limit of {limit} bytes for buffered mode; use streaming mode");
            Notice::new(Code::ResponseTooLarge, Fault::Upstream, text)
        };
        if !answer.bodiless && answer.length().is_some_and(|length| length > limit) {
            return Err(too_large().into());
        }
        // One piece of memory: many small pieces would cost many times their size.
        let mut whole = BytesMut::new();
        while let Some(bytes) = self.next(&mut answer).await? {
            if (whole.len() + bytes.len()) as u64 > limit {
                return Err(too_large().into());
            }
            held.add(bytes.len())?;
            whole.extend_from_slice(&bytes);
        }
        let length = if answer.bodiless { answer.length() } else { Some(whole.len() as u64) };
        self.respond(&mut answer, length)?;
        self.send(whole.freeze(), account).await?;
        self.end(&answer.trailers)
    }
}
