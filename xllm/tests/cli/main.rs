//! The real command against a stand-in for the providers.

mod bench;
mod direct;
mod doctor;
mod proxy;
mod report;
#[cfg(unix)]
mod stop;
mod support;
