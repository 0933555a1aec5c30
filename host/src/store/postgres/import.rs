//! Writing a whole store that comes from elsewhere: into tables that are empty, batch by batch, under a mark that says that it
//! is not complete. What was written is read back to be compared.

use std::error::Error as StdError;

use deadpool_postgres::{ClientWrapper, Object};
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use tokio_postgres::{
    Row as PgRow,
    binary_copy::BinaryCopyInWriter,
    error::SqlState,
    types::{IsNull, ToSql, Type, private::BytesMut, to_sql_checked},
};

use super::{
    Settings, connect,
    error::{Outcome, Trouble},
    open, read,
};
use crate::store::{
    Error, Result,
    migrate::table::{Adder, Column, Kind, Row, Sum, TABLES, Table, Value},
};

/// In `meta` for as long as a move is not complete.
const MARK: &str = "moving";
/// Has rows as soon as a host was started; they give way to those of the store that is moved.
const NOTED_AT_START: &str = "plugin_records";
/// Held by the one who moves. The number means nothing but must never change.
const LOCK: i64 = 0x4d4f_5645;
/// A move that was killed lets go of its lock when the server notices.
const LOCK_WAIT: &str = "20s";

/// Whose rows are being moved in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::store) struct Mark {
    /// The store, wherever its file is.
    pub(in crate::store) store: String,
    /// Where it was, for people.
    pub(in crate::store) from: String,
}

/// The mark of a move that is not complete, where there is one.
pub(super) async fn mark(client: &ClientWrapper) -> Outcome<Option<Mark>> {
    let sql = "SELECT value FROM meta WHERE name = $1";
    let found = read::one(client, sql, &[&MARK], |row| Ok(row.try_get::<_, Vec<u8>>(0)?)).await?;
    Ok(found.map(|bytes| serde_json::from_slice(&bytes)).transpose()?)
}

pub(in crate::store) struct Import {
    client: ClientWrapper,
    place: String,
}

impl Import {
    /// Connects, and brings the schema up to date. `None` where somebody else is moving a store into the same database.
    pub(in crate::store) async fn open(url: &str, settings: &Settings) -> Result<Option<Import>> {
        let at = |trouble: Trouble| trouble.at(url);
        let config = connect::config(url, settings).map_err(at)?;
        let pool = connect::pool(config, settings).map_err(at)?;
        let client = Object::take(connect::reader(&pool).await.map_err(at)?);
        open::bring_up_to_date(&client, url).await?;
        let import = Import { client, place: url.to_owned() };
        // Reading and sorting a large table takes as long as it takes.
        let sql = format!(
            "SET statement_timeout = 0; SET lock_timeout = '{LOCK_WAIT}'; SELECT pg_advisory_lock({LOCK}); \
             SET lock_timeout = 0"
        );
        match import.client.batch_execute(&sql).await {
            Ok(()) => Ok(Some(import)),
            Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => Ok(None),
            Err(error) => Err(at(Trouble::Sql(error))),
        }
    }

    fn at(&self) -> impl Fn(Trouble) -> Error {
        |trouble| trouble.at(&self.place)
    }

    pub(in crate::store) async fn mark(&self) -> Result<Option<Mark>> {
        mark(&self.client).await.map_err(self.at())
    }

    /// The hosts that work on this database now.
    pub(in crate::store) async fn living_hosts(&self) -> Result<Vec<String>> {
        let sql = "SELECT name FROM hosts WHERE expires > now() ORDER BY name";
        read::all(&self.client, sql, &[], |row| Ok(row.try_get(0)?)).await.map_err(self.at())
    }

