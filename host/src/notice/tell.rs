//! One endpoint: what is due to it is told, a few at a time, until nothing is due or it does not take it.

use futures_util::{StreamExt, stream};
use http::{HeaderMap, Method, StatusCode};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{Parts, TROUBLE_PAUSE, Told, sign};
use crate::{
    channel::failure::{retry_after, shortened},
    clock::Timestamp,
    domain::{
        endpoint::{DisabledWhy, Endpoint, Notice, NoticeState, Try, after_try},
        shard::Shard,
    },
    ids::{EndpointId, TenantId},
    plugin::{NoAnswer, Outgoing},
    store::{self, EndpointChange},
};

/// What came of a notice for the lane.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Tried,
    /// It rests, or the host stops: it is left in the store.
    Left,
    /// The store could not be written, so it will be told again.
    Trouble,
}

pub(super) async fn serve(parts: &Parts, tenant: &TenantId, id: EndpointId, stop: &CancellationToken) {
    loop {
        let ends = match batch(parts, tenant, id, stop).await {
            Ok(ends) => ends,
            Err(error) => {
                tracing::warn!(endpoint = %id, %error, "what an endpoint is to be told cannot be read now; trying again in a second");
                vec![End::Trouble]
            }
        };
        if ends.contains(&End::Trouble) {
            // By the machine's time: the host's may stand still.
            tokio::time::sleep(TROUBLE_PAUSE).await;
        }
        if ends.is_empty() || ends.iter().any(|end| *end != End::Tried) {
            return;
        }
    }
}

/// The next few. Nothing where nothing is due, or it is not this host's to tell.
async fn batch(parts: &Parts, tenant: &TenantId, id: EndpointId, stop: &CancellationToken) -> store::Result<Vec<End>> {
    if stop.is_cancelled() || !parts.store.owns(Shard::of_endpoint(tenant, id)) {
        return Ok(Vec::new());
    }
    // Read anew for each few: a secret may have been changed, or the endpoint disabled.
    let endpoint = parts.store.endpoint(tenant, id).await?.filter(Endpoint::enabled);
    let Some(endpoint) = endpoint else { return Ok(Vec::new()) };
    let at_once = if parts.rests.doubtful(id, &parts.settings) { 1 } else { parts.settings.per_endpoint_max };
    let limit = u32::try_from(at_once.saturating_mul(4)).unwrap_or(u32::MAX);
    let due = parts.store.due_notices(id, parts.clock.now(), limit).await?;
    let told = stream::iter(due).map(|notice| one(parts, &endpoint, notice, stop)).buffer_unordered(at_once);
    Ok(told.collect().await)
}

async fn one(parts: &Parts, endpoint: &Endpoint, notice: Notice, stop: &CancellationToken) -> End {
    // Places are only closed with the host.
    let Ok(_place) = parts.places.acquire().await else { return End::Left };
    let began = parts.clock.now();
    if stop.is_cancelled() || parts.rests.until(endpoint.id) > began {
        return End::Left;
    }
    let (tried, asked) = request(parts, endpoint, &notice, began).await;
    let (status, now) = (tried.status, parts.clock.now());
    let asked = asked.as_ref().and_then(retry_after);
    let standing = after_try(&notice, tried, asked, &parts.pauses, now);
    let state = standing.state;
    Told::count(match state {
        NoticeState::Delivered => &parts.told.delivered,
        NoticeState::Waiting => &parts.told.failed,
        NoticeState::GivenUp => &parts.told.given_up,
    });
    let written = async {
        parts.store.answer_notice(notice.seq, standing).await?;
        health(parts, endpoint, state == NoticeState::Delivered, status, now).await
    };
    match written.await {
        Ok(()) => End::Tried,
        Err(error) => {
            tracing::warn!(endpoint = %endpoint.id, notice = %notice.id, %error, "an answer cannot be written down now; it will be told again");
            End::Trouble
        }
    }
}

/// Makes the request; what came of it, and the answer's headers.
async fn request(parts: &Parts, endpoint: &Endpoint, notice: &Notice, now: Timestamp) -> (Try, Option<HeaderMap>) {
    let failed = |error: String| Try { at: now, status: None, error: Some(error) };
    let url = match Url::parse(&endpoint.url) {
        Ok(url) => url,
        Err(error) => return (failed(format!("its URL is none: {error}")), None),
    };
    let outgoing = Outgoing {
        method: Method::POST,
        url,
        headers: sign::headers(&parts.host_secret, endpoint, notice, now),
        body: notice.body.clone().into(),
        timeout: parts.settings.timeout(),
    };
    match parts.door.knock(outgoing).await {
        Ok(answer) => (Try { at: now, status: Some(answer.status.as_u16()), error: None }, Some(answer.headers)),
        Err(NoAnswer::KeptFrom(why)) => {
            // The tenant need not learn where a name of the operator's network leads.
            tracing::warn!(endpoint = %endpoint.id, why, "an endpoint is not told anything");
            let error = "its name leads to an address that is not public, which the host's operator has not opened";
            (failed(error.to_owned()), None)
        }
        Err(other) => (failed(shortened(&other.to_string())), None),
    }
}

/// What an answer says of the endpoint.
async fn health(
    parts: &Parts,
    endpoint: &Endpoint,
    taken: bool,
    status: Option<u16>,
    now: Timestamp,
) -> store::Result<()> {
    let change = if taken {
        parts.rests.well(endpoint.id);
        endpoint.failing_since.map(|_| EndpointChange::Well)
    } else {
        parts.rests.failed(endpoint.id, &parts.settings, now);
        failing(parts, endpoint, status, now)
    };
    let Some(change) = change else { return Ok(()) };
    if let EndpointChange::Disable(why) = change {
        tracing::warn!(
            tenant = %endpoint.tenant, endpoint = %endpoint.id, ?why,
            "an endpoint is disabled; what waits for it is kept until it is enabled again, or too old"
        );
    }
    parts.store.change_endpoint(&endpoint.tenant, endpoint.id, change, now).await?;
    Ok(())
}

fn failing(parts: &Parts, endpoint: &Endpoint, status: Option<u16>, now: Timestamp) -> Option<EndpointChange> {
    if status == Some(StatusCode::GONE.as_u16()) {
        return Some(EndpointChange::Disable(DisabledWhy::Gone));
    }
    let Some(since) = endpoint.failing_since else { return Some(EndpointChange::Failing) };
    let long = parts.settings.disable_after().is_some_and(|after| now.since(since) >= after);
    long.then_some(EndpointChange::Disable(DisabledWhy::Failing))
}
