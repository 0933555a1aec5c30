//! Rows that a transaction writes, collected and then written with one statement for each table.
//!
//! A statement unnests one array for each column, so that a hundred rows cost one round trip, one plan and one parse. Within a
//! transaction the last value of a row holds: a row that is given again under the same key replaces the one before.

use std::collections::HashMap;

use deadpool_postgres::ClientWrapper;
use tokio_postgres::{Statement, error::SqlState, types::ToSql};

use super::error::{Outcome, Trouble};

/// One value of a row, as wide as PostgreSQL's arrays of it; the server narrows it to the column.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Int(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
    Bool(bool),
}

impl From<i64> for Value {
    fn from(value: i64) -> Value {
        Value::Int(Some(value))
    }
}
impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Value {
        Value::Int(value)
    }
}
impl From<u32> for Value {
    fn from(value: u32) -> Value {
        Value::Int(Some(i64::from(value)))
    }
}
impl From<&str> for Value {
    fn from(value: &str) -> Value {
        Value::Text(Some(value.to_owned()))
    }
}
impl From<String> for Value {
    fn from(value: String) -> Value {
        Value::Text(Some(value))
    }
}
impl From<Option<String>> for Value {
    fn from(value: Option<String>) -> Value {
        Value::Text(value)
    }
}
impl From<Option<&str>> for Value {
    fn from(value: Option<&str>) -> Value {
        Value::Text(value.map(str::to_owned))
    }
}
impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Value {
        Value::Bytes(Some(value.to_vec()))
    }
}
impl From<Option<&[u8]>> for Value {
    fn from(value: Option<&[u8]>) -> Value {
        Value::Bytes(value.map(<[u8]>::to_vec))
    }
}
impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Bool(value)
    }
}

/// A row from values of any kind.
macro_rules! row {
    ($($value:expr),* $(,)?) => { vec![$($crate::store::postgres::table::Value::from($value)),*] };
}
pub(super) use row;

/// What is done with rows.
pub(super) struct Table {
    /// For messages about conflicts.
    pub(super) name: &'static str,
    /// `name type, name type`: the types are those of the arrays (`int8`, `text`, `bytea`, `bool`).
    pub(super) columns: &'static str,
    /// The statement, with `{columns}` for the names and `{rows}` for what unnests the arrays as `n`.
    pub(super) sql: &'static str,
    /// Every row must have been written, or somebody else was faster.
    pub(super) all: bool,
}

impl Table {
    pub(super) async fn prepare(&self, client: &ClientWrapper) -> Outcome<Statement> {
        Ok(client.prepare_cached(&statement(self)).await?)
    }
}

/// Rows for one table.
#[derive(Default)]
pub(super) struct Rows {
    rows: Vec<Vec<Value>>,
    places: HashMap<Vec<u8>, usize>,
}

impl Rows {
    pub(super) fn push(&mut self, row: Vec<Value>) {
        self.rows.push(row);
    }

    /// Replaces the row that was given under the same key before.
    pub(super) fn set(&mut self, key: Vec<u8>, row: Vec<Value>) {
        let next = self.rows.len();
        let place = *self.places.entry(key).or_insert(next);
        match self.rows.get_mut(place) {
            Some(old) => *old = row,
            None => self.rows.push(row),
        }
    }

    /// The row that was given under this key, to change it.
    pub(super) fn get_mut(&mut self, key: &[u8]) -> Option<&mut Vec<Value>> {
        let place = *self.places.get(key)?;
        self.rows.get_mut(place)
    }

    /// Takes back the row that was given under this key. `false` where there is none.
    pub(super) fn take_back(&mut self, key: &[u8]) -> bool {
        let Some(place) = self.places.remove(key) else { return false };
        // Its place stays, empty, so that the places of the others hold.
        if let Some(row) = self.rows.get_mut(place) {
            row.clear();
        }
        true
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.iter().all(Vec::is_empty)
    }

