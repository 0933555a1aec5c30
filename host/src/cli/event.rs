//! `relais event send`.

use std::{io::Read, path::PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Target, client::Body};
use crate::terminal::{Failure, say};

#[derive(Subcommand)]
pub(super) enum EventCommand {
    /// Send an event and say which runs it set off
    #[command(
        after_help = "Examples:\n  relais event send --type com.example.order.ready --customer paul --data '{\"order\":\"4821\",\"shop\":\"Bakery\",\"minutes\":2}'\n  \
                            relais event send event.json        a CloudEvent, or an array of them\n  relais event send - --wait 10       from standard input; waits for the runs"
    )]
    Send(Send),
    /// Show an event and what became of it
    #[command(
        after_help = "Exit codes: 0 it is shown, as JSON; 3 host not reachable; 4 there is no such event, or no API key."
    )]
    Show {
        /// The event's id, as `event send` printed it
        id: String,
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Args)]
pub(super) struct Send {
    /// A file with a CloudEvent in JSON, or an array of them; `-` is standard input
    #[arg(conflicts_with_all = ["event_type", "data", "customer", "subject", "id", "source"])]
    file: Option<PathBuf>,
    /// What happened: com.example.order.ready
    #[arg(long = "type", value_name = "TYPE", required_unless_present = "file")]
    event_type: Option<String>,
    /// Who says so
    #[arg(long, default_value = "/cli")]
    source: String,
    /// What the source calls it; drawn at random where absent. The same source and id again is a duplicate
    #[arg(long)]
    id: Option<String>,
    /// What it happened to
    #[arg(long)]
    subject: Option<String>,
    /// The customer concerned
    #[arg(long)]
    customer: Option<String>,
    /// The event's data, JSON
    #[arg(long, value_name = "JSON")]
    data: Option<String>,
    /// Wait this many seconds for the runs, and say what they asked for
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u64>,
    #[command(flatten)]
    target: Target,
}

impl EventCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            EventCommand::Send(send) => send.run().await,
            EventCommand::Show { id, target } => {
                let story = target.connect()?.get(&format!("/v1/events/{id}")).await?;
                say(format_args!("{story:#}"));
                Ok(())
            }
        }
    }
}

impl Send {
    async fn run(self) -> Result<(), Failure> {
        let body = self.body()?;
        let wait = self.wait.map_or(String::new(), |seconds| format!("?wait={seconds}"));
        let answer = self.target.connect()?.post(&format!("/v1/events{wait}"), Some(body)).await?;
        say(format_args!("{answer:#}"));
        Ok(())
    }

    fn body(&self) -> Result<Body, Failure> {
        let bytes = match &self.file {
            Some(path) if path.as_os_str() == "-" => {
                let mut bytes = Vec::new();
                std::io::stdin()
                    .read_to_end(&mut bytes)
                    .map_err(|error| anyhow::anyhow!("cannot read standard input: {error}"))?;
                bytes
            }
            Some(path) => {
                std::fs::read(path).map_err(|error| anyhow::anyhow!("cannot read {}: {error}", path.display()))?
            }
            None => self.event()?.to_string().into_bytes(),
        };
        let batch = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
        let content_type = if batch { "application/cloudevents-batch+json" } else { "application/cloudevents+json" };
        Ok(Body { content_type, bytes })
    }

    fn event(&self) -> Result<Value, Failure> {
        let data: Value = match &self.data {
            Some(text) => serde_json::from_str(text).map_err(|error| anyhow::anyhow!("--data is no JSON: {error}"))?,
            None => Value::Null,
        };
        let id = match &self.id {
            Some(id) => id.clone(),
            None => random_id()?,
        };
        let mut event =
            json!({ "specversion": "1.0", "id": id, "source": self.source, "type": self.event_type, "data": data });
        if let Some(object) = event.as_object_mut() {
            for (name, value) in [("subject", &self.subject), ("customer", &self.customer)] {
                if let Some(value) = value {
                    object.insert(name.to_owned(), json!(value));
                }
            }
        }
        Ok(event)
    }
}

fn random_id() -> Result<String, Failure> {
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
