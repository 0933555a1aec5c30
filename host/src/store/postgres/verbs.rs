//! The verbs of the trait, each given to whoever does it.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::task::JoinHandle;

use super::{
    PgStore, adrift, aside, erasing, heard, kept, known, lease, open_work, outbox, pace, people, retain,
    source::{Want, WantedAttempt},
    stories,
};
use crate::{
    clock::Timestamp,
    domain::{
        customer::{Channel, Consent, Customer},
        event::Event,
        message::{Answer, MessageRecord, NewMessage},
        plugin::{PluginChange, PluginChanged, PluginRecord},
        quota::{UseKey, Used},
        run::{Cause, EntityKey, EntitySnapshot, Flow, Incoming, QueuedRun},
        shard::Shard,
    },
    ids::{AttemptToken, CustomerId, Entity, EventId, MessageId, PluginName, RunId, TenantId},
    store::{
        self, Accepted, Adrift, Bulk, Changed, Committed, CustomerProfile, EventStory, Figures, Fired, MessageChange,
        MessageChangeKind, MessageFilter, Moved, NewIncoming, NewPart, Paging, Part, Receipt, ReceiptLine, Recorded,
        Result, RetainStep, Retained, RoutedEvent, RunCommit, RunFailed, RunFilter, RunStory, Store, Vitals,
        commands::{
            accept, change, commit, customers, entities, erase, incoming, messages, parts, plugins, quota, receipts,
            runs,
            source::{Sequence, author_name},
            timers,
        },
    },
};

/// How often an erasure looks again for rows that were written while it looked. Each time there is less time for any.
const ERASURE_ROUNDS: usize = 8;

fn count(len: usize) -> i64 {
    i64::try_from(len).unwrap_or(i64::MAX)
}

fn want_events(events: &[RoutedEvent], wants: &mut Vec<Want>) {
    wants.extend(events.iter().map(|routed| Want::Event(routed.event.id)));
    wants.push(Want::Next(Sequence::Events, count(events.len())));
    let runs = events.iter().map(|routed| routed.runs.len()).sum();
    wants.push(Want::Next(Sequence::Runs, count(runs)));
}

fn want_messages(new: &[NewMessage], wants: &mut Vec<Want>) {
    wants.push(Want::Next(Sequence::Messages, count(new.len())));
    for message in new {
        if let Some(key) = &message.dedup_key {
            let (tenant, lane) = (message.tenant.clone(), message.to.lane().to_owned());
            wants.push(Want::Dedup((tenant, lane, author_name(message).to_owned(), key.clone())));
        }
        wants.extend(quota::place_key(message).map(Want::PluginUse));
    }
}

