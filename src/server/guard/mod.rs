//! What may be called: which origins, by which methods and paths, at which addresses, what is added for them, and which models may be
//! asked.

pub mod added;
pub mod address;
pub mod models;
pub mod origins;
pub mod paths;
pub mod pattern;
