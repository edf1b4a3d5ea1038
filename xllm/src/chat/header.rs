//! The header that a key travels in.

use http::HeaderValue;

use crate::{exit::Failure, options::Target};

/// A header that is kept out of logs and compression tables.
pub(super) fn secret(value: &str, target: &Target) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(value).map_err(|_| {
        Failure::usage(format!("the API key for {} holds characters that no key has", target.provider))
            .remedy(target.key_remedy.clone())
    })?;
    value.set_sensitive(true);
    Ok(value)
}
