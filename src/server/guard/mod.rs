//! What may be called: which origins, by which methods and paths, at which addresses, and what is added for them.

pub mod added;
pub mod address;
pub mod origins;
pub mod paths;
pub mod pattern;
