//! Reading a whole store, to move it elsewhere: nobody else has it open meanwhile, and nothing in it is changed.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, params_from_iter, types::ValueRef};

use super::{
    Settings,
    error::{Outcome, Trouble},
    open,
};
use crate::store::{
    Result,
    migrate::table::{Row, Table, Value},
};

/// A store that stands still for as long as this is held.
pub(in crate::store) struct Export {
    path: PathBuf,
    settings: Settings,
    /// Which store it is.
    pub(in crate::store) id: [u8; 32],
    pub(in crate::store) address_key: [u8; 32],
    /// The schema that it had, and the one it was brought to, where it was an older one.
    pub(in crate::store) upgraded: Option<(usize, usize)>,
    _lock: File,
}

/// Rows that are handed on together: some thousand, and fewer where they are large.
const BATCH_ROWS: usize = 4_000;
const BATCH_BYTES: usize = 8 << 20;

impl Export {
    /// Opens it as a host would, with the same checks, and with its schema brought up to date.
    pub(in crate::store) fn open(path: &Path, settings: &Settings) -> Result<Export> {
        let lock = open::lock_to_move(path)?;
        let (conn, version) = open::existing(path, settings)?;
        let known = open::MIGRATIONS.len();
        Ok(Export {
            path: path.to_owned(),
            settings: settings.clone(),
            id: open::store_id(&conn, path)?,
            address_key: open::address_key(&conn, path)?,
            upgraded: (version < known).then_some((version, known)),
            _lock: lock,
        })
    }

    /// All rows after a key, in the order of their keys, in batches. Ends early where `take` says `false`.
    pub(in crate::store) fn rows(
        &self,
        table: &Table,
        after: Option<&[Value]>,
        take: impl FnMut(Vec<Row>) -> bool,
    ) -> Result<()> {
        let at = |trouble: Trouble| trouble.at(&self.path);
        let conn = open::reader(&self.path, &self.settings).map_err(at)?;
        read(&conn, table, after, take).map_err(at)
    }
}

fn read(
    conn: &Connection,
    table: &Table,
    after: Option<&[Value]>,
    mut take: impl FnMut(Vec<Row>) -> bool,
) -> Outcome<()> {
    let mut statement = conn.prepare(&query(table, after.is_some()))?;
    let params = after.unwrap_or_default().iter().map(to_sqlite);
    let mut rows = statement.query(params_from_iter(params))?;
    let columns = table.columns().len();
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let mut values = Row::with_capacity(columns);
        for no in 0..columns {
            values.push(from_sqlite(row.get_ref(no)?, table)?);
        }
        table.fill(&mut values);
        bytes += values.iter().map(Value::bytes).sum::<usize>();
        batch.push(values);
        if batch.len() >= BATCH_ROWS || bytes >= BATCH_BYTES {
            bytes = 0;
            if !take(std::mem::take(&mut batch)) {
                return Ok(());
            }
        }
    }
    if !batch.is_empty() {
        take(batch);
    }
    Ok(())
}

fn query(table: &Table, after: bool) -> String {
    let (columns, from) = table.in_sqlite();
    let key = table.key.join(", ");
    let places: Vec<&str> = table.key.iter().map(|_| "?").collect();
    let after = if after { format!("WHERE ({key}) > ({})", places.join(", ")) } else { String::new() };
    format!("SELECT {columns} FROM {from} {after} ORDER BY {key}")
}

fn to_sqlite(value: &Value) -> rusqlite::types::Value {
    match value {
        Value::Null => rusqlite::types::Value::Null,
        Value::Int(number) => rusqlite::types::Value::Integer(*number),
        Value::Text(text) => rusqlite::types::Value::Text(text.clone()),
        Value::Bytes(bytes) => rusqlite::types::Value::Blob(bytes.clone()),
    }
}

fn from_sqlite(value: ValueRef<'_>, table: &Table) -> Outcome<Value> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Int(number),
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(error) => return Err(Trouble::unreadable(format!("text in `{}` is no UTF-8: {error}", table.name))),
        },
        ValueRef::Real(_) => return Err(Trouble::unreadable(format!("`{}` holds a fraction", table.name))),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::store::migrate::table::TABLES;

    #[test]
    fn every_table_and_column_of_the_schema_is_moved() {
        let conn = Connection::open_in_memory().unwrap();
        open::MIGRATIONS.iter().for_each(|migration| conn.execute_batch(migration).unwrap());
        let list = |sql: &str| -> BTreeSet<String> {
            let mut statement = conn.prepare(sql).unwrap();
            statement.query_map([], |row| row.get(0)).unwrap().map(|name| name.unwrap()).collect()
        };
        // Of `meta` the address key is moved, by itself.
        let tables =
            list("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT IN ('meta', 'sqlite_sequence')");
        assert_eq!(tables, TABLES.iter().map(|table| table.name.to_owned()).collect());
        for table in &TABLES {
            let there = list(&format!("SELECT name FROM pragma_table_info('{}')", table.name));
            let moved: BTreeSet<String> = table.columns().iter().map(|column| column.name.to_owned()).collect();
            let missing: Vec<_> = there.difference(&moved).collect();
            assert!(missing.is_empty(), "{}: {missing:?} would be left behind", table.name);
            conn.prepare(&query(table, true)).unwrap();
        }
    }
}
