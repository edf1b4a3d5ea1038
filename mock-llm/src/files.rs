//! Uploaded files, and lists that are read page by page.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

/// How many files are kept; older ones are forgotten.
pub const KEPT_FILES: usize = 1024;
/// How many bytes of files are kept, likewise. No file may be larger.
pub const KEPT_FILE_BYTES: usize = 256 * 1024 * 1024;

/// A file that was uploaded.
#[derive(Debug)]
pub(crate) struct File {
    /// Its beginning tells the providers' files apart.
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) mime: String,
    /// `OpenAI` only.
    pub(crate) purpose: String,
    /// Seconds since 1970.
    pub(crate) created: u64,
    pub(crate) bytes: Bytes,
}

/// The files of an instance, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Files {
    kept: VecDeque<Arc<File>>,
    size: usize,
}

impl Files {
    pub(crate) fn add(&mut self, file: File) -> Arc<File> {
        let file = Arc::new(file);
        self.size += file.bytes.len();
        self.kept.push_back(file.clone());
        while self.kept.len() > KEPT_FILES || self.size > KEPT_FILE_BYTES {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.size -= oldest.bytes.len();
        }
        file
    }

    pub(crate) fn get(&self, id: &str) -> Option<Arc<File>> {
        self.kept.iter().find(|file| file.id == id).cloned()
    }

    pub(crate) fn remove(&mut self, id: &str) -> Option<Arc<File>> {
        let place = self.kept.iter().position(|file| file.id == id)?;
        let file = self.kept.remove(place)?;
        self.size -= file.bytes.len();
        Some(file)
    }

    /// The files whose identifier begins with `prefix`, newest first.
    pub(crate) fn list(&self, prefix: &str) -> Vec<Arc<File>> {
        self.kept.iter().rev().filter(|file| file.id.starts_with(prefix)).cloned().collect()
    }
}

/// Which part of a list is asked for.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    pub(crate) limit: usize,
    /// The item behind which the page begins.
    pub(crate) after: Option<&'a str>,
    /// The item before which it ends.
    pub(crate) before: Option<&'a str>,
}

impl Page<'_> {
    /// The page of `items`, and whether there are more in its direction. Items that are not there leave nothing of the list.
    pub(crate) fn of<T>(&self, items: Vec<T>, id: impl Fn(&T) -> &str) -> (Vec<T>, bool) {
        let place = |wanted: &str| items.iter().position(|item| id(item) == wanted);
        let from = self.after.map_or(0, |after| place(after).map_or(items.len(), |place| place + 1));
        let to = self.before.map_or(items.len(), |before| place(before).unwrap_or(0)).max(from);
        let more = to - from > self.limit;
        let (from, to) = match self.before {
            // The end of the list lies next to the item, so its beginning is left out.
            Some(_) if more => (to - self.limit, to),
            _ => (from, to.min(from.saturating_add(self.limit))),
        };
        (items.into_iter().take(to).skip(from).collect(), more)
    }
}

#[cfg(test)]
mod tests {
    use super::{Bytes, File, Files, KEPT_FILES, Page};

    fn file(id: String) -> File {
        let text = String::new;
        File { id, name: text(), mime: text(), purpose: text(), created: 0, bytes: Bytes::from_static(b"abc") }
    }

    #[test]
    fn old_files_are_forgotten_and_the_size_follows() {
        let mut files = Files::default();
        for i in 0..KEPT_FILES + 2 {
            files.add(file(format!("file-{i}")));
        }
        assert!(files.get("file-1").is_none() && files.get("file-2").is_some());
        assert_eq!((files.kept.len(), files.size), (KEPT_FILES, KEPT_FILES * 3));
        assert!(files.remove("file-2").is_some() && files.remove("file-2").is_none());
        assert_eq!(files.size, (KEPT_FILES - 1) * 3);
        assert_eq!(files.list("file-")[0].id, format!("file-{}", KEPT_FILES + 1));
        assert!(files.list("other").is_empty());
    }

    #[test]
    fn pages_go_on_where_the_last_one_ended_in_both_directions() {
        let page = |limit, after, before| {
            let (items, more) = Page { limit, after, before }.of(vec!["a", "b", "c", "d"], |item| item);
            (items.concat(), more)
        };
        assert_eq!(page(2, None, None), ("ab".into(), true));
        assert_eq!(page(2, Some("b"), None), ("cd".into(), false));
        assert_eq!(page(2, Some("d"), None), (String::new(), false));
        assert_eq!(page(2, None, Some("d")), ("bc".into(), true));
        assert_eq!(page(9, None, Some("c")), ("ab".into(), false));
        assert_eq!(page(9, Some("x"), None), (String::new(), false));
    }
}
