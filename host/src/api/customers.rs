//! `PUT/GET/DELETE /v1/customers/{id}` and `GET /v1/customers`: whom messages go to.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{limit, view};
use crate::{
    channel::phone,
    clock::Timestamp,
    domain::customer::{Address, Channel, Consent, ConsentScope, is_user_id},
    ids::CustomerId,
    ingress::{
        AppState,
        auth::Caller,
        problem::{Problem, excerpt},
        request::{At, Query, plain, read_json},
    },
    store::CustomerProfile,
};

/// Longer than any id in use, short enough for an index.
const ID_BYTES_MAX: usize = 256;
/// A sentence that says how a consent came about.
const SOURCE_CHARS_MAX: usize = 500;
/// How far a caller's clock may be ahead of ours: as much as a webhook's sender is allowed.
const CLOCKS_APART_MAX: Duration = Duration::from_secs(5 * 60);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    name: Option<String>,
    locale: Option<String>,
    timezone: Option<String>,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    #[serde(default)]
    addresses: Vec<GivenAddress>,
    #[serde(default)]
    consents: Vec<GivenConsent>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenAddress {
    channel: Channel,
    address: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenConsent {
    channel: Channel,
    scope: ConsentScope,
    granted: bool,
    source: String,
    /// When it was given or withdrawn. A consent without it is recorded where none is known, and never over a refusal.
    at: Option<String>,
}

pub(super) async fn put(
    State(state): State<AppState>,
    caller: Caller,
    At(id): At<CustomerId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    check_id(&id)?;
    let given: Profile = read_json(&headers, body, state.settings.json_bytes_max).await?;
    let now = state.clock.now();
    let mut profile = profile(given, state.settings.default_region.as_deref(), now)?;
    if let Some(known) = state.store.customer(&caller.tenant, &id).await? {
        refuse_now(&mut profile.consents, &known.consents, now);
    }
    let customer = state.store.put_customer(&caller.tenant, &id, profile, now).await?;
    Ok(view::answer(StatusCode::OK, &view::customer(&customer, now)))
}

pub(super) async fn show(
    State(state): State<AppState>,
    caller: Caller,
    At(id): At<CustomerId>,
) -> Result<Response, Problem> {
    match state.store.customer(&caller.tenant, &id).await? {
        Some(customer) => Ok(view::answer(StatusCode::OK, &view::customer(&customer, state.clock.now()))),
        None => Err(unknown(&id)),
    }
}

pub(super) async fn list(State(state): State<AppState>, caller: Caller, uri: Uri) -> Result<Response, Problem> {
    let query = Query::of(&uri, &["after", "limit"])?;
    let rows = limit(&query, state.settings.page_rows_max)?;
    let customers = state.store.customers(&caller.tenant, query.get("after"), rows).await?;
    let now = state.clock.now();
    let next = customers.last().filter(|_| customers.len() >= rows as usize).map(|last| last.id.clone());
    let customers: Vec<Value> = customers.iter().map(|customer| view::customer(customer, now)).collect();
    Ok(view::answer(StatusCode::OK, &json!({"customers": customers, "next": next})))
}

/// Erasure: profile, addresses, and every row that names the customer.
pub(super) async fn erase(
    State(state): State<AppState>,
    caller: Caller,
    At(id): At<CustomerId>,
) -> Result<Response, Problem> {
    if state.store.erase_customer(&caller.tenant, &id, state.clock.now()).await? {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Err(unknown(&id))
}

fn unknown(id: &CustomerId) -> Problem {
    Problem::not_found(format!("there is no customer `{}`", excerpt(id)))
        .field("id")
        .fix("register the customer with PUT /v1/customers/{id}")
}

fn check_id(id: &CustomerId) -> Result<(), Problem> {
    if id.is_empty() || id.len() > ID_BYTES_MAX || id.chars().any(char::is_control) {
        return Err(Problem::bad_field("id", "the customer's id is empty, too long or has control characters")
            .fix(format!("use the id that your own system has, at most {ID_BYTES_MAX} bytes")));
    }
    Ok(())
}

fn profile(given: Profile, default_region: Option<&str>, now: Timestamp) -> Result<CustomerProfile, Problem> {
    if let Some(locale) = given.locale.as_deref().filter(|locale| !is_language_tag(locale)) {
        return Err(Problem::bad_field("locale", format!("`{}` is no language tag", excerpt(locale)))
            .fix("write it as BCP 47 does: fr, fr-FR, zh-Hans-CN"));
    }
    if let Some(zone) = given.timezone.as_deref().filter(|zone| jiff::tz::TimeZone::get(zone).is_err()) {
        return Err(Problem::bad_field("timezone", format!("there is no time zone `{}`", excerpt(zone)))
            .fix("give its name in the IANA database, such as Europe/Paris"));
    }
    if let Some(name) = &given.name {
        plain("name", name)?;
    }
    for (name, value) in &given.attributes {
        plain("attributes", name)?;
        plain(&format!("attributes.{}", excerpt(name)), value)?;
    }
    let (dated, standing) = consents(given.consents, now)?;
    Ok(CustomerProfile {
        name: given.name,
        locale: given.locale,
        timezone: given.timezone,
        attributes: given.attributes,
        addresses: addresses(given.addresses, default_region)?,
        consents: dated,
        standing,
    })
}

fn addresses(given: Vec<GivenAddress>, default_region: Option<&str>) -> Result<Vec<Address>, Problem> {
    let mut addresses: Vec<Address> = Vec::with_capacity(given.len());
    for (index, GivenAddress { channel, address }) in given.into_iter().enumerate() {
        // On WhatsApp a number and the id that stands for it are two addresses of one person.
        let by_id = channel == Channel::Whatsapp && is_user_id(&address);
        if addresses.iter().any(|other| other.channel == channel && is_user_id(&other.address) == by_id) {
            let detail = format!("there are two addresses for {}", channel.as_str());
            return Err(Problem::bad_field(format!("addresses[{index}].channel"), detail)
                .fix("give one for each channel; on WhatsApp a number and an id such as FR.13491208655302741918"));
        }
        let address = match by_id {
            true => address,
            false => phone::parse_e164(&address, default_region).map(phone::E164::into_string).map_err(|error| {
                Problem::bad_field(format!("addresses[{index}].address"), error.to_string())
                    .fix("write the number with + and its country code, such as +33639981201")
            })?,
        };
        addresses.push(Address { channel, address, last_incoming: None, unusable_until: None, free_until: None });
    }
    Ok(addresses)
}

/// Those with a time, and those that stand without one. A refusal without a time is one of now: it does no harm to believe it.
fn consents(given: Vec<GivenConsent>, now: Timestamp) -> Result<(Vec<Consent>, Vec<Consent>), Problem> {
    let (mut dated, mut standing): (Vec<Consent>, Vec<Consent>) = (Vec::new(), Vec::new());
    for (index, GivenConsent { channel, scope, granted, source, at }) in given.into_iter().enumerate() {
        if dated.iter().chain(&standing).any(|other| other.channel == channel && other.scope == scope) {
            let detail = format!("there are two consents for {} on {}", scope.as_str(), channel.as_str());
            return Err(Problem::bad_field(format!("consents[{index}]"), detail).fix("give the latest only"));
        }
        if source.trim().is_empty() || source.chars().count() > SOURCE_CHARS_MAX {
            return Err(Problem::bad_field(format!("consents[{index}].source"), "it does not say how it came about")
                .fix("name the form, the conversation or the document, such as `checkout form v3`: it is the proof"));
        }
        plain(&format!("consents[{index}].source"), &source)?;
        let time = at.as_deref().map(|at| given_at(at, index, now)).transpose()?;
        let consent = Consent { channel, scope, granted, source, at: time.unwrap_or(now) };
        if granted && time.is_none() { standing.push(consent) } else { dated.push(consent) }
    }
    Ok((dated, standing))
}

/// A refusal of now comes after every consent that is known, also of one from before the clock was set back.
fn refuse_now(given: &mut [Consent], known: &[Consent], now: Timestamp) {
    for refusal in given.iter_mut().filter(|consent| !consent.granted && consent.at == now) {
        let same = known.iter().filter(|known| known.channel == refusal.channel && known.scope == refusal.scope);
        if let Some(latest) = same.map(|known| known.at).filter(|at| *at >= now).max() {
            refusal.at = latest.plus(Duration::from_millis(1));
        }
    }
}

fn given_at(at: &str, index: usize, now: Timestamp) -> Result<Timestamp, Problem> {
    match Timestamp::parse(at) {
        // The caller's clock need not agree with ours to the second.
        Some(time) if time <= now.plus(CLOCKS_APART_MAX) => Ok(time.min(now)),
        _ => Err(Problem::bad_field(
            format!("consents[{index}].at"),
            format!("`{}` is no time that has passed", excerpt(at)),
        )
        .fix("write when it was given, as 2026-01-15T10:30:00Z")),
    }
}

/// The shape of BCP 47: a language of 2 to 8 letters, then subtags of 1 to 8 letters and digits.
fn is_language_tag(text: &str) -> bool {
    let mut subtags = text.split('-');
    let language = subtags.next().unwrap_or_default();
    (2..=8).contains(&language.len())
        && language.bytes().all(|byte| byte.is_ascii_alphabetic())
        && subtags.all(|tag| (1..=8).contains(&tag.len()) && tag.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(json: &str) -> String {
        let problem = profile(serde_json::from_str(json).unwrap(), None, Timestamp(0)).unwrap_err();
        serde_json::to_value(&problem).unwrap()["field"].as_str().unwrap().to_owned()
    }

    #[test]
    fn a_wrong_profile_is_refused_with_the_field_that_is_wrong() {
        assert_eq!(refused(r#"{"locale":"fr_FR"}"#), "locale");
        assert_eq!(refused(r#"{"timezone":"Europe/Lutetia"}"#), "timezone");
        assert_eq!(refused(r#"{"addresses":[{"channel":"sms","address":"12"}]}"#), "addresses[0].address");
        let twice =
            r#"{"addresses":[{"channel":"sms","address":"+33639981201"},{"channel":"sms","address":"+33639981202"}]}"#;
        assert_eq!(refused(twice), "addresses[1].channel");
        let an_id_for_sms = r#"{"addresses":[{"channel":"sms","address":"FR.13491208655302741918"}]}"#;
        assert_eq!(refused(an_id_for_sms), "addresses[0].address");
        let two_ids =
            r#"{"addresses":[{"channel":"whatsapp","address":"FR.1"},{"channel":"whatsapp","address":"FR.2"}]}"#;
        assert_eq!(refused(two_ids), "addresses[1].channel");
        let unproven = r#"{"consents":[{"channel":"sms","scope":"service","granted":true,"source":" "}]}"#;
        assert_eq!(refused(unproven), "consents[0].source");
    }

    #[test]
    fn a_profile_is_taken_with_numbers_in_one_form() {
        let json = r#"{"name":"Ana","locale":"fr-FR","timezone":"Europe/Paris","attributes":{"size":"39"},
            "addresses":[{"channel":"whatsapp","address":"+33 6 39 98 12 01"}],
            "consents":[{"channel":"whatsapp","scope":"marketing","granted":true,"source":"form v3"}]}"#;
        let profile = profile(serde_json::from_str(json).unwrap(), None, Timestamp(7)).unwrap();
        assert_eq!(profile.addresses[0].address, "+33639981201");
        assert_eq!(profile.standing[0].at, Timestamp(7));
    }

    #[test]
    fn a_consent_says_when_it_was_given_or_stands_without() {
        let consents = |at: &str, granted: bool| {
            let json = format!(
                r#"{{"consents":[{{"channel":"sms","scope":"service","granted":{granted},"source":"form"{at}}}]}}"#
            );
            profile(serde_json::from_str(&json).unwrap(), None, Timestamp(9_000))
        };
        let dated = consents(r#","at":"1970-01-01T00:00:05Z""#, true).unwrap();
        assert_eq!((dated.consents[0].at, dated.standing.len()), (Timestamp(5_000), 0));
        assert_eq!(consents("", true).unwrap().standing.len(), 1);
        assert_eq!(consents("", false).unwrap().consents[0].at, Timestamp(9_000));
        assert!(consents(r#","at":"1970-01-01T00:05:10Z""#, true).is_err(), "it has not come yet");
        let ahead = consents(r#","at":"1970-01-01T00:00:10Z""#, true).unwrap();
        assert_eq!(ahead.consents[0].at, Timestamp(9_000), "the caller's clock is a second ahead");
    }

    #[test]
    fn a_refusal_of_now_counts_although_the_clock_was_set_back_since_the_consent() {
        let consent = |granted, at| Consent {
            channel: Channel::Sms,
            scope: ConsentScope::Service,
            granted,
            source: "form".to_owned(),
            at: Timestamp(at),
        };
        let mut given = [consent(false, 1_000)];
        refuse_now(&mut given, &[consent(true, 3_601_000)], Timestamp(1_000));
        assert_eq!(given[0].at, Timestamp(3_601_001));
        let mut given = [consent(false, 1_000)];
        refuse_now(&mut given, &[consent(true, 500)], Timestamp(1_000));
        assert_eq!(given[0].at, Timestamp(1_000));
    }
}
