//! The one pump: moves bytes between a transport and a [`Connection`](crate::proto::Connection), and what happened to the tasks
//! that wait for it.
//!
//! One task per session runs a [`Pump`]. Everyone else holds an [`Exchange`] and calls the core under the session's lock; a call
//! that leaves something to send wakes the pump, which seals all that is ready into one record and writes it.
//!
//! ```text
//! pump ─► session ◄─► exchange
//! ```
//!
//! An exchange can outlive its session: it then stays in it, without a pump, until it is taken into another.

mod exchange;
mod pump;
mod session;

pub(crate) use exchange::Exchange;
#[cfg(feature = "client")]
pub(crate) use exchange::{Adrift, Moved};
#[cfg(feature = "server")]
pub(crate) use pump::come_back;
pub(crate) use pump::{Hook, Pump, tune};
#[cfg(feature = "client")]
pub(crate) use session::Returning;
pub(crate) use session::{Incoming, Session};
