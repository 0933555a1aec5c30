//! `relais stats`: what was counted of messages, as a table.

use clap::Args;
use serde_json::Value;

use super::Target;
use crate::terminal::{Failure, say};

#[derive(Args)]
pub(super) struct Stats {
    /// The first day, such as 2026-10-01 (UTC); 30 days before the last where absent
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// The last day; today where absent
    #[arg(long, value_name = "DAY")]
    to: Option<String>,
    /// One or several of day, plugin, purpose, channel, country, with commas between them
    #[arg(long, value_name = "NAMES", default_value = "day")]
    by: String,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

impl Stats {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("group_by", &self.by);
        for (name, value) in [("from", &self.from), ("to", &self.to)] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        let answer = self.target.connect()?.get(&format!("/v1/stats?{}", query.finish())).await?;
        let messages = answer.get("messages").cloned().unwrap_or_default();
        if self.json {
            say(format_args!("{messages:#}"));
        } else {
            table(&messages);
        }
        Ok(())
    }
}

const FIGURES: [(&str, &str); 10] = [
    ("messages", "messages"),
    ("sent", "sent"),
    ("delivered", "delivered"),
    ("read", "read"),
    ("failed", "failed"),
    ("given_up", "given up"),
    ("fell_back", "fell back"),
    ("double", "double"),
    ("parts", "parts"),
    ("cancelled", "cancelled"),
];

fn table(messages: &Value) {
    let list = |name: &str| messages.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let by: Vec<&str> = list("group_by").iter().filter_map(Value::as_str).collect();
    let mut lines = vec![heading(&by)];
    lines.extend(list("rows").iter().map(|row| line(&by, row, None)));
    if let Some(total) = messages.get("total") {
        lines.push(line(&by, total, Some("all")));
    }
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| lines.iter().filter_map(|line| line.get(at)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|at| width(at).unwrap_or(0)).collect();
    for line in &lines {
        let cells: Vec<String> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        say(cells.join("  ").trim_end());
    }
}

fn heading(by: &[&str]) -> Vec<String> {
    let names = by.iter().copied().chain(FIGURES.iter().map(|(_, label)| *label));
    names.chain(["to deliver (half, 95 %)", "cost (planned, actual)"]).map(str::to_owned).collect()
}

fn line(by: &[&str], row: &Value, name: Option<&str>) -> Vec<String> {
    let mut cells: Vec<String> = Vec::new();
    for (at, of) in by.iter().enumerate() {
        let own = row.get(*of).and_then(Value::as_str).unwrap_or("–");
        cells.push(match name {
            Some(name) if at == 0 => name.to_owned(),
            Some(_) => String::new(),
            None => own.to_owned(),
        });
    }
    let number = |name: &str| row.get(name).and_then(Value::as_i64).unwrap_or(0).to_string();
    cells.extend(FIGURES.iter().map(|(name, _)| number(name)));
    let seconds = |name: &str| {
        let found = row.pointer(&format!("/deliver_s/{name}")).and_then(Value::as_i64);
        found.map_or_else(|| "–".to_owned(), |seconds| format!("≤ {seconds} s"))
    };
    cells.push(format!("{}, {}", seconds("p50"), seconds("p95")));
    let costs = row.get("cost").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let text = |cost: &Value, name: &str| cost.get(name).and_then(Value::as_str).unwrap_or("–").to_owned();
    let cost = |cost: &Value| format!("{}, {} {}", text(cost, "planned"), text(cost, "actual"), text(cost, "currency"));
    cells.push(costs.iter().map(cost).collect::<Vec<_>>().join("; "));
    cells
}