    pub(super) async fn write(&self, client: &ClientWrapper, table: &Table, statement: Statement) -> Outcome<()> {
        let rows: Vec<&Vec<Value>> = self.rows.iter().filter(|row| !row.is_empty()).collect();
        let columns = columns(table, &rows)?;
        let mut params: Vec<&(dyn ToSql + Sync)> = columns.iter().map(Column::param).collect();
        let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
        if table.all {
            params.push(&count);
        }
        match client.execute(&statement, &params).await {
            Ok(_) => Ok(()),
            Err(error) if table.all && error.code() == Some(&SqlState::DIVISION_BY_ZERO) => {
                Err(Trouble::Conflict(table.name))
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn statement(table: &Table) -> String {
    let (mut names, mut arrays) = (Vec::new(), Vec::new());
    for (no, column) in table.columns.split(',').enumerate() {
        let mut words = column.split_whitespace();
        names.push(words.next().unwrap_or_default());
        arrays.push(format!("${}::{}[]", no + 1, words.next().unwrap_or_default()));
    }
    let names = names.join(", ");
    let rows = format!("unnest({}) AS n ({names})", arrays.join(", "));
    let sql = table.sql.replace("{columns}", &names).replace("{rows}", &rows);
    if !table.all {
        return sql;
    }
    // The commit is sent behind it unseen, so it is the server that must find a row missing, and fail.
    let count = arrays.len() + 1;
    format!("WITH written AS ({sql} RETURNING 1) SELECT 1 / (count(*) = ${count}::int8)::int4 FROM written")
}

enum Column<'a> {
    Ints(Vec<Option<i64>>),
    Texts(Vec<Option<&'a str>>),
    Bytes(Vec<Option<&'a [u8]>>),
    Bools(Vec<bool>),
}

impl Column<'_> {
    fn param(&self) -> &(dyn ToSql + Sync) {
        match self {
            Column::Ints(values) => values,
            Column::Texts(values) => values,
            Column::Bytes(values) => values,
            Column::Bools(values) => values,
        }
    }
}

fn columns<'a>(table: &Table, rows: &[&'a Vec<Value>]) -> Outcome<Vec<Column<'a>>> {
    let mut columns = Vec::new();
    for column in table.columns.split(',') {
        columns.push(match column.split_whitespace().nth(1) {
            Some("int8") => Column::Ints(Vec::with_capacity(rows.len())),
            Some("text") => Column::Texts(Vec::with_capacity(rows.len())),
            Some("bytea") => Column::Bytes(Vec::with_capacity(rows.len())),
            _ => Column::Bools(Vec::with_capacity(rows.len())),
        });
    }
    for row in rows {
        for (column, value) in columns.iter_mut().zip(row.iter()) {
            match (column, value) {
                (Column::Ints(values), Value::Int(value)) => values.push(*value),
                (Column::Texts(values), Value::Text(value)) => values.push(value.as_deref()),
                (Column::Bytes(values), Value::Bytes(value)) => values.push(value.as_deref()),
                (Column::Bools(values), Value::Bool(value)) => values.push(*value),
                _ => return Err(Trouble::Unreadable(format!("a value of another kind for `{}`", table.name))),
            }
        }
    }
    Ok(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_row_holds() {
        let mut rows = Rows::default();
        rows.set(vec![1], row![1i64, "a"]);
        rows.push(row![2i64, "b"]);
        rows.set(vec![1], row![1i64, "c"]);
        assert_eq!(rows.rows, [row![1i64, "c"], row![2i64, "b"]]);
        assert!(rows.take_back(&[1]) && !rows.take_back(&[1]));
        assert_eq!(rows.rows, [vec![], row![2i64, "b"]]);
    }

    #[test]
    fn a_statement_unnests_one_array_for_each_column() {
        let table = |all| Table {
            name: "things",
            columns: "seq int8, name text",
            sql: "INSERT INTO things ({columns}) SELECT {columns} FROM {rows}",
            all,
        };
        let insert =
            "INSERT INTO things (seq, name) SELECT seq, name FROM unnest($1::int8[], $2::text[]) AS n (seq, name)";
        assert_eq!(statement(&table(false)), insert);
        let counted =
            format!("WITH written AS ({insert} RETURNING 1) SELECT 1 / (count(*) = $3::int8)::int4 FROM written");
        assert_eq!(statement(&table(true)), counted);
    }
}
