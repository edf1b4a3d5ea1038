//! The real command as a gateway: a relay and a stand-in for the providers behind it, callers of all kinds before it.

mod caller;
mod cancel;
mod cuts;
mod fidelity;
mod guard;
mod headers;
mod heartbeat;
mod keys;
mod log;
mod outlive;
mod program;
mod refusals;
mod routes;
mod sessions;
mod start;
mod streaming;
mod support;
mod upstream;
mod wire;