    /// A table that has rows, if any has. What a host that was started once has noted of its plugins is no use of a database.
    pub(in crate::store) async fn first_table_in_use(&self) -> Result<Option<&'static str>> {
        for table in TABLES.iter().filter(|table| table.name != NOTED_AT_START) {
            let sql = format!("SELECT EXISTS (SELECT 1 FROM {})", table.name);
            let used = read::one(&self.client, &sql, &[], |row| Ok(row.try_get(0)?)).await.map_err(self.at())?;
            if used == Some(true) {
                return Ok(Some(table.name));
            }
        }
        Ok(None)
    }

    /// Writes the mark, and with it the key that addresses are hashed under: what was hashed must be found again.
    pub(in crate::store) async fn begin(&self, mark: &Mark, address_key: &[u8; 32], anew: bool) -> Result<()> {
        let begun = async {
            let value = serde_json::to_vec(mark)?;
            self.client.batch_execute(&format!("BEGIN; SELECT pg_advisory_xact_lock({})", open::LOCK)).await?;
            if anew {
                let names: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
                self.client.batch_execute(&format!("TRUNCATE {}", names.join(", "))).await?;
            }
            self.client.batch_execute(&format!("DELETE FROM {NOTED_AT_START}")).await?;
            let sql = "INSERT INTO meta (name, value) VALUES ($1, $2), ('address-key', $3) \
                       ON CONFLICT (name) DO UPDATE SET value = excluded.value";
            read::execute(&self.client, sql, &[&MARK, &value, &&address_key[..]]).await?;
            Ok(self.client.batch_execute("COMMIT").await?)
        };
        // A transaction that failed ends with the connection, because the whole move does.
        begun.await.map_err(self.at())
    }

    /// How many rows there are already, and the key of the last.
    pub(in crate::store) async fn position(&self, table: &Table) -> Result<(u64, Option<Row>)> {
        let position = async {
            let sql = format!("SELECT count(*) FROM {}", table.name);
            let rows: i64 = read::one(&self.client, &sql, &[], |row| Ok(row.try_get(0)?)).await?.unwrap_or(0);
            let columns = table.key_columns();
            let sql =
                format!("SELECT {} FROM {} ORDER BY {} LIMIT 1", names(&columns), table.name, order(table, " DESC"));
            let last = read::one(&self.client, &sql, &[], |row| from_postgres(row, &columns)).await?;
            Ok((u64::try_from(rows).unwrap_or(0), last))
        };
        position.await.map_err(self.at())
    }

    /// Adds rows: all of them or none.
    pub(in crate::store) async fn write(&self, table: &Table, rows: &[Row]) -> Result<()> {
        let written = async {
            let columns = table.columns();
            let sql = format!("COPY {} ({}) FROM STDIN (FORMAT binary)", table.name, names(&columns));
            let types: Vec<Type> = columns.iter().map(|column| type_of(column.kind)).collect();
            let sink = self.client.copy_in(&sql).await?;
            let mut writer = std::pin::pin!(BinaryCopyInWriter::new(sink, &types));
            for row in rows {
                let values: Vec<&(dyn ToSql + Sync)> = row.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
                writer.as_mut().write(&values).await?;
            }
            writer.finish().await?;
            Ok(())
        };
        written.await.map_err(self.at())
    }

    /// Reads all rows back.
    pub(in crate::store) async fn sum(&self, table: &Table, mut progress: impl FnMut(u64)) -> Result<Sum> {
        let sum = async {
            let columns = table.columns();
            let sql = format!("SELECT {} FROM {} ORDER BY {}", names(&columns), table.name, order(table, ""));
            let rows = self.client.query_raw(&sql, Vec::<&(dyn ToSql + Sync)>::new()).await?;
            let mut rows = std::pin::pin!(rows);
            let mut adder = Adder::default();
            while let Some(row) = rows.try_next().await? {
                adder.add(&from_postgres(&row, &columns)?);
                if adder.rows.is_multiple_of(4_000) {
                    progress(adder.rows);
                }
            }
            Ok(adder.sum())
        };
        sum.await.map_err(self.at())
    }

    /// New rows are numbered above those that were moved, and the database is a store that hosts may open.
    pub(in crate::store) async fn finish(&self) -> Result<()> {
        const SEQUENCES: [(&str, &str); 6] = [
            ("events_seq", "SELECT max(seq) FROM events"),
            // A timer and a result remember a run's number even where its row is gone.
            (
                "runs_seq",
                "SELECT greatest((SELECT max(seq) FROM runs), (SELECT max(generation) FROM timers), \
                 (SELECT max(seq) FROM run_results))",
            ),
            ("messages_seq", "SELECT max(seq) FROM messages"),
            ("incoming_seq", "SELECT max(seq) FROM incoming"),
            ("parked_receipts_id_seq", "SELECT max(id) FROM parked_receipts"),
            ("notices_seq_seq", "SELECT max(seq) FROM notices"),
        ];
        let finished = async {
            for (sequence, last) in SEQUENCES {
                // The sequence's own next number stays where it is higher: numbers are never given twice.
                let sql = format!(
                    "SELECT setval('{sequence}', greatest(l.last, s.last_value), true) \
                     FROM {sequence} s, ({last}) AS l (last) WHERE l.last IS NOT NULL"
                );
                self.client.batch_execute(&sql).await?;
            }
            let names: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
            self.client.batch_execute(&format!("ANALYZE {}", names.join(", "))).await?;
            read::execute(&self.client, "DELETE FROM meta WHERE name = $1", &[&MARK]).await?;
            Ok(())
        };
        finished.await.map_err(self.at())
    }
}

