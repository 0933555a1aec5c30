//! `relais runs`: what plugins did, and what becomes of runs that were set aside.

use std::{
    collections::BTreeSet,
    io::{IsTerminal, Write},
};

use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{
    Target,
    client::{Api, Body},
};
use crate::terminal::{Failure, say};

#[derive(Subcommand)]
pub(super) enum RunsCommand {
    /// List runs, the latest first
    #[command(
        after_help = "Examples:\n  relais runs list --set-aside\n  relais runs list --set-aside --plugin reminder --failure fault\n  \
                            relais runs list --entity customer/paul --limit 5 --json"
    )]
    List(List),
    /// Show a run: what set it off, what it used and asked for, or why it failed and what it was given
    #[command(
        after_help = "Example:\n  relais runs show r01jdz…\n\nExit codes: 0 it is shown, as JSON; 3 host not reachable; 4 there is no such run, or no API key."
    )]
    Show {
        /// The run's id, in the first column of `relais runs list`
        id: String,
        #[command(flatten)]
        target: Target,
    },
    /// Print a run that failed as a file, to be executed again elsewhere with `relais replay`
    #[command(
        after_help = "Examples:\n  relais runs bundle r01jdz… > run.json\n  relais runs bundle r01jdz… --personal > run.json     nothing masked\n\n\
                            It holds what the run was given and looked up, the plugin's settings, and how it ended. Names, numbers and what\n\
                            customers wrote are masked, the same wherever they stand; `masked` and `notes` in it say what was and was not.\n\
                            Exit codes: 0 it is printed; 3 host not reachable; 4 there is no such run, or it did not fail."
    )]
    Bundle {
        /// The run's id, in the first column of `relais runs list`
        id: String,
        /// Leave names, numbers and what customers wrote as they are
        #[arg(long)]
        personal: bool,
        #[command(flatten)]
        target: Target,
    },
    /// Execute runs again that were set aside, with their attempts forgotten
    #[command(
        after_help = "Examples:\n  relais runs replay r01jdz… r01jf0…          these\n  relais runs replay --plugin reminder --all   all of a plugin, once it is mended\n  \
                            relais runs replay --failure limit --after 2026-01-15T10:00:00Z --all\n\n\
                            Runs of an entity are executed in the order in which they were accepted, after what is waiting already. What came\n\
                            after them and is done stays done: a replayed run sees the state that newer runs have left.\n\
                            A run that fails again is set aside again; it is not tried twice by one command."
    )]
    Replay(Many),
    /// End runs that were set aside, without executing them. It cannot be undone
    #[command(
        after_help = "Examples:\n  relais runs discard r01jdz…\n  relais runs discard --plugin reminder --failure reject --all\n  \
                            relais runs discard --all --yes              asks nothing, for scripts\n\n\
                            On a terminal it says how many there are and asks. Elsewhere it needs --yes."
    )]
    Discard(Many),
}

#[derive(Args)]
pub(super) struct List {
    /// Only those that were set aside
    #[arg(long, conflicts_with = "state")]
    set_aside: bool,
    /// Only those in this state: open, done, set-aside, discarded
    #[arg(long)]
    state: Option<String>,
    #[command(flatten)]
    which: Which,
    /// How many
    #[arg(long, default_value_t = 20)]
    limit: u32,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

/// Of which plugin and about what.
#[derive(Args)]
struct Which {
    /// Only those of this plugin
    #[arg(long)]
    plugin: Option<String>,
    /// Only those about this entity, such as customer/paul
    #[arg(long)]
    entity: Option<String>,
    /// Only those that concern this customer
    #[arg(long)]
    customer: Option<String>,
    /// Only those that failed so: retry, reject, fault, limit
    #[arg(long, value_name = "KIND")]
    failure: Option<String>,
}

impl Which {
    fn pairs(&self) -> Vec<(&'static str, &str)> {
        let all = [
            ("plugin", &self.plugin),
            ("entity", &self.entity),
            ("customer", &self.customer),
            ("failure", &self.failure),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).collect()
    }
}

#[derive(Args)]
#[command(group(ArgGroup::new("named").required(true).args(["ids", "all"])))]
pub(super) struct Many {
    /// Runs, by their ids
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// All that were set aside, or all of those that the other options name
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    which: Which,
    /// Only those that were set aside at this time or later
    #[arg(long, value_name = "TIME", requires = "all")]
    after: Option<String>,
    /// Only those that were set aside at this time or earlier
    #[arg(long, value_name = "TIME", requires = "all")]
    before: Option<String>,
    /// Ask nothing
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    target: Target,
}

impl RunsCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            RunsCommand::List(list) => list.run().await,
            RunsCommand::Show { id, target } => {
                let run = target.connect()?.get(&format!("/v1/runs/{}", escaped(&id))).await?;
                say(format_args!("{run:#}"));
                Ok(())
            }
            RunsCommand::Bundle { id, personal, target } => {
                let path = format!("/v1/runs/{}/bundle?personal={personal}", escaped(&id));
                say(format_args!("{:#}", target.connect()?.get(&path).await?));
                Ok(())
            }
            RunsCommand::Replay(many) => many.run("replay", "replayed").await,
            RunsCommand::Discard(many) => many.discard().await,
        }
    }
}

