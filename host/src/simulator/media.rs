//! Files that were uploaded to Meta, or that a phone sent; in memory, up to a bound.

use std::{
    collections::{HashMap, VecDeque},
    sync::Mutex,
};

use bytes::Bytes;

use super::lock;

#[derive(Clone)]
pub(crate) struct File {
    pub(crate) bytes: Bytes,
    pub(crate) mime_type: String,
    pub(crate) sha256: [u8; 32],
}

pub(crate) struct Shelf {
    bytes_max: usize,
    files: Mutex<Files>,
}

#[derive(Default)]
struct Files {
    by_id: HashMap<String, File>,
    oldest_first: VecDeque<String>,
    bytes: usize,
}

impl Shelf {
    pub(crate) fn new(bytes_max: usize) -> Shelf {
        Shelf { bytes_max, files: Mutex::default() }
    }

    /// Keeps a file; the oldest give way to it.
    pub(crate) fn put(&self, id: String, bytes: Bytes, mime_type: String) -> File {
        use sha2::Digest;
        let file = File { sha256: sha2::Sha256::digest(&bytes).into(), bytes, mime_type };
        let mut files = lock(&self.files);
        files.bytes += file.bytes.len();
        files.by_id.insert(id.clone(), file.clone());
        files.oldest_first.push_back(id);
        while files.bytes > self.bytes_max {
            let Some(oldest) = files.oldest_first.pop_front() else { break };
            files.drop_file(&oldest);
        }
        file
    }

    pub(crate) fn get(&self, id: &str) -> Option<File> {
        lock(&self.files).by_id.get(id).cloned()
    }

    pub(crate) fn remove(&self, id: &str) -> bool {
        let mut files = lock(&self.files);
        files.oldest_first.retain(|known| known != id);
        files.drop_file(id)
    }

    pub(crate) fn clear(&self) {
        *lock(&self.files) = Files::default();
    }
}

impl Files {
    fn drop_file(&mut self, id: &str) -> bool {
        let Some(file) = self.by_id.remove(id) else { return false };
        self.bytes = self.bytes.saturating_sub(file.bytes.len());
        true
    }
}

/// One part of a `multipart/form-data` body.
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) mime_type: Option<String>,
    pub(crate) bytes: Bytes,
}

/// Reads a `multipart/form-data` body; nothing where it is malformed.
pub(crate) fn multipart(content_type: &str, body: &Bytes) -> Option<Vec<Part>> {
    let boundary = parameter(content_type, "boundary")?;
    let marker = format!("\r\n--{boundary}");
    let opening = format!("--{boundary}");
    let mut at = find(body, opening.as_bytes(), 0)? + opening.len();
    let mut parts = Vec::new();
    while !body.get(at..)?.starts_with(b"--") {
        let head_end = find(body, b"\r\n\r\n", at)?;
        let end = find(body, marker.as_bytes(), head_end + 2)?;
        let head = std::str::from_utf8(body.get(at..head_end)?).ok()?;
        parts.push(Part {
            name: parameter(&header(head, "content-disposition")?, "name")?,
            mime_type: header(head, "content-type"),
            bytes: if end < head_end + 4 { Bytes::new() } else { body.slice(head_end + 4..end) },
        });
        at = end + marker.len();
    }
    Some(parts)
}

fn header(head: &str, name: &str) -> Option<String> {
    let mut lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
    lines.find(|(known, _)| known.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
}

fn parameter(header: &str, name: &str) -> Option<String> {
    let mut parameters = header.split(';').filter_map(|parameter| parameter.split_once('='));
    let (_, value) = parameters.find(|(known, _)| known.trim().eq_ignore_ascii_case(name))?;
    Some(value.trim().trim_matches('"').to_owned())
}

fn find(haystack: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    let rest = haystack.get(from..)?;
    // The first byte is looked for alone: files are large, and comparing whole windows at each place is slow.
    let first = *needle.first()?;
    let mut at = 0;
    loop {
        at += rest.get(at..)?.iter().position(|byte| *byte == first)?;
        if rest.get(at..)?.starts_with(needle) {
            return Some(from + at);
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_multipart_body_is_taken_apart() {
        let body = Bytes::from_static(
            b"--B\r\nContent-Disposition: form-data; name=\"messaging_product\"\r\n\r\nwhatsapp\r\n--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n\x89PNG\r\n--x\r\n--B--\r\n",
        );
        let parts = multipart("multipart/form-data; boundary=\"B\"", &body).unwrap();
        assert_eq!(parts.len(), 2);
        assert_eq!((parts[0].name.as_str(), &parts[0].bytes[..]), ("messaging_product", &b"whatsapp"[..]));
        assert_eq!(parts[1].mime_type.as_deref(), Some("image/png"));
        assert_eq!(&parts[1].bytes[..], b"\x89PNG\r\n--x");
        assert!(multipart("multipart/form-data; boundary=B", &Bytes::from_static(b"--B\r\nno end")).is_none());
        assert!(multipart("text/plain", &body).is_none());
    }

    #[test]
    fn old_files_give_way_to_new_ones() {
        let shelf = Shelf::new(10);
        for id in ["1", "2", "3"] {
            shelf.put(id.into(), Bytes::from_static(b"four"), "image/png".into());
        }
        assert!(shelf.get("1").is_none());
        assert!(shelf.get("2").is_some() && shelf.get("3").is_some());
    }
}
