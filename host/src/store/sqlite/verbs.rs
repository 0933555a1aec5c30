//! The verbs of the trait, each given to whoever does it.

use std::sync::Arc;

use async_trait::async_trait;

use super::{SqliteStore, adrift, aside, erasing, heard, kept, known, open_work, outbox, people, retain, stories};
use crate::{
    clock::Timestamp,
    domain::{
        customer::{Channel, Consent, Customer},
        event::Event,
        message::{MessageRecord, NewMessage},
        plugin::{PluginChange, PluginChanged, PluginRecord},
        quota::{UseKey, Used},
        run::{Cause, EntityKey, EntitySnapshot, Flow, Incoming, QueuedRun},
    },
    ids::{CustomerId, Entity, EventId, MessageId, PluginName, RunId, TenantId},
    store::{
        self, Accepted, Adrift, Bulk, Changed, Committed, CustomerProfile, Error, EventStory, Figures, Fired,
        MessageChange, MessageFilter, Moved, NewIncoming, NewPart, Paging, Receipt, ReceiptLine, Recorded, Result,
        RetainStep, Retained, RoutedEvent, RunCommit, RunFailed, RunFilter, RunStory, Store, Vitals,
        commands::{
            accept, change, commit, customers, entities, erase, incoming, messages, parts, plugins, receipts, runs,
            timers,
        },
    },
};

/// How often an erasure looks again for rows that were written while it looked. Each time there is less time for any.
const ERASURE_ROUNDS: usize = 8;

