//! Plays the day: story by story, each step over HTTP, and then waits until the story has ended as it should.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    day::{Day, EventStep, Step, Story},
    expect::{self, Played, Seen},
    remote::Remote,
    table::{self, Row},
};
use crate::terminal::say;

/// How long a story may take to end, in real time. Receipts come within half a second; a busy machine takes longer.
const STORY_MAX: Duration = Duration::from_secs(30);
/// Between two looks at how the messages stand.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long the messages of a story must stand as they should before it has ended, so that one too many is noticed.
const STANDS_FOR: Duration = Duration::from_millis(300);

pub(super) struct Player {
    day: Day,
    remote: Remote,
    pause: Duration,
    /// The plugins that the host runs.
    loaded: HashSet<String>,
    /// Messages of earlier stories.
    earlier: HashSet<String>,
    events: u32,
}

impl Player {
    pub(super) fn new(day: Day, remote: Remote, loaded: HashSet<String>, pause: u64) -> Player {
        Player { day, remote, pause: Duration::from_secs(pause), loaded, earlier: HashSet::new(), events: 0 }
    }

    /// Plays everything. Whether every story ended as its file says.
    pub(super) async fn play(&mut self) -> anyhow::Result<bool> {
        self.set_up().await?;
        let (stories, left_out) = self.told();
        let mut played: Vec<Played> = Vec::new();
        let mut rows: Vec<Row> = Vec::new();
        let mut failed = 0;
        for story in &stories {
            say(format_args!("{}  {}", story.at, story.name));
            let mut this = Played { name: story.name.clone(), ..Played::default() };
            let ended = match self.story(story, &mut this).await {
                Ok(()) => self.ended(story, &mut this, &played).await?,
                Err(error) => Err(format!("{error:#}")),
            };
            rows.extend(self.rows(story, &mut this).await?);
            if let Err(why) = ended {
                failed += 1;
                say(format_args!("       ✗ not as it should be: {why}"));
            }
            played.push(this);
            tokio::time::sleep(self.pause).await;
        }
        let known: Vec<_> = played.iter().flat_map(|played| &played.messages).cloned().collect();
        let rows = table::latest(&self.remote, &self.day.customers, rows, &known).await?;
        table::print(&rows);
        for story in &left_out {
            let plugin = story.plugin.as_deref().unwrap_or_default();
            say(format_args!(
                "\nLeft out: “{}”, because the plugin {plugin} is not loaded. scripts/build-plugins says what its language lacks.",
                story.name
            ));
        }
        match failed {
            0 => say(format_args!("\n{} stories, each ended as it should.", stories.len())),
            _ => say(format_args!("\n{failed} of {} stories did not end as they should.", stories.len())),
        }
        Ok(failed == 0)
    }

    /// The stories that can be told with the plugins that there are, and the others.
    fn told(&mut self) -> (Vec<Story>, Vec<Story>) {
        let stories = std::mem::take(&mut self.day.stories);
        stories.into_iter().partition(|story| story.plugin.as_ref().is_none_or(|plugin| self.loaded.contains(plugin)))
    }

    async fn set_up(&self) -> anyhow::Result<()> {
        for person in &self.day.customers {
            let number = &person.phone.number;
            let phone = json!({ "name": person.name, "locale": person.locale, "whatsapp": person.phone.whatsapp, "online": person.phone.online });
            self.remote.simulator(Method::PUT, &format!("/phones/{number}"), Some(&phone)).await?;
            let mut consents = vec![];
            if person.marketing {
                for channel in ["whatsapp", "sms"] {
                    consents.push(json!({ "channel": channel, "scope": "marketing", "granted": true, "source": "ticked in the shop's account settings" }));
                }
            }
            let profile = json!({
                "name": person.name, "locale": person.locale, "timezone": person.timezone,
                "addresses": [{ "channel": "whatsapp", "address": number }, { "channel": "sms", "address": number }],
                "consents": consents,
            });
            self.remote.host(Method::PUT, &format!("/v1/customers/{}", person.id), Some(&profile)).await?;
            say(format_args!("       {:<6} {number}  {}", person.name, person.about));
        }
        say("");
        Ok(())
    }

    async fn story(&mut self, story: &Story, played: &mut Played) -> anyhow::Result<()> {
        let at = self.time_of_day(&story.at)?;
        self.remote.host(Method::PUT, "/v1/clock", Some(&json!({ "to": at }))).await?;
        for step in &story.steps {
            self.step(step, played).await.with_context(|| format!("{step:?}"))?;
        }
        Ok(())
    }

    /// `08:12` of the day, with the day's date and offset.
    fn time_of_day(&self, at: &str) -> anyhow::Result<String> {
        let start = &self.day.start;
        match (start.get(..11), start.get(19..)) {
            (Some(date), Some(offset)) => Ok(format!("{date}{at}:00{offset}")),
            _ => bail!("the day's start `{start}` is no time such as 2026-11-24T07:45:00+01:00"),
        }
    }

