//! The life of a message after a provider took it: sent, delivered, read; or failed; or waiting for a phone to come online.

use std::sync::Arc;

use super::{
    Channel, Content, Entry, Provider, Rule, Simulator, Tick, Ticks, cm,
    door::pause,
    meta_hooks,
    phones::State,
    smsc::{self, Piece},
    trouble::Fate,
    twilio,
    webhooks::{self, Outgoing},
};
use crate::clock::Timestamp;

/// A message on its way to a phone.
pub(crate) struct Carried {
    pub(crate) id: String,
    pub(crate) provider: Provider,
    pub(crate) channel: Channel,
    pub(crate) number: String,
    pub(crate) business: String,
    pub(crate) token: Option<String>,
    /// After this the provider drops it without a word.
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) fate: Fate,
    /// Why it will fail, where that was clear when it was taken: outside the 24-hour window, for instance.
    pub(crate) refused: Option<Reason>,
    pub(crate) wire: Wire,
    seq: u64,
}

/// What the receipts need beyond that, by provider.
pub(crate) enum Wire {
    Meta {
        category: &'static str,
        free: bool,
    },
    /// `sms` is the text that goes out by SMS should WhatsApp fail.
    Cm {
        to: String,
        sms: Option<String>,
    },
    Twilio {
        to: String,
        callback: Option<String>,
    },
    /// The parts, each with its receipt.
    Smpp {
        pieces: Vec<Piece>,
    },
}

/// A message that was just taken.
pub(crate) struct Draft {
    pub(crate) id: String,
    pub(crate) provider: Provider,
    pub(crate) channel: Channel,
    pub(crate) number: String,
    pub(crate) business: String,
    pub(crate) token: Option<String>,
    pub(crate) content: Content,
    pub(crate) ttl_s: Option<i64>,
    pub(crate) fate: Fate,
    pub(crate) refused: Option<Reason>,
    pub(crate) wire: Wire,
}

/// Why a message fails. Each provider has its own code for it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reason {
    NoWhatsapp,
    Blocked,
    OutsideWindow,
    NoSms,
    /// Scripted.
    Code(i64, Option<String>),
}

/// One step to report.
pub(crate) struct Report {
    pub(crate) tick: Tick,
    pub(crate) reason: Option<Reason>,
    pub(crate) at: Timestamp,
}

/// A message that waits for its phone, with the receipts that are held back.
pub(crate) struct Waiting {
    carried: Arc<Carried>,
    held: Vec<Report>,
}

/// Puts the message on its way.
pub(crate) fn set_off(simulator: &Arc<Simulator>, draft: Draft) {
    let carried = Arc::new(enter(simulator, draft));
    let this = Arc::clone(simulator);
    simulator.spawn(async move { live(&this, carried).await });
}

/// Notes the message in the phone's thread.
fn enter(simulator: &Simulator, draft: Draft) -> Carried {
    let now = simulator.now();
    let quiet = simulator.settings().quiet;
    let entries_max = simulator.phones.entries_max();
    let Draft { id, provider, channel, number, business, token, content, ttl_s, fate, refused, wire } = draft;
    let seq = simulator.phones.reach(&number, |state| {
        state.last_provider.insert(channel, provider);
        if quiet {
            return u64::MAX;
        }
        let entry = Entry {
            seq: 0,
            id: id.clone(),
            from_phone: false,
            provider,
            channel,
            business: business.clone(),
            token: token.clone(),
            content,
            ticks: Ticks { accepted_at: Some(now), ..Ticks::default() },
            tapped: None,
        };
        state.thread_mut(channel).push(entry, entries_max)
    });
    let expires_at = ttl_s.filter(|ttl_s| *ttl_s > 0).map(|ttl_s| Timestamp(now.0.saturating_add(ttl_s * 1000)));
    let carried = Carried { id, provider, channel, number, business, token, expires_at, fate, refused, wire, seq };
    change(simulator, &carried, |_| ());
    carried
}

async fn live(simulator: &Arc<Simulator>, carried: Arc<Carried>) {
    let timing = simulator.settings().timing;
    if carried.fate.lost {
        change(simulator, &carried, |ticks| ticks.note = Some("lost".into()));
        return;
    }
    pause(timing.sent_ms).await;
    let mut held = Vec::new();
    if let Some(reason) = why_not(simulator, &carried) {
        fail(simulator, &carried, &mut held, reason).await;
        return;
    }
    step(simulator, &carried, &mut held, Tick::Sent).await;
    pause(timing.delivered_ms.saturating_sub(timing.sent_ms)).await;
    if let Some(held) = reach_or_wait(simulator, &carried, held) {
        arrive(simulator, carried, held).await;
    }
}

