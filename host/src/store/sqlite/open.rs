//! Opening the file: ours, whole, not newer than this program, and nobody else's at the moment. Anything else is refused with
//! what to do about it; a store is never begun anew because the one there could not be opened.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read},
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags, OptionalExtension, config::DbConfig, params};

use super::{Settings, Trouble, error::Outcome, log};
use crate::{
    clock::Timestamp,
    store::{Error, Result},
};

/// `RELA`, in the header of the file: what says that it is ours.
const APPLICATION_ID: u32 = 0x5245_4c41;

/// Forward only, in order; the number of those applied is the file's `user_version`.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_begin.sql"),
    include_str!("migrations/0002_flows.sql"),
    include_str!("migrations/0003_retention.sql"),
    include_str!("migrations/0004_due_by_tenant.sql"),
    include_str!("migrations/0005_plugins.sql"),
    include_str!("migrations/0006_plugin_use.sql"),
    include_str!("migrations/0007_attempt_parts.sql"),
];

fn unusable(path: &Path, reason: impl Into<String>, advice: impl Into<String>) -> Error {
    Error::Unusable { place: path.display().to_string(), reason: reason.into(), advice: advice.into() }
}

/// Held for as long as the store is open.
pub(super) fn lock(path: &Path) -> Result<File> {
    make_directory(path)?;
    let advice = "Two hosts cannot share an SQLite store: stop the other one, or give this one a store of its own";
    try_lock(path, advice)
}

fn try_lock(path: &Path, advice: &str) -> Result<File> {
    let place = beside(path, ".lock");
    let file = File::options().create(true).truncate(false).write(true).open(&place);
    let file = file.map_err(|error| cannot(&place, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(unusable(path, "another host has it open", advice)),
        Err(TryLockError::Error(error)) => Err(cannot(&place, &error)),
    }
}

/// The lock of a store that must be there: nothing is made in its place.
pub(super) fn lock_to_move(path: &Path) -> Result<File> {
    if !is_there(path)? {
        let advice = "Correct its path: it is the one in `store.url` of the host whose store is to be moved";
        return Err(unusable(path, "there is no such file", advice));
    }
    try_lock(path, "Stop that host first: what it accepted meanwhile would not be moved")
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
    if !is_there(path)? {
        create(path, now)?;
    }
    Ok(existing(path, settings)?.0)
}

/// The same to a file that is there, with the version that its schema had before.
pub(super) fn existing(path: &Path, settings: &Settings) -> Result<(Connection, usize)> {
    check_header(path)?;
    check_log(path)?;
    let at = |trouble: Trouble| trouble.at(path);
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX);
    let conn = conn.map_err(Trouble::from).map_err(at)?;
    // What is refused stays as it is: closing would move the log into the file. Where there is none, closing takes away the
    // empty one that looking at the file makes.
    keep_log(&conn, log_bytes(path) > 0).map_err(at)?;
    conn.busy_timeout(settings.busy_timeout()).map_err(Trouble::from).map_err(at)?;
    // SQLite opens what it may not write for reading, and says so at the first commit.
    if conn.is_readonly("main").map_err(Trouble::from).map_err(at)? {
        return Err(read_only(path));
    }
    let version = check_ours(&conn, path)?;
    check_whole(&conn, path, settings)?;
    prepare_writer(&conn, settings).map_err(at)?;
    settle(&conn).and_then(|()| migrate(&conn, version)).and_then(|()| keep_log(&conn, false)).map_err(at)?;
    Ok((conn, version))
}

/// Which store this is, wherever its file is moved.
pub(super) fn store_id(conn: &Connection, path: &Path) -> Result<[u8; 32]> {
    let found = conn.query_row("SELECT value FROM meta WHERE name = 'store'", [], |row| row.get::<_, [u8; 32]>(0));
    found.map_err(|error| Trouble::from(error).at(path))
}

/// Whether there is a store to be opened. Anything but a plain yes or no is refused: what cannot be looked at may be one.
fn is_there(path: &Path) -> Result<bool> {
    let link = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        found => found.map_err(|error| cannot(path, &error))?.is_symlink(),
    };
    match fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(true),
        Ok(_) => Err(unusable(path, "it is no file", "Correct the store's path: it names a file in that directory")),
        Err(error) if link && error.kind() == io::ErrorKind::NotFound => {
            let advice = "Mount or restore what it points to, or remove the link to begin with an empty store";
            Err(unusable(path, "it is a link to something that is not there", advice))
        }
        Err(error) => Err(cannot(path, &error)),
    }
}

fn read_only(path: &Path) -> Error {
    let advice = "Let the host's user write the file, and look whether its disk is mounted for reading only";
    unusable(path, "it can be read and not written", advice)
}

fn keep_log(conn: &Connection, keep: bool) -> Outcome<()> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep)?;
    Ok(())
}

