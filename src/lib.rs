//! An encrypted streaming relay for LLM APIs: the protocol core, a client library and the server.
//!
//! ```text
//!  client, server      shells: sockets, clocks, tasks. They never import each other.
//!      │
//!    driver, tls       the one pump: any AsyncRead + AsyncWrite and a proto::Connection
//!      │
//!    http              LLM API messages to and from exchanges: header policy, checks. No IO.
//!      │
//!    proto             the core: bytes, `now` and randomness in; bytes, events and deadlines out
//! ```
//!
//! Beside them `log` and `listen`, with which both programs write their log and wait for callers; they import none of the others.
//!
//! The wire is described in `protocol.md`, whose sections the comments cite as "section 4.2". Without default features only
//! [`proto`] and [`http`] are built, and no runtime is in the dependency tree.

#[cfg(feature = "client")]
pub mod client;
#[cfg(any(feature = "client", feature = "server"))]
#[cfg_attr(not(all(feature = "client", feature = "server")), allow(dead_code, reason = "each shell uses its part"))]
mod driver;
pub mod http;
#[cfg(feature = "server")]
pub mod listen;
#[cfg(feature = "server")]
pub mod log;
pub mod proto;
#[cfg(feature = "server")]
pub mod server;
#[cfg(all(test, feature = "client", feature = "server"))]
mod simulation;
#[cfg(any(feature = "client", feature = "server"))]
mod tls;
