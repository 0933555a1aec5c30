//! A store that knows one customer and nothing else: what a plugin's run reads, without a database.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    clock::Timestamp,
    domain::{
        customer::{Address, Channel, Consent, Customer},
        event::Event,
        message::{MessageRecord, NewMessage},
        plugin::{PluginChange, PluginChanged, PluginRecord},
        quota::{UseKey, Used},
        run::{Cause, EntityKey, EntitySnapshot, Flow, Incoming, QueuedRun},
    },
    ids::{CustomerId, Entity, EventId, MessageId, PluginName, RunId, TenantId},
    store::{
        Accepted, Adrift, Bulk, Changed, Committed, CustomerProfile, Error, EventStory, Figures, Fired, MessageChange,
        MessageFilter, Moved, NewIncoming, NewPart, Paging, Receipt, ReceiptLine, Recorded, Result, RetainStep,
        Retained, RoutedEvent, RunCommit, RunFailed, RunFilter, RunStory, Store, Vitals,
    },
};

pub(super) struct OneCustomer {
    /// Every question ends in an error, as when the disk is gone.
    pub broken: bool,
}

impl OneCustomer {
    fn answer<T>(&self, value: T) -> Result<T> {
        if self.broken { Err(Error::Closed) } else { Ok(value) }
    }
}

pub(super) fn customer() -> Customer {
    Customer {
        tenant: TenantId::default_tenant(),
        id: "4711".into(),
        name: Some("Zoé".into()),
        locale: Some("fr-FR".into()),
        timezone: Some("Europe/Paris".into()),
        attributes: [("first-name".to_owned(), "Zoé".to_owned())].into(),
        addresses: Channel::ALL
            .map(|channel| Address {
                channel,
                address: "+33612345678".into(),
                last_incoming: None,
                unusable_until: None,
            })
            .into(),
        consents: vec![],
        created: Timestamp(0),
        updated: Timestamp(0),
    }
}