/// What keeps the message from reaching the phone for good.
fn why_not(simulator: &Simulator, carried: &Carried) -> Option<Reason> {
    if let Some((code, details)) = &carried.fate.failure {
        return Some(Reason::Code(*code, details.clone()));
    }
    let known = simulator.phones.reach(&carried.number, |state| match carried.channel {
        Channel::Whatsapp if !state.phone.whatsapp => Some(Reason::NoWhatsapp),
        Channel::Whatsapp if state.phone.blocks => Some(Reason::Blocked),
        Channel::Sms if !state.phone.sms => Some(Reason::NoSms),
        Channel::Whatsapp | Channel::Sms => None,
    });
    known.or_else(|| carried.refused.clone())
}

/// Gives the held receipts back where the phone can be reached, else leaves the message waiting at the phone. Both are
/// decided under the phone's lock, so that a phone which comes online at this moment misses nothing.
fn reach_or_wait(simulator: &Simulator, carried: &Arc<Carried>, held: Vec<Report>) -> Option<Vec<Report>> {
    simulator.phones.reach(&carried.number, |state| {
        if carried.channel == Channel::Sms || state.phone.online {
            return Some(held);
        }
        state.waiting.push_back(Waiting { carried: Arc::clone(carried), held });
        None
    })
}

/// Takes what waits for a phone, to be delivered by [`deliver_waiting`].
pub(crate) fn take_waiting(state: &mut State) -> Vec<Waiting> {
    state.waiting.drain(..).collect()
}

/// Delivers what waited, in the order in which it was sent.
pub(crate) fn deliver_waiting(simulator: &Arc<Simulator>, waiting: Vec<Waiting>) {
    for Waiting { carried, held } in waiting {
        let this = Arc::clone(simulator);
        simulator.spawn(async move { arrive(&this, carried, held).await });
    }
}

async fn arrive(simulator: &Arc<Simulator>, carried: Arc<Carried>, mut held: Vec<Report>) {
    if carried.expires_at.is_some_and(|expires_at| simulator.now() >= expires_at) {
        change(simulator, &carried, |ticks| ticks.note = Some("expired".into()));
        return;
    }
    step(simulator, &carried, &mut held, Tick::Delivered).await;
    let reads = simulator.phones.reach(&carried.number, |state| {
        state.phone.reads && state.phone.online && carried.channel == Channel::Whatsapp
    });
    answer_by_itself(simulator, &carried);
    if reads {
        let timing = simulator.settings().timing;
        pause(timing.read_ms.saturating_sub(timing.delivered_ms)).await;
        step(simulator, &carried, &mut held, Tick::Read).await;
    }
    release(simulator, &carried, held).await;
}

async fn fail(simulator: &Arc<Simulator>, carried: &Arc<Carried>, held: &mut Vec<Report>, reason: Reason) {
    let at = simulator.now();
    let code = code_of(carried.provider, &reason);
    change(simulator, carried, |ticks| {
        ticks.failed_at = Some(at);
        ticks.error_code = Some(code);
    });
    if let Some(draft) = cm::instead_by_sms(simulator, carried) {
        return set_off(simulator, draft);
    }
    report(simulator, carried, held, Report { tick: Tick::Failed, reason: Some(reason), at }).await;
    release(simulator, carried, std::mem::take(held)).await;
}

pub(crate) fn code_of(provider: Provider, reason: &Reason) -> i64 {
    if let Reason::Code(code, _) = reason {
        return *code;
    }
    match provider {
        Provider::Meta => meta_hooks::code_of(reason),
        Provider::Cm => cm::code_of(reason),
        Provider::Twilio | Provider::Smpp => twilio::code_of(reason),
    }
}

/// The message came one step further: shown on the phone, and reported.
async fn step(simulator: &Arc<Simulator>, carried: &Arc<Carried>, held: &mut Vec<Report>, tick: Tick) {
    let at = simulator.now();
    change(simulator, carried, |ticks| match tick {
        Tick::Sent => ticks.sent_at = Some(at),
        Tick::Delivered => ticks.delivered_at = Some(at),
        Tick::Read => ticks.read_at = Some(at),
        Tick::Failed => ticks.failed_at = Some(at),
    });
    report(simulator, carried, held, Report { tick, reason: None, at }).await;
}

