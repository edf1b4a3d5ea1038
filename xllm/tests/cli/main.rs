//! The real command against a stand-in for the providers.

mod bench;
mod direct;
mod doctor;
mod proxy;
mod report;
mod schema;
#[cfg(unix)]
mod stop;
mod support;
