//! Opening the file: ours, whole, not newer than this program, and nobody else's at the moment. Anything else is refused with
//! what to do about it; a store is never begun anew because the one there could not be opened.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read},
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags, OptionalExtension, config::DbConfig, params};

use super::{Settings, error::Outcome};
use crate::{
    clock::Timestamp,
    store::{Error, Result},
};

/// `RELA`, in the header of the file: what says that it is ours.
const APPLICATION_ID: i64 = 0x5245_4c41;

/// Forward only, in order; the number of those applied is the file's `user_version`.
const MIGRATIONS: &[&str] = &[include_str!("migrations/0001_begin.sql"), include_str!("migrations/0002_flows.sql")];

fn unusable(path: &Path, reason: impl Into<String>, advice: impl Into<String>) -> Error {
    Error::Unusable { place: path.display().to_string(), reason: reason.into(), advice: advice.into() }
}

/// Held for as long as the store is open.
pub(super) fn lock(path: &Path) -> Result<File> {
    make_directory(path)?;
    let place = beside(path, ".lock");
    let file = File::options().create(true).truncate(false).write(true).open(&place);
    let file = file.map_err(|error| cannot(&place, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(unusable(
            path,
            "another host has it open",
            "Two hosts cannot share an SQLite store: stop the other one, or give this one a store of its own",
        )),
        Err(TryLockError::Error(error)) => Err(cannot(&place, &error)),
    }
}

fn cannot(place: &Path, error: &io::Error) -> Error {
    let advice = "Check that the directory exists, has room and belongs to the host's user";
    unusable(place, error.to_string(), advice)
}

/// Only the last directory is made: a path that is wrong from further up is a mistake to be told of.
fn make_directory(path: &Path) -> Result<()> {
    let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) else { return Ok(()) };
    match fs::create_dir(parent) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => {
            let advice = format!("Make the directory `{}`, or correct the store's path", parent.display());
            Err(unusable(path, error.to_string(), advice))
        }
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// The connection that writes, to a file that is there, is ours and has this program's schema.
pub(super) fn writer(path: &Path, settings: &Settings, now: Timestamp) -> Result<Connection> {
    if !path.exists() {
        create(path, now)?;
    }
    check_header(path)?;
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX);
    let conn = conn.map_err(|error| super::Trouble::from(error).at(path))?;
    let version = check_ours(&conn, path)?;
    prepare_writer(&conn, settings).and_then(|()| migrate(&conn, version)).map_err(|trouble| trouble.at(path))?;
    Ok(conn)
}

pub(super) fn reader(path: &Path, settings: &Settings) -> Outcome<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(settings.busy_timeout())?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    // Readers share the operating system's cache; their own needs to hold little.
    conn.execute_batch("PRAGMA cache_size = -4096; PRAGMA query_only = ON;")?;
    Ok(conn)
}

/// More than there are different statements.
const STATEMENTS: usize = 128;

fn prepare_writer(conn: &Connection, settings: &Settings) -> Outcome<()> {
    conn.busy_timeout(settings.busy_timeout())?;
    // Plans do not depend on the values bound: a statement is prepared once, and not again for other values.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    let mode: String = conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        let what = format!("its journal mode is `{mode}` and cannot be `wal` (is it on a network file system?)");
        return Err(super::Trouble::unreadable(what));
    }
    // FULL: a commit returns when it is on disk. `secure_delete`: what is erased is overwritten. The log is moved into the
    // file every 4,000 pages (16 MiB), so that a commit seldom waits for that, and is cut back to 64 MiB after a peak.
    conn.execute_batch(&format!(
        "PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = 4000; \
         PRAGMA journal_size_limit = 67108864; PRAGMA foreign_keys = OFF; PRAGMA cache_size = -{};",
        settings.page_cache_bytes / 1024
    ))?;
    Ok(())
}

/// Makes a new file beside the place and moves it there when it is whole, so that a crash leaves a store or none.
fn create(path: &Path, now: Timestamp) -> Result<()> {
    for ending in ["-wal", "-journal"] {
        let left = beside(path, ending);
        if left.exists() {
            let reason = format!("the file is missing, but `{}` is there", left.display());
            return Err(unusable(
                path,
                reason,
                "Put the store's file back beside it, or move that file away to begin anew",
            ));
        }
    }
    let new = beside(path, ".new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(cannot(&new, &error)),
        _ => {}
    }
    fill(&new, now).map_err(|trouble| trouble.at(&new))?;
    fs::rename(&new, path).map_err(|error| cannot(path, &error))?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent).and_then(|directory| directory.sync_all()).map_err(|error| cannot(parent, &error))
}