    async fn step(&mut self, step: &Step, played: &mut Played) -> anyhow::Result<()> {
        match step {
            Step::Event(event) => self.post(event, played).await,
            Step::Write { customer, channel, text } => {
                let body = json!({ "channel": channel, "text": text });
                self.phone(customer, "write", Some(&body)).await?;
                say(format_args!("       {customer} writes “{text}” by {channel}"));
                self.until_recorded(customer, text).await
            }
            Step::Tap { customer, button } => {
                self.until(played, customer, None, "delivered", 1).await?;
                self.phone(customer, "tap", Some(&json!({ "button": button }))).await?;
                say(format_args!("       {customer} taps “{button}”"));
                Ok(())
            }
            Step::Online { customer } => self.phone(customer, "online", None).await,
            Step::Advance(time) => {
                self.remote.host(Method::PUT, "/v1/clock", Some(&json!({ "advance": time }))).await?;
                Ok(())
            }
            Step::Wait { customer, channel, state, messages } => {
                self.until(played, customer, channel.as_deref(), state, *messages).await
            }
        }
    }

    async fn post(&mut self, step: &EventStep, played: &mut Played) -> anyhow::Result<()> {
        self.events += 1;
        let clock = self.remote.host(Method::GET, "/v1/clock", None).await?;
        let mut event = json!({
            "specversion": "1.0", "id": format!("demo-{}", self.events), "source": step.source, "type": step.event_type,
            "time": clock.get("now"), "data": step.data,
        });
        if let Some(object) = event.as_object_mut() {
            for (name, value) in [("subject", &step.subject), ("customer", &step.customer)] {
                if let Some(value) = value {
                    object.insert(name.to_owned(), json!(value));
                }
            }
        }
        let answer = self.remote.event(&event).await?;
        let id = answer.get("id").and_then(Value::as_str).context("the host's answer has no id")?;
        played.events.push(id.to_owned());
        Ok(())
    }

    async fn phone(&self, customer: &str, what: &str, body: Option<&Value>) -> anyhow::Result<()> {
        let person = self.day.customers.iter().find(|person| person.id == customer).context("no such customer")?;
        self.remote.simulator(Method::POST, &format!("/phones/{}/{what}", person.phone.number), body).await?;
        Ok(())
    }

    /// Until the host has recorded what a customer wrote: here a STOP, which shows as a consent.
    async fn until_recorded(&self, customer: &str, text: &str) -> anyhow::Result<()> {
        let began = Instant::now();
        while began.elapsed() < STORY_MAX {
            let known = self.remote.host(Method::GET, &format!("/v1/customers/{customer}"), None).await?;
            let wrote = known.get("addresses").and_then(Value::as_array).into_iter().flatten();
            if wrote.filter(|address| address.get("last_incoming").is_some_and(|at| !at.is_null())).count() > 0 {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        bail!("“{text}” of {customer} was not recorded")
    }

    /// Until so many new messages of the customer stand so, or have gone further.
    async fn until(
        &self,
        played: &mut Played,
        customer: &str,
        channel: Option<&str>,
        state: &str,
        messages: usize,
    ) -> anyhow::Result<()> {
        let began = Instant::now();
        while began.elapsed() < STORY_MAX {
            self.look(played).await?;
            let mut stand = 0;
            for id in &played.messages {
                let seen = expect::message(&self.remote, id).await?;
                let fits = seen.customer == customer && channel.is_none_or(|wanted| seen.channel == wanted);
                stand += usize::from(fits && seen.reached(state));
            }
            if stand >= messages {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        bail!("no {messages} message(s) of {customer} came to be `{state}`")
    }

    /// Takes note of the messages that came since the stories before.
    async fn look(&self, played: &mut Played) -> anyhow::Result<()> {
        let listing = self.remote.host(Method::GET, "/v1/messages?limit=100", None).await?;
        for message in listing.get("messages").and_then(Value::as_array).into_iter().flatten() {
            if let Some(id) = message.get("id").and_then(Value::as_str)
                && !self.earlier.contains(id)
            {
                played.messages.insert(id.to_owned());
            }
        }
        Ok(())
    }

    /// Waits until the story has ended as it should, or says why it did not.
    async fn ended(
        &mut self,
        story: &Story,
        played: &mut Played,
        before: &[Played],
    ) -> anyhow::Result<Result<(), String>> {
        let began = Instant::now();
        let mut stood_since: Option<Instant> = None;
        let result = loop {
            self.look(played).await?;
            let mut seen: Vec<Seen> = Vec::new();
            for id in played.messages.iter().chain(before.iter().flat_map(|before| &before.messages)) {
                seen.push(expect::message(&self.remote, id).await?);
            }
            let refusals = expect::refusals(&self.remote, &played.events).await?;
            match expect::check(story, played, before, &seen, &refusals) {
                Ok(()) => {
                    let since = *stood_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= STANDS_FOR {
                        break Ok(());
                    }
                }
                Err(why) => {
                    stood_since = None;
                    if began.elapsed() >= STORY_MAX {
                        break Err(why);
                    }
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        };
        self.earlier.extend(played.messages.iter().cloned());
        Ok(result)
    }

    /// What the story brought, for the terminal now and the table at the end.
    async fn rows(&self, story: &Story, played: &mut Played) -> anyhow::Result<Vec<Row>> {
        let mut rows = Vec::new();
        for id in &played.messages {
            rows.push(Row::of_message(&story.name, expect::message(&self.remote, id).await?));
        }
        for refusal in expect::refusals(&self.remote, &played.events).await? {
            rows.push(Row::of_refusal(&story.name, refusal));
        }
        rows.sort_by(|a, b| a.created.cmp(&b.created));
        for row in &rows {
            say(format_args!("       {}", row.line(&self.day.customers)));
        }
        Ok(rows)
    }
}
