//! `draft.send`: from a wish to a message, or to the reason why not.
//!
//! In order: to whom, is it permitted, was it sent before, what does it say, why is it expected, do the rules allow it.
//! Nothing is sent here; the message joins the run's outcome.

use wasmtime::component::Resource;

use super::{
    RunState,
    messages::{Draft, Target},
    template::resolve,
    trouble,
};
use crate::{
    channel::phone,
    clock::Timestamp,
    domain::{
        customer::{Channel, Customer, is_user_id},
        message::{Author, Because, Content, MediaKind, NewMessage, Recipient, SmsPolicy},
        purpose::Purpose,
        quota::UseKey,
        run::{Asked, Cause, Incoming, RefusedMessage},
        text::nul_in,
    },
    ids::{EventId, MessageId},
    plugin::{bindings::messages::SendError, limiter::LimitReached},
    rules::{Refusal, allowed, content, expected},
};

/// A refusal for the plugin, or trouble that ends the run.
type Sent<T> = wasmtime::Result<Result<T, Refusal>>;

/// The plugin's mistake goes to the plugin; everything else ends the run.
macro_rules! accept {
    ($answer:expr) => {
        match $answer {
            Ok(value) => value,
            Err(refusal) => return Ok(Err(refusal)),
        }
    };
}

impl RunState {
    pub(super) async fn send_draft(&mut self, draft: &Resource<Draft>) -> wasmtime::Result<Result<String, SendError>> {
        if let Some(id) = self.table.get(draft)?.sent {
            return Ok(Ok(id.to_string()));
        }
        // Taken out for the time being, because checking it asks the run for much else.
        let mut taken = std::mem::take(self.table.get_mut(draft)?);
        let answer = self.check_and_take(&taken).await?;
        match &answer {
            Ok(id) => taken.sent = Some(*id),
            Err(refusal) => self.refuse(&taken, refusal),
        }
        *self.table.get_mut(draft)? = taken;
        Ok(answer.map(|id| id.to_string()).map_err(guest_error))
    }

    /// Keeps why a message was not taken, for the run's report. A loop over refusals would fill the store, so there is a bound.
    fn refuse(&mut self, draft: &Draft, refusal: &Refusal) {
        const REFUSED_MAX: usize = 20;
        let to = match &draft.to {
            Some(Target::Customer(id)) => id.to_string(),
            Some(Target::Phone(number)) => number.clone(),
            Some(Target::Answer(id)) => id.clone(),
            None => String::new(),
        };
        if self.refused.len() < REFUSED_MAX {
            self.refused.push(RefusedMessage { to, code: refusal.code().to_owned(), why: refusal.to_string() });
        }
    }

    async fn check_and_take(&mut self, draft: &Draft) -> Sent<MessageId> {
        if let Some(problem) = &draft.problem {
            return Ok(Err(problem.clone()));
        }
        accept!(names(draft));
        let purpose = draft.purpose.unwrap_or(Purpose::Alert);
        let (to, answered) = accept!(self.recipient(draft).await?);
        let sms = accept!(self.permitted(draft, purpose));
        if let Some(earlier) = self.sent_under_key(draft, &to).await? {
            return Ok(Ok(earlier));
        }
        self.asks(match &to {
            Recipient::Customer(id) => Asked::Customer(id.clone()),
            Recipient::Phone(number) => Asked::Number(number.clone()),
        });
        let (store, tenant) = (&self.shared.store, &self.work.run.key.tenant);
        let customer = match &to {
            Recipient::Customer(id) => store.customer(tenant, id).await.map_err(trouble)?,
            Recipient::Phone(number) => Some(store.behind_number(tenant, number, self.now).await.map_err(trouble)?),
        };
        let content = accept!(self.content_of(draft, customer.as_deref()));
        accept!(self.of_the_conversation(draft, &to).await?);
        let because = accept!(self.expected(draft, &to, purpose, answered).await?);
        let allowed = self.plugin.budget.messages;
        if self.outcome.messages.len() as u64 >= u64::from(allowed) {
            return Err(LimitReached::wished("messages", allowed).into());
        }
        let message = self.message(draft, purpose, to, sms, content, because)?;
        accept!(content::check(&message));
        accept!(allowed::ask(&message, customer.as_deref(), self.now, &self.shared.rules));
        accept!(self.one_more(&message).await?);
        let id = message.id;
        self.outcome.messages.push(message);
        Ok(Ok(id))
    }

