//! `relais:plugin/customers`: what the tenant knows of its customers, as far as the plugin may know it. Never an address.

use super::{RunState, instant, trouble};
use crate::{
    domain::{
        customer::{Channel, ConsentScope, Customer},
        event::Event,
        run::Asked,
        text::nul_in,
    },
    ids::CustomerId,
    plugin::{
        bindings::{customers, types},
        subscription::Pattern,
    },
};

/// Events of one call for a customer's history.
const HISTORY_MAX: u32 = 100;

impl customers::Host for RunState {
    async fn get(&mut self, id: String) -> wasmtime::Result<Option<customers::Customer>> {
        self.call()?;
        let Some(id) = possible(id) else { return Ok(None) };
        self.asks(Asked::Customer(id.clone()));
        let Some(known) = self.shared.store.customer(&self.work.run.key.tenant, &id).await.map_err(trouble)? else {
            return Ok(None);
        };
        let may = self.may();
        let field = |name: &str, value: &Option<String>| value.clone().filter(|_| may.customer_field(name));
        Ok(Some(customers::Customer {
            id: id.to_string(),
            name: field("name", &known.name),
            locale: field("locale", &known.locale),
            timezone: field("timezone", &known.timezone),
            attributes: known
                .attributes
                .iter()
                .filter(|(name, _)| may.customer_field(name))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        }))
    }

    async fn routes(&mut self, id: String) -> wasmtime::Result<Vec<customers::Route>> {
        self.call()?;
        let Some(id) = possible(id) else { return Ok(Vec::new()) };
        self.asks(Asked::Customer(id.clone()));
        let known = self.shared.store.customer(&self.work.run.key.tenant, &id).await.map_err(trouble)?;
        let Some(customer) = known else { return Ok(Vec::new()) };
        let now = self.now;
        let permitted = Channel::ALL.into_iter().filter(|channel| self.may().effective.channels.contains(channel));
        Ok(permitted
            .map(|channel| customers::Route {
                channel: channel.as_str().to_owned(),
                addressable: customer
                    .address(channel)
                    .is_some_and(|address| address.unusable_until.is_none_or(|until| until <= now)),
                consent: recorded(&customer, channel, ConsentScope::Service),
                window_ends: customer.window_ends(now).filter(|_| channel == Channel::Whatsapp).map(instant),
                attributes: Vec::new(),
            })
            .collect())
    }

    async fn get_consent(
        &mut self,
        id: String,
        channel: String,
        scope: String,
    ) -> wasmtime::Result<customers::Consent> {
        self.call()?;
        let Some((channel, scope)) = Channel::parse(&channel).zip(ConsentScope::parse(&scope)) else {
            return Ok(customers::Consent::Unknown);
        };
        if let Err(why) = self.may().channel(channel) {
            self.denied("customers.get-consent", why);
            return Ok(customers::Consent::Unknown);
        }
        let Some(id) = possible(id) else { return Ok(customers::Consent::Unknown) };
        self.asks(Asked::Customer(id.clone()));
        let known = self.shared.store.customer(&self.work.run.key.tenant, &id).await.map_err(trouble)?;
        Ok(known.map_or(customers::Consent::Unknown, |customer| recorded(&customer, channel, scope)))
    }

    async fn history(&mut self, id: String, event_type: String, limit: u32) -> wasmtime::Result<Vec<types::Event>> {
        self.call()?;
        let permitted = Pattern::parse(&event_type).and_then(|pattern| self.may().history(&pattern, &event_type));
        if let Err(why) = permitted {
            self.denied("customers.history", why);
            return Ok(Vec::new());
        }
        let Some(id) = possible(id) else { return Ok(Vec::new()) };
        let limit = limit.min(HISTORY_MAX);
        self.asks(Asked::History { customer: id.clone(), event_type: event_type.clone(), limit });
        let tenant = &self.work.run.key.tenant;
        let found = self.shared.store.history(tenant, &id, &event_type, limit).await.map_err(trouble)?;
        for event in &found {
            self.remember_event(&event.source_id, event.id);
        }
        Ok(found.iter().map(|event| guest_event(event)).collect())
    }
}

fn recorded(customer: &Customer, channel: Channel, scope: ConsentScope) -> customers::Consent {
    match customer.consent(channel, scope) {
        None => customers::Consent::Unknown,
        Some(consent) if consent.granted => customers::Consent::Granted,
        Some(_) => customers::Consent::Refused,
    }
}

/// A customer whom there can be. One who cannot is one whom nobody knows: the database is not asked for a name that it refuses.
fn possible(id: String) -> Option<CustomerId> {
    nul_in("id", &id).is_none().then(|| CustomerId::new(id))
}

/// An event in the words of the contract.
pub(crate) fn guest_event(event: &Event) -> types::Event {
    types::Event {
        id: event.source_id.clone(),
        source: event.source.clone(),
        event_type: event.event_type.clone(),
        subject: event.subject.clone(),
        time: instant(event.time),
        customer: event.customer.as_ref().map(ToString::to_string),
        data: event.data.to_string(),
        attributes: event.attributes.clone(),
    }
}
