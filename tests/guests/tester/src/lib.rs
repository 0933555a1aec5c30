//! Does what an event tells it to, step by step: `{"entity": "a", "steps": [{"send": {…}}, "trap"]}`.
//!
//! The integration tests need plugins that misbehave in every way there is, at every moment of a run. One plugin with a
//! script does for all of them, and the script stands in the test that it belongs to.

use std::hint::black_box;
use std::time::Duration;

use relais_plugin::{
    Error, Event, Incoming, Message, Outcome, Plugin, Purpose, SendResult, Timer, config, events, http, info, messages,
    plugin, run, state, timers,
};
use serde::{Deserialize, Serialize};

struct Tester;

plugin!(Tester);

#[derive(Deserialize)]
struct Script {
    #[serde(default)]
    steps: Vec<Step>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Step {
    Send(Send),
    /// Adds a word to the list under a key of the entity's state.
    Append {
        key: String,
        word: String,
    },
    /// Writes the list under a key to the log, where a test can read it.
    Tell {
        key: String,
    },
    Timer {
        key: String,
        after_s: u64,
        /// Of no use this long after it was set.
        expires_s: Option<u64>,
        steps: Vec<Step>,
    },
    CancelTimer {
        key: String,
    },
    Emit {
        name: String,
        entity: String,
        steps: Vec<Step>,
        subject: Option<String>,
        dedup_key: Option<String>,
    },
    /// Asks a service, and writes to the log what came of it, whatever that is.
    Ask {
        url: String,
        /// With `POST`, and this as its body.
        post: Option<String>,
        secret: Option<String>,
    },
    /// Keeps a word about another customer than the run's.
    About {
        customer: String,
    },
    /// Asks for the cancellation of the message that was sent last by this entity.
    CancelLast,
    Trap,
    Reject {
        why: String,
    },
    Retry {
        why: String,
        after_s: Option<u64>,
    },
    /// Traps in every execution of the run before this one.
    TrapBefore {
        attempt: u32,
    },
    /// Rejects while the plugin's setting `broken` says so.
    FailIfBroken,
    /// Asks a service that the run cannot do without, and writes its answer to the log.
    Fetch {
        url: String,
        secret: Option<String>,
    },
    /// Computes for ever.
    Loop,
    /// Asks for this much memory.
    Memory {
        mib: usize,
    },
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Send {
    text: String,
    /// The run's customer where absent.
    to: Option<String>,
    /// The run's event where absent.
    because: Option<String>,
    #[serde(default)]
    marketing: bool,
    /// Free content alone, for an open conversation.
    #[serde(default)]
    no_template: bool,
    #[serde(default)]
    confirmation: bool,
    /// `only` or `never`; SMS as the fallback where absent.
    sms: Option<String>,
    tag: Option<String>,
    dedup_key: Option<String>,
    fallback_after_s: Option<u64>,
    expires_s: Option<u64>,
    /// Answers to tap: id and label of each.
    #[serde(default)]
    choices: Vec<(String, String)>,
    /// Goes on where the customer cannot be written to.
    #[serde(default)]
    or_skip: bool,
}

#[derive(Deserialize)]
struct Settings {
    broken: bool,
}

impl Plugin for Tester {
    fn on_event(event: Event) -> Outcome {
        follow(&event.data::<Script>()?.steps)
    }

    fn on_timer(timer: Timer) -> Outcome {
        info!("timer {} of {}, set by {}", timer.key, run::entity(), timer.set_by);
        follow(&timer.data::<Script>()?.steps)
    }

    fn on_message(message: Incoming) -> Outcome {
        info!("answer {} choice {:?}", message.text, message.choice);
        append("answers", &message.text)
    }
}

fn follow(steps: &[Step]) -> Outcome {
    steps.iter().try_for_each(take)
}

fn take(step: &Step) -> Outcome {
    match step {
        Step::Send(what) => send(what)?,
        Step::Append { key, word } => append(key, word)?,
        Step::Tell { key } => info!("{key} is {}", state::get::<Vec<String>>(key)?.unwrap_or_default().join(",")),
        Step::Timer { key, after_s, expires_s, steps } => {
            let mut timer = timers::after(key.as_str(), Duration::from_secs(*after_s)).data(&Kept { steps })?;
            if let Some(of_use) = expires_s {
                timer = timer.expires(run::now() + Duration::from_secs(*of_use));
            }
            timer.set();
        }
        Step::CancelTimer { key } => timers::cancel(key),
        Step::About { customer } => state::Entry::new("about").about(customer.as_str()).set("them")?,
        Step::Emit { name, entity, steps, subject, dedup_key } => {
            let mut event = events::event(name.as_str()).data(&Passed { entity, steps })?;
            if let Some(customer) = run::customer() {
                event = event.customer(customer);
            }
            if let Some(subject) = subject {
                event = event.subject(subject.as_str());
            }
            if let Some(key) = dedup_key {
                event = event.dedup_key(key.as_str());
            }
            event.emit();
        }
        Step::Ask { url, post, secret } => ask(url, post.as_deref(), secret.as_deref()),
        Step::CancelLast => {
            if let Some(id) = state::get::<String>("last")? {
                messages::cancel(&messages::MessageId::new(id));
            }
        }
        Step::Reject { why } => return Err(Error::reject(why)),
        Step::Retry { why, after_s: None } => return Err(Error::retry(why)),
        Step::Retry { why, after_s: Some(after) } => return Err(Error::retry_after(why, Duration::from_secs(*after))),
        Step::FailIfBroken if config::<Settings>()?.broken => return Err(Error::reject("it is broken")),
        Step::FailIfBroken => {}
        Step::Trap => trap(),
        Step::TrapBefore { attempt } if run::attempt() < *attempt => trap(),
        Step::TrapBefore { .. } => {}
        Step::Fetch { url, secret } => {
            let answer = request(url, None, secret.as_deref()).send()?.success()?;
            info!(status = answer.status, "{}", String::from_utf8_lossy(&answer.body));
        }
        Step::Loop => spin(),
        Step::Memory { mib } => {
            black_box(vec![1_u8; mib << 20]);
        }
    }
    Ok(())
}

fn request(url: &str, post: Option<&str>, secret: Option<&str>) -> http::Request {
    let request = match post {
        Some(body) => http::post(url).body(body),
        None => http::get(url),
    };
    match secret {
        Some(secret) => request.bearer_secret(secret),
        None => request,
    }
}

fn ask(url: &str, post: Option<&str>, secret: Option<&str>) {
    match request(url, post, secret).send() {
        Ok(answer) => info!("answered {} {}", answer.status, String::from_utf8_lossy(&answer.body)),
        Err(error) => info!("no answer: {error}"),
    }
}

#[derive(Serialize)]
struct Kept<'a> {
    steps: &'a [Step],
}

#[derive(Serialize)]
struct Passed<'a> {
    entity: &'a str,
    steps: &'a [Step],
}

