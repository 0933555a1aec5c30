//! What every database has to do alike: one test for each promise of the trait, run by each implementation.
//!
//! An implementation gives a [`Place`] and calls `store_contract!`, which makes a test of every function listed there.

pub(crate) mod aside;
pub(crate) mod customers;
pub(crate) mod erasure;
pub(crate) mod messages;
pub(crate) mod open_work;
pub(crate) mod plans;
pub(crate) mod plugins;
pub(crate) mod quota;
pub(crate) mod races;
pub(crate) mod receipts;
pub(crate) mod retention;
pub(crate) mod runs;
pub(crate) mod timers;

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;

use super::{
    Committed, Handover, MessageChange, MessageChangeKind, Receipt, RoutedEvent, RunCommit, Store,
    handover::{Inlets, handover},
};
use crate::{
    clock::Timestamp,
    domain::{
        customer::Channel,
        event::Event,
        message::{Answer, Attempt, Author, Because, Content, MessageRecord, NewMessage, Next, Recipient, SmsPolicy},
        purpose::Purpose,
        quota::Caps,
        run::{Cause, EntityKey, Flow, NewRun, Outcome, QueuedRun, RunReport},
        status::{AttemptState, MessageState},
    },
    ids::{AttemptToken, CustomerId, Entity, EventId, MessageId, PluginName, RunId, TenantId},
};

/// Where a store is kept: opened again, it is the same store.
#[async_trait]
pub(crate) trait Place: Send + Sync {
    async fn open(&self, handover: Handover) -> Arc<dyn Store>;
}

macro_rules! store_contract {
    ($place:expr; $($module:ident::{$($promise:ident),* $(,)?})*) => {
        $(mod $module {
            use super::*;
            $(#[tokio::test]
            async fn $promise() {
                let place = $place;
                $crate::store::contract_tests::$module::$promise(&place).await;
            })*
        })*
    };
    ($place:expr) => {
        store_contract! { $place;
            runs::{
                an_event_is_accepted_once, open_runs_come_in_order_of_acceptance_also_after_a_restart,
                a_commit_writes_everything_and_only_once, a_run_that_began_on_an_older_version_writes_nothing,
                expired_state_is_not_visible, a_failed_run_waits_or_is_set_aside_and_can_be_replayed,
                what_is_emitted_sets_off_runs, what_was_handed_over_is_what_was_committed,
                history_finds_types_and_prefixes,
            }
            open_work::{
                the_flows_with_open_runs_are_listed, open_runs_are_read_by_flow_and_by_entity,
                the_open_runs_of_a_flow_are_numbered, open_messages_are_read_by_tenant,
                earlier_messages_of_a_lane_are_those_that_nobody_has_sent,
            }
            timers::{
                a_timer_fires_once_and_not_early, a_timer_that_is_replaced_fires_at_its_new_time,
                a_queued_timer_that_is_cancelled_does_not_fire, a_timer_that_is_too_late_is_dropped,
                the_timer_goes_when_its_run_commits, setting_a_timer_again_in_its_own_run_fires_again,
            }
            aside::{
                many_runs_are_replayed_in_steps_and_handed_over_in_their_order,
                a_step_takes_so_many_and_says_that_there_are_more, a_filter_takes_what_it_names_and_nothing_else,
                an_alert_is_there_with_the_mark_that_it_is_about_and_not_without,
            }
            plugins::{
                permissions_are_accepted_at_first_sight_and_by_an_operator,
                a_plugin_is_paused_once_with_its_evidence_and_its_alert,
            }
            quota::{
                a_plugin_has_so_many_places_with_a_customer, who_asks_side_by_side_gets_no_place_twice,
                a_plugin_has_so_much_money_a_day,
            }
            races::{ a_timer_set_anew_or_cancelled_while_it_fires_runs_once }
            messages::{
                a_message_is_taken_once, the_same_dedup_key_is_sent_once, a_change_needs_the_revision_it_was_decided_on,
                a_message_that_has_to_wait_comes_back_when_it_is_due, a_cancelled_message_is_handed_over_again,
                a_plugin_cancels_only_its_own, the_author_is_told_of_the_states_it_asked_for,
                a_lost_answer_is_counted_until_it_is_resolved,
            }
            receipts::{
                receipts_in_any_order_and_repeated_end_alike, a_receipt_before_the_answer_counts,
                a_receipt_about_an_unknown_attempt_is_matched_later, a_message_that_arrives_twice_is_counted,
                a_message_that_was_given_up_can_still_arrive, a_failed_attempt_is_planned_again,
                a_stop_that_a_provider_reports_is_a_refusal, a_message_in_parts_has_arrived_when_all_parts_have,
                a_message_in_parts_fails_with_one_of_them,
            }
            customers::{
                an_address_names_one_customer, an_older_consent_does_not_overrule_a_newer_one,
                a_profile_sent_again_does_not_undo_a_stop, a_number_is_its_customer_or_a_stranger_with_refusals,
                what_a_customer_writes_opens_the_window, an_answer_goes_to_the_plugin_that_asked,
                a_number_picks_the_choice, a_stop_of_a_stranger_is_remembered,
                what_comes_in_parts_is_put_together_once_they_are_all_there,
                an_erased_customer_is_gone_and_stays_suppressed,
            }
        }
    };
}
pub(crate) use store_contract;

