//! Uses every interface of the contract, and writes what it saw to the log.
#![allow(unsafe_code, reason = "the generated bindings call the host")]
#![cfg(target_family = "wasm")]

use serde_json::{Value, json};

wit_bindgen::generate!({ path: "../../../../wit/1.0.0", world: "plugin" });

use exports::relais::plugin::{on_delivery, on_event, on_message, on_timer};
use relais::plugin::{
    calendar, customers, events, http,
    messages::{self, Delivery, Draft, Incoming, Purpose, SendError},
    run, state,
    timers::{self, Timer},
    types::{Event, Failure, Place, RejectInfo},
};

struct Polite;

export!(Polite);

fn saw(what: &str, seen: &Value) {
    run::log(run::Level::Info, &format!("saw {what}: {seen}"), &[("part".to_owned(), what.to_owned())]);
}

/// What comes of a message: `sent`, or the code of its refusal.
fn outcome(draft: &Draft) -> String {
    let refused = match draft.send() {
        Ok(_) => return "sent".to_owned(),
        Err(refused) => refused,
    };
    let code = match refused {
        SendError::UnknownCustomer => "unknown-customer",
        SendError::NoAddress => "no-address",
        SendError::NoConsent(_) => "no-consent",
        SendError::NotExpected(_) => "not-expected",
        SendError::TemplateNeeded => "template-needed",
        SendError::BadTemplate(_) => "bad-template",
        SendError::BadContent(_) => "bad-content",
        SendError::NotPermitted(_) => "not-permitted",
        SendError::OverQuota(_) => "over-quota",
        SendError::Expired => "expired",
        SendError::Other(code) => return code,
    };
    code.to_owned()
}

fn reject(message: impl std::fmt::Display) -> Failure {
    Failure::Reject(RejectInfo { message: message.to_string(), detail: None, attributes: Vec::new() })
}

fn parsed(json: &str) -> Result<Value, Failure> {
    serde_json::from_str(json).map_err(reject)
}

fn of_run() -> Result<(), Failure> {
    let config = parsed(&run::config())?;
    let seen = json!({
        "attempt": run::attempt(),
        "entity": run::entity(),
        "customer": run::customer(),
        "identified": !run::id().is_empty(),
        "now": run::now() > 0.0,
        "plugin": run::attribute("plugin"),
        "unknown": run::attribute("no-such-name").is_none(),
        "random": run::random(16).len(),
        "greeting": config["greeting"],
        "secret": run::secret("no-such-secret").is_none(),
    });
    saw("run", &seen);
    Ok(())
}

fn of_state() {
    let before = state::get("a/1").is_none();
    let options = |ttl, customer| state::EntryOptions { ttl, customer, attributes: Vec::new() };
    state::set("a/1", b"one", Some(&options(Some(3_600_000.0), None)));
    state::set("a/2", b"two", Some(&options(None, Some("paul".to_owned()))));
    let page = state::scan("a/", None, 10);
    let scanned: Vec<String> = page.entries.into_iter().map(|entry| entry.key).collect();
    state::remove("a/1");
    let kept = state::get("a/2").map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    saw("state", &json!({"before": before, "scanned": scanned, "removed": state::get("a/1").is_none(), "kept": kept}));
}

fn of_timers() -> Result<(), Failure> {
    let now = run::now();
    timers::set("soon", now + 600_000.0, r#"{"n":2}"#, Some(now + 3_600_000.0));
    timers::set("never", now + 60_000.0, "null", None);
    timers::cancel("never");
    let soon = timers::get("soon").ok_or_else(|| reject("the timer is not there"))?;
    let seen = json!({
        "due_in": soon.due - now,
        "data": parsed(&soon.data)?["n"],
        "set_by": soon.set_by,
        "cancelled": timers::get("never").is_none(),
    });
    saw("timers", &seen);
    Ok(())
}

fn name_of(consent: customers::Consent) -> &'static str {
    match consent {
        customers::Consent::Unknown => "unknown",
        customers::Consent::Granted => "granted",
        customers::Consent::Refused => "refused",
    }
}

