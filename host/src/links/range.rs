//! `Range: bytes=…`: a part of a file, so that a film can be begun in the middle and a download gone on with.
//!
//! One range is answered. Several at once, another unit and what cannot be read are let pass, and the whole file goes out, as
//! RFC 9110 allows.

/// What of a file is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Whole,
    /// From the first to the last byte, both included.
    Part(usize, usize),
    /// It begins behind the file's end.
    Nowhere,
}

pub(super) fn asked(header: Option<&str>, len: usize) -> Asked {
    let range = header.and_then(|header| header.strip_prefix("bytes=")).and_then(|range| range.split_once('-'));
    let Some((first, last)) = range else { return Asked::Whole };
    let number = |text: &str| text.trim().parse::<usize>().ok();
    match (number(first), number(last)) {
        // The last so many bytes.
        (None, Some(0)) if first.is_empty() => Asked::Nowhere,
        (None, Some(count)) if first.is_empty() && len > 0 => Asked::Part(len.saturating_sub(count), len - 1),
        (Some(first), _) if first >= len => Asked::Nowhere,
        (Some(first), None) if last.is_empty() => Asked::Part(first, len - 1),
        (Some(first), Some(last)) if first <= last => Asked::Part(first, last.min(len - 1)),
        _ => Asked::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::{Asked::*, *};

    #[test]
    fn a_range_is_read_as_rfc_9110_has_it() {
        let of_ten = |header| asked(Some(header), 10);
        assert_eq!(of_ten("bytes=0-3"), Part(0, 3));
        assert_eq!(of_ten("bytes=4-"), Part(4, 9));
        assert_eq!(of_ten("bytes=-3"), Part(7, 9));
        assert_eq!(of_ten("bytes=-30"), Part(0, 9));
        assert_eq!(of_ten("bytes=8-99"), Part(8, 9));
        for behind in ["bytes=10-", "bytes=10-12", "bytes=-0"] {
            assert_eq!(of_ten(behind), Nowhere, "{behind}");
        }
        for whole in ["bytes=3-1", "bytes=0-1,4-5", "lines=1-2", "bytes=a-b", "bytes=-", "nonsense"] {
            assert_eq!(of_ten(whole), Whole, "{whole}");
        }
        assert_eq!(asked(None, 10), Whole);
        assert_eq!(asked(Some("bytes=-5"), 0), Whole);
        assert_eq!(asked(Some("bytes=0-"), 0), Nowhere);
    }
}