fn append(key: &str, word: &str) -> Outcome {
    let mut words: Vec<String> = state::get(key)?.unwrap_or_default();
    words.push(word.to_owned());
    state::set(key, &words)
}

fn send(what: &Send) -> Outcome {
    let to = what.to.clone().or_else(run::customer).ok_or_else(|| Error::reject("nobody to send to"))?;
    let purpose = if what.confirmation { Purpose::Confirmation } else { Purpose::Alert };
    let mut message = Message::to(to, purpose).text(format!("Free: {}", what.text));
    if !what.no_template {
        let template = if what.marketing { "test_offer" } else { "test_note" };
        message = message.template(template).param("text", &what.text);
    }
    for (id, label) in &what.choices {
        message = message.choice(id, label);
    }
    if let Some(because) = &what.because {
        message = message.because(because);
    }
    message = match what.sms.as_deref() {
        Some("only") => message.sms_only(),
        Some("never") => message.no_sms(),
        _ => message,
    };
    if let Some(tag) = &what.tag {
        message = message.tag(tag);
    }
    if let Some(key) = &what.dedup_key {
        message = message.dedup_key(key);
    }
    if let Some(after) = what.fallback_after_s {
        message = message.fallback_after(Duration::from_secs(after));
    }
    if let Some(of_use) = what.expires_s {
        message = message.expires(run::now() + Duration::from_secs(of_use));
    }
    let sent = message.send();
    let id = if what.or_skip { sent.or_skip()? } else { Some(sent?) };
    match id {
        Some(id) => {
            // An execution that fails leaves no message; its log is where a test finds the id that it would have had.
            info!("asked for {}", id.as_str());
            state::set("last", id.as_str())
        }
        None => Ok(()),
    }
}

#[expect(clippy::panic, reason = "to trap is what this step is for")]
fn trap() -> ! {
    panic!("told to trap")
}

fn spin() {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}
