//! Everything that can go wrong: the caller is told what, whose fault it is and whether a retry is safe; the server's log has
//! a line that holds no secret; and nobody else notices.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../support/mod.rs"]
mod support;

mod addresses;
mod answers;
mod bodies;
mod cuts;
mod keys;
mod log;
mod records;
mod refusals;
mod refused_streams;
mod rules;
mod ssrf;
mod stopping;
mod upstreams;

use support::{
    child::Stand,
    request::{Bystander, Request, assert_clean, assert_error, whole},
};
use xllm_proxy::client::{Error, Fault};

/// Sends a request that fails, beside an exchange that streams in the same session.
async fn assert_fails(stand: &Stand, request: Request, code: &str, blame: Fault, retry_safe: bool) -> Error {
    assert_fails_as(code, stand, request, code, blame, retry_safe).await
}

/// The same; the server's log calls it `outcome`.
async fn assert_fails_as(outcome: &str, stand: &Stand, request: Request, code: &str, blame: Fault, retry_safe: bool) -> Error {
    let client = stand.client();
    let bystander = Bystander::start(&client, &stand.mock, "bystander").await;
    let error = whole(&client, request).await.expect_err("it fails");
    assert_error(&error, code, blame, retry_safe);
    stand.server.logged(&["exchange", &format!("outcome=\"{outcome}\"")]).await;
    bystander.finish(&stand.mock).await;
    assert_clean(&stand.server.log());
    error
}
