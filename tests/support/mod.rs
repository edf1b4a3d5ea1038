//! What the integration tests stand on.
#![allow(dead_code, reason = "each test program uses its part of this")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

pub(crate) mod child;
pub(crate) mod dns;
pub(crate) mod mitm;
#[cfg(target_os = "linux")]
pub(crate) mod process;
pub(crate) mod raw;
pub(crate) mod relay;
pub(crate) mod request;
pub(crate) mod secure;
pub(crate) mod upstream;

use std::{fmt::Write, future::Future, time::Duration};

/// Far more than anything here takes: reaching it means that something hangs.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// What `future` gives; a panic that names `what` if it hangs.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.unwrap_or_else(|_| panic!("this hangs: {what}"))
}
