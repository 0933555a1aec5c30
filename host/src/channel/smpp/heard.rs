//! What an SMSC delivers: receipts, and what customers write.

use super::{
    NAME,
    encoding::{self, PartOf},
    provider_id,
    settings::{MessageIds, SmppSettings},
    table,
    wire::{
        Delivered, TLV_MESSAGE_STATE, TLV_RECEIPTED_MESSAGE_ID, TLV_SAR_NUMBER, TLV_SAR_REFERENCE, TLV_SAR_TOTAL,
        c_string,
    },
};
use crate::{
    channel::{
        IncomingReport, PartReport, Report, StatusReport,
        failure::{self, Hint},
        phone,
    },
    domain::{customer::Channel, status::AttemptState},
};

/// The kind of message, in `esm_class`.
const KIND: u8 = 0x3C;
const RECEIPT: u8 = 0x04;
/// From the telephone itself, which has read it or pressed a button: the receipt says as much.
const DELIVERY_ACKNOWLEDGEMENT: u8 = 0x08;
const USER_ACKNOWLEDGEMENT: u8 = 0x10;
const INTERMEDIATE: u8 = 0x20;
/// The user data begins with a header.
const UDHI: u8 = 0x40;

/// `type of number`: with the country's code.
const INTERNATIONAL: u8 = 1;

pub(super) fn report(settings: &SmppSettings, delivered: &Delivered) -> Report {
    match delivered.esm_class & KIND {
        RECEIPT => receipt(settings, delivered, false),
        INTERMEDIATE => receipt(settings, delivered, true),
        // Only a receipt names a message, whatever its class says.
        0 if delivered.tlv(TLV_RECEIPTED_MESSAGE_ID).is_some() => receipt(settings, delivered, false),
        DELIVERY_ACKNOWLEDGEMENT | USER_ACKNOWLEDGEMENT => {
            notice("acknowledgement", "a telephone acknowledged a message by itself; nobody asked it to")
        }
        _ => incoming(settings, delivered),
    }
}

fn notice(kind: &str, detail: &str) -> Report {
    Report::Notice { kind: kind.to_owned(), detail: failure::shortened(detail) }
}

/// An id as the store has it: however the SMSC writes it in answers and in receipts, the same.
pub(super) fn normal_id(id: &str, form: MessageIds) -> String {
    let radix = match form {
        MessageIds::Text => None,
        MessageIds::Decimal => Some(10),
        MessageIds::Hex => Some(16),
    };
    match radix.and_then(|radix| u128::from_str_radix(id.trim(), radix).ok()) {
        Some(number) => number.to_string(),
        // The ids of parts are joined by a space.
        None => id.split_whitespace().collect::<Vec<_>>().join("_"),
    }
}

fn receipt(settings: &SmppSettings, delivered: &Delivered, intermediate: bool) -> Report {
    // Receipts are plain text, whatever they are about.
    let text: String = delivered.message.iter().copied().map(char::from).collect();
    let named = delivered.tlv(TLV_RECEIPTED_MESSAGE_ID).map(c_string).filter(|id| !id.is_empty());
    let Some(id) = named.or_else(|| field(&text, "id")) else {
        return notice("no-id", "a receipt names no message, so it is about nothing");
    };
    let state = match delivered.tlv(TLV_MESSAGE_STATE) {
        Some([state]) => word(*state).map(str::to_owned),
        _ => field(&text, "stat").map(|word| word.to_ascii_uppercase()),
    };
    let Some(state) = state else { return notice("no-state", "a receipt has no state that is known") };
    let reached = match state.as_str() {
        "DELIVRD" => AttemptState::Delivered,
        // Not the end: the network has it, or somebody there does.
        "SCHEDULED" | "ENROUTE" | "ACCEPTD" => AttemptState::Sent,
        "EXPIRED" | "DELETED" | "UNDELIV" | "REJECTD" | "UNKNOWN" | "SKIPPED" => AttemptState::Failed,
        other => return notice("unknown-state", &format!("a receipt says `{other}`, which is not known")),
    };
    // What comes in between is not how it ends.
    let reached = if intermediate && reached == AttemptState::Failed { AttemptState::Sent } else { reached };
    let error = field(&text, "err").map(|error| format!("the network's code is {error}"));
    Report::Status(StatusReport {
        token: None,
        provider_id: Some(provider_id(&settings.account, &normal_id(&id, settings.receipt_ids))),
        state: reached,
        // In whatever zone the SMSC stands: the time of arrival is nearer to the truth.
        time: None,
        failure: (reached == AttemptState::Failed).then(|| table().classify(&state, error.as_deref(), Hint::default())),
        pricing: None,
    })
}