fn of_customers() -> Result<(), Failure> {
    let paul = customers::get("paul").ok_or_else(|| reject("Paul is not there"))?;
    let routes = customers::routes("paul");
    let addressable: Vec<&str> =
        routes.iter().filter(|route| route.addressable).map(|route| route.channel.as_str()).collect();
    let history: Vec<String> =
        customers::history("paul", "com.example.polite.*", 5).into_iter().map(|event| event.event_type).collect();
    let seen = json!({
        "locale": paul.locale,
        "timezone": paul.timezone,
        "unknown": customers::get("nobody").is_none(),
        "routes": addressable,
        "consent": routes.first().map(|route| name_of(route.consent)),
        "marketing": name_of(customers::get_consent("paul", "whatsapp", "marketing")),
        "history": history,
    });
    saw("customers", &seen);
    Ok(())
}

fn of_calendar() -> Result<(), Failure> {
    let paris = "Europe/Paris";
    let missing = || reject("the calendar knows no Paris");
    let at = calendar::parse("2026-03-29T01:30:00", paris).ok_or_else(missing)?;
    let local = calendar::to_local(at, paris).ok_or_else(missing)?;
    let skipped = calendar::LocalTime { hour: 2, ..local };
    let seen = json!({
        "at": at,
        "hour": local.hour,
        "weekday": local.weekday,
        "skipped": calendar::from_local(skipped, paris),
        "unknown": calendar::to_local(at, "Europe/Nowhere").is_none(),
        "written": calendar::format(at, paris, "fr-FR", calendar::Style::Date),
    });
    saw("calendar", &seen);
    Ok(())
}

fn to_paul() -> Draft {
    Draft::to_customer("paul", Purpose::Alert)
}

fn with(draft: Draft, set: impl FnOnce(&Draft)) -> Draft {
    set(&draft);
    draft
}

fn whole(event: &Event) -> Draft {
    let draft = to_paul();
    draft.because(&format!("{}#{}", event.source, event.id));
    draft.template("polite_note", &[("text".to_owned(), "hello".to_owned())]);
    draft.text("hello");
    draft.choices(&[messages::Choice { id: "yes".to_owned(), label: "Yes".to_owned(), attributes: Vec::new() }]);
    draft.sms_text("hello by SMS");
    draft.fallback_after(30_000.0);
    draft.expires(run::now() + 3_600_000.0);
    draft.dedup_key("polite");
    draft.locale("en");
    draft.tag("polite");
    draft
}

fn sent(draft: &Draft) -> Result<String, Failure> {
    draft.send().map_err(|refused| reject(format!("{refused:?}")))
}

fn of_messages(event: &Event) -> Result<(), Failure> {
    let id = sent(&whole(event))?;
    let given = sent(&with(to_paul(), |draft| {
        draft.text("cancelled");
        draft.sms_only();
    }))?;
    messages::cancel(&given);
    let again = sent(&whole(event))?;
    let known = messages::status(&id).ok_or_else(|| reject("the message is not known"))?;
    let text = |draft: Draft| with(draft, |draft| draft.text("no"));
    let place = Place { latitude: 48.85, longitude: 2.35, name: Some("Paris".to_owned()), address: None };
    let seen = json!({
        "sent": !id.is_empty(),
        "again": again == id,
        "state": state_name(known.state),
        "unknown": messages::status("no-such-message").is_none(),
        "phone": outcome(&text(Draft::to_phone("+33612345678", Purpose::Alert))),
        "nobody": outcome(&text(Draft::to_customer("nobody", Purpose::Alert))),
        "content": outcome(&with(to_paul(), |draft| draft.content("com.example.nothing", "{}"))),
        "setting": outcome(&with(text(to_paul()), |draft| draft.setting("com.example.nothing", "1"))),
        "asset": outcome(&with(to_paul(), |draft| draft.attach_asset("no-such-file.png"))),
        "bytes": outcome(&with(to_paul(), |draft| {
            draft.attach_bytes(b"\x89PNG", "image/png", None);
            draft.no_sms();
        })),
        "url": outcome(&with(to_paul(), |draft| draft.attach_url("ftp://files.example/a.png", "image/png", None))),
        "location": outcome(&with(to_paul(), |draft| {
            draft.text("here");
            draft.location(&place);
            draft.sms_only();
        })),
    });
    saw("messages", &seen);
    Ok(())
}

