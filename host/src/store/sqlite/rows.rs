//! From columns to values of the domain.

use std::sync::Arc;

use rusqlite::{Row, types::Type};
use serde::{Serialize, de::DeserializeOwned};

use super::error::{Outcome, Trouble};
use crate::clock::Timestamp;

/// A name that may be absent: tenant, plugin, customer, entity.
pub(super) fn name<N: for<'t> From<&'t str>>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<N>> {
    Ok(row.get_ref(column)?.as_str_or_null()?.map(N::from))
}

pub(super) fn must_name<N: for<'t> From<&'t str>>(row: &Row<'_>, column: usize) -> rusqlite::Result<N> {
    Ok(N::from(row.get_ref(column)?.as_str()?))
}

pub(super) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp))
}

pub(super) fn shared_text(row: &Row<'_>, column: usize) -> rusqlite::Result<Arc<str>> {
    Ok(Arc::from(row.get_ref(column)?.as_str()?))
}

/// A word of a fixed list.
pub(super) fn word<T>(row: &Row<'_>, column: usize, parse: impl Fn(&str) -> Option<T>) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    parse(text).ok_or_else(|| wrong(column, format!("`{text}` is no word that is known here")))
}

pub(super) fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}

pub(super) fn json_or_none<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>> {
    match row.get_ref(column)?.as_str_or_null()? {
        Some(_) => json(row, column).map(Some),
        None => Ok(None),
    }
}

/// JSON text for a column that is NULL where there is nothing to say.
pub(super) fn to_json<T: Serialize>(value: Option<&T>) -> Outcome<Option<String>> {
    value.map(serde_json::to_string).transpose().map_err(Trouble::from)
}

pub(super) fn wrong(column: usize, what: String) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, what.into())
}
