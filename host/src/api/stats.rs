//! `GET /v1/stats`: figures that are cheap to read; and with `from`, `to` or `group_by` what was counted of messages.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Extension,
    extract::State,
    http::{StatusCode, Uri},
    response::Response,
};
use jiff::civil::Date;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::view::{self, Time};
use crate::{
    clock::Timestamp,
    domain::{
        quota::Money,
        tally::{BOUNDS_S, Measure, day},
    },
    ingress::{
        AppState,
        auth::Caller,
        problem::{Problem, excerpt},
        quota::Refused,
        request::Query,
    },
    run::{Lateness, LatenessSummary},
    store::{self, By, Figures, StatRow, StatSpan},
};

#[derive(Serialize)]
struct Stats {
    now: Time,
    #[serde(flatten)]
    figures: Figures,
    /// Requests that got 429 since the host started.
    refused: Refused,
    timer_lateness_ms: LatenessSummary,
    /// Where several hosts share the work.
    #[serde(flatten)]
    part: Option<store::Part>,
    /// What was counted of messages, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<Value>,
}

pub(super) async fn show(
    State(state): State<AppState>,
    Extension(lateness): Extension<Arc<Lateness>>,
    caller: Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    let rows_max = state.settings.stats_rows_max;
    let asked = asked(&Query::of(&uri, &["from", "to", "group_by"])?, state.clock.now(), rows_max)?;
    let messages = match &asked {
        Some(span) => {
            let groups = groups(state.store.stats(&caller.tenant, span).await?);
            if groups.len() > rows_max as usize {
                return Err(Problem::bad_field("group_by", format!("the answer has more than {rows_max} rows"))
                    .fix("group by less, or ask for fewer days (ingress.stats-rows-max is the bound)"));
            }
            Some(period(span, groups))
        }
        None => None,
    };
    let figures = state.store.figures(&caller.tenant).await?;
    let stats = Stats {
        now: Time(state.clock.now()),
        figures,
        refused: state.quotas.refused(&caller.tenant),
        timer_lateness_ms: lateness.summary(),
        part: state.store.part(),
        messages,
    };
    Ok(view::answer(StatusCode::OK, &stats))
}

/// Days that are asked for where only one end is given, and how many at most: a year and a day can be compared.
const DAYS: i64 = 30;
const DAYS_MAX: i64 = 367;
/// Figures that one group can have: those of [`Measure`], and of money two for each of a few currencies.
const FIGURES_MAX: u32 = 40;

/// What the query asks for; `None` where it asks for nothing.
fn asked(query: &Query<'_>, now: Timestamp, rows_max: u32) -> Result<Option<StatSpan>, Problem> {
    let date = |name| query.parse(name, "a day such as 2026-10-01 (UTC)", |text| text.parse::<Date>().ok());
    let (from, to, by) = (date("from")?, date("to")?, query.get("group_by"));
    if from.is_none() && to.is_none() && by.is_none() {
        return Ok(None);
    }
    let to = to.map_or(day(now), days);
    let from = from.map_or(to - (DAYS - 1), days);
    if from > to {
        return Err(
            Problem::bad_field("from", "the period ends before it begins").fix("give a `to` that is `from` or later")
        );
    }
    if to - from >= DAYS_MAX {
        let detail = format!("the period has {} days", to - from + 1);
        return Err(Problem::bad_field("from", detail).fix(format!("ask for {DAYS_MAX} days at most")));
    }
    let by = group_by(by)?;
    Ok(Some(StatSpan { from, to, by, limit: rows_max.saturating_add(1).saturating_mul(FIGURES_MAX) }))
}

fn group_by(text: Option<&str>) -> Result<Vec<By>, Problem> {
    let mut by = Vec::new();
    for name in text.unwrap_or("day").split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let known = By::ALL.map(By::as_str).join(", ");
        let Some(one) = By::parse(name) else {
            return Err(Problem::bad_field("group_by", format!("nothing is grouped by `{}`", excerpt(name)))
                .fix(format!("give one or several of {known}, with commas between them")));
        };
        if by.contains(&one) {
            return Err(Problem::bad_field("group_by", format!("`{name}` is there twice")).fix("name each once"));
        }
        by.push(one);
    }
    Ok(by)
}

fn days(date: Date) -> i64 {
    date.duration_since(jiff::civil::date(1970, 1, 1)).as_hours().div_euclid(24)
}

fn date(days: i64) -> String {
    let at = Timestamp(days.saturating_mul(86_400_000));
    at.to_jiff().to_zoned(jiff::tz::TimeZone::UTC).date().to_string()
}

/// Figures of each group, by the texts that it has in common.
type Groups = BTreeMap<(i64, [String; 4]), BTreeMap<Measure, i64>>;

