//! Is SQLite's log beside the file whole? SQLite itself reads it up to the first frame that does not fit and passes over the
//! rest without a word, because that is how a transaction looks that was being written when the power failed. But where the
//! disk has damaged what had been committed, everything after it is lost in the same silence, and that was acknowledged.
//!
//! The two can be told apart: every commit is on disk before the next one is written, so behind a torn transaction there is
//! at most its own end, or the end of one that failed. Two commits in a row behind a frame that does not fit were once whole.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// The last bit says in which order the checksums read their words.
const MAGIC: u32 = 0x377f_0682;

/// What is wrong with the log, if anything. One that is not there, or was never written, is all right.
pub(super) fn damage(log: &Path) -> io::Result<Option<String>> {
    let mut file = match File::open(log) {
        Ok(file) => BufReader::with_capacity(1 << 18, file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut header = [0; HEADER];
    if !fill(&mut file, &mut header)? || header == [0; HEADER] {
        return Ok(None);
    }
    let Some(mut reading) = Reading::begin(&header) else {
        return Ok(Some("it does not begin as a log does".to_owned()));
    };
    let mut frame = vec![0; FRAME_HEADER + reading.page];
    let mut number = 0;
    while fill(&mut file, &mut frame)? {
        number += 1;
        if reading.next(&frame, number) == Verdict::Damaged {
            let at = HEADER + (reading.broken.unwrap_or(number) - 1) * frame.len();
            return Ok(Some(format!("at byte {at} it is not what was written, and commits follow")));
        }
    }
    Ok(None)
}

/// Whether there was enough to fill `bytes`.
fn fill(file: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[derive(PartialEq)]
enum Verdict {
    GoOn,
    Damaged,
}

struct Reading {
    page: usize,
    big_endian: bool,
    salts: [u8; 8],
    /// The checksum of everything before, as the last frame has it.
    sum: Sum,
    /// The first frame that does not fit.
    broken: Option<usize>,
    /// Commits behind it that fit one another.
    commits: u32,
}

type Sum = (u32, u32);

impl Reading {
    fn begin(header: &[u8; HEADER]) -> Option<Reading> {
        let magic = word(header, 0);
        let big_endian = match magic ^ MAGIC {
            0 => false,
            1 => true,
            _ => return None,
        };
        let page = usize::try_from(word(header, 8)).ok().filter(|page| (512..=65_536).contains(page))?;
        let sum = add((0, 0), header.get(..24)?, big_endian);
        let salts = header.get(16..24)?.try_into().ok()?;
        (sum == (word(header, 24), word(header, 28))).then_some(Reading {
            page,
            big_endian,
            salts,
            sum,
            broken: None,
            commits: 0,
        })
    }

    fn next(&mut self, frame: &[u8], number: usize) -> Verdict {
        let (header, page) = frame.split_at(FRAME_HEADER);
        let [numbers, salts] = [header.get(..8), header.get(8..16)].map(Option::unwrap_or_default);
        let sum = add(add(self.sum, numbers, self.big_endian), page, self.big_endian);
        let written = (word(header, 16), word(header, 20));
        // What follows is compared with what this frame says of itself, right or wrong.
        self.sum = written;
        if salts != self.salts || sum != written {
            self.broken.get_or_insert(number);
            self.commits = 0;
        } else if self.broken.is_some() && word(header, 4) != 0 {
            self.commits += 1;
        }
        if self.commits >= 2 { Verdict::Damaged } else { Verdict::GoOn }
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes)
}

/// SQLite's checksum of a log (`sqlite.org/fileformat2.html`, 4.2).
fn add((mut first, mut second): Sum, bytes: &[u8], big_endian: bool) -> Sum {
    for pair in bytes.chunks_exact(8) {
        let read = |at: usize| {
            let bytes = pair.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).unwrap_or_default();
            if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
        };
        first = first.wrapping_add(read(0)).wrapping_add(second);
        second = second.wrapping_add(read(4)).wrapping_add(first);
    }
    (first, second)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log of ten commits, as SQLite leaves it when the process dies, and its path.
    fn log(name: &str) -> (std::path::PathBuf, Vec<u8>) {
        let dir = std::env::temp_dir().join(format!("relais-log-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let db = dir.join("a.db");
        let conn = rusqlite::Connection::open(&db).unwrap();
        conn.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE diary (day TEXT)").unwrap();
        for day in 0..9 {
            conn.execute("INSERT INTO diary VALUES (?1)", [format!("day {day} {}", "x".repeat(3000))]).unwrap();
        }
        let path = dir.join("copy-wal");
        let bytes = std::fs::read(dir.join("a.db-wal")).unwrap();
        std::fs::write(&path, &bytes).unwrap();
        (path, bytes)
    }

    fn damage_of(path: &Path, bytes: &[u8]) -> Option<String> {
        std::fs::write(path, bytes).unwrap();
        damage(path).unwrap()
    }

    #[test]
    fn a_whole_log_a_new_one_and_one_that_was_cut_off_are_all_right() {
        let (path, bytes) = log("whole");
        assert_eq!(damage(Path::new("/nowhere/at-all")).unwrap(), None);
        assert_eq!(damage_of(&path, &bytes), None);
        for length in [0, 10, 32, 5_000, bytes.len() - 1] {
            assert_eq!(damage_of(&path, &bytes[..length]), None, "{length}");
        }
        assert_eq!(damage_of(&path, &[0; 9_000]), None);
        let _ = std::fs::remove_dir_all(path.parent().unwrap());
    }

    #[test]
    fn a_last_transaction_that_was_torn_is_all_right_and_damage_before_commits_is_not() {
        let (path, bytes) = log("torn");
        let flipped = |at: usize| {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            bytes
        };
        assert_eq!(damage_of(&path, &flipped(bytes.len() - 100)), None, "it may never have been acknowledged");
        // In the page of the first frame, in its salt and in its checksum.
        for at in [32 + 24 + 100, 32 + 9, 32 + 17] {
            let damage = damage_of(&path, &flipped(at)).unwrap();
            assert!(damage.contains("at byte 32 "), "{at}: {damage}");
        }
        for at in [0, 9, 18, 30] {
            assert!(damage_of(&path, &flipped(at)).unwrap().contains("begin"), "{at}");
        }
        let _ = std::fs::remove_dir_all(path.parent().unwrap());
    }
}
