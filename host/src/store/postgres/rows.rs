//! From columns to values of the domain.

use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};
use tokio_postgres::Row;

use super::error::{Outcome, Trouble};
use crate::clock::Timestamp;

/// A name that may be absent: tenant, plugin, customer, entity.
pub(super) fn name<N: for<'t> From<&'t str>>(row: &Row, column: usize) -> Outcome<Option<N>> {
    Ok(row.try_get::<_, Option<&str>>(column)?.map(N::from))
}

pub(super) fn must_name<N: for<'t> From<&'t str>>(row: &Row, column: usize) -> Outcome<N> {
    Ok(N::from(row.try_get::<_, &str>(column)?))
}

pub(super) fn must_time(row: &Row, column: usize) -> Outcome<Timestamp> {
    Ok(Timestamp(row.try_get(column)?))
}

pub(super) fn time(row: &Row, column: usize) -> Outcome<Option<Timestamp>> {
    Ok(row.try_get::<_, Option<i64>>(column)?.map(Timestamp))
}

/// A number that is never negative: `integer` in the table.
pub(super) fn count(row: &Row, column: usize) -> Outcome<u32> {
    let number: i32 = row.try_get(column)?;
    u32::try_from(number).map_err(|_| wrong(row, column, &format!("{number} is negative")))
}

/// The 16 bytes of an id.
pub(super) fn id(row: &Row, column: usize) -> Outcome<[u8; 16]> {
    let bytes: &[u8] = row.try_get(column)?;
    bytes.try_into().map_err(|_| wrong(row, column, "it does not have the 16 bytes of an id"))
}

pub(super) fn id_or_none(row: &Row, column: usize) -> Outcome<Option<[u8; 16]>> {
    match row.try_get::<_, Option<&[u8]>>(column)? {
        Some(_) => id(row, column).map(Some),
        None => Ok(None),
    }
}

pub(super) fn shared_text(row: &Row, column: usize) -> Outcome<Arc<str>> {
    Ok(Arc::from(row.try_get::<_, &str>(column)?))
}

/// A word of a fixed list.
pub(super) fn word<T>(row: &Row, column: usize, parse: impl Fn(&str) -> Option<T>) -> Outcome<T> {
    let text: &str = row.try_get(column)?;
    parse(text).ok_or_else(|| wrong(row, column, &format!("`{text}` is no word that is known here")))
}

pub(super) fn json<T: DeserializeOwned>(row: &Row, column: usize) -> Outcome<T> {
    let text: &str = row.try_get(column)?;
    serde_json::from_str(text).map_err(|error| wrong(row, column, &error.to_string()))
}

pub(super) fn json_or_none<T: DeserializeOwned>(row: &Row, column: usize) -> Outcome<Option<T>> {
    match row.try_get::<_, Option<&str>>(column)? {
        Some(_) => json(row, column).map(Some),
        None => Ok(None),
    }
}

/// JSON text for a column that is NULL where there is nothing to say.
pub(super) fn to_json<T: Serialize>(value: Option<&T>) -> Result<Option<String>, serde_json::Error> {
    value.map(serde_json::to_string).transpose()
}

fn wrong(row: &Row, column: usize, what: &str) -> Trouble {
    let name = row.columns().get(column).map_or("?", |column| column.name());
    Trouble::Unreadable(format!("the column `{name}`: {what}"))
}
