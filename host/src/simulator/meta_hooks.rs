//! What Meta posts: statuses, and what users write.

use serde_json::{Value, json};

use super::{
    Simulator, Template, Tick,
    delivery::{self, Carried, Reason, Report, Wire},
    meta_errors,
    phones::user_id,
    set,
    webhooks::Parcel,
};

pub(crate) fn code_of(reason: &Reason) -> i64 {
    match reason {
        // Meta tells neither from the other: a business is not to learn that somebody blocks it.
        Reason::NoWhatsapp | Reason::Blocked | Reason::NoSms => 131026,
        Reason::OutsideWindow => 131047,
        Reason::Code(code, _) => *code,
    }
}

/// The status that reports one step of a message.
pub(crate) fn status(simulator: &Simulator, carried: &Carried, report: &Report) -> Option<(String, Parcel)> {
    let url = simulator.settings().meta_url()?;
    let number = carried.number.trim_start_matches('+');
    let user = user_id(&carried.number);
    let mut status = json!({
        "id": carried.id,
        "status": word(report.tick),
        "timestamp": seconds(report.at),
        "recipient_id": number,
        "recipient_user_id": user,
    });
    if let Some(fields) = status.as_object_mut() {
        if let Some(token) = &carried.token {
            fields.insert("biz_opaque_callback_data".into(), token.as_str().into());
        }
        if let Some(pricing) = pricing(carried, report.tick) {
            fields.insert("pricing".into(), pricing);
        }
        if let Some(reason) = &report.reason {
            fields.insert("errors".into(), json!([error(reason)]));
        }
    }
    let mut contact = json!({"wa_id": number, "user_id": user});
    if hides_number(simulator, &carried.number) {
        hide(&mut status, &["recipient_id"]);
        hide(&mut contact, &["wa_id"]);
    }
    Some((url, Parcel::Meta(change(simulator, &json!({"contacts": [contact], "statuses": [status]})))))
}

fn error(reason: &Reason) -> Value {
    let code = delivery::code_of(super::Provider::Meta, reason);
    match reason {
        Reason::Code(_, details) => meta_errors::in_status(code, details.as_deref()),
        Reason::OutsideWindow => meta_errors::in_status(
            code,
            Some(
                "Message failed to send because more than 24 hours have passed since the customer last replied to this number.",
            ),
        ),
        Reason::NoWhatsapp | Reason::Blocked | Reason::NoSms => {
            meta_errors::in_status(code, Some("Message Undeliverable."))
        }
    }
}

fn word(tick: Tick) -> &'static str {
    match tick {
        Tick::Sent => "sent",
        Tick::Delivered => "delivered",
        Tick::Read => "read",
        Tick::Failed => "failed",
    }
}

/// Comes with `sent` and with one of the later ones.
fn pricing(carried: &Carried, tick: Tick) -> Option<Value> {
    let Wire::Meta { category, free } = &carried.wire else { return None };
    let kind = if *free { "free_customer_service" } else { "regular" };
    matches!(tick, Tick::Sent | Tick::Delivered)
        .then(|| json!({"billable": !free, "pricing_model": "PMP", "type": kind, "category": category}))
}

/// A message of a user. `message` holds what depends on its type.
pub(crate) fn message(
    simulator: &Simulator,
    number: &str,
    name: &str,
    id: &str,
    message: Value,
) -> Option<(String, Parcel)> {
    let url = simulator.settings().meta_url()?;
    let wa_id = number.trim_start_matches('+');
    let user = user_id(number);
    let mut whole = json!({
        "from": wa_id,
        "from_user_id": user,
        "id": id,
        "timestamp": seconds(simulator.now()),
    });
    if let (Some(fields), Value::Object(own)) = (whole.as_object_mut(), message) {
        fields.extend(own);
    }
    let mut contact = json!({"profile": {"name": name}, "wa_id": wa_id, "user_id": user});
    if hides_number(simulator, number) {
        hide(&mut whole, &["from"]);
        let username = name.to_lowercase().replace(' ', ".");
        contact = json!({"profile": {"name": name, "username": username}, "user_id": user});
    }
    Some((url, Parcel::Meta(change(simulator, &json!({"contacts": [contact], "messages": [whole]})))))
}

/// A template's new state.
pub(crate) fn template_status(simulator: &Simulator, template: &Template) -> Value {
    let reason = if template.status == "REJECTED" { "INVALID_FORMAT" } else { "NONE" };
    let mut value = json!({
        "event": template.status,
        "message_template_id": template.id.parse::<u64>().ok(),
        "message_template_name": template.name,
        "message_template_language": template.language,
        "message_template_category": template.category,
        "reason": reason,
    });
    if template.status == "DISABLED" {
        set(&mut value, "disable_info", json!({"disable_date": seconds(simulator.now())}));
    }
    json!({"field": "message_template_status_update", "value": value})
}

fn hides_number(simulator: &Simulator, number: &str) -> bool {
    simulator.phones.with(number, |state| state.phone.hides_number).unwrap_or(false)
}

fn hide(object: &mut Value, names: &[&str]) {
    if let Some(fields) = object.as_object_mut() {
        names.iter().for_each(|name| {
            fields.remove(*name);
        });
    }
}

fn change(simulator: &Simulator, own: &Value) -> Value {
    let meta = &simulator.options.meta;
    let mut value = json!({
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": meta.display_phone_number, "phone_number_id": meta.phone_number_id},
    });
    if let (Some(fields), Some(own)) = (value.as_object_mut(), own.as_object()) {
        fields.extend(own.clone());
    }
    json!({"field": "messages", "value": value})
}

/// Meta writes times as text.
fn seconds(at: crate::clock::Timestamp) -> String {
    at.0.div_euclid(1000).to_string()
}
