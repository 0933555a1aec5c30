//! `GET /v1/runs/{id}/bundle`: a run that failed, as a file to be executed again elsewhere.
//!
//! What the run went by was written down when it failed: its time, settings, component, and what it looked up. The values are
//! read now. That is the truth as long as nobody has changed them since: the run has not, because it failed, and its entity is
//! held up; where something is newer than the run, the bundle says so. Personal data is masked ([`mask`]) unless it is asked for.

mod mask;

use axum::{
    extract::State,
    http::{StatusCode, Uri},
    response::Response,
};

use super::view;
use crate::{
    domain::{
        bundle::{BUNDLE, BuildOf, Bundle, Read, RunOf, StateOf},
        customer::Customer,
        exchange::Came,
        run::{Asked, Cause, EntityKey, Evidence, Incoming},
    },
    ids::{CustomerId, EventId, MessageId, RunId, TenantId},
    ingress::{
        AppState,
        auth::Caller,
        problem::Problem,
        request::{At, Query},
    },
    plugin,
    store::{self, RunState, RunStory, Store},
};

pub(super) async fn show(
    State(state): State<AppState>,
    caller: Caller,
    At(id): At<RunId>,
    uri: Uri,
) -> Result<Response, Problem> {
    let query = Query::of(&uri, &["personal"])?;
    let personal = query.parse("personal", "true or false", |text| text.parse::<bool>().ok())?.unwrap_or(false);
    let unknown = || Problem::not_found(format!("there is no run {id}")).field("id");
    let run = state.store.run(&caller.tenant, id).await?.ok_or_else(unknown)?;
    let none = |why: &str| {
        Problem::conflict(format!("run {id} has no bundle: {why}"))
            .field("id")
            .fix("runs that failed and were not discarded have one; GET /v1/runs?state=set-aside lists them")
    };
    let Some(failure) = run.failure.clone() else { return Err(none("it has not failed")) };
    let Some(cause) = cause(&*state.store, &caller.tenant, &run).await? else {
        return Err(none("what set it off is not kept any more"));
    };
    let report = run.report.clone().unwrap_or_default();
    let Some(evidence) = report.evidence.clone() else {
        return Err(none("it failed under an older version of this host, which wrote down too little"));
    };
    let key =
        EntityKey { tenant: caller.tenant.clone(), plugin: run.plugin.clone(), entity: run.entity.as_str().into() };
    let snapshot = state.store.load_entity(&key, evidence.now).await?;
    let read = read(&*state.store, &key, &run, &cause, &evidence).await?;
    let mut bundle = Bundle {
        bundle: BUNDLE,
        host: env!("CARGO_PKG_VERSION").to_owned(),
        contract: plugin::CONTRACT.to_owned(),
        plugin: BuildOf {
            name: run.plugin.to_string(),
            version: report.plugin_version.clone(),
            digest: format!("sha256:{}", evidence.digest),
        },
        run: RunOf {
            id,
            tenant: caller.tenant.to_string(),
            entity: run.entity.clone(),
            customer: run.customer.clone(),
            attempts: run.attempts.saturating_sub(1),
            accepted: run.accepted,
        },
        cause,
        now: evidence.now,
        seed: hex(&plugin::seed(&state.store.host_secret(), id)),
        config: serde_json::from_str(&evidence.config).unwrap_or_default(),
        state: StateOf::of(&snapshot),
        notes: notes(&evidence, snapshot.version, &read),
        read,
        http: evidence.http.clone(),
        failure,
        log: report.log,
        denied: report.denied,
        refused: report.refused.iter().map(|refused| format!("to {}: {}", refused.to, refused.why)).collect(),
        masked: std::collections::BTreeMap::new(),
    };
    if !personal {
        bundle = mask::mask(bundle).map_err(|error| Problem::internal(&error))?;
    }
    let bundle = serde_json::to_value(&bundle).map_err(|error| Problem::internal(&error))?;
    Ok(view::answer(StatusCode::OK, &bundle))
}

/// What set it off: of a run that was set aside, or that waits to be executed again.
async fn cause(store: &dyn Store, tenant: &TenantId, run: &RunStory) -> store::Result<Option<Cause>> {
    if run.state == RunState::SetAside {
        return store.set_aside_cause(tenant, run.id).await;
    }
    let key = EntityKey { tenant: tenant.clone(), plugin: run.plugin.clone(), entity: run.entity.as_str().into() };
    let open = store.open_runs_of(&key, run.seq - 1, 1).await?;
    Ok(open.into_iter().find(|open| open.run.id == run.id).map(|open| open.run.cause))
}

