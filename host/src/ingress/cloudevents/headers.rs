//! Binary mode: attributes in `ce-…` headers, the body is the data, and `Content-Type` says of what type.

use std::borrow::Cow;

use axum::http::{HeaderMap, header};

use super::{
    Reader,
    attributes::{Draft, Scalar},
    data,
};
use crate::{
    domain::event::Event,
    ingress::{
        problem::{Problem, excerpt},
        request::content_type,
    },
};

const PREFIX: &str = "ce-";

pub(super) fn read(reader: &Reader<'_>, headers: &HeaderMap, body: &[u8]) -> Result<Event, Problem> {
    let mut draft = Draft::new(reader, PREFIX);
    for (header, value) in headers {
        let Some(name) = header.as_str().strip_prefix(PREFIX) else { continue };
        if name == "datacontenttype" {
            return Err(Problem::bad_field("ce-datacontenttype", "in binary mode the content type is the data's")
                .fix("send it as `Content-Type`"));
        }
        let text = decode(value.as_bytes())
            .map_err(|(detail, fix)| Problem::bad_field(format!("{PREFIX}{}", excerpt(name)), detail).fix(fix))?;
        draft.set(name, Scalar::Text(text))?;
    }
    let media_type = headers.contains_key(header::CONTENT_TYPE).then(|| content_type(headers));
    if let Some(media_type) = media_type {
        draft.datacontenttype = Some(Cow::Borrowed(media_type));
    }
    let data = data::from_body(media_type, body, reader.settings.json_depth_max)?;
    draft.finish(data)
}

type Wrong = (&'static str, &'static str);

/// Takes off quotes, then one round of percent-encoding.
fn decode(value: &[u8]) -> Result<Cow<'_, str>, Wrong> {
    let value = unquote(value)?;
    if !value.contains(&b'%') {
        return text(value);
    }
    let mut decoded = Vec::with_capacity(value.len());
    let mut rest = value.iter();
    while let Some(&byte) = rest.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
        match (digit(rest.next()), digit(rest.next())) {
            (Some(high), Some(low)) => decoded.push((high * 16 + low) as u8),
            _ => return Err(("a % is not followed by two hexadecimal digits", "write a percent sign as %25")),
        }
    }
    text(Cow::Owned(decoded))
}

fn unquote(value: &[u8]) -> Result<Cow<'_, [u8]>, Wrong> {
    let [b'"', inner @ ..] = value else { return Ok(Cow::Borrowed(value)) };
    let open =
        ("it begins with a quote and does not end with one", "quote all of it, or percent-encode the quote as %22");
    let mut plain = Vec::with_capacity(inner.len());
    let mut rest = inner.iter();
    loop {
        match rest.next() {
            Some(b'\\') => plain.push(*rest.next().ok_or(open)?),
            Some(b'"') if rest.as_slice().is_empty() => return Ok(Cow::Owned(plain)),
            Some(b'"') | None => return Err(open),
            Some(byte) => plain.push(*byte),
        }
    }
}

fn text(bytes: Cow<'_, [u8]>) -> Result<Cow<'_, str>, Wrong> {
    const NOT_UTF8: Wrong = ("it is not UTF-8", "encode the text as UTF-8 first, then percent-encode its bytes");
    match bytes {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| NOT_UTF8),
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|_| NOT_UTF8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_values_are_unquoted_and_decoded_once() {
        let cases: [(&[u8], &str); 7] = [
            (b"Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
            (b"%41", "A"),
            (b"%2541", "%41"),
            (b"\"a \\\"quoted\\\" one\"", "a \"quoted\" one"),
            (b"\"%41\"", "A"),
            (b"plain", "plain"),
            (b"%e2%82%ac", "€"),
        ];
        for (value, wanted) in cases {
            assert_eq!(decode(value).unwrap(), wanted);
        }
    }

    #[test]
    fn broken_header_values_are_refused() {
        for value in [b"%C0%A0".as_slice(), b"100%", b"%4", b"%zz", b"\"open", b"\"a\"b", b"\"a\\\"", b"\xff"] {
            assert!(decode(value).is_err(), "{}", String::from_utf8_lossy(value));
        }
    }
}
