//! Header lists, as heads carry them (section 1.4).

use bytes::Bytes;

/// One header field: lower-case name, value as bytes (section 1.4).
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    /// Lower-case name.
    pub name: String,
    /// Value, any bytes that HTTP allows.
    pub value: Bytes,
}

/// Shows the name alone: values are keys, often enough.
impl core::fmt::Debug for Header {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}: …", self.name)
    }
}

/// A header list: order and repeats are kept (section 1.4).
pub type Headers = Vec<Header>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_printed_without_its_value() {
        let header = Header { name: "authorization".into(), value: Bytes::from_static(b"Bearer canary") };
        assert_eq!(format!("{header:?}"), "authorization: …");
    }
}