    /// Whether the plugin has a place left with this recipient. Read once for each; for certain it is known when the run commits,
    /// because others may be taking places meanwhile.
    async fn one_more(&mut self, message: &NewMessage) -> Sent<()> {
        if self.may().effective.per_customer_day.is_none() {
            return Ok(Ok(()));
        }
        let key = UseKey::sent_to(&message.tenant, self.plugin.name(), message.to.lane());
        if !self.used.contains_key(&key) {
            let used = self.shared.store.plugin_use(&key).await.map_err(trouble)?;
            self.used.insert(key.clone(), used);
        }
        let own = self.outcome.messages.iter().filter(|other| other.to.lane() == message.to.lane()).count();
        let own = u32::try_from(own).unwrap_or(u32::MAX);
        let used = self.used.get(&key).cloned().unwrap_or_default();
        Ok(self.may().one_more(&key, &used, own, self.now).map_err(Refusal::OverQuota))
    }

    /// To whom it goes, and when they wrote where it is an answer.
    async fn recipient(&mut self, draft: &Draft) -> Sent<(Recipient, Option<(MessageId, Timestamp)>)> {
        Ok(match &draft.to {
            Some(Target::Customer(id)) => Ok((Recipient::Customer(id.clone()), None)),
            Some(Target::Phone(number)) => e164(number).map(|number| (Recipient::Phone(number), None)),
            Some(Target::Answer(id)) => match self.written(id).await? {
                None => Err(Refusal::NotExpected(format!("there is no message `{id}` to answer"))),
                Some(incoming) => sender(&incoming).map(|to| (to, Some((incoming.id, incoming.time)))),
            },
            None => Err(Refusal::BadContent("the draft names nobody".to_owned())),
        })
    }

    /// What a customer wrote: what set off this run, or what the store still has.
    async fn written(&mut self, id: &str) -> wasmtime::Result<Option<std::sync::Arc<Incoming>>> {
        let Ok(id) = id.parse::<MessageId>() else { return Ok(None) };
        if let Cause::Message(incoming) = &self.work.run.cause
            && incoming.id == id
        {
            return Ok(Some(incoming.clone()));
        }
        self.asks(Asked::Message(id));
        self.shared.store.incoming(&self.work.run.key.tenant, id).await.map_err(trouble)
    }

    /// What the manifest and the operator permit, and what is left of the channels.
    fn permitted(&mut self, draft: &Draft, purpose: Purpose) -> Result<SmsPolicy, Refusal> {
        let may = self.may();
        let template = draft.template.as_ref().map(|(name, _)| name);
        let phone = matches!(draft.to, Some(Target::Phone(_)));
        let sms = match (may.channel(Channel::Whatsapp), may.channel(Channel::Sms), draft.sms) {
            (Ok(()), Ok(()), wanted) => Ok(wanted),
            (Ok(()), Err(_), SmsPolicy::Fallback | SmsPolicy::Never) => Ok(SmsPolicy::Never),
            (Err(_), Ok(()), SmsPolicy::Fallback | SmsPolicy::Only) => Ok(SmsPolicy::Only),
            (_, Err(why), SmsPolicy::Only) | (Err(why), _, _) => Err(why),
        };
        let answer = may
            .purpose(purpose.as_str())
            .and_then(|()| if phone { may.phone() } else { Ok(()) })
            // A template that is declared nowhere is a mistake and no question of permission.
            .and_then(|()| match template {
                Some(name) if self.plugin.manifest.templates.contains_key(name) => may.template(name),
                _ => Ok(()),
            })
            .and(sms);
        answer.map_err(|why| Refusal::NotPermitted(self.denied("draft.send", why)))
    }

    /// The first message under the same key, of this run or of an earlier one.
    async fn sent_under_key(&mut self, draft: &Draft, to: &Recipient) -> wasmtime::Result<Option<MessageId>> {
        let Some(key) = &draft.dedup_key else { return Ok(None) };
        let own =
            self.outcome.messages.iter().find(|message| message.to == *to && message.dedup_key.as_ref() == Some(key));
        if let Some(message) = own {
            return Ok(Some(message.id));
        }
        self.asks(Asked::SentUnder { lane: to.lane().to_owned(), key: key.clone() });
        let (store, tenant) = (&self.shared.store, &self.work.run.key.tenant);
        store.message_by_dedup_key(tenant, self.plugin.name(), to.lane(), key).await.map_err(trouble)
    }

    /// What is quoted has to be something that the recipient wrote or was sent: another's words are nobody's to repeat.
    async fn of_the_conversation(&mut self, draft: &Draft, to: &Recipient) -> Sent<()> {
        let Some(id) = draft.quote else { return Ok(Ok(())) };
        let text = id.to_string();
        let own = match self.written(&text).await? {
            Some(incoming) => sender(&incoming).is_ok_and(|sender| sender == *to) || to.lane() == incoming.sender,
            None => self
                .shared
                .store
                .message(&self.work.run.key.tenant, id)
                .await
                .map_err(trouble)?
                .is_some_and(|record| record.message.to == *to),
        };
        Ok(if own {
            Ok(())
        } else {
            Err(Refusal::BadContent(format!("`quote`: {text} is no message from or to `{}`", to.lane())))
        })
    }