fn names(columns: &[Column]) -> String {
    columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ")
}

/// The order of SQLite, which compares text byte by byte whatever the database's language is.
fn order(table: &Table, direction: &str) -> String {
    let part = |column: &Column| match column.kind {
        Kind::Text => format!("{} COLLATE \"C\"{direction}", column.name),
        _ => format!("{}{direction}", column.name),
    };
    table.key_columns().iter().map(part).collect::<Vec<_>>().join(", ")
}

fn type_of(kind: Kind) -> Type {
    match kind {
        Kind::Int2 => Type::INT2,
        Kind::Int4 => Type::INT4,
        Kind::Int8 => Type::INT8,
        Kind::Bool => Type::BOOL,
        Kind::Text => Type::TEXT,
        Kind::Bytes => Type::BYTEA,
    }
}

fn from_postgres(row: &PgRow, columns: &[Column]) -> Outcome<Row> {
    let int = |number: Option<i64>| number.map_or(Value::Null, Value::Int);
    let value = |(no, column): (usize, &Column)| {
        Ok(match column.kind {
            Kind::Int2 => int(row.try_get::<_, Option<i16>>(no)?.map(i64::from)),
            Kind::Int4 => int(row.try_get::<_, Option<i32>>(no)?.map(i64::from)),
            Kind::Int8 => int(row.try_get(no)?),
            Kind::Bool => int(row.try_get::<_, Option<bool>>(no)?.map(i64::from)),
            Kind::Text => row.try_get::<_, Option<String>>(no)?.map_or(Value::Null, Value::Text),
            Kind::Bytes => row.try_get::<_, Option<Vec<u8>>>(no)?.map_or(Value::Null, Value::Bytes),
        })
    };
    columns.iter().enumerate().map(value).collect()
}

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> std::result::Result<IsNull, Box<dyn StdError + Sync + Send>> {
        match self {
            Value::Null => Ok(IsNull::Yes),
            Value::Int(number) if *ty == Type::BOOL => (*number != 0).to_sql(ty, out),
            Value::Int(number) if *ty == Type::INT2 => i16::try_from(*number)?.to_sql(ty, out),
            Value::Int(number) if *ty == Type::INT4 => i32::try_from(*number)?.to_sql(ty, out),
            Value::Int(number) => number.to_sql(ty, out),
            Value::Text(text) => text.to_sql(ty, out),
            Value::Bytes(bytes) => bytes.to_sql(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        [Type::BOOL, Type::INT2, Type::INT4, Type::INT8, Type::TEXT, Type::BYTEA].contains(ty)
    }

    to_sql_checked!();
}
