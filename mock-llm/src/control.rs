//! Driving an instance from another process. None of this is counted or recorded.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::body::{Reply, full};
use crate::context::JSON;
use crate::raw::query::Query;
use crate::records::{Recorded, State};

pub(crate) fn answer(state: &State, head: &Parts) -> Reply {
    match (&head.method, head.uri.path()) {
        (&Method::GET, "/_mock/stats") => write(StatusCode::OK, &json!(state.stats())),
        (&Method::GET, "/_mock/requests") => {
            let query = Query::new(head);
            let named = query.text("header");
            let named = named.as_deref().and_then(|header| header.split_once(':'));
            let list = state.recorded().into_iter();
            let list = list.filter(|request| named.is_none_or(|(name, value)| request.header(name) == Some(value)));
            let bodies = query.text("bodies").is_none_or(|bodies| bodies != "0");
            let list: Vec<_> = list.map(|request| recorded(&request, bodies)).collect();
            write(StatusCode::OK, &list.into())
        }
        (&Method::POST, "/_mock/release") => match release(state, head) {
            Ok(value) => write(StatusCode::OK, &value),
            Err(sentence) => write(StatusCode::BAD_REQUEST, &json!({"error": sentence})),
        },
        (_, "/_mock/stats" | "/_mock/requests" | "/_mock/release") => {
            let error = json!({"error": "wrong method"});
            write(StatusCode::METHOD_NOT_ALLOWED, &error)
        }
        _ => write(StatusCode::NOT_FOUND, &json!({"error": "no such control endpoint"})),
    }
}

fn release(state: &State, head: &Parts) -> Result<Value, String> {
    let query = Query::new(head);
    let gate = query.text("gate").ok_or("`gate` is missing")?;
    let permits = query.number("n")?.unwrap_or(1);
    state.release(&gate, permits);
    Ok(json!({"gate": gate, "released": permits}))
}

/// Header values and the body in base64, as they may hold any byte. The bodies of many requests are long, so they may be left
/// out.
fn recorded(request: &Recorded, bodies: bool) -> Value {
    let headers = request.headers.iter();
    let headers: Vec<_> = headers.map(|(name, value)| json!([name, STANDARD.encode(value)])).collect();
    json!({
        "method": request.method,
        "path": request.path,
        "version": format!("{:?}", request.version),
        "arrived_ms": u64::try_from(request.arrived.as_millis()).unwrap_or(u64::MAX),
        "headers_base64": headers,
        "body_len": request.body_len,
        "body_sha256": crate::raw::hex(&request.body_sha256),
        "body_base64": bodies.then(|| STANDARD.encode(&request.body)),
        "body_complete": request.body_complete,
    })
}

fn write(status: StatusCode, value: &Value) -> Reply {
    let mut reply = Response::new(full(value.to_string()));
    *reply.status_mut() = status;
    let json = HeaderValue::from_static(JSON);
    reply.headers_mut().insert(CONTENT_TYPE, json);
    reply
}
