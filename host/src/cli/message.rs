//! `relais message show` and `relais message list`.

use clap::Subcommand;
use serde_json::Value;

use super::Target;
use crate::terminal::{Failure, say};

#[derive(Subcommand)]
pub(super) enum MessageCommand {
    /// Tell a message's whole story: what made it expected, which rules were checked, which route was chosen, what came of it
    #[command(after_help = "The id is in the first column of `relais message list`.\n\
                            Exit codes: 0 it is shown, 3 host not reachable, 4 there is no such message, or no API key.")]
    Show {
        /// The message's id
        id: String,
        /// Everything, as JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        target: Target,
    },
    /// List messages, the latest first
    #[command(
        after_help = "Examples:\n  relais message list --customer paul\n  relais message list --state failed --json"
    )]
    List {
        /// Only those to this customer
        #[arg(long)]
        customer: Option<String>,
        /// Only those in this state: pending, sent, delivered, read, falling-back, failed, expired, cancelled
        #[arg(long)]
        state: Option<String>,
        /// How many
        #[arg(long, default_value_t = 20)]
        limit: u32,
        /// As JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        target: Target,
    },
}

impl MessageCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            MessageCommand::Show { id, json, target } => {
                let message = target.connect()?.get(&format!("/v1/messages/{id}")).await?;
                if json {
                    say(format_args!("{message:#}"))
                } else {
                    story(&message)
                }
                Ok(())
            }
            MessageCommand::List { customer, state, limit, json, target } => {
                let mut query = url::form_urlencoded::Serializer::new(String::new());
                query.append_pair("limit", &limit.to_string());
                for (name, value) in [("customer", customer), ("state", state)] {
                    if let Some(value) = value {
                        query.append_pair(name, &value);
                    }
                }
                let listing = target.connect()?.get(&format!("/v1/messages?{}", query.finish())).await?;
                if json {
                    say(format_args!("{listing:#}"))
                } else {
                    table(&listing)
                }
                Ok(())
            }
        }
    }
}

fn story(message: &Value) {
    let text = |name: &str| message.get(name).and_then(Value::as_str).unwrap_or("–").to_owned();
    say(format_args!("{}  {}  {}", text("id"), text("state"), text("purpose")));
    for line in message.get("story").and_then(Value::as_array).into_iter().flatten() {
        let part = |name: &str| line.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        say(format_args!("  {}  {}", part("time"), part("text")));
    }
}

fn table(listing: &Value) {
    let rows = listing.get("messages").and_then(Value::as_array);
    for row in rows.into_iter().flatten() {
        let part = |pointer: &str| row.pointer(pointer).and_then(Value::as_str);
        let last = row.get("attempts").and_then(Value::as_array).and_then(|attempts| attempts.last());
        let channel = last.and_then(|last| last.get("channel")).and_then(Value::as_str);
        say(format_args!(
            "{}  {:<12} {:<9} {:<16} {:<13} {}",
            part("/id").unwrap_or("–"),
            part("/state").unwrap_or("–"),
            channel.unwrap_or("–"),
            part("/to/customer").or(part("/to/phone")).unwrap_or("–"),
            part("/purpose").unwrap_or("–"),
            part("/created").unwrap_or("–"),
        ));
    }
    if rows.is_none_or(Vec::is_empty) {
        say("no messages");
    }
}