/// `message_state` in the words of receipts.
fn word(state: u8) -> Option<&'static str> {
    Some(match state {
        0 => "SCHEDULED",
        1 => "ENROUTE",
        2 => "DELIVRD",
        3 => "EXPIRED",
        4 => "DELETED",
        5 => "UNDELIV",
        6 => "ACCEPTD",
        7 => "UNKNOWN",
        8 => "REJECTD",
        9 => "SKIPPED",
        _ => return None,
    })
}

/// A value of a receipt's text, whatever the case of its key. What is quoted of the message, at the end, is not looked at.
fn field(text: &str, key: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let end = lower.find("text:").unwrap_or(lower.len());
    let head = lower.get(..end)?;
    let wanted = format!("{key}:");
    let (at, _) = head.match_indices(&wanted).find(|(at, _)| {
        let before = at.checked_sub(1).and_then(|before| head.as_bytes().get(before));
        before.is_none_or(|before| before.is_ascii_whitespace())
    })?;
    let value = text.get(at + wanted.len()..end)?.split_whitespace().next()?;
    Some(value.to_owned())
}

fn incoming(settings: &SmppSettings, delivered: &Delivered) -> Report {
    let headed = delivered.esm_class & UDHI != 0;
    let (part, octets) =
        if headed { encoding::split_header(&delivered.message) } else { (None, delivered.message.as_slice()) };
    let part = part.or_else(|| by_fields(delivered));
    let text = encoding::decode(octets, delivered.data_coding, settings.default_alphabet);
    let (kind, attributes) = match &text {
        Some(_) => ("text", Vec::new()),
        None => ("unsupported", vec![("data-coding".to_owned(), format!("{:#04x}", delivered.data_coding))]),
    };
    let sender = sender(delivered);
    if sender.is_empty() {
        return notice("no-sender", "an incoming message has no sender");
    }
    let report = IncomingReport {
        channel: Channel::Sms,
        to: Some(delivered.destination.clone()).filter(|to| !to.is_empty()),
        sender,
        sender_id: None,
        sender_name: None,
        provider_id: provider_id(&settings.account, &drawn()),
        time: None,
        kind: kind.to_owned(),
        text: text.unwrap_or_default(),
        choice: None,
        media: Vec::new(),
        location: None,
        quoted: None,
        attributes,
    };
    match part.filter(|part| part.total > 1 && (1..=part.total).contains(&part.no)) {
        None => Report::Incoming(report),
        Some(PartOf { reference, total, no }) => {
            let to = report.to.as_deref().unwrap_or_default();
            let key = format!("{NAME}/{}/{to}/{}/{reference}", settings.account, report.sender);
            Report::Part(PartReport { incoming: report, key, no, total })
        }
    }
}

/// A part by the fields that some SMSCs have in place of a header.
fn by_fields(delivered: &Delivered) -> Option<PartOf> {
    let [high, low] = delivered.tlv(TLV_SAR_REFERENCE)? else { return None };
    let ([total], [no]) = (delivered.tlv(TLV_SAR_TOTAL)?, delivered.tlv(TLV_SAR_NUMBER)?) else { return None };
    Some(PartOf { reference: u16::from_be_bytes([*high, *low]), total: *total, no: *no })
}

/// E.164 with the plus where it is a number with its country; else as the SMSC writes it.
fn sender(delivered: &Delivered) -> String {
    let source = delivered.source.as_str();
    let digits = source.trim_start_matches('+');
    let number = match delivered.source_ton {
        INTERNATIONAL => phone::from_wa_id(digits),
        // Types are often not told.
        0 if source.starts_with("00") => phone::from_cm(source),
        0 => phone::from_wa_id(digits),
        _ => None,
    };
    number.map_or_else(|| source.to_owned(), phone::E164::into_string)
}

/// SMPP has no id for what customers write, and two messages alike are two messages.
fn drawn() -> String {
    let mut bytes = [0; 12];
    // All zeros at worst: a repetition is then not told from a message, where there would have been an id for neither.
    let _ = getrandom::fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