#[async_trait]
impl Store for OneCustomer {
    async fn accept_events(&self, _: Vec<RoutedEvent>) -> Result<Vec<Accepted>> {
        Err(Error::Closed)
    }
    async fn accept_message(&self, _: NewMessage) -> Result<bool> {
        Err(Error::Closed)
    }
    async fn open_flows(&self) -> Result<Vec<Flow>> {
        Err(Error::Closed)
    }
    async fn open_runs(&self, _: &Flow, _: i64, _: u32) -> Result<Vec<QueuedRun>> {
        Err(Error::Closed)
    }
    async fn open_runs_of(&self, _: &EntityKey, _: i64, _: u32) -> Result<Vec<QueuedRun>> {
        Err(Error::Closed)
    }
    async fn open_run_seqs(&self, _: &Flow, _: i64, _: i64, _: u32) -> Result<Vec<(i64, Entity)>> {
        Err(Error::Closed)
    }
    async fn load_entity(&self, _: &EntityKey, _: Timestamp) -> Result<Arc<EntitySnapshot>> {
        Err(Error::Closed)
    }
    async fn commit_run(&self, _: RunCommit) -> Result<Committed> {
        Err(Error::Closed)
    }
    async fn fail_run(&self, _: RunFailed) -> Result<bool> {
        Err(Error::Closed)
    }
    async fn fire_timers(&self, _: Timestamp, _: u32) -> Result<Fired> {
        Err(Error::Closed)
    }
    async fn open_message_tenants(&self) -> Result<Vec<TenantId>> {
        Err(Error::Closed)
    }
    async fn open_messages(&self, _: &TenantId, _: i64, _: u32) -> Result<Vec<MessageRecord>> {
        Err(Error::Closed)
    }
    async fn open_message_seqs(&self, _: &TenantId, _: i64, _: i64, _: u32) -> Result<Vec<i64>> {
        Err(Error::Closed)
    }
    async fn earlier_messages(&self, _: &TenantId, _: &str, _: i64) -> Result<Vec<MessageRecord>> {
        Err(Error::Closed)
    }
    async fn due_tenants(&self, _: Timestamp) -> Result<(Vec<TenantId>, Option<Timestamp>)> {
        Err(Error::Closed)
    }
    async fn due_messages(
        &self,
        _: &TenantId,
        _: (Timestamp, i64),
        _: Timestamp,
        _: u32,
    ) -> Result<Vec<MessageRecord>> {
        Err(Error::Closed)
    }
    async fn change_message(&self, _: MessageChange) -> Result<Changed> {
        Err(Error::Closed)
    }
    async fn cancel_message(&self, _: &TenantId, _: MessageId, _: Timestamp) -> Result<bool> {
        Err(Error::Closed)
    }
    async fn record_receipts(&self, _: Vec<Receipt>, _: Timestamp) -> Result<Vec<Recorded>> {
        Err(Error::Closed)
    }
    async fn record_incoming(&self, _: Vec<NewIncoming>, _: Timestamp) -> Result<Vec<bool>> {
        Err(Error::Closed)
    }
    async fn keep_part(&self, _: NewPart) -> Result<Option<Incoming>> {
        Err(Error::Closed)
    }
    async fn record_address_consent(&self, _: &TenantId, _: &str, _: Consent) -> Result<()> {
        Err(Error::Closed)
    }
    async fn move_address(&self, _: &TenantId, _: Channel, _: &str, _: &str, _: RoutedEvent) -> Result<Moved> {
        Err(Error::Closed)
    }
    async fn put_customer(
        &self,
        _: &TenantId,
        _: &CustomerId,
        _: CustomerProfile,
        _: Timestamp,
    ) -> Result<Arc<Customer>> {
        Err(Error::Closed)
    }
    async fn customer(&self, _: &TenantId, id: &CustomerId) -> Result<Option<Arc<Customer>>> {
        self.answer((id.as_str() == "4711").then(|| Arc::new(customer())))
    }
    async fn behind_number(&self, tenant: &TenantId, number: &str, now: Timestamp) -> Result<Arc<Customer>> {
        let address =
            |channel| Address { channel, address: number.to_owned(), last_incoming: None, unusable_until: None };
        self.answer(Arc::new(Customer {
            tenant: tenant.clone(),
            id: CustomerId::from(number),
            addresses: Channel::ALL.map(address).to_vec(),
            consents: Vec::new(),
            created: now,
            updated: now,
            ..customer()
        }))
    }
    async fn customers(&self, _: &TenantId, _: Option<&str>, _: u32) -> Result<Vec<Arc<Customer>>> {
        Err(Error::Closed)
    }
    async fn erase_customer(&self, _: &TenantId, _: &CustomerId, _: Timestamp) -> Result<bool> {
        Err(Error::Closed)
    }
    async fn history(&self, _: &TenantId, _: &CustomerId, _: &str, _: u32) -> Result<Vec<Arc<Event>>> {
        self.answer(vec![])
    }
    async fn message_by_dedup_key(&self, _: &TenantId, _: &PluginName, _: &str, _: &str) -> Result<Option<MessageId>> {
        self.answer(None)
    }
    async fn event(&self, _: &TenantId, _: EventId) -> Result<Option<Arc<Event>>> {
        self.answer(None)
    }
    async fn incoming(&self, _: &TenantId, _: MessageId) -> Result<Option<Arc<Incoming>>> {
        self.answer(None)
    }
    async fn message(&self, _: &TenantId, _: MessageId) -> Result<Option<MessageRecord>> {
        self.answer(None)
    }
    async fn receipts(&self, _: &TenantId, _: MessageId) -> Result<Vec<ReceiptLine>> {
        Err(Error::Closed)
    }
    async fn messages(&self, _: &TenantId, _: &MessageFilter, _: Paging) -> Result<Vec<MessageRecord>> {
        Err(Error::Closed)
    }
    async fn event_story(&self, _: &TenantId, _: EventId) -> Result<Option<EventStory>> {
        Err(Error::Closed)
    }
    async fn events(&self, _: &TenantId, _: Paging) -> Result<Vec<EventStory>> {
        Err(Error::Closed)
    }
    async fn run(&self, _: &TenantId, _: RunId) -> Result<Option<RunStory>> {
        Err(Error::Closed)
    }
    async fn runs(&self, _: &TenantId, _: &RunFilter, _: Paging) -> Result<Vec<RunStory>> {
        Err(Error::Closed)
    }
    async fn set_aside_cause(&self, _: &TenantId, _: RunId) -> Result<Option<Cause>> {
        Err(Error::Closed)
    }
    async fn replay_run(&self, _: &TenantId, _: RunId, _: Timestamp) -> Result<bool> {
        Err(Error::Closed)
    }
    async fn discard_run(&self, _: &TenantId, _: RunId, _: Timestamp) -> Result<bool> {
        Err(Error::Closed)
    }
    async fn replay_runs(&self, _: &TenantId, _: &RunFilter, _: u32, _: Timestamp) -> Result<Bulk> {
        Err(Error::Closed)
    }
    async fn discard_runs(&self, _: &TenantId, _: &RunFilter, _: u32, _: Timestamp) -> Result<Bulk> {
        Err(Error::Closed)
    }
    async fn figures(&self, _: &TenantId) -> Result<Figures> {
        Err(Error::Closed)
    }
    async fn plugin_use(&self, _: &UseKey) -> Result<Used> {
        self.answer(Used::default())
    }
    async fn plugin_records(&self) -> Result<Vec<PluginRecord>> {
        Ok(Vec::new())
    }

    /// Whatever is loaded is seen for the first time.
    async fn change_plugin(
        &self,
        name: &PluginName,
        change: PluginChange,
        _: Option<RoutedEvent>,
        now: Timestamp,
    ) -> Result<PluginChanged> {
        let PluginChange::Load { digest, version, wants } = change else { return Err(Error::Closed) };
        let record = PluginRecord { name: name.clone(), digest, version, accepted: wants, paused: None, updated: now };
        Ok(PluginChanged::Done(record))
    }

    async fn retain(&self, _: RetainStep) -> Result<Retained> {
        Err(Error::Closed)
    }
    async fn adrift(&self) -> Result<Vec<Adrift>> {
        Err(Error::Closed)
    }
    async fn vitals(&self) -> Result<Vitals> {
        Err(Error::Closed)
    }
    async fn check(&self) -> Result<()> {
        self.answer(())
    }
    fn host_secret(&self) -> [u8; 32] {
        [7; 32]
    }
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}