/// What a store has to do as well that is kept for longer than a test.
macro_rules! retention_contract {
    ($place:expr) => {
        $crate::store::contract_tests::store_contract! { $place;
            retention::{
                what_is_old_and_ended_is_emptied_and_later_gone, an_event_that_is_gone_is_known_until_its_key_goes,
                an_event_that_a_timer_refers_to_stays,
                settled_messages_are_emptied_and_later_gone_with_what_belongs_to_them,
                receipts_that_never_found_their_attempt_go,
            }
        }
    };
}
pub(crate) use retention_contract;

/// A store with what it hands over.
struct World {
    store: Arc<dyn Store>,
    inlets: Inlets,
}

async fn open(place: &dyn Place) -> World {
    let (outlets, inlets) = handover(100, 100);
    let store = place.open(outlets).await;
    // A store that was opened may hold work: what it says of that is taken note of here, as a worker does.
    inlets.runs.take_missed();
    inlets.messages.take_missed();
    World { store, inlets }
}

const HOUR: i64 = 3_600_000;

fn at(ms: i64) -> Timestamp {
    // Far enough from 0 that a time before it can be told from none.
    Timestamp(1_000_000_000_000 + ms)
}

fn tenant() -> TenantId {
    TenantId::default_tenant()
}

fn ann() -> CustomerId {
    CustomerId::from("ann")
}

fn key() -> EntityKey {
    EntityKey { tenant: tenant(), plugin: PluginName::from("orders"), entity: Entity::from("customer/ann") }
}

fn flow() -> Flow {
    Flow::of(&key())
}

/// Every open run, in order of acceptance.
pub(crate) async fn all_open(store: &dyn Store) -> Vec<QueuedRun> {
    let mut open = Vec::new();
    for flow in store.open_flows().await.unwrap() {
        open.extend(store.open_runs(&flow, 0, 1000).await.unwrap());
    }
    open.sort_by_key(|run| run.seq);
    open
}