    fn content_of(&self, draft: &Draft, customer: Option<&Customer>) -> Result<Content, Refusal> {
        let locale = draft.locale.as_deref().or_else(|| customer?.locale.as_deref());
        let template = match &draft.template {
            None => None,
            Some((name, params)) => {
                let Some(spec) = self.plugin.manifest.templates.get(name) else {
                    return Err(Refusal::BadTemplate(format!(
                        "`{name}` is declared in no [[templates]] of plugin.toml"
                    )));
                };
                let kind = draft.attachment.as_ref().map(|attachment| MediaKind::of(&attachment.mime_type));
                Some(resolve(spec, params, locale, kind)?)
            }
        };
        Ok(Content {
            text: draft.text.clone(),
            template,
            attachment: draft.attachment.clone(),
            location: draft.location.clone(),
            choices: draft.choices.clone(),
            special: draft.special.clone(),
            frame: draft.frame.clone(),
            seen: draft.seen.clone(),
            language: locale.map(str::to_owned),
            sms_text: draft.sms_text.clone(),
        })
    }

    fn message(
        &self,
        draft: &Draft,
        purpose: Purpose,
        to: Recipient,
        sms: SmsPolicy,
        content: Content,
        because: Because,
    ) -> wasmtime::Result<NewMessage> {
        let (run, manifest) = (&self.work.run, &self.plugin.manifest);
        let ordinal = u32::try_from(self.outcome.messages.len())?;
        Ok(NewMessage {
            id: MessageId::of_run(run.id, ordinal),
            tenant: run.key.tenant.clone(),
            author: Some(Author {
                run: run.id,
                plugin: run.key.plugin.clone(),
                entity: run.key.entity.clone(),
                notify: manifest.on_delivery.clone().unwrap_or_default(),
                answers: manifest.on_message.is_some_and(|asked| asked.answers),
                caps: self.may().caps(),
            }),
            to,
            purpose,
            because,
            content,
            sms,
            fallback_after: draft.fallback_after,
            expires: draft.expires,
            dedup_key: draft.dedup_key.clone(),
            tag: draft.tag.clone(),
            quote: draft.quote,
            created: self.now,
        })
    }

    /// What makes it expected: what it says itself, what it answers, or what set off this run.
    async fn expected(
        &mut self,
        draft: &Draft,
        to: &Recipient,
        purpose: Purpose,
        answered: Option<(MessageId, Timestamp)>,
    ) -> Sent<Because> {
        let (because, asked_at) = match (&draft.because, answered) {
            (Some(reference), _) => accept!(self.named(to, reference).await?),
            (None, Some((id, at))) => (Because::Incoming(id), Some(at)),
            (None, None) => accept!(self.by_cause(to)),
        };
        Ok(expected::purpose_fits(purpose, &because, asked_at, self.now).map(|()| because))
    }

    /// A `because`: the id of an event as the plugin was given it, or of a message.
    async fn named(&mut self, to: &Recipient, reference: &str) -> Sent<(Because, Option<Timestamp>)> {
        if let Cause::Event(event) = &self.work.run.cause
            && event.source_id == reference
        {
            return Ok(self.by_cause(to));
        }
        let known = self.seen.iter().find(|(source_id, _)| source_id == reference).map(|(_, id)| id.to_string());
        let (named, oldest) = (known.as_deref().unwrap_or(reference), self.shared.rules.oldest(self.now));
        self.asks(Asked::Reference(named.to_owned()));
        let (store, tenant) = (self.shared.store.as_ref(), &self.work.run.key.tenant);
        let found = expected::look_up(store, tenant, to, named, oldest).await.map_err(trouble)?;
        let Some(found) = found else {
            return Ok(Err(Refusal::NotExpected(format!(
                "`{reference}` is no id of an event that this run was given, nor of a message; a plugin cannot refer to anything \
                 that the host does not hold"
            ))));
        };
        let (because, _) = accept!(found);
        let asked_at = match &because {
            Because::Incoming(id) => store.incoming(tenant, *id).await.map_err(trouble)?.map(|incoming| incoming.time),
            _ => None,
        };
        Ok(Ok((because, asked_at)))
    }

