//! `/v1/files`. What was uploaded can be downloaded, whatever its purpose; the API itself keeps some purposes to itself.

use bytes::Bytes;
use http::header::CONTENT_DISPOSITION;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use crate::body::Reply;
use crate::context::{Context, now};
use crate::fault::Fault;
use crate::fields::missing;
use crate::files::{File, KEPT_FILE_BYTES, Page};
use crate::multipart::Form;
use crate::raw::query::Query;

use super::wrong_method;

const PREFIX: &str = "file-";
const PURPOSES: [&str; 6] = ["assistants", "batch", "fine-tune", "vision", "user_data", "evals"];
/// Files of one page at most, and by default.
const MOST: usize = 10_000;

pub(super) async fn answer(context: &Context, head: &Parts, body: &Bytes) -> Result<Reply, Fault> {
    let path = head.uri.path();
    let rest = path.strip_prefix("/v1/files").unwrap_or_default().trim_start_matches('/');
    match (&head.method, rest.split_once('/').unwrap_or((rest, ""))) {
        (&Method::POST, ("", "")) => upload(context, head, body).await,
        (&Method::GET, ("", "")) => list(context, head),
        (&Method::GET, (id, "")) => Ok(context.document(&entry(&*find(context, id)?))),
        (&Method::DELETE, (id, "")) if !id.is_empty() => {
            let file = context.state.files().remove(id).ok_or_else(|| unknown(id))?;
            Ok(context.document(&json!({"object": "file", "deleted": true, "id": file.id})))
        }
        (&Method::GET, (id, "content")) => {
            let file = find(context, id)?;
            let mut reply = context.binary("application/octet-stream", &file.bytes, true);
            if let Ok(name) = HeaderValue::try_from(format!("attachment; filename=\"{}\"", file.name.replace('"', ""))) {
                reply.headers_mut().insert(CONTENT_DISPOSITION, name);
            }
            Ok(reply)
        }
        (method, (_, "" | "content")) => Err(wrong_method(method, path)),
        (method, _) => Err(super::unknown_url(method, path)),
    }
}

async fn upload(context: &Context, head: &Parts, body: &Bytes) -> Result<Reply, Fault> {
    let form = Form::read(head, body).await.map_err(Fault::invalid)?;
    let purpose = form.text("purpose").ok_or_else(|| missing("purpose"))?;
    if !PURPOSES.contains(&purpose) {
        let message = format!("'{purpose}' is not one of ['{}'] - 'purpose'", PURPOSES.join("', '"));
        return Err(Fault::invalid(message).param("purpose"));
    }
    let file = form.file("file").ok_or_else(|| missing("file"))?;
    if file.bytes.len() > KEPT_FILE_BYTES {
        let kind = "invalid_request_error";
        return Err(Fault::new(StatusCode::PAYLOAD_TOO_LARGE, kind, "File is too large.").param("file"));
    }
    let file = File {
        id: context.id(PREFIX, 22),
        name: file.file_name.clone().unwrap_or_default(),
        mime: file.mime.clone().unwrap_or_default(),
        purpose: purpose.into(),
        created: now(),
        bytes: file.bytes.clone(),
    };
    let file = context.state.files().add(file);
    Ok(context.document(&entry(&file)))
}

fn list(context: &Context, head: &Parts) -> Result<Reply, Fault> {
    let query = Query::new(head);
    let limit = query.number("limit").map_err(|sentence| Fault::invalid(sentence).param("limit"))?.unwrap_or(MOST);
    if !(1..=MOST).contains(&limit) {
        return Err(Fault::invalid(format!("Invalid 'limit': expected 1 to {MOST}, but got {limit} instead.")).param("limit"));
    }
    let after = query.text("after");
    let purpose = query.text("purpose");
    let mut files = context.state.files().list(PREFIX);
    files.retain(|file| purpose.as_ref().is_none_or(|purpose| file.purpose == *purpose));
    match query.text("order").as_deref() {
        None | Some("desc") => {}
        Some("asc") => files.reverse(),
        Some(other) => {
            let message = format!("Invalid value: '{other}'. Supported values are: 'asc' and 'desc'.");
            return Err(Fault::invalid(message).param("order").code("invalid_value"));
        }
    }
    let page = Page { limit, after: after.as_deref(), before: None };
    let (files, more) = page.of(files, |file| &file.id);
    let id = |file: Option<&std::sync::Arc<File>>| file.map(|file| file.id.clone());
    Ok(context.document(&json!({
        "object": "list",
        "data": files.iter().map(|file| entry(file)).collect::<Vec<_>>(),
        "first_id": id(files.first()),
        "last_id": id(files.last()),
        "has_more": more,
    })))
}

fn find(context: &Context, id: &str) -> Result<std::sync::Arc<File>, Fault> {
    context.state.files().get(id).filter(|_| id.starts_with(PREFIX)).ok_or_else(|| unknown(id))
}

fn unknown(id: &str) -> Fault {
    let message = format!("No such File object: {id}");
    Fault::new(StatusCode::NOT_FOUND, "invalid_request_error", message).param("id")
}

fn entry(file: &File) -> Value {
    json!({
        "object": "file",
        "id": file.id,
        "purpose": file.purpose,
        "filename": file.name,
        "bytes": file.bytes.len(),
        "created_at": file.created,
        "expires_at": null,
        "status": "processed",
        "status_details": null,
    })
}
