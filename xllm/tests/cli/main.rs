//! The real command against a stand-in for the providers.

mod direct;
mod proxy;
mod support;
