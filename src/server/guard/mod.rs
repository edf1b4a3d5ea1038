//! What may be called.

pub mod origins;