    /// What set off the run, if it concerns whom the message is for.
    fn by_cause(&self, to: &Recipient) -> Result<(Because, Option<Timestamp>), Refusal> {
        let run = &self.work.run;
        let (because, asked_at, phone) = match &run.cause {
            Cause::Event(event) => (Because::Event(event.id), None, None),
            Cause::Timer(timer) => (Because::Timer { key: timer.key.clone(), set_by: timer.set_by_run }, None, None),
            Cause::Delivery(delivery) => (Because::Message(delivery.message), None, None),
            Cause::Message(incoming) => (Because::Incoming(incoming.id), Some(incoming.time), Some(&incoming.sender)),
        };
        let concerned = match to {
            Recipient::Customer(id) => {
                // An entity such as a product has several customers: each that an earlier event of theirs brought here.
                self.cause_customers().any(|concerned| concerned == id) || self.holds_entry_about(id)
            }
            // Writing to a number needs a permission of its own; an answer needs none, but has to be to who wrote.
            Recipient::Phone(number) => phone.is_none_or(|sender| sender == number) || self.may().phone().is_ok(),
        };
        if concerned {
            return Ok((because, asked_at));
        }
        let whom = to.lane();
        Err(Refusal::NotExpected(format!(
            "neither what set off this run nor an entry of `{}` concerns customer `{whom}`; name what does with `because`",
            run.key.entity
        )))
    }

    fn cause_customers(&self) -> impl Iterator<Item = &crate::ids::CustomerId> {
        let run = &self.work.run;
        let own = match &run.cause {
            Cause::Event(event) => event.customer.as_ref(),
            Cause::Timer(timer) => timer.customer.as_ref(),
            Cause::Delivery(delivery) => delivery.customer.as_ref(),
            Cause::Message(incoming) => incoming.customer.as_ref(),
        };
        own.into_iter().chain(run.customer.as_ref())
    }

    /// Remembers an event that the run was given, for `because`. Older ones have to be named as `source#id`.
    pub(super) fn remember_event(&mut self, source_id: &str, id: EventId) {
        const SEEN_MAX: usize = 1000;
        if self.seen.len() < SEEN_MAX {
            self.seen.push((source_id.to_owned(), id));
        }
    }
}

/// Whom and what the draft names has to be something that can be kept, and asked for. What it says is looked at with its content.
fn names(draft: &Draft) -> Result<(), Refusal> {
    let customer = match &draft.to {
        Some(Target::Customer(id)) => Some(id.as_str()),
        _ => None,
    };
    let names = [
        ("to-customer", customer),
        ("because", draft.because.as_deref()),
        ("locale", draft.locale.as_deref()),
        ("tag", draft.tag.as_deref()),
    ];
    let bad = names.into_iter().find_map(|(name, text)| nul_in(name, text?));
    bad.map_or(Ok(()), |why| Err(Refusal::BadContent(why)))
}

fn sender(incoming: &Incoming) -> Result<Recipient, Refusal> {
    match &incoming.customer {
        Some(customer) => Ok(Recipient::Customer(customer.clone())),
        // It goes back to where the provider says that it came from: to the id of who hides the number, and to a number of a range
        // that no table of numbers has yet.
        None if is_user_id(&incoming.sender) || is_written_out(&incoming.sender) => {
            Ok(Recipient::Phone(incoming.sender.clone()))
        }
        None => e164(&incoming.sender).map(Recipient::Phone),
    }
}

/// A plus, and as many digits as E.164 has at most.
fn is_written_out(number: &str) -> bool {
    let digits = number.strip_prefix('+').unwrap_or_default();
    (7..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn e164(number: &str) -> Result<String, Refusal> {
    let no = || Refusal::NoAddress(format!("`{number}` is no telephone number in E.164 form, as +33612345678 is"));
    let read = phone::parse_e164(number, None).map_err(|_| no())?.into_string();
    if read == number { Ok(read) } else { Err(no()) }
}

fn guest_error(refusal: Refusal) -> SendError {
    match refusal {
        Refusal::UnknownCustomer(_) => SendError::UnknownCustomer,
        Refusal::NoAddress(_) => SendError::NoAddress,
        Refusal::NoConsent(why) => SendError::NoConsent(why),
        Refusal::NotExpected(why) => SendError::NotExpected(why),
        Refusal::TemplateNeeded => SendError::TemplateNeeded,
        Refusal::BadTemplate(why) => SendError::BadTemplate(why),
        Refusal::BadContent(why) => SendError::BadContent(why),
        Refusal::NotPermitted(why) => SendError::NotPermitted(why),
        Refusal::OverQuota(why) => SendError::OverQuota(why),
        Refusal::Expired => SendError::Expired,
        Refusal::Other(why) => SendError::Other(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_e164_is_a_number() {
        assert_eq!(e164("+33612345678"), Ok("+33612345678".to_owned()));
        // Of a range that is kept for examples: the simulated phones have such numbers.
        assert_eq!(e164("+33639981201"), Ok("+33639981201".to_owned()));
        for wrong in ["0612345678", "+33 6 12 34 56 78", "+331", "zoe", ""] {
            assert!(e164(wrong).is_err(), "{wrong}");
        }
    }
}
