//! `/v1/files`. What was uploaded can be downloaded, which the API itself allows only for files that its tools made.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use crate::body::Reply;
use crate::context::{Context, now};
use crate::fault::Fault;
use crate::files::{File, KEPT_FILE_BYTES, Page};
use crate::multipart::Form;
use crate::raw::query::Query;

use super::{list, wrong_method};

const PREFIX: &str = "file_01";
/// What the cursor of a page begins with; the rest is the last file of the page before.
const CURSOR: &str = "page_";

pub(super) async fn answer(context: &Context, head: &Parts, body: &Bytes) -> Result<Reply, Fault> {
    let rest = head.uri.path().strip_prefix("/v1/files").unwrap_or_default().trim_start_matches('/');
    match (&head.method, rest.split_once('/').unwrap_or((rest, ""))) {
        (&Method::POST, ("", "")) => upload(context, head, body).await,
        (&Method::GET, ("", "")) => all(context, head),
        (&Method::GET, (id, "")) => Ok(context.document(&entry(&*find(context, id)?))),
        (&Method::DELETE, (id, "")) if !id.is_empty() => {
            let file = context.state.files().remove(id).ok_or_else(|| unknown(id))?;
            Ok(context.document(&json!({"id": file.id, "type": "file_deleted"})))
        }
        (&Method::GET, (id, "content")) => {
            let file = find(context, id)?;
            let mut reply = context.binary("application/octet-stream", &file.bytes, true);
            if let Ok(mime) = HeaderValue::try_from(&file.mime) {
                reply.headers_mut().insert(CONTENT_TYPE, mime);
            }
            Ok(reply)
        }
        (_, (_, "" | "content")) => Err(wrong_method()),
        _ => Err(Fault::new(StatusCode::NOT_FOUND, "not_found_error", "Not found")),
    }
}

async fn upload(context: &Context, head: &Parts, body: &Bytes) -> Result<Reply, Fault> {
    let form = Form::read(head, body).await.map_err(Fault::invalid)?;
    let file = form.file("file").ok_or_else(|| Fault::invalid("file: Field required"))?;
    if file.bytes.len() > KEPT_FILE_BYTES {
        return Err(Fault::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", "Request exceeds the maximum size"));
    }
    let file = File {
        id: context.id(PREFIX, 22),
        name: file.file_name.clone().unwrap_or_default(),
        mime: file.mime.clone().unwrap_or_else(|| "application/octet-stream".into()),
        purpose: String::new(),
        created: now(),
        bytes: file.bytes.clone(),
    };
    let file = context.state.files().add(file);
    Ok(context.document(&entry(&file)))
}

/// A page of files. Two ways to the next one are in use: the identifiers of other lists, and an opaque cursor.
fn all(context: &Context, head: &Parts) -> Result<Reply, Fault> {
    let mut files = context.state.files().list(PREFIX);
    if let Some(cursor) = Query::new(head).text("page") {
        let last = cursor.strip_prefix(CURSOR).ok_or_else(|| Fault::invalid("page: Invalid cursor"))?;
        let rest = Page { limit: usize::MAX, after: Some(last), before: None };
        files = rest.of(files, |file| &file.id).0;
    }
    let mut document = list(head, files.iter().map(|file| entry(file)).collect())?;
    let next = document["has_more"].as_bool().filter(|more| *more).and(document["last_id"].as_str());
    document["next_page"] = next.map(|last| format!("{CURSOR}{last}")).into();
    Ok(context.document(&document))
}

fn find(context: &Context, id: &str) -> Result<Arc<File>, Fault> {
    context.state.files().get(id).filter(|_| id.starts_with(PREFIX)).ok_or_else(|| unknown(id))
}

fn unknown(id: &str) -> Fault {
    Fault::new(StatusCode::NOT_FOUND, "not_found_error", format!("File not found: {id}"))
}

fn entry(file: &File) -> Value {
    json!({
        "type": "file",
        "id": file.id,
        "filename": file.name,
        "mime_type": file.mime,
        "size_bytes": file.bytes.len(),
        "created_at": time(file.created),
        "downloadable": true,
    })
}

/// Seconds since 1970 in the form of RFC 3339.
fn time(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Civil date from days, with years that begin in March, so that the leap day is the last.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (year, month + 3) } else { (year + 1, month - 9) };
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}Z", year + era * 400)
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn seconds_become_dates_across_leap_days() {
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
        assert_eq!(time(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(time(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(time(1_735_689_599), "2024-12-31T23:59:59Z");
    }
}
