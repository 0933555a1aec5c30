//! `relais message show`, `relais message list` and `relais message check`.

use std::{io::Read, path::PathBuf};

use clap::Subcommand;
use serde_json::Value;

use super::{Target, client::Body};
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
    /// Say what would become of a message and why, without sending it
    #[command(
        after_help = "Examples:\n  relais message check message.json        what POST /v1/messages takes\n  relais message check - --json\n\
                            Exit codes: 0 it would be taken, 4 it would be refused, or no API key; 3 host not reachable."
    )]
    Check {
        /// A file with the message as JSON; `-` is standard input
        file: PathBuf,
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
            MessageCommand::Check { file, json, target } => check(&file, json, &target).await,
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

async fn check(file: &std::path::Path, json: bool, target: &Target) -> Result<(), Failure> {
    let mut bytes = Vec::new();
    let read = match file.to_str() {
        Some("-") => std::io::stdin().read_to_end(&mut bytes).map(|_| ()),
        _ => std::fs::read(file).map(|read| bytes = read),
    };
    read.map_err(|error| anyhow::anyhow!("cannot read the message in {}: {error}", file.display()))?;
    let body = Body { content_type: "application/json", bytes };
    let foreseen = target.connect()?.post("/v1/messages?dry_run=true", Some(body)).await?;
    if json {
        say(format_args!("{foreseen:#}"));
    } else {
        tell(&foreseen);
    }
    match foreseen.get("refusal").and_then(|refusal| refusal.get("detail")).and_then(Value::as_str) {
        Some(why) => Err(Failure::Refused(format!("it would be refused: {why}"))),
        None => Ok(()),
    }
}

/// A dry run in lines: the checks, each route with its price, what is shown, and what follows what.
fn tell(foreseen: &Value) {
    let text = |value: &Value, pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or("–").to_owned();
    let list =
        |value: &Value, pointer: &str| value.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default();
    for check in list(foreseen, "/checks") {
        say(format_args!("  {}: {}", text(&check, "/rule"), text(&check, "/why")));
    }
    if let Some(plan) = foreseen.get("plan") {
        say(step(plan));
        for route in list(plan, "/decision/routes") {
            let taken =
                if route.get("taken") == Some(&Value::Bool(true)) { "taken".to_owned() } else { text(&route, "/code") };
            say(format_args!("  by {} ({taken}){}", text(&route, "/channel"), price(&route)));
        }
        if let Some(sms) = plan.pointer("/shown/sms").filter(|sms| sms.get("text").is_some()) {
            let parts = sms.get("parts").and_then(Value::as_u64).unwrap_or(1);
            say(format_args!("  as SMS ({}, {parts} parts): {}", text(sms, "/encoding"), text(sms, "/text")));
            list(sms, "/changed").iter().filter_map(Value::as_str).for_each(|change| say(format_args!("    {change}")));
        }
        for supposed in list(plan, "/then") {
            say(format_args!("if {}:", text(&supposed, "/if")));
            list(&supposed, "/follows").iter().for_each(|next| say(format_args!("  {}", step(next))));
        }
    }
}

fn step(step: &Value) -> String {
    let text = |name: &str| step.get(name).and_then(Value::as_str).unwrap_or("–");
    match text("would") {
        "send" => format!("{} it goes by {} as {}{}", text("at"), text("channel"), text("rendition"), price(step)),
        "wait" => format!("{} it waits until {} ({})", text("at"), text("until"), text("code")),
        _ => format!("{} it ends: {} ({})", text("at"), text("state"), text("code")),
    }
}

/// Four places, as price lists have.
fn price(of: &Value) -> String {
    let Some(micros) = of.get("price_micros").and_then(Value::as_i64) else { return String::new() };
    let currency = of.pointer("/price/currency").and_then(Value::as_str).unwrap_or_default();
    format!(", {}.{:04} {currency}", micros / 1_000_000, micros % 1_000_000 / 100).trim_end().to_owned()
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
