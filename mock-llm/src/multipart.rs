//! Forms with files in them.

use bytes::Bytes;
use futures::stream;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use multer::Multipart;

/// One field of a form.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    /// Set for a file.
    pub(crate) file_name: Option<String>,
    pub(crate) mime: Option<String>,
    pub(crate) bytes: Bytes,
}

/// A form in memory.
#[derive(Debug)]
pub(crate) struct Form(Vec<Field>);

impl Form {
    /// Reads `body`; the error is a sentence.
    pub(crate) async fn read(head: &Parts, body: &Bytes) -> Result<Self, String> {
        let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let boundary = multer::parse_boundary(kind).map_err(|error| format!("not multipart/form-data: {error}"))?;
        let whole = stream::iter([Ok::<_, std::convert::Infallible>(body.clone())]);
        let mut form = Multipart::new(whole, boundary);
        let mut fields = Vec::new();
        let sentence = |error: multer::Error| format!("the form is broken: {error}");
        while let Some(field) = form.next_field().await.map_err(sentence)? {
            let name = field.name().unwrap_or_default().to_owned();
            let file_name = field.file_name().map(str::to_owned);
            let mime = field.content_type().map(ToString::to_string);
            fields.push(Field { name, file_name, mime, bytes: field.bytes().await.map_err(sentence)? });
        }
        Ok(Self(fields))
    }

    /// The file called `name`.
    pub(crate) fn file(&self, name: &str) -> Option<&Field> {
        self.0.iter().find(|field| field.name == name && field.file_name.is_some())
    }

    /// The text of the field `name`.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let field = self.0.iter().find(|field| field.name == name && field.file_name.is_none())?;
        std::str::from_utf8(&field.bytes).ok()
    }
}
