//! `relais endpoint`: where the shop's own systems are told what happens.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{
    Target,
    client::{Api, Body},
};
use crate::terminal::{Failure, say};

#[derive(Subcommand)]
pub(super) enum EndpointCommand {
    /// List endpoints, with how they do
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        target: Target,
    },
    /// Add one. The secret that its webhooks are signed with is printed this once
    #[command(after_help = "Examples:\n  relais endpoint add https://shop.example/relais\n  \
                      relais endpoint add https://shop.example/relais --type 'relais.message.*' --include content\n\n\
                      Without --type it is told everything. docs/webhooks.md says what that is and how to check a signature.")]
    Add {
        url: String,
        /// A type, or a prefix that ends in `.*`; given again for more
        #[arg(long = "type", value_name = "TYPE")]
        types: Vec<String>,
        /// Personal data that it is told: content, addresses
        #[arg(long, value_name = "WHAT")]
        include: Vec<String>,
        #[arg(long, default_value = "")]
        description: String,
        #[command(flatten)]
        target: Target,
    },
    /// Give one a new secret, which is printed; the old one is signed with for a while as well
    Rotate {
        #[command(flatten)]
        which: Which,
        /// For how many seconds; a day where it is not said
        #[arg(long, value_name = "SECONDS")]
        keep_s: Option<u64>,
    },
    /// Tell one that it can be told something
    Test {
        #[command(flatten)]
        which: Which,
    },
    /// Tell one again what it did not take
    #[command(
        after_help = "Examples:\n  relais endpoint replay h01jdz…                                   what was given up\n  \
                      relais endpoint replay h01jdz… --all --since 2026-01-15T10:00:00Z    everything since then, under the ids that it had"
    )]
    Replay {
        #[command(flatten)]
        which: Which,
        /// What it took as well
        #[arg(long)]
        all: bool,
        /// Only what happened at this time or later
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// Only what happened at this time or earlier
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
    },
    /// Tell one nothing from now on
    Disable {
        #[command(flatten)]
        which: Which,
    },
    /// Tell one again, beginning with what waits
    Enable {
        #[command(flatten)]
        which: Which,
    },
    /// Remove one, with everything that it was to be told
    Remove {
        #[command(flatten)]
        which: Which,
    },
}

#[derive(Args)]
pub(super) struct Which {
    /// The endpoint's id, in the first column of `relais endpoint list`
    id: String,
    #[command(flatten)]
    target: Target,
}

impl Which {
    fn api(&self) -> Result<(Api, String), Failure> {
        // An id is letters and digits; whatever else was typed must not become another path.
        let id: String = url::form_urlencoded::byte_serialize(self.id.as_bytes()).collect();
        Ok((self.target.connect()?, format!("/v1/endpoints/{id}")))
    }

    async fn enable(&self, enabled: bool) -> Result<(), Failure> {
        let (api, path) = self.api()?;
        describe(&api.patch(&path, body(json!({"enabled": enabled}))).await?);
        Ok(())
    }
}

impl EndpointCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            EndpointCommand::List { json, target } => list(&target, json).await,
            EndpointCommand::Add { url, types, include, description, target } => {
                let given = json!({"url": url, "types": types, "include": include, "description": description});
                shown_once(&target.connect()?.post("/v1/endpoints", Some(body(given))).await?);
                Ok(())
            }
            EndpointCommand::Rotate { which, keep_s } => {
                let (api, path) = which.api()?;
                let given = keep_s.map(|keep_s| body(json!({"keep_s": keep_s})));
                shown_once(&api.post(&format!("{path}/rotate"), given).await?);
                Ok(())
            }
            EndpointCommand::Test { which } => {
                let (api, path) = which.api()?;
                let told = api.post(&format!("{path}/test"), None).await?;
                say(format_args!("{} is being told; GET {path}/notices says what came of it", text(&told, "notice")));
                Ok(())
            }
            EndpointCommand::Replay { which, all, since, until } => replay(&which, all, since, until).await,
            EndpointCommand::Disable { which } => which.enable(false).await,
            EndpointCommand::Enable { which } => which.enable(true).await,
            EndpointCommand::Remove { which } => {
                let (api, path) = which.api()?;
                api.delete(&path).await?;
                say(format_args!("{} is removed", which.id));
                Ok(())
            }
        }
    }
}

async fn list(target: &Target, json: bool) -> Result<(), Failure> {
    let answer = target.connect()?.get("/v1/endpoints").await?;
    if json {
        say(serde_json::to_string_pretty(&answer).map_err(anyhow::Error::from)?);
        return Ok(());
    }
    let all = answer.get("endpoints").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    all.iter().for_each(describe);
    Ok(())
}

/// Step by step, so that no transaction is long.
async fn replay(which: &Which, all: bool, since: Option<String>, until: Option<String>) -> Result<(), Failure> {
    let (api, path) = which.api()?;
    let mut given = Map::new();
    if all {
        given.insert("state".to_owned(), "all".into());
    }
    for (name, time) in [("since", since), ("until", until)] {
        if let Some(time) = time {
            given.insert(name.to_owned(), time.into());
        }
    }
    let mut count = 0;
    loop {
        let step = api.post(&format!("{path}/replay"), Some(body(Value::Object(given.clone())))).await?;
        count += step.get("replayed").and_then(Value::as_u64).unwrap_or(0);
        if step.get("more") != Some(&Value::Bool(true)) {
            break;
        }
        given.insert("next".to_owned(), step.get("next").cloned().unwrap_or_default());
    }
    say(format_args!("{count} are told again"));
    Ok(())
}

fn body(value: Value) -> Body {
    Body { content_type: "application/json", bytes: value.to_string().into() }
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn shown_once(endpoint: &Value) {
    describe(endpoint);
    say(format_args!("  secret, shown this once: {}", text(endpoint, "secret")));
}

fn describe(endpoint: &Value) {
    let disabled = endpoint.get("disabled").filter(|disabled| disabled.is_object());
    let state = match (disabled, endpoint.get("failing_since").and_then(Value::as_str)) {
        (Some(disabled), _) => format!("disabled ({}, {})", text(disabled, "why"), text(disabled, "at")),
        (None, Some(since)) => format!("takes nothing since {since}"),
        (None, None) => "well".to_owned(),
    };
    let types: Vec<&str> =
        endpoint.get("types").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let types = if types.is_empty() { "everything".to_owned() } else { types.join(", ") };
    say(format_args!("{}  {state}  {}  {types}", text(endpoint, "id"), text(endpoint, "url")));
}
