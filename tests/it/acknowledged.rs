//! What is answered with success is on disk by then: seen from outside, in the order of the host's system calls. A kill cannot
//! show it, because what was written and not synced survives the process.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{
    Host, Setup,
    ledger::{Ledger, word},
    order_ready, strace,
};

/// Singly, in batches, from many sides and without a plugin.
const MESSAGES: usize = 8 + 20 + 24 + 2;
/// So many that nobody is written to more often than a provider allows.
const CUSTOMERS: u32 = 5;
const CALLS: &str = "--trace=read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg,fsync,fdatasync";

fn number(no: u32) -> String {
    format!("+336399815{no:02}")
}

fn asked(no: u32) -> Value {
    json!({
        "to": {"customer": "c0"}, "purpose": "alert", "because": {"reference": format!("order/{no}")},
        "text": format!("{} is here", word(no)),
    })
}

/// One by one, in batches and from many sides at once.
async fn post_in_every_way(host: &Host, ledger: &Ledger) {
    let next = |no: u32| {
        ledger.posting(&word(no));
        order_ready(&format!("c{}", no % CUSTOMERS), &word(no))
    };
    for no in 0..8 {
        host.accept(next(no)).await;
    }
    for first in [10, 20] {
        let batch: Vec<_> = (first..first + 10).map(next).collect();
        assert_eq!(host.post_event("/v1/events", &json!(batch)).await.status, 202);
    }
    let mut shops = JoinSet::new();
    for shop in 0..4 {
        let events: Vec<_> = (0..6).map(|no| next(30 + shop * 10 + no)).collect();
        let (client, url) = (host.client.clone(), format!("{}/v1/events", host.url));
        shops.spawn(async move {
            for event in events {
                let request = client.post(&url).header("content-type", "application/cloudevents+json");
                assert_eq!(request.body(event.to_string()).send().await.unwrap().status(), 202);
            }
        });
    }
    shops.join_all().await;
    for no in [80, 81] {
        ledger.posting(&word(no));
        let answer = host.post("/v1/messages", asked(no)).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
    }
}

#[tokio::test]
async fn no_success_is_answered_before_the_sync_that_covers_the_request() {
    let mut host = Host::prepare(Setup::new()).await;
    let trace = host.dir().join("trace");
    host.under = strace::under(&[CALLS.to_owned()], &trace);
    host.launch().await;
    for no in 0..CUSTOMERS {
        host.customer(&format!("c{no}"), &number(no)).await;
    }
    let ledger = Ledger::default();
    post_in_every_way(&host, &ledger).await;
    host.sim.writes(&number(1), "whatsapp", "thank you").await;
    host.until("all messages have arrived", async || {
        let messages = host.all_messages().await;
        let open =
            messages.iter().filter(|message| !["read", "delivered"].contains(&message["state"].as_str().unwrap()));
        match (open.count(), messages.len()) {
            (0, MESSAGES) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    host.stop().await;
    let text = strace::ended(&trace).await;
    let order = strace::order(&strace::calls(&text), &host.store_file());
    assert!(order.unsynced.is_empty(), "answered before a sync: {:#?}", order.unsynced);
    // And it was looked at what was to be looked at.
    let count = |beginning: &str| order.acknowledged.iter().filter(|request| request.starts_with(beginning)).count();
    let counted = ["POST /v1/events", "PUT /v1/customers/", "POST /v1/messages"].map(count);
    assert_eq!(counted, [8 + 2 + 24, CUSTOMERS as usize, 2], "{order:#?}");
    assert!(count("POST /v1/webhooks/") >= MESSAGES, "each message was reported on: {order:#?}");
    assert!(order.syncs > 10, "{}", order.syncs);
    host.under.clear();
    host.launch().await;
    ledger.check(&host, 0).await;
}
