//! What posts: customers beforehand, then events, so many in flight.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use serde_json::json;

use super::{figures::Latencies, provider::Provider};
use crate::channel::{HttpSettings, http_client};

/// How long an event may take to the provider before the bench gives up: the host does not send it at all then.
const ARRIVAL_MAX: Duration = Duration::from_secs(60);

/// What a load was answered.
pub(super) struct Load {
    pub took: Duration,
    pub answers: Latencies,
}

/// Makes customers that have WhatsApp.
pub(super) async fn customers(host: &str, count: usize) -> anyhow::Result<()> {
    let client = http_client(&HttpSettings::default())?;
    for customer in 0..count {
        let number = format!("+3363998{customer:04}", customer = customer % 10_000);
        let profile = json!({ "locale": "en", "timezone": "Europe/Paris", "addresses": [{ "channel": "whatsapp", "address": number }] });
        let answer = client.put(format!("{host}/v1/customers/c{customer}")).json(&profile).send().await?;
        if !answer.status().is_success() {
            bail!("customer {customer} was answered {}: {}", answer.status(), answer.text().await?);
        }
    }
    Ok(())
}

/// Posts events `range`, `in_flight` at a time (each until the provider has it, or with `flood` until it is accepted), and takes down when each was begun for the provider to compare.
pub(super) async fn events(
    host: &str,
    provider: &Arc<Provider>,
    range: Range<usize>,
    customers: usize,
    in_flight: usize,
    flood: bool,
) -> anyhow::Result<Load> {
    let client = http_client(&HttpSettings { idle_connections: in_flight, ..HttpSettings::default() })?;
    let next = Arc::new(AtomicUsize::new(range.start));
    let began = Instant::now();
    let mut workers = Vec::new();
    for _ in 0..in_flight {
        let (client, next, provider, url) =
            (client.clone(), next.clone(), provider.clone(), format!("{host}/v1/events"));
        workers.push(tokio::spawn(async move {
            let mut answers = Vec::new();
            loop {
                let no = next.fetch_add(1, Ordering::Relaxed);
                if no >= range.end {
                    return anyhow::Ok(answers);
                }
                let body = event(no, no % customers);
                let arrival = (!flood).then(|| provider.arrival(no));
                let posted = provider.posted(no);
                let request = client.post(&url).header("content-type", "application/cloudevents+json").body(body);
                let answer = request.send().await.context("the host does not answer")?;
                let status = answer.status();
                let text = answer.bytes().await?;
                if !status.is_success() {
                    bail!("event {no} was answered {status}: {}", String::from_utf8_lossy(&text));
                }
                answers.push(posted.elapsed());
                if let Some(arrival) = arrival {
                    tokio::time::timeout(ARRIVAL_MAX, arrival)
                        .await
                        .with_context(|| format!("event {no} did not come to the provider"))?
                        .context("the provider has ended")?;
                }
            }
        }));
    }
    let mut answers = Vec::new();
    for worker in workers {
        answers.extend(worker.await??);
    }
    Ok(Load { took: began.elapsed(), answers: Latencies::new(answers) })
}

/// About a kilobyte, as the figures to compare with have.
fn event(no: usize, customer: usize) -> String {
    let note = "x".repeat(600);
    json!({
        "specversion": "1.0", "id": format!("bench-{no}"), "source": "/bench", "type": "com.example.order.ready",
        "subject": format!("order/B{no}"), "customer": format!("c{customer}"), "datacontenttype": "application/json",
        "data": { "order": format!("B{no}"), "shop": "Boulangerie", "minutes": 2, "note": note },
    })
    .to_string()
}