/// An id stands in a path; whatever was typed must not become another path.
fn escaped(id: &str) -> String {
    url::form_urlencoded::byte_serialize(id.as_bytes()).collect()
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("limit", &self.limit.to_string());
        let state = if self.set_aside { Some("set-aside") } else { self.state.as_deref() };
        for (name, value) in self.which.pairs().into_iter().chain(state.map(|state| ("state", state))) {
            query.append_pair(name, value);
        }
        let listing = self.target.connect()?.get(&format!("/v1/runs?{}", query.finish())).await?;
        if self.json {
            say(format_args!("{listing:#}"));
        } else {
            table(&listing);
        }
        Ok(())
    }
}

fn table(listing: &Value) {
    let rows = listing.get("runs").and_then(Value::as_array);
    for row in rows.into_iter().flatten() {
        let part = |pointer: &str| row.pointer(pointer).and_then(Value::as_str);
        let failure = part("/failure/kind").map(|kind| format!("{kind}: {}", part("/failure/message").unwrap_or("–")));
        say(format_args!(
            "{}  {:<10} {:<16} {:<24} {:<9} {}  {}",
            part("/id").unwrap_or("–"),
            part("/state").unwrap_or("–"),
            part("/plugin").unwrap_or("–"),
            part("/entity").unwrap_or("–"),
            part("/kind").unwrap_or("–"),
            part("/accepted").unwrap_or("–"),
            failure.unwrap_or_default().lines().next().unwrap_or_default(),
        ));
    }
    if rows.is_none_or(Vec::is_empty) {
        say("no runs");
    }
}

impl Many {
    /// Which ones, as the host reads it.
    fn asked(&self) -> Map<String, Value> {
        let times = [("after", &self.after), ("before", &self.before)];
        let times = times.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
        let pairs = self.which.pairs().into_iter().chain(times);
        let mut asked: Map<String, Value> = pairs.map(|(name, value)| (name.to_owned(), json!(value))).collect();
        if !self.ids.is_empty() {
            asked.insert("ids".to_owned(), json!(self.ids));
        } else if asked.is_empty() {
            asked.insert("all".to_owned(), json!(true));
        }
        asked
    }

    async fn discard(self) -> Result<(), Failure> {
        if !self.yes {
            self.confirm().await?;
        }
        self.run("discard", "discarded").await
    }

    /// What is discarded does not come back, so a person is asked, and a script has to say so.
    async fn confirm(&self) -> Result<(), Failure> {
        if !std::io::stdin().is_terminal() {
            return Err(
                anyhow::anyhow!("what is discarded does not come back: say --yes where nobody can be asked").into()
            );
        }
        let what = match self.ids.len() {
            0 => format!("{} (all that fit, also those that are set aside meanwhile)", self.count().await?),
            count => count.to_string(),
        };
        // A question and no answer: not for standard output, which a script reads.
        let mut err = std::io::stderr().lock();
        let asked = write!(err, "Discard runs that were set aside: {what}? [y/N] ").and_then(|()| err.flush());
        let mut typed = String::new();
        asked.and_then(|()| std::io::stdin().read_line(&mut typed)).map_err(anyhow::Error::from)?;
        if matches!(typed.trim(), "y" | "Y" | "yes") {
            Ok(())
        } else {
            Err(anyhow::anyhow!("nothing was discarded").into())
        }
    }

    /// How many there are, as far as one page tells.
    async fn count(&self) -> Result<String, Failure> {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("state", "set-aside").append_pair("limit", "200");
        for (name, value) in self.which.pairs() {
            query.append_pair(name, value);
        }
        let listing = self.target.connect()?.get(&format!("/v1/runs?{}", query.finish())).await?;
        let count = listing.get("runs").and_then(Value::as_array).map_or(0, Vec::len);
        let more = listing.get("next").is_some_and(|next| !next.is_null());
        let bound = if self.after.is_some() || self.before.is_some() { "up to " } else { "" };
        Ok(if more { format!("more than {count}") } else { format!("{bound}{count}") })
    }

    async fn run(&self, verb: &str, done: &str) -> Result<(), Failure> {
        let api = self.target.connect()?;
        let mut asked = self.asked();
        let mut count = 0;
        loop {
            let answer = step(&api, verb, &asked).await?;
            count += answer.get(done).and_then(Value::as_u64).unwrap_or(0);
            let next = answer.get("next").filter(|next| !next.is_null());
            let Some(next) = next else { break };
            progress(format_args!("{done}: {count}, and there are more"));
            asked.insert("next".to_owned(), next.clone());
        }
        say(format_args!("{done}: {count}"));
        let named: BTreeSet<&String> = self.ids.iter().collect();
        let missing = (named.len() as u64).saturating_sub(count);
        if missing > 0 {
            let why = format!(
                "{missing} of them are not set aside, or do not exist; `relais runs list --set-aside` lists those that are"
            );
            return Err(Failure::Refused(why));
        }
        Ok(())
    }
}

async fn step(api: &Api, verb: &str, asked: &Map<String, Value>) -> Result<Value, Failure> {
    let bytes = Value::Object(asked.clone()).to_string().into_bytes();
    api.post(&format!("/v1/runs/{verb}"), Some(Body { content_type: "application/json", bytes })).await
}

/// For whoever watches; a script reads the last line only.
fn progress(line: impl std::fmt::Display) {
    if std::io::stderr().is_terminal() {
        // There is nowhere left to say that standard error is gone.
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }
}
