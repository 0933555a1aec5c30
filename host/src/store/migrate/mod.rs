//! Moving a store from SQLite to PostgreSQL: `relais migrate`.
//!
//! In: a store whose host is stopped, and an empty database. Out: the same store in the database, compared row by row, and a
//! report; the file as it was. Every row is read once first, counted, digested ([`table::Adder`]) and looked at for what
//! PostgreSQL cannot hold; then all rows are written in the order of their keys, a transaction for each batch; then they are
//! read back and digested alike.
//!
//! What can go wrong: anything may end it at any point. A mark in the database says that it is not complete, hosts refuse a
//! database that bears it, and the next `relais migrate` goes on after the last row that arrived, or begins anew.
//!
//! It never changes what the file holds, never adds to a database that is in use, never empties one that does not bear its
//! mark, and never takes the mark away before both sides are the same.

pub(in crate::store) mod table;

use std::{path::PathBuf, sync::Arc};

use tokio::sync::mpsc;

use self::table::{Adder, Row, Sum, TABLES, Table, hex};
use super::{
    Settings,
    postgres::{Import, Mark},
    sqlite::Export,
};

/// Why a store was not moved.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] super::Error),
    #[error(
        "the database at {place} is in use: `{table}` has rows. A store is moved into an empty database only, and nothing was \
         changed; make another one (createdb)"
    )]
    NotEmpty { place: String, table: &'static str },
    #[error("hosts work on the database at {place}: {}. Stop them first; nothing was moved", .hosts.join(", "))]
    HostsAtWork { place: String, hosts: Vec<String> },
    #[error(
        "a move of another store ({from}) into the database at {place} was not finished. Finish it, or run this one with \
         --restart, which throws away what was moved so far"
    )]
    AnotherMove { place: String, from: String },
    #[error("somebody else is moving a store into the database at {place}. Let that end")]
    Busy { place: String },
    #[error("PostgreSQL cannot hold some of the values, and nothing was moved:\n{}", .0.join("\n"))]
    Misfits(Vec<String>),
    #[error("reading the file ended early, which is a bug; run it again")]
    ReaderGone,
}

pub type Result<T> = std::result::Result<T, Error>;

/// What is to be moved where.
#[derive(Clone, Debug)]
pub struct Move {
    pub from: PathBuf,
    pub to: String,
    pub settings: Settings,
    /// Throws away what an earlier move left unfinished.
    pub restart: bool,
}

/// What is being done with the rows of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Reading,
    Moving,
    Comparing,
}

/// What is told while it goes on.
#[derive(Clone, Debug)]
pub enum Progress {
    Note(String),
    /// So many rows of a table are done; of how many is not known while they are counted.
    Rows {
        step: Step,
        table: &'static str,
        done: u64,
        total: Option<u64>,
    },
    /// All of a table's rows are.
    Done {
        step: Step,
        table: &'static str,
        rows: u64,
    },
}

/// A table on both sides.
#[derive(Clone, Debug)]
pub struct Compared {
    pub table: &'static str,
    pub rows: u64,
    pub arrived: u64,
    /// Every value of every row.
    pub same: bool,
}

/// Moves the store. The database is one that hosts may open if all that was compared is the same.
pub async fn run(order: Move, tell: &mut (dyn FnMut(Progress) + Send)) -> Result<Vec<Compared>> {
    let (path, settings) = (order.from.clone(), order.settings.sqlite.clone());
    let export = tokio::task::spawn_blocking(move || Export::open(&path, &settings)).await;
    let export = Arc::new(export.map_err(|_| Error::ReaderGone)??);
    if let Some((before, now)) = export.upgraded {
        tell(Progress::Note(format!(
            "the file was brought from schema {before} to {now}, as a start of the host does"
        )));
    }
    let import = Import::open(&order.to, &order.settings.postgres).await?;
    let import = import.ok_or_else(|| Error::Busy { place: order.to.clone() })?;
    let mark = Mark { store: hex(&export.id), from: order.from.display().to_string() };
    let found = may_move(&order, &import, &mark).await?;
    let sums = read_all(&export, tell).await?;
    let anew = order.restart && found.is_some();
    match (&found, anew) {
        (Some(_), true) => tell(Progress::Note("what an earlier move left is thrown away".to_owned())),
        (Some(_), false) => {
            tell(Progress::Note("an earlier move was not finished: this one goes on with it".to_owned()))
        }
        (None, _) => {}
    }
    import.begin(&mark, &export.address_key, anew).await?;
    for (table, sum) in TABLES.iter().zip(&sums) {
        copy(&export, &import, table, sum.rows, tell).await?;
    }
    let compared = compare(&import, &sums, tell).await?;
    no_hosts(&order, &import).await?;
    if compared.iter().all(|table| table.same) {
        import.finish().await?;
    }
    Ok(compared)
}

