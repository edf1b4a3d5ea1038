//! HTTP messages to and from exchanges: checks, conversions and the header policy. No IO.

pub mod policy;
mod target;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

pub use target::{Target, check_url};

use crate::proto::{
    Code, Fault,
    frame::{Header, Headers, Notice},
    limits::HEADER_FIELDS,
};

/// Fields of a head, at most, that an HTTP library is to read: more than may travel, for hop-by-hop fields do not count, so that our
/// own check decides and says so. For HTTP/1.1, it clears room for so many anew for each head.
pub const HEAD_FIELDS: usize = HEADER_FIELDS + 16;
/// The same for HTTP/2, bytes.
pub const HEAD_BYTES: u32 = 1 << 16;

/// Methods that travel (section 5.3).
pub const METHODS: [Method; 7] =
    [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::HEAD, Method::OPTIONS];

/// A header list as a map.
///
/// # Errors
/// The name of a field, cleaned, that HTTP does not allow (section 1.4). Its value is not shown: it may be a key.
pub fn to_map(headers: &[Header]) -> Result<HeaderMap, InvalidHeader> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for Header { name, value } in headers {
        let invalid = || InvalidHeader(name.chars().filter(char::is_ascii_graphic).take(64).collect());
        // `from_lowercase` refuses upper case, as section 1.4 demands.
        let key = HeaderName::from_lowercase(name.as_bytes()).map_err(|_| invalid())?;
        map.append(key, HeaderValue::from_maybe_shared(value.clone()).map_err(|_| invalid())?);
    }
    Ok(map)
}

/// A field that HTTP does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the header field `{0}` has a name or value that HTTP does not allow")]
pub struct InvalidHeader(String);

/// A map as a header list, order and repeats kept.
pub fn from_map(map: &HeaderMap) -> Headers {
    map.iter()
        .map(|(name, value)| Header { name: name.as_str().to_owned(), value: Bytes::copy_from_slice(value.as_bytes()) })
        .collect()
}

/// A method that travels.
///
/// # Errors
/// `request-invalid` for any other.
pub fn check_method(method: &str) -> Result<Method, Notice> {
    METHODS.into_iter().find(|known| known.as_str() == method).ok_or_else(|| {
        let known = METHODS.map(|method| method.to_string()).join(", ");
        refusal(Code::RequestInvalid, format!("the method is not one that the relay carries ({known})"))
    })
}

fn refusal(code: Code, text: impl Into<String>) -> Notice {
    Notice::new(code, Fault::Client, text).retry_safe()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, value: &'static [u8]) -> Header {
        Header { name: name.into(), value: Bytes::from_static(value) }
    }

    #[test]
    fn order_and_repeats_survive() {
        let list = vec![header("b", b"1"), header("a", b"2"), header("a", b"\xe9"), header("c", b"")];
        assert_eq!(from_map(&to_map(&list).expect("valid")), list);
    }

    #[test]
    fn what_http_forbids_is_refused_and_no_value_is_shown() {
        for bad in
            [header("A", b"x"), header("a b", b"x"), header("", b"x"), header("a", b"secret\r\nx: y"), header("a", b"\0")]
        {
            let error = to_map(&[bad]).expect_err("refused").to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn other_methods_are_refused() {
        assert_eq!(check_method("PATCH"), Ok(Method::PATCH));
        for method in ["get", "CONNECT", "TRACE", "", "GET /"] {
            assert_eq!(check_method(method).expect_err("refused").code, Code::RequestInvalid);
        }
    }
}