/// In what the bundle may differ from what the run saw.
fn notes(evidence: &Evidence, version: i64, read: &Read) -> Vec<String> {
    let mut notes = Vec::new();
    if version != evidence.entity_version {
        notes.push(format!(
            "the entity's state is of version {version}, and the run began with {}: a later run has changed it",
            evidence.entity_version
        ));
    }
    let newer = read.customers.iter().filter(|customer| customer.updated > evidence.now).count();
    if newer > 0 {
        notes.push(format!("{newer} of the customers were changed after the run"));
    }
    let too_long = evidence.http.iter().filter(|made| matches!(made.came, Came::TooLongToKeep { .. })).count();
    if too_long > 0 {
        notes.push(format!("{too_long} of the answers to its requests were too long to be kept"));
    }
    notes
}

async fn read(
    store: &dyn Store,
    key: &EntityKey,
    run: &RunStory,
    cause: &Cause,
    evidence: &Evidence,
) -> store::Result<Read> {
    let mut read = Read { asked: evidence.asked.clone(), ..Read::default() };
    let mut gather = Gather { store, tenant: &key.tenant, read: &mut read };
    if let Some(customer) = &run.customer {
        gather.customer(customer).await?;
    }
    match cause {
        Cause::Timer(timer) => {
            if let Some(origin) = timer.origin {
                gather.event(origin).await?;
            }
        }
        Cause::Delivery(delivery) => gather.message(delivery.message).await?,
        Cause::Message(incoming) => {
            if let Some(answered) = incoming.in_reply_to {
                gather.message(answered).await?;
            }
        }
        Cause::Event(_) => {}
    }
    for asked in &evidence.asked {
        match asked {
            Asked::Customer(id) => gather.customer(id).await?,
            Asked::Number(number) => {
                let known = store.behind_number(&key.tenant, number, evidence.now).await?;
                gather.known(&known);
            }
            Asked::History { customer, event_type, limit } => {
                for event in store.history(&key.tenant, customer, event_type, *limit).await? {
                    // What came after the run, it cannot have seen.
                    if event.received <= evidence.now {
                        gather.event(event.id).await?;
                    }
                }
            }
            Asked::Message(id) => gather.message(*id).await?,
            Asked::SentUnder { lane, key: under } => {
                if let Some(id) = store.message_by_dedup_key(&key.tenant, &run.plugin, lane, under).await? {
                    gather.message(id).await?;
                }
            }
            Asked::Reference(text) => gather.named(text).await?,
        }
    }
    Ok(read)
}

/// Reads each thing once.
struct Gather<'a> {
    store: &'a dyn Store,
    tenant: &'a TenantId,
    read: &'a mut Read,
}

impl Gather<'_> {
    fn known(&mut self, customer: &Customer) {
        if !self.read.customers.iter().any(|known| known.id == customer.id) {
            self.read.customers.push(customer.clone());
        }
    }

    async fn customer(&mut self, id: &CustomerId) -> store::Result<()> {
        if let Some(customer) = self.store.customer(self.tenant, id).await? {
            self.known(&customer);
        }
        Ok(())
    }

    async fn event(&mut self, id: EventId) -> store::Result<()> {
        if !self.read.events.iter().any(|known| known.id == id)
            && let Some(event) = self.store.event(self.tenant, id).await?
        {
            self.read.events.push((*event).clone());
        }
        Ok(())
    }

    /// In either direction.
    async fn message(&mut self, id: MessageId) -> store::Result<()> {
        let known = |incoming: &Incoming| incoming.id == id;
        if self.read.incoming.iter().any(known) || self.read.messages.iter().any(|known| known.message.id == id) {
            return Ok(());
        }
        if let Some(incoming) = self.store.incoming(self.tenant, id).await? {
            self.read.incoming.push((*incoming).clone());
        } else if let Some(record) = self.store.message(self.tenant, id).await? {
            self.read.messages.push(record);
        }
        Ok(())
    }

    async fn named(&mut self, reference: &str) -> store::Result<()> {
        if let Ok(id) = reference.parse::<EventId>() {
            return self.event(id).await;
        }
        if let Some((source, id)) = reference.split_once('#') {
            return self.event(EventId::of(self.tenant, source, id)).await;
        }
        match reference.parse::<MessageId>() {
            Ok(id) => self.message(id).await,
            Err(_) => Ok(()),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