impl PgStore {
    async fn sweep(&self, names: &erase::Names, now: Timestamp) -> Result<()> {
        for _ in 0..ERASURE_ROUNDS {
            let found = self.scan(async |client| erasing::find(client, names).await).await?;
            if found.is_empty() {
                break;
            }
            let redacted = names.clone();
            self.write_alone(move |tx| erase::redact(tx, &redacted, &found, now)).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Store for PgStore {
    async fn accept_events(&self, events: Vec<RoutedEvent>) -> Result<Vec<Accepted>> {
        let mut wants = Vec::with_capacity(events.len() + 2);
        want_events(&events, &mut wants);
        self.write(wants, move |tx| accept::accept_events(tx, &events)).await
    }

    async fn accept_message(&self, message: NewMessage) -> Result<bool> {
        let mut wants = vec![Want::Message(message.id)];
        want_messages(std::slice::from_ref(&message), &mut wants);
        self.write(wants, move |tx| messages::insert(tx, &message, message.created)).await
    }

    async fn open_flows(&self) -> Result<Vec<Flow>> {
        self.read(async |client| open_work::flows(client).await).await
    }

    async fn open_runs(&self, flow: &Flow, after: i64, limit: u32) -> Result<Vec<QueuedRun>> {
        let shards = self.shared.leases.owned();
        self.read(async |client| open_work::runs(client, flow, after, limit, &shards).await).await
    }

    async fn open_runs_of(&self, key: &EntityKey, after: i64, limit: u32) -> Result<Vec<QueuedRun>> {
        self.read(async |client| open_work::runs_of(client, key, after, limit).await).await
    }

    async fn open_run_seqs(&self, flow: &Flow, after: i64, through: i64, limit: u32) -> Result<Vec<(i64, Entity)>> {
        let shards = self.shared.leases.owned();
        self.read(async |client| open_work::run_seqs(client, flow, after, through, limit, &shards).await).await
    }

    async fn load_entity(&self, key: &EntityKey, now: Timestamp) -> Result<Arc<EntitySnapshot>> {
        let cache = &self.shared.caches.entities;
        if let Some(held) = cache.get(key) {
            return Ok(held.at(now));
        }
        let ticket = cache.ticket(key);
        let held = self.read(async |client| kept::load_entity(client, key).await).await?;
        cache.offer(key.clone(), held.clone(), entities::bytes(&held), ticket);
        Ok(held.at(now))
    }

    async fn commit_run(&self, commit: RunCommit) -> Result<Committed> {
        let run = &commit.run;
        let mut wants = vec![Want::OpenRun(run.seq, run.run.id), Want::Entity(run.run.key.clone())];
        want_events(&commit.emitted, &mut wants);
        want_messages(&commit.outcome.messages, &mut wants);
        self.write(wants, move |tx| commit::commit_run(tx, &commit)).await
    }

    async fn fail_run(&self, failed: RunFailed) -> Result<bool> {
        let wants = vec![Want::OpenRun(failed.run.seq, failed.run.run.id)];
        self.write(wants, move |tx| runs::fail_run(tx, &failed)).await
    }

    async fn fire_timers(&self, now: Timestamp, limit: u32) -> Result<Fired> {
        self.write(Vec::new(), move |tx| timers::fire(tx, now, limit)).await
    }

    async fn open_message_tenants(&self) -> Result<Vec<TenantId>> {
        self.read(async |client| open_work::message_tenants(client).await).await
    }

    async fn open_messages(&self, tenant: &TenantId, after: i64, limit: u32) -> Result<Vec<MessageRecord>> {
        let shards = self.shared.leases.owned();
        self.read(async |client| open_work::messages(client, tenant, after, limit, &shards).await).await
    }

    async fn open_message_seqs(&self, tenant: &TenantId, after: i64, through: i64, limit: u32) -> Result<Vec<i64>> {
        let shards = self.shared.leases.owned();
        self.read(async |client| open_work::message_seqs(client, tenant, after, through, limit, &shards).await).await
    }

    async fn earlier_messages(&self, tenant: &TenantId, lane: &str, seq: i64) -> Result<Vec<MessageRecord>> {
        self.read(async |client| open_work::earlier_messages(client, tenant, lane, seq).await).await
    }

    async fn due_tenants(&self, now: Timestamp) -> Result<(Vec<TenantId>, Option<Timestamp>)> {
        let shards = self.shared.leases.owned();
        self.read(async |client| open_work::due_tenants(client, now, &shards).await).await
    }

    async fn due_messages(
        &self,
        tenant: &TenantId,
        after: (Timestamp, i64),
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<MessageRecord>> {
        let shards = self.shared.leases.owned();
        self.read(async |client| open_work::due_messages(client, tenant, after, until, limit, &shards).await).await
    }

    async fn change_message(&self, change: MessageChange) -> Result<Changed> {
        let mut wants = vec![Want::Message(change.message)];
        if let MessageChangeKind::Answer { no, answer: Answer::Accepted { provider_id }, .. } = &change.kind {
            wants.push(Want::Attempt(WantedAttempt {
                tenant: change.tenant.clone(),
                token: AttemptToken { message: change.message, attempt: *no },
                provider_id: Some(provider_id.clone()),
                answered: true,
            }));
        }
        self.write(wants, move |tx| change::change_message(tx, &change)).await
    }

    async fn cancel_message(&self, tenant: &TenantId, message: MessageId, now: Timestamp) -> Result<bool> {
        let tenant = tenant.clone();
        self.write(vec![Want::Message(message)], move |tx| messages::cancel(tx, &tenant, message, now)).await
    }

    async fn record_receipts(&self, receipts: Vec<Receipt>, now: Timestamp) -> Result<Vec<Recorded>> {
        let mut wants = Vec::new();
        for receipt in &receipts {
            let (tenant, provider_id) = (receipt.tenant.clone(), receipt.provider_id.clone());
            match (receipt.token, provider_id) {
                (Some(token), provider_id) => {
                    wants.push(Want::Attempt(WantedAttempt { tenant, token, provider_id, answered: false }));
                }
                (None, Some(id)) => wants.push(Want::ByProvider((tenant, receipt.provider.clone(), id))),
                (None, None) => {}
            }
        }
        self.write(wants, move |tx| receipts::record_receipts(tx, &receipts, now)).await
    }

    async fn record_incoming(&self, incoming: Vec<NewIncoming>, now: Timestamp) -> Result<Vec<bool>> {
        let wants = vec![Want::Next(Sequence::Incoming, count(incoming.len()))];
        self.write(wants, move |tx| incoming::record_incoming(tx, &incoming, now)).await
    }

    async fn keep_part(&self, part: NewPart) -> Result<Option<Incoming>> {
        let wants = || vec![Want::Next(Sequence::Incoming, 1)];
        let again = part.clone();
        match self.write(wants(), move |tx| parts::keep_part(tx, &part)).await? {
            Some(whole) => Ok(Some(whole)),
            // Another host may have kept the last part beside us, and neither saw the other's. Now that ours is there, whoever
            // came second sees both.
            None => self.write(wants(), move |tx| parts::keep_part(tx, &again)).await,
        }
    }

    async fn record_address_consent(&self, tenant: &TenantId, address: &str, consent: Consent) -> Result<()> {
        let (tenant, address) = (tenant.clone(), address.to_owned());
        self.write(Vec::new(), move |tx| customers::record_address_consent(tx, &tenant, &address, &consent)).await
    }

    async fn move_address(
        &self,
        tenant: &TenantId,
        channel: Channel,
        from: &str,
        to: &str,
        told: RoutedEvent,
    ) -> Result<Moved> {
        let (tenant, from, to) = (tenant.clone(), from.to_owned(), to.to_owned());
        self.write(Vec::new(), move |tx| incoming::moved(tx, &tenant, channel, (&from, &to), &told)).await
    }

    async fn put_customer(
        &self,
        tenant: &TenantId,
        id: &CustomerId,
        profile: CustomerProfile,
        now: Timestamp,
    ) -> Result<Arc<Customer>> {
        let (tenant, id) = (tenant.clone(), id.clone());
        self.write(Vec::new(), move |tx| customers::put(tx, &tenant, &id, &profile, now)).await
    }

    async fn customer(&self, tenant: &TenantId, id: &CustomerId) -> Result<Option<Arc<Customer>>> {
        let found = self.read(async |client| people::load(client, tenant, id).await).await?;
        Ok(found.map(Arc::new))
    }

    async fn behind_number(&self, tenant: &TenantId, number: &str, now: Timestamp) -> Result<Arc<Customer>> {
        let key = &self.shared.terms.address_key;
        let found = self.read(async |client| people::behind_number(client, key, tenant, number, now).await).await?;
        Ok(Arc::new(found))
    }

    async fn customers(&self, tenant: &TenantId, after: Option<&str>, limit: u32) -> Result<Vec<Arc<Customer>>> {
        self.read(async |client| people::list(client, tenant, after, limit).await).await
    }

    async fn erase_customer(&self, tenant: &TenantId, id: &CustomerId, now: Timestamp) -> Result<bool> {
        let names = self.read(async |client| erasing::names(client, tenant, id).await).await?;
        let Some(names) = names else {
            self.sweep(&erase::Names::without_profile(tenant, id), now).await?;
            return Ok(false);
        };
        self.sweep(&names, now).await?;
        let finished = names.clone();
        let erased = self.write_alone(move |tx| erase::finish(tx, &finished)).await?;
        // What a run in flight wrote between the last look and the end of the profile. Where this fails, it is done when the
        // erasure is asked for again: without a profile, what bears the customer's name is looked for.
        self.sweep(&names, now).await?;
        Ok(erased)
    }

    async fn history(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
        event_type: &str,
        limit: u32,
    ) -> Result<Vec<Arc<Event>>> {
        self.read(async |client| stories::history(client, tenant, customer, event_type, limit).await).await
    }

    async fn message_by_dedup_key(
        &self,
        tenant: &TenantId,
        plugin: &PluginName,
        lane: &str,
        key: &str,
    ) -> Result<Option<MessageId>> {
        self.read(async |client| outbox::message_by_dedup_key(client, tenant, plugin, lane, key).await).await
    }

    async fn event(&self, tenant: &TenantId, id: EventId) -> Result<Option<Arc<Event>>> {
        self.read(async |client| stories::event(client, tenant, id).await).await
    }

    async fn incoming(&self, tenant: &TenantId, id: MessageId) -> Result<Option<Arc<Incoming>>> {
        self.read(async |client| heard::load_incoming(client, tenant, id).await).await
    }

    async fn message(&self, tenant: &TenantId, id: MessageId) -> Result<Option<MessageRecord>> {
        let found = self.read(async |client| outbox::load_messages(client, &[id], false).await).await?;
        let found = found.into_iter().next().map(|held| held.record.clone());
        Ok(found.filter(|record| record.message.tenant == *tenant))
    }

    async fn receipts(&self, tenant: &TenantId, id: MessageId) -> Result<Vec<ReceiptLine>> {
        self.read(async |client| stories::receipts(client, tenant, id).await).await
    }

    async fn messages(&self, tenant: &TenantId, filter: &MessageFilter, page: Paging) -> Result<Vec<MessageRecord>> {
        self.read(async |client| stories::messages(client, tenant, filter, page).await).await
    }

    async fn event_story(&self, tenant: &TenantId, id: EventId) -> Result<Option<EventStory>> {
        self.read(async |client| stories::event_story(client, tenant, id).await).await
    }

    async fn events(&self, tenant: &TenantId, page: Paging) -> Result<Vec<EventStory>> {
        self.read(async |client| stories::events(client, tenant, page).await).await
    }

    async fn run(&self, tenant: &TenantId, id: RunId) -> Result<Option<RunStory>> {
        self.read(async |client| stories::run(client, tenant, id).await).await
    }

    async fn runs(&self, tenant: &TenantId, filter: &RunFilter, page: Paging) -> Result<Vec<RunStory>> {
        self.read(async |client| stories::runs(client, tenant, filter, page).await).await
    }

    async fn set_aside_cause(&self, tenant: &TenantId, id: RunId) -> Result<Option<Cause>> {
        self.read(async |client| stories::set_aside_cause(client, tenant, id).await).await
    }

    async fn replay_run(&self, tenant: &TenantId, id: RunId, now: Timestamp) -> Result<bool> {
        let tenant = tenant.clone();
        self.write(Vec::new(), move |tx| runs::replay_run(tx, &tenant, id, now)).await
    }

    async fn discard_run(&self, tenant: &TenantId, id: RunId, now: Timestamp) -> Result<bool> {
        let tenant = tenant.clone();
        self.write(Vec::new(), move |tx| runs::discard_run(tx, &tenant, id, now)).await
    }

    async fn replay_runs(&self, tenant: &TenantId, filter: &RunFilter, limit: u32, now: Timestamp) -> Result<Bulk> {
        let found = self.read(async |client| aside::find(client, tenant, filter, limit).await).await?;
        let (found, more) = found;
        let last_seq = found.last().map_or(filter.after_seq, |(seq, _)| *seq);
        let tenant = tenant.clone();
        let count = self.write(Vec::new(), move |tx| runs::replay_each(tx, &tenant, &found, now)).await?;
        Ok(Bulk { count, more, last_seq })
    }

    async fn discard_runs(&self, tenant: &TenantId, filter: &RunFilter, limit: u32, now: Timestamp) -> Result<Bulk> {
        let found = self.read(async |client| aside::find(client, tenant, filter, limit).await).await?;
        let (found, more) = found;
        let last_seq = found.last().map_or(filter.after_seq, |(seq, _)| *seq);
        let tenant = tenant.clone();
        let count = self.write(Vec::new(), move |tx| runs::discard_each(tx, &tenant, &found, now)).await?;
        Ok(Bulk { count, more, last_seq })
    }

    async fn figures(&self, tenant: &TenantId) -> Result<Figures> {
        self.read(async |client| stories::figures(client, tenant).await).await
    }

    async fn plugin_use(&self, key: &UseKey) -> Result<Used> {
        self.read(async |client| known::used(client, key).await).await
    }

    async fn plugin_records(&self) -> Result<Vec<PluginRecord>> {
        self.read(async |client| known::all(client).await).await
    }

    async fn change_plugin(
        &self,
        name: &PluginName,
        change: PluginChange,
        alert: Option<RoutedEvent>,
        now: Timestamp,
    ) -> Result<PluginChanged> {
        let name = name.clone();
        self.write(Vec::new(), move |tx| plugins::change(tx, &name, &change, alert.as_ref(), now)).await
    }

    async fn retain(&self, step: RetainStep) -> Result<Retained> {
        self.read(async |client| retain::step(client, &step).await).await
    }

    async fn adrift(&self) -> Result<Vec<Adrift>> {
        let lease = self.shared.settings.postgres.lease();
        self.scan(async |client| adrift::find(client, lease).await).await
    }

    async fn vitals(&self) -> Result<Vitals> {
        self.scan(async |client| adrift::vitals(client).await).await
    }

    fn host_secret(&self) -> [u8; 32] {
        store::host_secret(&self.shared.terms.address_key)
    }

    fn is_shared(&self) -> bool {
        self.shared.leases.shared_with_others()
    }

    fn owns(&self, shard: Shard) -> bool {
        self.shared.leases.owns(shard)
    }

    fn part(&self) -> Option<Part> {
        Some(Part { shards: self.shared.leases.count(), hosts: self.shared.leases.hosts() })
    }

    async fn reserve_pace(&self, account: &str, interval_us: i64, places: u32, now: Timestamp) -> Result<Option<i64>> {
        let taken = self.read(async |client| pace::reserve(client, account, interval_us, places, now).await).await?;
        Ok(Some(taken))
    }

    fn transactions(&self) -> u64 {
        PgStore::transactions(self)
    }

    async fn check(&self) -> Result<()> {
        self.write(Vec::new(), move |tx| tx.source.touch()).await
    }

    async fn close(&self) -> Result<()> {
        // The writer first: it finishes what is queued.
        self.queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let tasks: Vec<JoinHandle<()>> =
            self.tasks.lock().unwrap_or_else(std::sync::PoisonError::into_inner).drain(..).collect();
        self.stop.cancel();
        for task in tasks {
            task.await.map_err(|error| store::Error::Corrupt(format!("a task of the store ended badly: {error}")))?;
        }
        let left = lease::leave(&self.shared).await;
        self.shared.pool.close();
        left.map_err(|trouble| trouble.at(&self.shared.place))
    }
}
