//! Header lists, as heads carry them (section 1.4).

use bytes::Bytes;

/// One header field: lower-case name, value as bytes (section 1.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Lower-case name.
    pub name: String,
    /// Value, any bytes that HTTP allows.
    pub value: Bytes,
}

/// A header list: order and repeats are kept (section 1.4).
pub type Headers = Vec<Header>;
