//! The core of the protocol, without IO.
//!
//! [`Connection`] is one end of a session. Bytes that arrived go in through [`Connection::receive`]; bytes to send come out of
//! [`Connection::poll_transmit`]; what happened comes out of [`Connection::poll_event`]; and [`Connection::poll_timeout`] says
//! when [`Connection::handle_timeout`] is due. Time is a [`core::time::Duration`] since any fixed moment of the caller's choice;
//! randomness is an argument. So everything here runs on a virtual clock, under a fuzzer, and on any runtime.
//!
//! Arrows point down only:
//!
//! ```text
//! connection ─► handshake, record, exchange, profile ─► keys, frame ─► crypto, cbor ─► header, wire ─► error, limits
//! suite ─► crypto
//! connection, exchange ─► tally ─► frame
//! ```
#![deny(clippy::disallowed_methods)]

mod cbor;
pub mod connection;
pub mod crypto;
pub mod error;
mod exchange;
pub mod frame;
pub mod handshake;
mod header;
pub mod keys;
pub mod limits;
pub mod profile;
pub mod record;
mod role;
mod suite;
pub mod tally;
pub mod wire;

pub use connection::{ClientConfig, Closed, Connection, Event, Held, Hold, ServerConfig, Terms};
pub use error::{Code, Error, Fault};
pub use keys::{Credential, KeyId, Psk, ServerKey};
pub use profile::Profile;
pub use role::Role;
#[cfg(feature = "aws-lc")]
pub use suite::aws_lc::{AWS_LC, AwsLcSuite};
pub use suite::{AES_GCM, AesGcmSuite};
