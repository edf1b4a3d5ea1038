//! What may be called, and asked.

pub mod models;
pub mod origins;
