//! What has to hold before an upstream is called.

use std::{borrow::Cow, sync::Arc};

use http::{HeaderMap, Method};
use url::Url;

use super::{Account, Stop};
use crate::{
    driver::Exchange,
    http::{
        Target, check_method, check_url,
        policy::{Direction, Filter, Rules},
        to_map,
    },
    proto::{
        Code, Fault,
        frame::{BodyLength, Notice, Policy, Request},
    },
    server::{
        Config,
        config::clients::ClientRule,
        guard::origins::{Refused, Rule},
        memory::Whole,
        upload::{Failure, Progress, Taken, Upload},
    },
};

/// A request that may go to its upstream.
pub(super) struct Passed<'a> {
    pub(super) method: Method,
    target: Target,
    headers: HeaderMap,
    /// What holds for its origin.
    pub(super) rule: &'a Rule,
    policy: Policy,
    request_rules: Cow<'a, Rules>,
    response_rules: &'a Rules,
    body: BodyLength,
    /// Most bytes of its body.
    pub(super) limit: u64,
    /// Its body, if that was taken in to be looked at.
    taken: Option<Taken<'a>>,
}

impl<'a> Passed<'a> {
    /// Checks a request of a client for which `client` holds. `held` counts its body where that is taken in.
    pub(super) async fn check(
        config: &'a Config,
        client: &ClientRule,
        exchange: &Exchange,
        request: &mut Request,
        held: Whole<'a>,
        account: &mut Account,
    ) -> Result<Self, Stop> {
        let method = check_method(&request.method)?;
        let target = check_url(&request.url)?;
        let headers = to_map(&std::mem::take(&mut request.headers))
            .map_err(|error| Notice::new(Code::RequestInvalid, Fault::Client, error.to_string()).retry_safe())?;
        account.host = target.host().to_owned();
        let refused = |why| not_allowed(why, target.origin());
        let rule = config.origins.judge(&method, &target).map_err(refused)?;
        if client.origins.as_ref().is_some_and(|origins| !origins.contains(target.origin())) {
            return Err(not_for_client(target.origin()).into());
        }
        let limit = config.limits.upload_bytes.min(client.upload_bytes);
        if matches!(request.body, BodyLength::Known(length) if length > limit) {
            return Err(upload_too_large(limit).retry_safe().into());
        }
        let policy = request.policy.min(config.headers);
        let request_rules = rule.for_requests(&config.request_headers);
        let mut headers = Filter::new(Direction::Request, policy).with(&request_rules).apply(&headers);
        let mut taken = None;
        if let Some(models) = &client.models {
            if request.body != BodyLength::None {
                let limit = limit.min(config.limits.inspect_bytes);
                let body = Taken::take(exchange, limit, config.limits.stall(), held).await?;
                taken = Some(body.map_err(|failure| failed_upload(&failure, limit))?);
            }
            let body = taken.as_ref().map_or(&[][..], |taken| &taken.bytes);
            models
                .check(&method, target.uri().path(), &headers, body)
                .map_err(|error| Notice::new(Code::NotAllowed, Fault::Client, error.to_string()).retry_safe())?;
        }
        rule.add(&mut headers);
        let (body, response_rules) = (request.body, &config.response_headers);
        Ok(Self { method, target, headers, rule, policy, request_rules, response_rules, body, limit, taken })
    }

    /// The call of the upstream.
    pub(super) fn call(&self, exchange: &Arc<Exchange>, progress: &Arc<Progress>) -> http::Request<Box<Upload>> {
        let filter = (self.policy, self.request_rules.clone().into_owned());
        let body = Upload::new(exchange.clone(), self.body, self.limit, filter, progress.clone(), self.taken.as_ref());
        let mut call = http::Request::new(Box::new(body));
        *call.method_mut() = self.method.clone();
        *call.uri_mut() = self.target.uri().clone();
        *call.headers_mut() = self.headers.clone();
        call
    }

    /// What of an answer goes to the client.
    pub(super) fn down(&self) -> Filter<'a> {
        Filter::new(Direction::Response, self.policy).with(self.response_rules)
    }
}

/// What a failed upload means for the exchange.
pub(super) fn failed_upload(failure: &Failure, limit: u64) -> Stop {
    let failed = |code, text: String| Notice::new(code, Fault::Client, text).into();
    match failure {
        Failure::TooLarge => upload_too_large(limit).into(),
        Failure::Trailers(error) => failed(Code::RequestInvalid, format!("in the trailers, {error}")),
        Failure::Stalled(time) => {
            failed(Code::UploadFailed, format!("the request body did not go on for {} s", time.as_secs_f64()))
        }
        Failure::Abandoned => Stop::Abandoned,
    }
}

fn not_allowed(why: Refused, origin: &Url) -> Notice {
    let origin = origin.origin().ascii_serialization();
    let (code, text) = match why {
        Refused::Origin => (
            Code::OriginNotAllowed,
            format!(
                "the proxy's configuration does not allow {origin}; who runs the proxy can add it under [origins] allow, or with --allow"
            ),
        ),
        Refused::Method => (Code::NotAllowed, format!("the proxy's rules for {origin} do not allow this method")),
        Refused::Path => {
            (Code::NotAllowed, format!("the proxy's rules for {origin} do not allow this path, or do not tell where it leads"))
        }
    };
    Notice::new(code, Fault::Client, text).retry_safe()
}

fn not_for_client(origin: &Url) -> Notice {
    let origin = origin.origin().ascii_serialization();
    let text = format!("this client may not call {origin}; who runs the proxy can add it to the client's origins");
    Notice::new(Code::OriginNotAllowed, Fault::Client, text).retry_safe()
}

fn upload_too_large(limit: u64) -> Notice {
    Notice::new(Code::UploadTooLarge, Fault::Client, format!("the request body is over the proxy's limit of {limit} bytes"))
}
