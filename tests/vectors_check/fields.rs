//! Frames as the files show them, and back.

use serde_json::{Value, json};
use xllm_proxy::proto::{
    Code,
    frame::{self, BodyLength, Frame, Header, Headers, Mode, Policy, Receipt, Request, Response, Stamps},
};

use crate::reading::{array, bytes, hex, number};

fn headers_json(headers: &[Header]) -> Value {
    headers.iter().map(|header| json!([header.name, hex(&header.value)])).collect()
}

fn receipt_json(receipt: Receipt) -> Value {
    let mut fields = serde_json::Map::new();
    let Receipt { sent, head, first, last, end, held } = receipt;
    let names = ["called", "head", "first", "last", "sealed", "waited"];
    for (name, value) in names.into_iter().zip([sent, head, first, last, end, held]) {
        if let Some(value) = value {
            fields.insert(name.into(), value.into());
        }
    }
    fields.into()
}

pub(crate) fn request_json(exchange: u32, request: &Request) -> Value {
    let body = match request.body {
        BodyLength::None => json!("none"),
        BodyLength::Known(length) => json!(length),
        BodyLength::Unknown => json!("unknown"),
    };
    json!({
        "type": "REQUEST", "exchange": exchange, "request_id": hex(&request.id), "method": request.method, "url": request.url,
        "headers": headers_json(&request.headers), "mode": request.mode as u64, "timings": request.timings,
        "policy": request.policy as u64, "body": body, "credit": request.credit,
    })
}

pub(crate) fn frame_json(exchange: u32, frame: &Frame, stamps: Option<Stamps>) -> Value {
    let (kind, fields) = match frame {
        Frame::Request(request) => return request_json(exchange, request),
        Frame::Body(body) => ("BODY", json!({ "body": hex(body) })),
        Frame::BodyEnd(end) => ("BODY_END", json!({ "total": end.total, "trailers": headers_json(&end.trailers) })),
        Frame::Response(response) => {
            let headers = headers_json(&response.headers);
            ("RESPONSE", json!({ "seq": 0, "status": response.status, "headers": headers, "length": response.length }))
        }
        Frame::Data { seq, payload } => {
            let stamps = stamps.map(|stamps| json!([stamps.arrived, stamps.held]));
            ("DATA", json!({ "seq": seq, "stamps": stamps, "body": hex(payload) }))
        }
        Frame::End { seq, end } => {
            let (trailers, receipt) = (headers_json(&end.trailers), receipt_json(end.receipt));
            ("END", json!({ "seq": seq, "total": end.total, "trailers": trailers, "receipt": receipt }))
        }
        Frame::Error { seq, notice } => (
            "ERROR",
            json!({ "seq": seq, "code": notice.code.number(), "fault": notice.fault.number(), "retry": notice.retry,
                    "text": notice.text, "after": notice.after }),
        ),
        Frame::Cancel(reason) => ("CANCEL", json!({ "reason": reason.number() })),
        Frame::Credit(amount) => ("CREDIT", json!({ "amount": amount })),
        Frame::Ping(ping) => ("PING", json!({ "token": hex(&ping.token), "silence": ping.silence })),
        Frame::Pong(ping) => ("PONG", json!({ "token": hex(&ping.token), "silence": ping.silence })),
        Frame::GoAway(goaway) => (
            "GOAWAY",
            json!({ "code": goaway.code.map_or(0, Code::number), "last": goaway.last, "text": goaway.text, "after": goaway.after }),
        ),
        Frame::Resume(resume) => (
            "RESUME",
            json!({ "request_id": hex(&resume.id), "next_seq": resume.next, "credit": resume.credit, "attempt": resume.attempt }),
        ),
        Frame::Resumed(resumed) => ("RESUMED", json!({ "received": resumed.received, "credit": resumed.credit })),
        Frame::Gone => ("GONE", json!({})),
    };
    let mut fields = fields;
    fields["type"] = kind.into();
    fields["exchange"] = exchange.into();
    fields
}

/// The frame of a file as [`frame_json`] writes it: the implementation does not tell an absent list, text or receipt from an
/// empty one; runs are written out.
pub(crate) fn normal(frame: &Value) -> Value {
    let mut frame = frame.clone();
    for (key, empty) in [("trailers", json!([])), ("receipt", json!({})), ("text", json!(""))] {
        if frame.get(key).is_some_and(Value::is_null) {
            frame[key] = empty;
        }
    }
    for list in ["headers", "trailers"] {
        for field in frame.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            field[1] = hex(&bytes(&field[1])).into();
        }
    }
    if frame["type"] != "REQUEST" && frame.get("body").is_some() {
        frame["body"] = hex(&bytes(&frame["body"])).into();
    }
    frame
}

pub(crate) fn without(mut frame: Value, keys: &[&str]) -> Value {
    for key in keys {
        frame.as_object_mut().unwrap().remove(*key);
    }
    frame
}

pub(crate) fn headers_from(list: &Value) -> Headers {
    let field = |field: &Value| Header { name: field[0].as_str().unwrap().into(), value: bytes(&field[1]).into() };
    list.as_array().map(|list| list.iter().map(field).collect()).unwrap_or_default()
}

pub(crate) fn request_from(frame: &Value) -> Request {
    Request {
        id: array(&frame["request_id"]),
        method: frame["method"].as_str().unwrap().into(),
        url: frame["url"].as_str().unwrap().into(),
        headers: headers_from(&frame["headers"]),
        mode: if frame["mode"] == 1 { Mode::Buffered } else { Mode::Streaming },
        timings: frame["timings"].as_bool().unwrap(),
        policy: [Policy::Neutral, Policy::Sdk, Policy::Pass][usize::try_from(number(&frame["policy"])).unwrap()],
        body: match &frame["body"] {
            Value::Number(length) => BodyLength::Known(length.as_u64().unwrap()),
            Value::String(text) if text == "none" => BodyLength::None,
            _ => BodyLength::Unknown,
        },
        credit: number(&frame["credit"]),
    }
}

pub(crate) fn response_from(frame: &Value) -> Response {
    Response {
        status: number(&frame["status"]).try_into().unwrap(),
        headers: headers_from(&frame["headers"]),
        length: frame["length"].as_u64(),
    }
}

pub(crate) fn notice_from(frame: &Value) -> frame::Notice {
    frame::Notice {
        code: Code::from_number(number(&frame["code"]).try_into().unwrap()),
        fault: xllm_proxy::proto::Fault::from_number(number(&frame["fault"])).unwrap(),
        retry: frame["retry"].as_bool().unwrap(),
        text: frame["text"].as_str().unwrap_or_default().into(),
        after: frame["after"].as_u64(),
    }
}