fn state_name(state: messages::DeliveryState) -> &'static str {
    use messages::DeliveryState as S;
    match state {
        S::Pending => "pending",
        S::Sent => "sent",
        S::Delivered => "delivered",
        S::Read => "read",
        S::FallingBack => "falling-back",
        S::Failed => "failed",
        S::Expired => "expired",
        S::Cancelled => "cancelled",
    }
}

fn of_http() {
    let request = http::Request {
        method: "POST".to_owned(),
        url: "https://service.example/".to_owned(),
        headers: vec![("x-polite".to_owned(), "yes".to_owned())],
        body: Some(br#"{"hello":true}"#.to_vec()),
        timeout: Some(2000.0),
        settings: Vec::new(),
    };
    let code = match http::send(&request) {
        Ok(_) => return,
        Err(http::HttpError::NotPermitted(_)) => "not-permitted",
        Err(http::HttpError::BadRequest(_)) => "bad-request",
        Err(http::HttpError::Unreachable(_)) => "unreachable",
        Err(http::HttpError::TimedOut) => "timed-out",
        Err(http::HttpError::TooLarge) => "too-large",
        Err(http::HttpError::OverQuota(_)) => "over-quota",
        Err(http::HttpError::Other(_)) => "other",
    };
    saw("http", &json!({ "code": code }));
}

impl on_event::Guest for Polite {
    fn handle(event: Event) -> Result<(), Failure> {
        let tone = event.attributes.iter().find(|(name, _)| name == "tone").map(|(_, value)| value);
        let seen = json!({
            "id": event.id,
            "source": event.source,
            "type": event.event_type,
            "subject": event.subject,
            "customer": event.customer,
            "data": parsed(&event.data)?["n"],
            "tone": tone,
        });
        saw("event", &seen);
        of_run()?;
        of_state();
        of_timers()?;
        of_customers()?;
        of_calendar()?;
        of_messages(&event)?;
        of_http();
        let options = events::EmitOptions {
            customer: None,
            dedup_key: Some("told".to_owned()),
            attributes: vec![("tone".to_owned(), "kind".to_owned())],
        };
        events::emit("com.example.polite.told", Some("it"), r#"{"n":1}"#, Some(&options));
        Ok(())
    }
}

impl on_timer::Guest for Polite {
    fn handle(timer: Timer) -> Result<(), Failure> {
        let data = parsed(&timer.data)?;
        let seen = json!({"key": timer.key, "data": data["n"], "customer": timer.customer, "set_by": timer.set_by});
        saw("timer", &seen);
        Ok(())
    }
}

impl on_delivery::Guest for Polite {
    fn handle(delivery: Delivery) -> Result<(), Failure> {
        let seen = json!({
            "state": state_name(delivery.state),
            "settled": delivery.settled,
            "tag": delivery.tag,
            "customer": delivery.customer,
        });
        saw("delivery", &seen);
        Ok(())
    }
}

impl on_message::Guest for Polite {
    fn handle(message: Incoming) -> Result<(), Failure> {
        let answer = with(Draft::answer(&message.id), |draft| {
            draft.text("thank you");
            draft.quote(&message.id);
        });
        let seen = json!({
            "text": message.text,
            "kind": message.kind,
            "customer": message.customer,
            "channel": message.channel,
            "sender": message.sender.is_none(),
            "media": messages::media("no-such-file").is_none(),
            "answer": outcome(&answer),
        });
        saw("message", &seen);
        Ok(())
    }
}
