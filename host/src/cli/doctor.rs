//! `relais doctor`: whether a host is well, in words.

use clap::Args;
use serde_json::Value;

use super::Target;
use crate::terminal::{Failure, say};

#[derive(Args)]
pub(super) struct Doctor {
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

impl Doctor {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let answer = self.target.connect()?.get("/v1/doctor").await?;
        if self.json {
            say(format_args!("{answer:#}"));
        } else {
            table(&answer);
        }
        if answer.get("ok").and_then(Value::as_bool) == Some(true) { Ok(()) } else { Err(Failure::Silent) }
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or("–")
}

fn table(answer: &Value) {
    let rows = |name: &str| answer.get(name).and_then(Value::as_array).into_iter().flatten();
    for check in rows("checks") {
        let mark = if check.get("ok") == Some(&Value::Bool(true)) { "ok" } else { "!!" };
        say(format_args!("{mark}  {:<18} {}", text(check, "name"), text(check, "detail")));
    }
    for finding in rows("findings") {
        say(format_args!("{}  {}\n    {}", text(finding, "kind"), text(finding, "id"), text(finding, "why")));
    }
    let found = rows("findings").count();
    say(if found == 0 {
        "healthy: nothing was found".to_owned()
    } else {
        format!("found: {found}. What to do for each is in docs/operate.md, \"When the doctor finds something\"")
    });
}
