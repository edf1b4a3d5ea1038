//! One request: is the caller one, where does it go, whose key does it carry; then the answer, as it comes.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
    header::{CONNECTION, CONTENT_TYPE, LOCATION, UPGRADE},
    request, response,
};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tower::ServiceExt as _;
use xllm_proxy::{
    client::{Body, Client},
    http::METHODS,
    proto::frame::is_bodiless,
};

use super::{
    account::{Account, Outcome},
    answer::{Answer, Relayed, Stream},
    caller::Caller,
    guard::Guard,
    headers::Headers,
    refusal::{Refusal, Shape},
    route::{Provider, Routes, Target, back},
    upload::Upload,
};

/// What all requests share.
#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) client: Client,
    pub(super) routes: Routes,
    pub(super) guard: Guard,
    pub(super) headers: Arc<Headers>,
    pub(super) heartbeat: Option<Duration>,
    /// What a person sees who opens the gateway in a browser.
    pub(super) page: Bytes,
}

impl Gateway {
    /// Answers one request. Dropping the future, as when the caller leaves, stops the upstream call.
    pub(super) async fn answer(self: Arc<Self>, request: Request<Incoming>, caller: Arc<Caller>) -> Response<Answer> {
        let mut request = Upload::wrap(request, &self.headers);
        let mut account = Account::open(request.method(), request.uri().path());
        let (uri, version) = (request.uri().clone(), request.version());
        let shape = self.routes.shape(&uri, request.headers());
        let found = match self.guard.check(&uri, request.headers_mut()) {
            Ok(()) => {
                caller.asked();
                if uri.path() == "/" && matches!(*request.method(), Method::GET | Method::HEAD) {
                    account.answered(StatusCode::OK);
                    account.end(Outcome::Complete);
                    return self.show_page();
                }
                self.relay(request, shape).await
            }
            Err(refusal) => Err(refusal),
        };
        match found {
            Ok((head, body)) => {
                account.answered(head.status);
                let body = if let Some(body) = body {
                    let stream = Stream::of(shape, &head.headers, self.heartbeat);
                    Answer::Relayed(Box::new(Relayed::new(body, self.headers.clone(), stream, caller, account)))
                } else {
                    account.end(Outcome::Complete);
                    Answer::Own(None)
                };
                Response::from_parts(head, body)
            }
            Err(refusal) => {
                let refusal = refusal.shaped(shape);
                account.end(Outcome::Refused(&refusal));
                let mut response = refusal.response().map(|body| Answer::Own(Some(body)));
                if version < Version::HTTP_2 && refusal.is_of_caller() {
                    // Who may not call shall not keep a connection either.
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                response
            }
        }
    }

    fn show_page(&self) -> Response<Answer> {
        let mut response = Response::new(Answer::Own(Some(self.page.clone())));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        response
    }

    /// A provider's answer; its body if it has one.
    async fn relay(&self, request: Request<Upload>, shape: Shape) -> Result<(response::Parts, Option<Body>), Refusal> {
        let (mut parts, body) = request.into_parts();
        let Target { uri, provider } = self.routes.resolve(&parts.uri)?;
        carried(&parts)?;
        if let Some(provider) = provider {
            let in_query = uri.query().is_some_and(|query| query.split('&').any(|field| field.starts_with("key=")));
            provider.key.apply(shape, &mut parts.headers, in_query);
        }

        let to_head = parts.method == Method::HEAD;
        parts.uri = uri.clone();
        self.headers.send(&mut parts);
        let call = self.client.clone().oneshot(Request::from_parts(parts, body));
        let (mut head, body) = call.await.map_err(|error| Refusal::from(&error))?.into_parts();
        self.headers.receive(&mut head);
        lead_back(provider, &uri, &mut head.headers);
        let bodiless = is_bodiless(to_head, head.status.as_u16()) || is_empty(&body);
        // A caller that is told of no body asks for none: the proxy's word that the answer is complete is heard here.
        Ok((head, if bodiless { finish(body).await? } else { Some(body) }))
    }
}

fn is_empty(body: &Body) -> bool {
    http_body::Body::size_hint(body).exact() == Some(0)
}

async fn finish(mut body: Body) -> Result<Option<Body>, Refusal> {
    while let Some(frame) = body.frame().await {
        frame.map_err(|error| Refusal::from(&error))?;
    }
    Ok(None)
}

/// Refuses what of HTTP does not travel.
fn carried(parts: &request::Parts) -> Result<(), Refusal> {
    if parts.version < Version::HTTP_11 {
        let text = "the gateway speaks HTTP/1.1 and HTTP/2: to HTTP/1.0, an answer that was cut off would look whole";
        return Err(Refusal::not_carried(StatusCode::HTTP_VERSION_NOT_SUPPORTED, text));
    }
    if parts.version == Version::HTTP_11 && is_upgrade(&parts.headers) {
        let text = "WebSockets and other upgrades do not travel through the relay; use the provider's HTTP API";
        return Err(Refusal::not_carried(StatusCode::NOT_IMPLEMENTED, text));
    }
    if !METHODS.contains(&parts.method) {
        let text = format!("the method {} does not travel through the relay", parts.method);
        return Err(Refusal::not_carried(StatusCode::METHOD_NOT_ALLOWED, text));
    }
    Ok(())
}

/// An offer of HTTP/2 (as curl makes with --http2) is none that must be taken.
fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.get_all(UPGRADE).iter().any(|protocol| protocol != "h2c")
}

/// A redirect should not lead a program around the relay.
fn lead_back(provider: Option<&Provider>, called: &Uri, headers: &mut HeaderMap) {
    let location = headers.get(LOCATION).and_then(|location| back(provider, called, location.to_str().ok()?));
    if let Some(location) = location.and_then(|location| HeaderValue::try_from(location).ok()) {
        headers.insert(LOCATION, location);
    }
}