fn groups(rows: Vec<StatRow>) -> Groups {
    let mut groups = Groups::new();
    for row in rows {
        // A later version may count what this one does not know.
        let Some(measure) = Measure::parse(&row.name) else { continue };
        let of = (row.day, [row.plugin, row.purpose, row.channel, row.country]);
        *groups.entry(of).or_default().entry(measure).or_default() += row.value;
    }
    groups
}

fn period(span: &StatSpan, groups: Groups) -> Value {
    let mut total: BTreeMap<Measure, i64> = BTreeMap::new();
    for (measure, value) in groups.values().flatten() {
        *total.entry(measure.clone()).or_default() += value;
    }
    let rows: Vec<Value> = groups.into_iter().map(|(of, figures)| row(&span.by, of, &figures)).collect();
    json!({
        "from": date(span.from),
        "to": date(span.to),
        "group_by": span.by.iter().map(|by| by.as_str()).collect::<Vec<_>>(),
        "total": figures(&total),
        "rows": rows,
    })
}

fn row(by: &[By], (day, texts): (i64, [String; 4]), values: &BTreeMap<Measure, i64>) -> Value {
    let mut row = Map::new();
    let [plugin, purpose, channel, country] = texts;
    // What there is none of is said: messages over HTTP have no plugin, and a message that never was tried has no channel.
    let text = |text: String| if text.is_empty() { Value::Null } else { text.into() };
    let said = [
        (By::Day, date(day).into()),
        (By::Plugin, text(plugin)),
        (By::Purpose, text(purpose)),
        (By::Channel, text(channel)),
        (By::Country, text(country)),
    ];
    row.extend(said.into_iter().filter(|(of, _)| by.contains(of)).map(|(of, value)| (of.as_str().to_owned(), value)));
    if let Value::Object(figures) = figures(values) {
        row.extend(figures);
    }
    Value::Object(row)
}

fn figures(values: &BTreeMap<Measure, i64>) -> Value {
    let of = |measure: Measure| values.get(&measure).copied().unwrap_or(0);
    let currencies = values.keys().filter_map(|measure| match measure {
        Measure::Planned(currency) | Measure::Actual(currency) => Some(currency),
        _ => None,
    });
    let currencies: std::collections::BTreeSet<_> = currencies.collect();
    let amount = |micros: i64, currency: &str| Money { micros, currency: currency.to_owned() }.amount();
    let cost: Vec<Value> = currencies
        .into_iter()
        .map(|currency| {
            let planned = amount(of(Measure::Planned(currency.clone())), currency);
            // What providers have not told of is no zero.
            let actual = values.get(&Measure::Actual(currency.clone())).map(|micros| amount(*micros, currency));
            json!({"currency": &**currency, "planned": planned, "actual": actual})
        })
        .collect();
    json!({
        "messages": of(Measure::Messages),
        "sent": of(Measure::Sent),
        "delivered": of(Measure::Delivered),
        "read": of(Measure::Read),
        "failed": of(Measure::Failed),
        "given_up": of(Measure::GivenUp),
        "cancelled": of(Measure::Cancelled),
        "fell_back": of(Measure::FellBack),
        "double": of(Measure::Double),
        "parts": of(Measure::Parts),
        "cost": cost,
        "deliver_s": deliver(values),
    })
}

/// How long messages took to arrive: the upper bound of the bucket in which each percentile lies.
fn deliver(values: &BTreeMap<Measure, i64>) -> Value {
    let buckets: Vec<i64> =
        (0..=BOUNDS_S.len()).map(|at| values.get(&Measure::Within(at)).copied().unwrap_or(0)).collect();
    let count: i64 = buckets.iter().sum();
    let percentile = |percent: i64| {
        let wanted = (count * percent + 99) / 100;
        let mut seen = 0;
        let at = buckets.iter().position(|bucket| {
            seen += bucket;
            count > 0 && seen >= wanted
        })?;
        // What took longer than the last bound has none.
        BOUNDS_S.get(at).copied()
    };
    json!({"count": count, "p50": percentile(50), "p95": percentile(95)})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_counted_and_written_alike() {
        for text in ["1970-01-01", "2026-02-28", "2028-02-29", "2026-11-23"] {
            assert_eq!(date(days(text.parse().unwrap())), text);
        }
        assert_eq!(days("1970-01-11".parse().unwrap()), 10);
    }

    #[test]
    fn a_percentile_is_the_bound_of_its_bucket() {
        let values = |counts: &[(usize, i64)]| {
            deliver(&counts.iter().map(|(at, count)| (Measure::Within(*at), *count)).collect())
        };
        assert_eq!(values(&[]), json!({"count": 0, "p50": null, "p95": null}));
        assert_eq!(values(&[(1, 90), (6, 10)]), json!({"count": 100, "p50": 2, "p95": 120}));
        assert_eq!(values(&[(0, 1), (12, 1)]), json!({"count": 2, "p50": 1, "p95": null}));
    }
}
