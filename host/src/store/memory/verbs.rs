//! The verbs, each between what the script does before it and after it.

use std::sync::Arc;

use async_trait::async_trait;

use super::{MemoryStore, adrift, erasing, kept, open_work, outbox, people, stories};
use crate::{
    clock::Timestamp,
    domain::{
        customer::{Channel, Consent, Customer},
        event::Event,
        message::{MessageRecord, NewMessage},
        plugin::{PluginChange, PluginChanged, PluginRecord},
        quota::{UseKey, Used},
        run::{Cause, EntityKey, EntitySnapshot, Flow, Incoming, QueuedRun},
        shard::Shard,
    },
    ids::{CustomerId, Entity, EventId, MessageId, PluginName, RunId, TenantId},
    store::{
        self, Accepted, Adrift, Bulk, Changed, Committed, CustomerProfile, EventStory, Figures, Fired, MessageChange,
        MessageFilter, Moved, NewIncoming, NewPart, Paging, Receipt, ReceiptLine, Recorded, Result, RetainStep,
        Retained, RoutedEvent, RunCommit, RunFailed, RunFilter, RunState, RunStory, Store, Vitals,
        commands::{
            accept, change, commit, customers, erase, incoming, messages, parts, plugins, receipts, runs, timers,
        },
    },
};

#[async_trait]
impl Store for MemoryStore {
    async fn accept_events(&self, events: Vec<RoutedEvent>) -> Result<Vec<Accepted>> {
        if self.flaws.events_not_kept {
            let accepted =
                |routed: &RoutedEvent| Accepted { event: routed.event.id, duplicate: false, runs: Vec::new() };
            return Ok(events.iter().map(accepted).collect());
        }
        self.write("accept_events", |tx| accept::accept_events(tx, &events)).await
    }

    async fn accept_message(&self, message: NewMessage) -> Result<bool> {
        self.write("accept_message", |tx| messages::insert(tx, &message, message.created)).await
    }

    async fn open_flows(&self) -> Result<Vec<Flow>> {
        self.read("open_flows", open_work::flows).await
    }

    async fn open_runs(&self, flow: &Flow, after: i64, limit: u32) -> Result<Vec<QueuedRun>> {
        self.read("open_runs", |tables| open_work::runs(tables, &*self.script, flow, after, limit)).await
    }

    async fn open_runs_of(&self, key: &EntityKey, after: i64, limit: u32) -> Result<Vec<QueuedRun>> {
        self.read("open_runs_of", |tables| open_work::runs_of(tables, &*self.script, key, after, limit)).await
    }

    async fn open_run_seqs(&self, flow: &Flow, after: i64, through: i64, limit: u32) -> Result<Vec<(i64, Entity)>> {
        let runs =
            self.read("open_run_seqs", |tables| open_work::runs(tables, &*self.script, flow, after, limit)).await?;
        let named = runs.into_iter().filter(|run| run.seq <= through);
        Ok(named.map(|run| (run.seq, run.run.key.entity)).collect())
    }

    async fn load_entity(&self, key: &EntityKey, now: Timestamp) -> Result<Arc<EntitySnapshot>> {
        self.read("load_entity", |tables| kept::load(tables, key).at(now)).await
    }

    async fn commit_run(&self, commit: RunCommit) -> Result<Committed> {
        self.write("commit_run", |tx| commit::commit_run(tx, &commit)).await
    }

    async fn fail_run(&self, failed: RunFailed) -> Result<bool> {
        self.write("fail_run", |tx| runs::fail_run(tx, &failed)).await
    }

    async fn fire_timers(&self, now: Timestamp, limit: u32) -> Result<Fired> {
        self.write("fire_timers", |tx| timers::fire(tx, now, limit)).await
    }

    async fn open_message_tenants(&self) -> Result<Vec<TenantId>> {
        let tenants = self.read("open_message_tenants", open_work::message_tenants).await?;
        Ok(if self.flaws.messages_forgotten { Vec::new() } else { tenants })
    }