impl SqliteStore {
    async fn sweep(&self, names: &erase::Names, now: Timestamp) -> Result<()> {
        for _ in 0..ERASURE_ROUNDS {
            let (searched, redacted) = (names.clone(), names.clone());
            let found = self.readers.read(move |conn| erasing::find(&searched, conn)).await?;
            if found.is_empty() {
                break;
            }
            self.write(move |tx| erase::redact(tx, &redacted, &found, now)).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn accept_events(&self, events: Vec<RoutedEvent>) -> Result<Vec<Accepted>> {
        self.write(move |tx| accept::accept_events(tx, &events)).await
    }

    async fn accept_message(&self, message: NewMessage) -> Result<bool> {
        self.write(move |tx| messages::insert(tx, &message, message.created)).await
    }

    async fn open_flows(&self) -> Result<Vec<Flow>> {
        self.readers.read(open_work::flows).await
    }

    async fn open_runs(&self, flow: &Flow, after: i64, limit: u32) -> Result<Vec<QueuedRun>> {
        let flow = flow.clone();
        self.readers.read(move |conn| open_work::runs(conn, &flow, after, limit)).await
    }

    async fn open_runs_of(&self, key: &EntityKey, after: i64, limit: u32) -> Result<Vec<QueuedRun>> {
        let key = key.clone();
        self.readers.read(move |conn| open_work::runs_of(conn, &key, after, limit)).await
    }

    async fn open_run_seqs(&self, flow: &Flow, after: i64, through: i64, limit: u32) -> Result<Vec<(i64, Entity)>> {
        let flow = flow.clone();
        self.readers.read(move |conn| open_work::run_seqs(conn, &flow, after, through, limit)).await
    }

    async fn load_entity(&self, key: &EntityKey, now: Timestamp) -> Result<Arc<EntitySnapshot>> {
        if let Some(held) = self.shared.caches.entities.get(key) {
            return Ok(held.at(now));
        }
        let ticket = self.shared.caches.entities.ticket(key);
        let name = key.clone();
        let held = self.readers.glance(move |conn| kept::load(conn, &name)).await?;
        self.shared.caches.entities.offer(key.clone(), held.clone(), entities::bytes(&held), ticket);
        Ok(held.at(now))
    }

    async fn commit_run(&self, commit: RunCommit) -> Result<Committed> {
        self.write(move |tx| commit::commit_run(tx, &commit)).await
    }

    async fn fail_run(&self, failed: RunFailed) -> Result<bool> {
        self.write(move |tx| runs::fail_run(tx, &failed)).await
    }

    async fn fire_timers(&self, now: Timestamp, limit: u32) -> Result<Fired> {
        self.write(move |tx| timers::fire(tx, now, limit)).await
    }

    async fn open_message_tenants(&self) -> Result<Vec<TenantId>> {
        self.readers.read(open_work::message_tenants).await
    }

    async fn open_messages(&self, tenant: &TenantId, after: i64, limit: u32) -> Result<Vec<MessageRecord>> {
        let tenant = tenant.clone();
        self.readers.read(move |conn| open_work::messages(conn, &tenant, after, limit)).await
    }

    async fn open_message_seqs(&self, tenant: &TenantId, after: i64, through: i64, limit: u32) -> Result<Vec<i64>> {
        let tenant = tenant.clone();
        self.readers.read(move |conn| open_work::message_seqs(conn, &tenant, after, through, limit)).await
    }

    async fn earlier_messages(&self, tenant: &TenantId, lane: &str, seq: i64) -> Result<Vec<MessageRecord>> {
        let (tenant, lane) = (tenant.clone(), lane.to_owned());
        self.readers.read(move |conn| open_work::earlier_messages(conn, &tenant, &lane, seq)).await
    }

    async fn due_tenants(&self, now: Timestamp) -> Result<(Vec<TenantId>, Option<Timestamp>)> {
        self.readers.read(move |conn| open_work::due_tenants(conn, now)).await
    }

    async fn due_messages(
        &self,
        tenant: &TenantId,
        after: (Timestamp, i64),
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<MessageRecord>> {
        let tenant = tenant.clone();
        self.readers.read(move |conn| open_work::due_messages(conn, &tenant, after, until, limit)).await
    }

    async fn change_message(&self, change: MessageChange) -> Result<Changed> {
        self.write(move |tx| change::change_message(tx, &change)).await
    }

    async fn cancel_message(&self, tenant: &TenantId, message: MessageId, now: Timestamp) -> Result<bool> {
        let tenant = tenant.clone();
        self.write(move |tx| messages::cancel(tx, &tenant, message, now)).await
    }

    async fn record_receipts(&self, receipts: Vec<Receipt>, now: Timestamp) -> Result<Vec<Recorded>> {
        self.write(move |tx| receipts::record_receipts(tx, &receipts, now)).await
    }

    async fn record_incoming(&self, incoming: Vec<NewIncoming>, now: Timestamp) -> Result<Vec<bool>> {
        self.write(move |tx| incoming::record_incoming(tx, &incoming, now)).await
    }

    async fn keep_part(&self, part: NewPart) -> Result<Option<Incoming>> {
        self.write(move |tx| parts::keep_part(tx, &part)).await
    }

    async fn record_address_consent(&self, tenant: &TenantId, address: &str, consent: Consent) -> Result<()> {
        let (tenant, address) = (tenant.clone(), address.to_owned());
        self.write(move |tx| customers::record_address_consent(tx, &tenant, &address, &consent)).await
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
        self.write(move |tx| incoming::moved(tx, &tenant, channel, (&from, &to), &told)).await
    }

    async fn put_customer(
        &self,
        tenant: &TenantId,
        id: &CustomerId,
        profile: CustomerProfile,
        now: Timestamp,
    ) -> Result<Arc<Customer>> {
        let (tenant, id) = (tenant.clone(), id.clone());
        self.write(move |tx| customers::put(tx, &tenant, &id, &profile, now)).await
    }

    async fn customer(&self, tenant: &TenantId, id: &CustomerId) -> Result<Option<Arc<Customer>>> {
        let key = (tenant.clone(), id.clone());
        if let Some(customer) = self.shared.caches.customers.get(&key) {
            return Ok(Some(customer));
        }
        let ticket = self.shared.caches.customers.ticket(&key);
        let (tenant, id) = key.clone();
        let customer = self.readers.glance(move |conn| people::load(conn, &tenant, &id)).await?.map(Arc::new);
        if let Some(customer) = &customer {
            self.shared.caches.customers.offer(key, customer.clone(), customers::bytes(customer), ticket);
        }
        Ok(customer)
    }

    async fn behind_number(&self, tenant: &TenantId, number: &str, now: Timestamp) -> Result<Arc<Customer>> {
        let (tenant, number, key) = (tenant.clone(), number.to_owned(), self.shared.terms.address_key);
        let found = self.readers.read(move |conn| people::behind_number(conn, &key, &tenant, &number, now)).await?;
        Ok(Arc::new(found))
    }

    async fn customers(&self, tenant: &TenantId, after: Option<&str>, limit: u32) -> Result<Vec<Arc<Customer>>> {
        let (tenant, after) = (tenant.clone(), after.map(str::to_owned));
        self.readers.read(move |conn| people::list(conn, &tenant, after.as_deref(), limit)).await
    }

    async fn erase_customer(&self, tenant: &TenantId, id: &CustomerId, now: Timestamp) -> Result<bool> {
        let (of, who) = (tenant.clone(), id.clone());
        let names = self.readers.read(move |conn| erasing::names(conn, &of, &who)).await?;
        let Some(names) = names else {
            self.sweep(&erase::Names::without_profile(tenant, id), now).await?;
            return Ok(false);
        };
        self.sweep(&names, now).await?;
        let finished = names.clone();
        let erased = self.write(move |tx| erase::finish(tx, &finished)).await?;
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
        let (tenant, customer, event_type) = (tenant.clone(), customer.clone(), event_type.to_owned());
        self.readers.read(move |conn| stories::history(conn, &tenant, &customer, &event_type, limit)).await
    }

    async fn message_by_dedup_key(
        &self,
        tenant: &TenantId,
        plugin: &PluginName,
        lane: &str,
        key: &str,
    ) -> Result<Option<MessageId>> {
        let (tenant, plugin, lane, key) = (tenant.clone(), plugin.clone(), lane.to_owned(), key.to_owned());
        self.readers.glance(move |conn| stories::message_by_dedup_key(conn, &tenant, &plugin, &lane, &key)).await
    }

    async fn event(&self, tenant: &TenantId, id: EventId) -> Result<Option<Arc<Event>>> {
        let tenant = tenant.clone();
        self.readers.read(move |conn| stories::event(conn, &tenant, id)).await
    }

    async fn incoming(&self, tenant: &TenantId, id: MessageId) -> Result<Option<Arc<Incoming>>> {
        let tenant = tenant.clone();
        self.readers.read(move |conn| heard::load(conn, &tenant, id)).await
    }

    async fn message(&self, tenant: &TenantId, id: MessageId) -> Result<Option<MessageRecord>> {
        let held = match self.shared.caches.messages.get(&id) {
            Some(held) => Some((*held).clone()),
            None => self.readers.read(move |conn| outbox::load(conn, id)).await?,
        };
        Ok(held.map(|held| held.record).filter(|record| record.message.tenant == *tenant))
    }

    async fn receipts(&self, tenant: &TenantId, id: MessageId) -> Result<Vec<ReceiptLine>> {
        let tenant = tenant.clone();
        self.readers.read(move |conn| stories::receipts(conn, &tenant, id)).await
    }

    async fn messages(&self, tenant: &TenantId, filter: &MessageFilter, page: Paging) -> Result<Vec<MessageRecord>> {
        let (tenant, filter) = (tenant.clone(), filter.clone());
        self.readers.read(move |conn| stories::messages(conn, &tenant, &filter, page)).await
    }

    async fn event_story(&self, tenant: &TenantId, id: EventId) -> Result<Option<EventStory>> {
        let tenant = tenant.clone();
        self.readers.read(move |conn| stories::event_story(conn, &tenant, id)).await
    }

    async fn events(&self, tenant: &TenantId, page: Paging) -> Result<Vec<EventStory>> {
        let tenant = tenant.clone();
        self.readers.read(move |conn| stories::events(conn, &tenant, page)).await
    }

    async fn run(&self, tenant: &TenantId, id: RunId) -> Result<Option<RunStory>> {
        let tenant = tenant.clone();
        self.readers.read(move |conn| stories::run(conn, &tenant, id)).await
    }

    async fn runs(&self, tenant: &TenantId, filter: &RunFilter, page: Paging) -> Result<Vec<RunStory>> {
        let (tenant, filter) = (tenant.clone(), filter.clone());
        self.readers.read(move |conn| stories::runs(conn, &tenant, &filter, page)).await
    }

    async fn set_aside_cause(&self, tenant: &TenantId, id: RunId) -> Result<Option<Cause>> {
        let tenant = tenant.clone();
        self.readers.read(move |conn| stories::set_aside_cause(conn, &tenant, id)).await
    }

    async fn replay_run(&self, tenant: &TenantId, id: RunId, now: Timestamp) -> Result<bool> {
        let tenant = tenant.clone();
        self.write(move |tx| runs::replay_run(tx, &tenant, id, now)).await
    }

    async fn discard_run(&self, tenant: &TenantId, id: RunId, now: Timestamp) -> Result<bool> {
        let tenant = tenant.clone();
        self.write(move |tx| runs::discard_run(tx, &tenant, id, now)).await
    }

    async fn replay_runs(&self, tenant: &TenantId, filter: &RunFilter, limit: u32, now: Timestamp) -> Result<Bulk> {
        let (of, wanted) = (tenant.clone(), filter.clone());
        let (found, more) = self.readers.read(move |conn| aside::find(conn, &of, &wanted, limit)).await?;
        let last_seq = found.last().map_or(filter.after_seq, |(seq, _)| *seq);
        let tenant = tenant.clone();
        let count = self.write(move |tx| runs::replay_each(tx, &tenant, &found, now)).await?;
        Ok(Bulk { count, more, last_seq })
    }

    async fn discard_runs(&self, tenant: &TenantId, filter: &RunFilter, limit: u32, now: Timestamp) -> Result<Bulk> {
        let (of, wanted) = (tenant.clone(), filter.clone());
        let (found, more) = self.readers.read(move |conn| aside::find(conn, &of, &wanted, limit)).await?;
        let last_seq = found.last().map_or(filter.after_seq, |(seq, _)| *seq);
        let tenant = tenant.clone();
        let count = self.write(move |tx| runs::discard_each(tx, &tenant, &found, now)).await?;
        Ok(Bulk { count, more, last_seq })
    }

    async fn figures(&self, tenant: &TenantId) -> Result<Figures> {
        let tenant = tenant.clone();
        self.readers.read(move |conn| stories::figures(conn, &tenant)).await
    }

    async fn plugin_use(&self, key: &UseKey) -> Result<Used> {
        let key = key.clone();
        self.readers.glance(move |conn| known::used(conn, &key)).await
    }

    async fn plugin_records(&self) -> Result<Vec<PluginRecord>> {
        self.readers.read(known::all).await
    }

    async fn change_plugin(
        &self,
        name: &PluginName,
        change: PluginChange,
        alert: Option<RoutedEvent>,
        now: Timestamp,
    ) -> Result<PluginChanged> {
        let name = name.clone();
        self.write(move |tx| plugins::change(tx, &name, &change, alert.as_ref(), now)).await
    }

    async fn retain(&self, step: RetainStep) -> Result<Retained> {
        let chosen = self.readers.read(move |conn| retain::look(conn, &step)).await?;
        let (last, more) = (chosen.last, chosen.more);
        if chosen.seqs.is_empty() {
            return Ok(Retained { rows: 0, last, more });
        }
        let (job, answer) = retain::Sweep::new(step.what, chosen.seqs);
        self.send(Box::new(job))?;
        let rows = answer.await.unwrap_or_else(|_| Err(self.writer_is_gone()))?;
        Ok(Retained { rows, last, more })
    }

    async fn adrift(&self) -> Result<Vec<Adrift>> {
        self.readers.read(adrift::find).await
    }

    async fn vitals(&self) -> Result<Vitals> {
        self.readers.read(adrift::vitals).await
    }

    fn host_secret(&self) -> [u8; 32] {
        store::host_secret(&self.shared.terms.address_key)
    }

    fn transactions(&self) -> u64 {
        SqliteStore::transactions(self)
    }

    async fn check(&self) -> Result<()> {
        // A change of one row: what tells is the commit.
        self.write(move |tx| tx.source.touch()).await
    }

    async fn close(&self) -> Result<()> {
        let Some(writer) = self.stop() else { return Ok(()) };
        let ended = tokio::task::spawn_blocking(move || writer.join()).await;
        match ended {
            Ok(Ok(())) => Ok(()),
            _ => Err(Error::Corrupt(
                "the store's writer did not end in good order; what it acknowledged is on disk".into(),
            )),
        }
    }
}
