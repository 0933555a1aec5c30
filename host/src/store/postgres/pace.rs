//! The line of those who send with one account: one row, over all hosts.

use deadpool_postgres::ClientWrapper;

use super::{
    error::{Outcome, Trouble},
    read,
};
use crate::clock::Timestamp;

/// How far ahead the end of the line can lie, in microseconds. One that lies further is from before a clock was set back.
const AHEAD_MAX_US: i64 = 60_000_000;

/// Takes places at the end of the line, which begins now where nobody waits; the time of the first of them.
pub(super) async fn reserve(
    client: &ClientWrapper,
    account: &str,
    interval_us: i64,
    places: u32,
    now: Timestamp,
) -> Outcome<i64> {
    let now_us = now.0.saturating_mul(1000);
    let taken_us = interval_us.saturating_mul(i64::from(places));
    let sql = "INSERT INTO paces AS p (account, arrival_us) VALUES ($1, $2::int8 + $3::int8) ON CONFLICT (account) \
               DO UPDATE SET arrival_us = GREATEST(LEAST(p.arrival_us, $2::int8 + $4::int8), $2::int8) + $3::int8 \
               RETURNING arrival_us";
    let params: read::Params<'_> = &[&account, &now_us, &taken_us, &AHEAD_MAX_US];
    let end = read::one(client, sql, params, |row| Ok(row.try_get::<_, i64>(0)?)).await?;
    let end = end.ok_or_else(|| Trouble::Unreadable("a pace that was written was not returned".to_owned()))?;
    Ok(end.saturating_sub(taken_us))
}