/// An event of the shop about Ann, with one run.
fn event(id: &str) -> RoutedEvent {
    let event = Arc::new(Event {
        id: EventId::of(&tenant(), "/shop", id),
        tenant: tenant(),
        source_id: id.into(),
        source: "/shop".into(),
        event_type: "shop.order.placed".into(),
        subject: Some(format!("order/{id}")),
        time: at(0),
        received: at(1),
        customer: Some(ann()),
        data: Arc::from(r#"{"phone":"+33611111111"}"#),
        attributes: vec![("trace".into(), "t-1".into())],
        cause: None,
    });
    let run = NewRun {
        id: RunId::of_event(event.id, &key().plugin, 0),
        key: key(),
        customer: Some(ann()),
        cause: Cause::Event(event.clone()),
        hold_up: true,
    };
    RoutedEvent { event, runs: vec![run], notes: vec!["why not: `reminders` wants a total above 100".into()] }
}

/// Accepts an event and returns its run.
async fn accepted(store: &dyn Store, id: &str) -> QueuedRun {
    store.accept_events(vec![event(id)]).await.unwrap();
    let wanted = event(id).runs[0].id;
    let open = all_open(store).await;
    open.into_iter().find(|run| run.run.id == wanted).unwrap()
}

fn commit(run: &QueuedRun, version: i64, outcome: Outcome) -> RunCommit {
    let report = RunReport { plugin_version: "1.0.0".into(), took_us: 40, ..RunReport::default() };
    let origin = Some(EventId::of(&tenant(), "/shop", "origin"));
    RunCommit { run: run.clone(), version, outcome, emitted: Vec::new(), origin, report, now: at(10) }
}

/// Commits an outcome of a new run on whatever version the entity has.
pub(crate) async fn done(store: &dyn Store, id: &str, outcome: Outcome) -> QueuedRun {
    let run = accepted(store, id).await;
    let version = store.load_entity(&run.run.key, at(10)).await.unwrap().version;
    let committed = store.commit_run(commit(&run, version, outcome)).await.unwrap();
    assert!(matches!(committed, Committed::Done(_)), "{committed:?}");
    run
}

fn message(name: &str) -> NewMessage {
    NewMessage {
        id: MessageId::of_request(&tenant(), name),
        tenant: tenant(),
        author: Some(Author {
            run: event("author").runs[0].id,
            plugin: key().plugin,
            entity: key().entity,
            notify: vec![MessageState::Delivered, MessageState::Failed],
            answers: true,
            caps: Caps::default(),
        }),
        to: Recipient::Customer(ann()),
        purpose: Purpose::Confirmation,
        because: Because::Reference("order/1".into()),
        content: Content { text: Some("Your order is on its way".into()), ..Content::default() },
        sms: SmsPolicy::Fallback,
        fallback_after: None,
        expires: None,
        dedup_key: None,
        tag: Some("on-its-way".into()),
        quote: None,
        created: at(5),
    }
}

fn attempt(no: u32, channel: Channel) -> Attempt {
    let provider = if channel == Channel::Sms { "cm" } else { "meta" };
    Attempt {
        no,
        channel,
        provider: provider.into(),
        account: "main".into(),
        address: "+33611111111".into(),
        state: AttemptState::Planned,
        provider_id: None,
        rendition: "text".into(),
        parts: 1,
        price_micros: Some(50_000),
        planned: at(20),
        answered: None,
        failure: None,
        decision: json!({ "route": provider }),
    }
}

async fn read(store: &dyn Store, id: MessageId) -> MessageRecord {
    store.message(&tenant(), id).await.unwrap().unwrap()
}

async fn change(store: &dyn Store, id: MessageId, kind: MessageChangeKind) -> MessageRecord {
    let revision = read(store, id).await.revision;
    let change = MessageChange { tenant: tenant(), message: id, revision, kind, now: at(30) };
    match store.change_message(change).await.unwrap() {
        super::Changed::Done(record) => *record,
        other => panic!("{other:?}"),
    }
}

async fn begin(store: &dyn Store, id: MessageId, no: u32, channel: Channel) -> MessageRecord {
    change(store, id, MessageChangeKind::Begin { attempt: attempt(no, channel), look_again: at(HOUR) }).await
}

async fn answer(store: &dyn Store, id: MessageId, no: u32, answer: Answer, next: Next) -> MessageRecord {
    change(store, id, MessageChangeKind::Answer { no, answer, next, waits: None }).await
}

/// A message that a provider has taken under `provider_id`.
async fn sent(store: &dyn Store, name: &str, provider_id: &str) -> MessageId {
    let message = message(name);
    assert!(store.accept_message(message.clone()).await.unwrap());
    begin(store, message.id, 1, Channel::Whatsapp).await;
    let accepted = Answer::Accepted { provider_id: provider_id.into() };
    answer(store, message.id, 1, accepted, Next::At(at(HOUR))).await;
    message.id
}

/// What `meta` reports of a message, by our token.
fn receipt(message: MessageId, attempt: u32, state: AttemptState) -> Receipt {
    Receipt {
        tenant: tenant(),
        provider: "meta".into(),
        token: Some(AttemptToken { message, attempt }),
        provider_id: None,
        state,
        time: at(100 + state as i64),
        failure: None,
        pricing: None,
    }
}