async fn report(simulator: &Arc<Simulator>, carried: &Arc<Carried>, held: &mut Vec<Report>, report: Report) {
    if carried.fate.drops(report.tick) {
        return;
    }
    if carried.fate.shuffled {
        held.push(report);
        return;
    }
    send(simulator, carried, report).await;
}

/// Sends the receipts that were held to be shuffled: newest first, the order that does most harm.
async fn release(simulator: &Arc<Simulator>, carried: &Arc<Carried>, held: Vec<Report>) {
    for report in held.into_iter().rev() {
        send(simulator, carried, report).await;
    }
}

async fn send(simulator: &Arc<Simulator>, carried: &Arc<Carried>, report: Report) {
    let Some(late_ms) = carried.fate.late_ms(report.tick) else {
        return send_now(simulator, carried, &report).await;
    };
    let (this, carried) = (Arc::clone(simulator), Arc::clone(carried));
    simulator.spawn(async move {
        pause(late_ms).await;
        send_now(&this, &carried, &report).await;
    });
}

async fn send_now(simulator: &Arc<Simulator>, carried: &Carried, report: &Report) {
    for _ in 0..carried.fate.repeats {
        let outgoing = match carried.provider {
            Provider::Meta => meta_hooks::status(simulator, carried, report),
            Provider::Cm => cm::report(simulator, carried, report),
            Provider::Twilio => twilio::report(simulator, carried, report),
            Provider::Smpp => {
                smsc::deliver::report(simulator, carried, report);
                None
            }
        };
        let Some((url, parcel)) = outgoing else { continue };
        let about = webhooks::About {
            id: carried.id.clone(),
            number: carried.number.clone(),
            token: carried.token.clone(),
            status: Some(report.tick),
        };
        webhooks::post(simulator, Outgoing { url, parcel, about }).await;
    }
}

/// Changes the ticks of the message's bubble, and shows it.
fn change(simulator: &Simulator, carried: &Carried, change: impl FnOnce(&mut Ticks)) {
    if carried.seq == u64::MAX {
        return;
    }
    let heard = simulator.stream.is_heard();
    let entry = simulator.phones.reach(&carried.number, |state| {
        let entry = state.thread_mut(carried.channel).get_mut(carried.seq)?;
        change(&mut entry.ticks);
        heard.then(|| entry.clone())
    });
    if let Some(entry) = entry {
        show(simulator, &carried.number, &entry);
    }
}

pub(crate) fn show(simulator: &Simulator, number: &str, entry: &Entry) {
    simulator.stream.send("entry", || serde_json::json!({"number": number, "entry": entry}));
}

/// Uses the first rule of the phone that fits what just arrived.
fn answer_by_itself(simulator: &Arc<Simulator>, carried: &Carried) {
    let rule = simulator.phones.reach(&carried.number, |state| {
        let entry = state.thread_mut(carried.channel).get_mut(carried.seq)?.clone();
        let rule = state.phone.answers.iter_mut().find(|rule| fits(rule, &entry))?;
        rule.times = rule.times.map(|left| left.saturating_sub(1));
        Some(rule.clone())
    });
    let Some(rule) = rule else { return };
    let (this, number, id) = (Arc::clone(simulator), carried.number.clone(), carried.id.clone());
    let (channel, provider) = (carried.channel, carried.provider);
    simulator.spawn(async move {
        pause(rule.after_ms).await;
        let done = match (&rule.tap, rule.answer) {
            (Some(button), _) => this.tap(&number, Some(&id), button).await.map(drop),
            (None, Some(text)) => {
                let write = super::Write {
                    channel: Some(channel),
                    provider: Some(provider),
                    text: Some(text),
                    ..Default::default()
                };
                this.write(&number, write).await.map(drop)
            }
            (None, None) => Ok(()),
        };
        if let Err(error) = done {
            tracing::warn!(%error, "a simulated phone could not answer by itself");
        }
    });
}

fn fits(rule: &Rule, entry: &Entry) -> bool {
    let content = &entry.content;
    let rendered = content.template.as_ref().and_then(|template| template.rendered.as_ref());
    let text = content.text.as_ref().or(rendered).map(|text| text.to_lowercase()).unwrap_or_default();
    rule.times != Some(0)
        && rule.channel.is_none_or(|channel| channel == entry.channel)
        && rule.on.as_ref().is_none_or(|wanted| text.contains(&wanted.to_lowercase()))
        && rule.tap.as_ref().is_none_or(|wanted| content.buttons.iter().any(|b| b.id == *wanted || b.title == *wanted))
}
