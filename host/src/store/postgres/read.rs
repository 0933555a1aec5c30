//! Queries: prepared once per connection, rows to values.

use deadpool_postgres::ClientWrapper;
use tokio_postgres::{Row, types::ToSql};

use super::error::Outcome;

pub(super) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

pub(super) async fn all<T>(
    client: &ClientWrapper,
    sql: &str,
    params: Params<'_>,
    read: impl Fn(&Row) -> Outcome<T>,
) -> Outcome<Vec<T>> {
    let statement = client.prepare_cached(sql).await?;
    let rows = client.query(&statement, params).await?;
    rows.iter().map(read).collect()
}

pub(super) async fn one<T>(
    client: &ClientWrapper,
    sql: &str,
    params: Params<'_>,
    read: impl Fn(&Row) -> Outcome<T>,
) -> Outcome<Option<T>> {
    let statement = client.prepare_cached(sql).await?;
    let row = client.query_opt(&statement, params).await?;
    row.as_ref().map(read).transpose()
}

/// How many rows it changed.
pub(super) async fn execute(client: &ClientWrapper, sql: &str, params: Params<'_>) -> Outcome<u64> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.execute(&statement, params).await?)
}