    async fn open_messages(&self, tenant: &TenantId, after: i64, limit: u32) -> Result<Vec<MessageRecord>> {
        self.read("open_messages", |tables| open_work::messages(tables, &*self.script, tenant, after, limit)).await
    }

    async fn open_message_seqs(&self, tenant: &TenantId, after: i64, through: i64, limit: u32) -> Result<Vec<i64>> {
        let records = self
            .read("open_message_seqs", |tables| open_work::messages(tables, &*self.script, tenant, after, limit))
            .await?;
        Ok(records.into_iter().map(|record| record.seq).filter(|seq| *seq <= through).collect())
    }

    async fn earlier_messages(&self, tenant: &TenantId, lane: &str, seq: i64) -> Result<Vec<MessageRecord>> {
        self.read("earlier_messages", |tables| open_work::earlier_messages(tables, tenant, lane, seq)).await
    }

    async fn due_tenants(&self, now: Timestamp) -> Result<(Vec<TenantId>, Option<Timestamp>)> {
        self.read("due_tenants", |tables| open_work::due_tenants(tables, &*self.script, now)).await
    }

    async fn due_messages(
        &self,
        tenant: &TenantId,
        after: (Timestamp, i64),
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<MessageRecord>> {
        self.read("due_messages", |tables| open_work::due_messages(tables, &*self.script, tenant, after, until, limit))
            .await
    }

    async fn change_message(&self, change: MessageChange) -> Result<Changed> {
        self.write("change_message", |tx| change::change_message(tx, &change)).await
    }

    async fn cancel_message(&self, tenant: &TenantId, message: MessageId, now: Timestamp) -> Result<bool> {
        self.write("cancel_message", |tx| messages::cancel(tx, tenant, message, now)).await
    }

    async fn record_receipts(&self, receipts: Vec<Receipt>, now: Timestamp) -> Result<Vec<Recorded>> {
        self.write("record_receipts", |tx| receipts::record_receipts(tx, &receipts, now)).await
    }

    async fn record_incoming(&self, incoming: Vec<NewIncoming>, now: Timestamp) -> Result<Vec<bool>> {
        self.write("record_incoming", |tx| incoming::record_incoming(tx, &incoming, now)).await
    }

    async fn keep_part(&self, part: NewPart) -> Result<Option<Incoming>> {
        self.write("keep_part", |tx| parts::keep_part(tx, &part)).await
    }

    async fn record_address_consent(&self, tenant: &TenantId, address: &str, consent: Consent) -> Result<()> {
        self.write("record_address_consent", |tx| customers::record_address_consent(tx, tenant, address, &consent))
            .await
    }

    async fn move_address(
        &self,
        tenant: &TenantId,
        channel: Channel,
        from: &str,
        to: &str,
        told: RoutedEvent,
    ) -> Result<Moved> {
        self.write("move_address", |tx| incoming::moved(tx, tenant, channel, (from, to), &told)).await
    }

    async fn put_customer(
        &self,
        tenant: &TenantId,
        id: &CustomerId,
        profile: CustomerProfile,
        now: Timestamp,
    ) -> Result<Arc<Customer>> {
        self.write("put_customer", |tx| customers::put(tx, tenant, id, &profile, now)).await
    }

    async fn customer(&self, tenant: &TenantId, id: &CustomerId) -> Result<Option<Arc<Customer>>> {
        self.read("customer", |tables| people::load(tables, tenant, id).map(Arc::new)).await
    }

    async fn behind_number(&self, tenant: &TenantId, number: &str, now: Timestamp) -> Result<Arc<Customer>> {
        let key = self.terms.address_key;
        self.read("behind_number", |tables| Arc::new(people::behind_number(tables, &key, tenant, number, now))).await
    }

    async fn customers(&self, tenant: &TenantId, after: Option<&str>, limit: u32) -> Result<Vec<Arc<Customer>>> {
        let found = self.read("customers", |tables| {
            let ids = tables.customers.keys().filter(|(of, id)| of == tenant && id.as_str() > after.unwrap_or(""));
            let found = ids.filter_map(|(of, id)| people::load(tables, of, id)).map(Arc::new);
            found.take(limit as usize).collect()
        });
        found.await
    }

    async fn erase_customer(&self, tenant: &TenantId, id: &CustomerId, now: Timestamp) -> Result<bool> {
        let names = self.read("erase_customer", |tables| erasing::names(tables, tenant, id)).await?;
        let Some(names) = names else { return Ok(false) };
        // Nothing comes in between, so one look finds everything.
        let found = self.read("erase_customer", |tables| erasing::find(tables, &names)).await?;
        self.write("erase_customer", |tx| {
            erase::redact(tx, &names, &found, now)?;
            erase::finish(tx, &names)
        })
        .await
    }

    async fn history(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
        event_type: &str,
        limit: u32,
    ) -> Result<Vec<Arc<Event>>> {
        self.read("history", |tables| stories::history(tables, tenant, customer, event_type, limit)).await
    }

    async fn message_by_dedup_key(
        &self,
        tenant: &TenantId,
        plugin: &PluginName,
        lane: &str,
        key: &str,
    ) -> Result<Option<MessageId>> {
        let key = (tenant.clone(), lane.to_owned(), plugin.to_string(), key.to_owned());
        self.read("message_by_dedup_key", |tables| tables.dedup.get(&key).copied()).await
    }

    async fn event(&self, tenant: &TenantId, id: EventId) -> Result<Option<Arc<Event>>> {
        let found = self.read("event", |tables| {
            let row = tables.event_keys.get(&id).and_then(|seq| tables.events.get(seq));
            row.map(|row| row.event.clone())
        });
        Ok(found.await?.filter(|event| event.tenant == *tenant))
    }

    async fn incoming(&self, tenant: &TenantId, id: MessageId) -> Result<Option<Arc<Incoming>>> {
        let found = self.read("incoming", |tables| tables.incoming.get(tables.incoming_ids.get(&id)?).cloned());
        Ok(found.await?.filter(|incoming| incoming.tenant == *tenant))
    }

    async fn message(&self, tenant: &TenantId, id: MessageId) -> Result<Option<MessageRecord>> {
        let found = self.read("message", |tables| outbox::load(tables, id)).await?;
        Ok(found.map(|held| held.record).filter(|record| record.message.tenant == *tenant))
    }

    async fn receipts(&self, tenant: &TenantId, id: MessageId) -> Result<Vec<ReceiptLine>> {
        self.read("receipts", |tables| stories::receipts(tables, tenant, id)).await
    }

    async fn messages(&self, tenant: &TenantId, filter: &MessageFilter, page: Paging) -> Result<Vec<MessageRecord>> {
        self.read("messages", |tables| stories::messages(tables, tenant, filter, page)).await
    }

    async fn event_story(&self, tenant: &TenantId, id: EventId) -> Result<Option<EventStory>> {
        let found = self.read("event_story", |tables| {
            let seq = *tables.event_keys.get(&id)?;
            tables.events.get(&seq).map(|row| stories::event(tables, seq, row))
        });
        Ok(found.await?.filter(|story| story.event.tenant == *tenant))
    }

    async fn events(&self, tenant: &TenantId, page: Paging) -> Result<Vec<EventStory>> {
        self.read("events", |tables| stories::events(tables, tenant, page)).await
    }

    async fn run(&self, tenant: &TenantId, id: RunId) -> Result<Option<RunStory>> {
        let found = self.read("run", |tables| {
            let row = tables.runs.get(tables.run_ids.get(&id)?)?;
            (row.queued.run.key.tenant == *tenant).then(|| stories::run(tables, row))
        });
        found.await
    }

    async fn runs(&self, tenant: &TenantId, filter: &RunFilter, page: Paging) -> Result<Vec<RunStory>> {
        self.read("runs", |tables| stories::runs(tables, tenant, filter, page)).await
    }

    async fn set_aside_cause(&self, tenant: &TenantId, id: RunId) -> Result<Option<Cause>> {
        let found = self.read("set_aside_cause", |tables| {
            let row = tables.runs.get(tables.run_ids.get(&id)?)?;
            let there = row.state == RunState::SetAside && row.queued.run.key.tenant == *tenant;
            there.then(|| tables.queued(row).run.cause)
        });
        found.await
    }

    async fn replay_run(&self, tenant: &TenantId, id: RunId, now: Timestamp) -> Result<bool> {
        self.write("replay_run", |tx| runs::replay_run(tx, tenant, id, now)).await
    }

    async fn discard_run(&self, tenant: &TenantId, id: RunId, now: Timestamp) -> Result<bool> {
        self.write("discard_run", |tx| runs::discard_run(tx, tenant, id, now)).await
    }

    async fn replay_runs(&self, tenant: &TenantId, filter: &RunFilter, limit: u32, now: Timestamp) -> Result<Bulk> {
        let (found, more) =
            self.read("replay_runs", |tables| stories::set_aside(tables, tenant, filter, limit)).await?;
        let last_seq = found.last().map_or(filter.after_seq, |(seq, _)| *seq);
        let count = self.write("replay_runs", |tx| runs::replay_each(tx, tenant, &found, now)).await?;
        Ok(Bulk { count, more, last_seq })
    }

    async fn discard_runs(&self, tenant: &TenantId, filter: &RunFilter, limit: u32, now: Timestamp) -> Result<Bulk> {
        let (found, more) =
            self.read("discard_runs", |tables| stories::set_aside(tables, tenant, filter, limit)).await?;
        let last_seq = found.last().map_or(filter.after_seq, |(seq, _)| *seq);
        let count = self.write("discard_runs", |tx| runs::discard_each(tx, tenant, &found, now)).await?;
        Ok(Bulk { count, more, last_seq })
    }

    async fn figures(&self, tenant: &TenantId) -> Result<Figures> {
        self.read("figures", |tables| stories::figures(tables, tenant)).await
    }

    async fn plugin_use(&self, key: &UseKey) -> Result<Used> {
        self.read("plugin_use", |tables| tables.plugin_use.get(key).cloned().unwrap_or_default()).await
    }

    async fn plugin_records(&self) -> Result<Vec<PluginRecord>> {
        self.read("plugin_records", |tables| tables.plugin_records.values().cloned().collect()).await
    }

    async fn change_plugin(
        &self,
        name: &PluginName,
        change: PluginChange,
        alert: Option<RoutedEvent>,
        now: Timestamp,
    ) -> Result<PluginChanged> {
        self.write("change_plugin", |tx| plugins::change(tx, name, &change, alert.as_ref(), now)).await
    }

    /// Worlds are over before anything is old.
    async fn retain(&self, step: RetainStep) -> Result<Retained> {
        Ok(Retained { last: step.after, ..Retained::default() })
    }

    async fn adrift(&self) -> Result<Vec<Adrift>> {
        self.read("adrift", adrift::find).await
    }

    async fn vitals(&self) -> Result<Vitals> {
        let found = self.read("vitals", |tables| {
            let open = tables.runs.values().filter(|row| row.state == RunState::Open);
            let oldest_open_run = open.map(|row| row.queued.accepted).min();
            let next_timer_due = tables.timers.values().filter(|row| !row.queued).map(|row| row.timer.due).min();
            Vitals { oldest_open_run, next_timer_due, ..Vitals::default() }
        });
        found.await
    }

    fn host_secret(&self) -> [u8; 32] {
        store::host_secret(&self.terms.address_key)
    }

    fn is_shared(&self) -> bool {
        self.script.shared()
    }

    fn owns(&self, shard: Shard) -> bool {
        self.script.owns(shard)
    }

    async fn check(&self) -> Result<()> {
        self.write("check", |tx| tx.source.touch()).await
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}