fn fill(new: &Path, now: Timestamp) -> Outcome<()> {
    let conn = Connection::open(new)?;
    conn.execute_batch(&format!("PRAGMA synchronous = FULL; PRAGMA application_id = {APPLICATION_ID};"))?;
    migrate(&conn, 0)?;
    let mut random = [[0u8; 32]; 2];
    for bytes in &mut random {
        getrandom::fill(bytes).map_err(|error| super::Trouble::unreadable(format!("no random bytes: {error}")))?;
    }
    let [store, key] = random;
    let sql = "INSERT INTO meta (name, value) VALUES ('store', ?1), ('address-key', ?2), ('created', ?3)";
    conn.execute(sql, params![store, key, now.0])?;
    conn.close().map_err(|(_, error)| error)?;
    Ok(())
}

/// Each migration with the new version in one transaction: a half-done one is done again.
fn migrate(conn: &Connection, version: usize) -> Outcome<()> {
    for (number, migration) in MIGRATIONS.iter().enumerate().skip(version) {
        let version = number + 1;
        conn.execute_batch(&format!("BEGIN IMMEDIATE; {migration} PRAGMA user_version = {version}; COMMIT;"))?;
    }
    Ok(())
}

/// What SQLite itself would notice late or take for an empty database.
fn check_header(path: &Path) -> Result<()> {
    let mut header = Vec::new();
    let read = File::open(path).and_then(|file| file.take(100).read_to_end(&mut header));
    read.map_err(|error| cannot(path, &error))?;
    let length = fs::metadata(path).map_err(|error| cannot(path, &error))?.len();
    let restore = "Move it away and restore the latest backup, or move it away to begin with an empty store";
    if !header.starts_with(b"SQLite format 3\0") {
        return Err(unusable(path, "it is no SQLite database", restore));
    }
    // Big-endian: the page's size at 16 (1 stands for 65,536), the number of pages at 28.
    let page = match header.get(16..18) {
        Some(&[0, 1]) => 65_536,
        Some(&[high, low]) => u64::from(u16::from_be_bytes([high, low])),
        _ => 0,
    };
    let pages = header.get(28..32).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes);
    // With a log beside it, part of the pages may be in there.
    let log = fs::metadata(beside(path, "-wal")).map_or(0, |wal| wal.len());
    if log == 0 && length < page * u64::from(pages) {
        return Err(unusable(path, format!("it is cut off: {length} bytes of {}", page * u64::from(pages)), restore));
    }
    Ok(())
}

/// The schema's version, of a store that is ours.
fn check_ours(conn: &Connection, path: &Path) -> Result<usize> {
    let at = |error: rusqlite::Error| super::Trouble::from(error).at(path);
    let number = |name: &str| conn.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0)).map_err(at);
    if number("application_id")? != APPLICATION_ID {
        return Err(unusable(path, "it is another program's database", "Correct the store's path"));
    }
    let version = number("user_version")?;
    let known = MIGRATIONS.len();
    match usize::try_from(version) {
        Ok(version) if (1..=known).contains(&version) => Ok(version),
        Ok(version) if version > known => Err(unusable(
            path,
            format!("it is from a newer version of relais (schema {version}, this one knows {known})"),
            "Run that version or a later one; there is no way back",
        )),
        _ => Err(unusable(path, "it was never finished", "Move it away to begin with an empty store")),
    }
}

/// The key under which addresses are hashed.
pub(super) fn address_key(conn: &Connection, path: &Path) -> Result<[u8; 32]> {
    let found =
        conn.query_row("SELECT value FROM meta WHERE name = 'address-key'", [], |row| row.get::<_, [u8; 32]>(0));
    found.optional().map_err(|error| super::Trouble::from(error).at(path))?.ok_or_else(|| {
        unusable(path, "its key is missing, so it is damaged", "Move it away and restore the latest backup")
    })
}