/// Whether the database is empty, or holds a part of this very store; the mark of an earlier move.
async fn may_move(order: &Move, import: &Import, mark: &Mark) -> Result<Option<Mark>> {
    no_hosts(order, import).await?;
    let place = order.to.clone();
    match import.mark().await? {
        Some(found) if found.store != mark.store && !order.restart => {
            Err(Error::AnotherMove { place, from: found.from })
        }
        Some(found) => Ok(Some(found)),
        None => match import.first_table_in_use().await? {
            Some(table) => Err(Error::NotEmpty { place, table }),
            None => Ok(None),
        },
    }
}

async fn no_hosts(order: &Move, import: &Import) -> Result<()> {
    let hosts = import.living_hosts().await?;
    if hosts.is_empty() { Ok(()) } else { Err(Error::HostsAtWork { place: order.to.clone(), hosts }) }
}

/// Rows of the file, read on a thread while those before them are dealt with.
fn batches(export: &Arc<Export>, table: &'static Table, after: Option<Row>) -> Batches {
    /// Batches that may wait in memory.
    const WAITING: usize = 2;
    let (sender, receiver) = mpsc::channel(WAITING);
    let export = export.clone();
    let reading = tokio::task::spawn_blocking(move || {
        export.rows(table, after.as_deref(), |batch| sender.blocking_send(batch).is_ok())
    });
    Batches { receiver, reading: Some(reading) }
}

struct Batches {
    receiver: mpsc::Receiver<Vec<Row>>,
    reading: Option<tokio::task::JoinHandle<super::Result<()>>>,
}

impl Batches {
    /// `None` when all were read; what kept the rest from being read is an error.
    async fn next(&mut self) -> Result<Option<Vec<Row>>> {
        if let Some(batch) = self.receiver.recv().await {
            return Ok(Some(batch));
        }
        if let Some(reading) = self.reading.take() {
            reading.await.map_err(|_| Error::ReaderGone)??;
        }
        Ok(None)
    }
}

/// Reads everything once, before anything is written.
async fn read_all(export: &Arc<Export>, tell: &mut (dyn FnMut(Progress) + Send)) -> Result<Vec<Sum>> {
    /// More than that are not listed: who reads it has understood.
    const MISFITS_MAX: usize = 20;
    let step = Step::Reading;
    let (mut sums, mut misfits) = (Vec::new(), Vec::new());
    for table in &TABLES {
        let columns = table.columns();
        let mut adder = Adder::default();
        let mut batches = batches(export, table, None);
        while let Some(batch) = batches.next().await? {
            for row in &batch {
                adder.add(row);
                if misfits.len() < MISFITS_MAX {
                    misfits.extend(table.misfits(&columns, row));
                }
            }
            tell(Progress::Rows { step, table: table.name, done: adder.rows, total: None });
        }
        tell(Progress::Done { step, table: table.name, rows: adder.rows });
        sums.push(adder.sum());
    }
    if misfits.is_empty() { Ok(sums) } else { Err(Error::Misfits(misfits)) }
}

/// Writes what is not there yet.
async fn copy(
    export: &Arc<Export>,
    import: &Import,
    table: &'static Table,
    total: u64,
    tell: &mut (dyn FnMut(Progress) + Send),
) -> Result<()> {
    let step = Step::Moving;
    let (mut done, last) = import.position(table).await?;
    tell(Progress::Rows { step, table: table.name, done, total: Some(total) });
    let mut batches = batches(export, table, last);
    while let Some(batch) = batches.next().await? {
        import.write(table, &batch).await?;
        done += batch.len() as u64;
        tell(Progress::Rows { step, table: table.name, done, total: Some(total) });
    }
    tell(Progress::Done { step, table: table.name, rows: done });
    Ok(())
}

async fn compare(import: &Import, sums: &[Sum], tell: &mut (dyn FnMut(Progress) + Send)) -> Result<Vec<Compared>> {
    let step = Step::Comparing;
    let mut compared = Vec::new();
    for (table, sum) in TABLES.iter().zip(sums) {
        let (name, total) = (table.name, Some(sum.rows));
        let arrived = import.sum(table, |done| tell(Progress::Rows { step, table: name, done, total })).await?;
        tell(Progress::Done { step, table: name, rows: arrived.rows });
        compared.push(Compared { table: name, rows: sum.rows, arrived: arrived.rows, same: arrived == *sum });
    }
    Ok(compared)
}