/// Moves what the log holds into the file, on disk, before anything is built upon it. A host whose last sync failed may have
/// died with the commit in the operating system's memory and not on the disk, and a sync that comes later says nothing about
/// what an earlier one failed to write: it is seen, and may be gone after a power cut with everything behind it.
fn settle(conn: &Connection) -> Outcome<()> {
    let busy: i64 = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy != 0 {
        tracing::warn!("another program is reading the store, so its log is not emptied at this start");
    }
    Ok(())
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
    // Plans do not depend on the values bound: a statement is prepared once, and not again for other values.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    let mode: String = conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        let what = format!("its journal mode is `{mode}` and cannot be `wal` (is it on a network file system?)");
        return Err(Trouble::unreadable(what));
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
    // What an earlier start left that was killed while it made this one.
    for left in [beside(path, ".new-journal"), new.clone()] {
        match fs::remove_file(&left) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(cannot(&left, &error)),
            _ => {}
        }
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
        getrandom::fill(bytes).map_err(|error| Trouble::unreadable(format!("no random bytes: {error}")))?;
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
    // Asked of the bytes, because SQLite could change another program's file by looking into it.
    if word(&header, 68) != APPLICATION_ID {
        return Err(unusable(path, "it is another program's database", "Correct the store's path"));
    }
    // Big-endian: the page's size at 16 (1 stands for 65,536), the number of pages at 28.
    let page = match header.get(16..18) {
        Some(&[0, 1]) => 65_536,
        Some(&[high, low]) => u64::from(u16::from_be_bytes([high, low])),
        _ => 0,
    };
    let pages = word(&header, 28);
    if !page.is_power_of_two() || !(512..=65_536).contains(&page) {
        return Err(unusable(path, "it is damaged: its header makes no sense", restore));
    }
    // With a log beside it, part of the pages may be in there.
    if log_bytes(path) == 0 && length < page * u64::from(pages) {
        return Err(unusable(path, format!("it is cut off: {length} bytes of {}", page * u64::from(pages)), restore));
    }
    // The log may hold a later version and no earlier one.
    newer(path, i64::from(word(&header, 60)))
}

fn log_bytes(path: &Path) -> u64 {
    fs::metadata(beside(path, "-wal")).map_or(0, |log| log.len())
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes)
}

fn check_log(path: &Path) -> Result<()> {
    let log = beside(path, "-wal");
    match log::damage(&log).map_err(|error| cannot(&log, &error))? {
        None => Ok(()),
        Some(what) => Err(unusable(
            path,
            format!("its log `{}` is damaged: {what}", log.display()),
            "Keep a copy of both and restore the latest backup, or move the log away to go on without what was written last",
        )),
    }
}

/// Reads all of a store that is small enough for it to be quick. In a larger one damage is found when it is come upon.
fn check_whole(conn: &Connection, path: &Path, settings: &Settings) -> Result<()> {
    let length = fs::metadata(path).map_err(|error| cannot(path, &error))?.len();
    if length > settings.check_bytes_max {
        return Ok(());
    }
    let found: String =
        conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(|error| Trouble::from(error).at(path))?;
    if found == "ok" {
        return Ok(());
    }
    let advice = "Keep a copy of it with its `-wal`, and restore the latest backup";
    Err(unusable(path, format!("it is damaged: {}", found.replace('\n', ", ")), advice))
}

/// The schema's version, of a store that is ours.
fn check_ours(conn: &Connection, path: &Path) -> Result<usize> {
    let at = |error: rusqlite::Error| Trouble::from(error).at(path);
    let number = |name: &str| conn.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0)).map_err(at);
    let version = number("user_version")?;
    let known = MIGRATIONS.len();
    newer(path, version)?;
    match usize::try_from(version) {
        Ok(version) if (1..=known).contains(&version) => Ok(version),
        _ => Err(unusable(path, "it was never finished", "Move it away to begin with an empty store")),
    }
}

fn newer(path: &Path, version: i64) -> Result<()> {
    let known = MIGRATIONS.len();
    if version <= known as i64 {
        return Ok(());
    }
    Err(unusable(
        path,
        format!("it is from a newer version of relais (schema {version}, this one knows {known})"),
        "Run that version or a later one; there is no way back",
    ))
}

/// The key under which addresses are hashed.
pub(super) fn address_key(conn: &Connection, path: &Path) -> Result<[u8; 32]> {
    let found =
        conn.query_row("SELECT value FROM meta WHERE name = 'address-key'", [], |row| row.get::<_, [u8; 32]>(0));
    found.optional().map_err(|error| Trouble::from(error).at(path))?.ok_or_else(|| {
        unusable(path, "its key is missing, so it is damaged", "Move it away and restore the latest backup")
    })
}
