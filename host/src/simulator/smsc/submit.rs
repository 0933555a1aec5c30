//! `submit_sm`: checked, noted, answered; parts are joined as the telephone would.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use rusmpp::{
    CommandStatus, Pdu,
    pdus::{SubmitSm, SubmitSmResp},
    tlvs::TlvValue,
    types::COctetString,
};
use serde_json::{Value, json};

use super::{alphabet, session::Bound};
use crate::simulator::{
    Channel, Content, Provider, Simulator,
    delivery::{self, Draft, Wire},
    door::{self, Before, Visit, pause},
    lock, phones,
    trouble::{Fate, How},
};

/// The user data begins with a header.
const UDHI: u8 = 0x40;
/// Texts that wait for their other parts, at most; a part that never comes must not fill the memory.
const JOINING_MAX: usize = 10_000;

/// One `submit_sm` that was taken.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) id: u64,
    /// `registered_delivery`: 1 for every end, 2 for bad ones.
    pub(crate) registered: u8,
    /// What its receipt is to say, by a trouble.
    pub(crate) failure: Option<(i64, Option<String>)>,
    text: String,
}

/// The parts of a text that are here.
#[derive(Default)]
pub(super) struct Joining {
    parts: BTreeMap<u8, Piece>,
}

/// An answer: its status, and the id where it was taken.
struct Said(CommandStatus, Option<u64>);

pub(super) async fn take(simulator: &Arc<Simulator>, bound: &Arc<Bound>, sequence: u32, pdu: &SubmitSm) {
    if !bound.kind.transmits() {
        return refuse(bound, sequence, CommandStatus::EsmeRinvbndsts);
    }
    if bound.unanswered.fetch_add(1, Ordering::Relaxed) >= simulator.options.smpp.window_max {
        bound.unanswered.fetch_sub(1, Ordering::Relaxed);
        return refuse(bound, sequence, CommandStatus::EsmeRthrottled);
    }
    let number = phones::e164(&format!("+{}", pdu.destination_addr.as_str().trim_start_matches('+')));
    let troubles = match &number {
        Some(number) => simulator.troubles.take(Provider::Smpp, Channel::Sms, number),
        None => Vec::new(),
    };
    let mut visit = Visit {
        provider: Provider::Smpp,
        path: "submit_sm".into(),
        to: number.iter().cloned().collect(),
        tokens: Vec::new(),
        body: shown(pdu),
        ids: Vec::new(),
        troubles,
    };
    let said = match door::before(&visit.troubles, |_| How::Sync) {
        Before::GoOn => judge(simulator, pdu, number, &mut visit),
        Before::Busy(_) => Said(CommandStatus::EsmeRthrottled, None),
        Before::Unavailable(_) => Said(CommandStatus::EsmeRsyserr, None),
        Before::Code(code, _) => Said(CommandStatus::from(u32::try_from(code).unwrap_or(0xFF)), None),
        Before::Close => {
            door::note(simulator, visit, None, Value::Null);
            return bound.ended.cancel();
        }
        Before::Hang => return door::note(simulator, visit, None, Value::Null),
    };
    answer(simulator, bound, sequence, visit, said).await;
}

async fn answer(simulator: &Arc<Simulator>, bound: &Arc<Bound>, sequence: u32, visit: Visit, said: Said) {
    let (closes, hangs, delay_ms) = door::after(&visit.troubles, said.1.is_some());
    let Said(status, id) = said;
    let number: u32 = status.into();
    let id = id.map(|id| shown_id(simulator, id)).unwrap_or_default();
    if closes || hangs {
        door::note(simulator, visit, None, Value::Null);
        if closes {
            bound.ended.cancel();
        }
        return;
    }
    let code = u16::try_from(number).unwrap_or(u16::MAX);
    door::note(simulator, visit, Some(code), json!({"message_id": id}));
    let delay_ms = simulator.settings().timing.answer_ms.saturating_add(delay_ms);
    let bound = Arc::clone(bound);
    let say = async move {
        pause(delay_ms).await;
        bound.unanswered.fetch_sub(1, Ordering::Relaxed);
        let id = COctetString::from_string(id).unwrap_or_default();
        bound.answer(sequence, status, SubmitSmResp::builder().message_id(id).build());
    };
    // What is slow holds up nothing but itself.
    if delay_ms > 0 { simulator.spawn(say) } else { say.await }
}

fn refuse(bound: &Bound, sequence: u32, status: CommandStatus) {
    bound.answer(sequence, status, Pdu::SubmitSmResp(SubmitSmResp::default()));
}

/// The id in the form of the answers.
fn shown_id(simulator: &Simulator, id: u64) -> String {
    if simulator.options.smpp.hex_answers { format!("{id:X}") } else { format!("{id:010}") }
}

fn judge(simulator: &Arc<Simulator>, pdu: &SubmitSm, number: Option<String>, visit: &mut Visit) -> Said {
    let refused = |status| Said(status, None);
    let Some(number) = number else { return refused(CommandStatus::EsmeRinvdstadr) };
    let source = pdu.source_addr.as_str();
    // A name has at most eleven characters.
    if source.is_empty() || (u8::from(pdu.source_addr_ton) == 5 && source.len() > 11) {
        return refused(CommandStatus::EsmeRinvsrcadr);
    }
    let octets = octets(pdu);
    let is_headed = u8::from(pdu.esm_class) & UDHI != 0;
    let (place, text) = if is_headed { split(&octets) } else { (by_fields(pdu), octets.as_slice()) };
    // 140 octets, which hold 160 septets of the default coding.
    let header = octets.len() - text.len();
    let most = if u8::from(pdu.data_coding) == alphabet::UCS2 { 140 - header } else { 160 - (header * 8).div_ceil(7) };
    let is_payload = pdu.short_message().as_ref().is_empty();
    if text.len() > most && !is_payload {
        return refused(CommandStatus::EsmeRinvmsglen);
    }
    let id = simulator.ids.number();
    visit.ids.push(shown_id(simulator, id));
    let fate = Fate::of(&visit.troubles);
    let piece = Piece {
        id,
        registered: u8::from(pdu.registered_delivery) & 0x03,
        failure: door::failure(&visit.troubles, |_| How::Sync),
        text: alphabet::decode(text, pdu.data_coding.into()),
    };
    let joined = match place {
        Some((reference, total, no)) if total > 1 => {
            join(simulator, format!("{source}/{number}/{reference}/{total}"), no, total, piece)
        }
        _ => Some(vec![piece]),
    };
    if let Some(pieces) = joined {
        let coding = pdu.data_coding.into();
        set_off(simulator, number, source, coding, pieces, fate);
    }
    Said(CommandStatus::EsmeRok, Some(id))
}

/// All parts in their order, once they are here.
fn join(simulator: &Simulator, key: String, no: u8, total: u8, piece: Piece) -> Option<Vec<Piece>> {
    let mut all = lock(&simulator.smsc.joining);
    if all.len() >= JOINING_MAX && !all.contains_key(&key) {
        return None;
    }
    let joining = all.entry(key.clone()).or_default();
    joining.parts.insert(no, piece);
    if joining.parts.len() < usize::from(total) {
        return None;
    }
    all.remove(&key).map(|joining| joining.parts.into_values().collect())
}

fn set_off(simulator: &Arc<Simulator>, number: String, source: &str, coding: u8, pieces: Vec<Piece>, mut fate: Fate) {
    // Which part fails is the receipts' matter; a message of one part fails as a whole.
    fate.failure = if let [piece] = pieces.as_slice() { piece.failure.clone() } else { None };
    let id = pieces.first().map(|piece| shown_id(simulator, piece.id)).unwrap_or_default();
    let text: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
    let encoding = if coding == alphabet::UCS2 { "UCS-2" } else { "GSM-7" };
    let content = Content { parts: Some(pieces.len()), encoding: Some(encoding), ..Content::text(text) };
    let draft = Draft {
        id,
        provider: Provider::Smpp,
        channel: Channel::Sms,
        number,
        business: source.to_owned(),
        token: None,
        content,
        // Nothing waits here: a telephone needs no internet for SMS.
        ttl_s: None,
        fate,
        refused: None,
        wire: Wire::Smpp { pieces },
    };
    delivery::set_off(simulator, draft);
}

fn octets(pdu: &SubmitSm) -> Vec<u8> {
    let short = pdu.short_message().as_ref();
    let payload = pdu.tlvs().iter().find_map(|tlv| match tlv.value() {
        Some(TlvValue::MessagePayload(payload)) => Some(payload.value.as_ref().to_vec()),
        _ => None,
    });
    payload.filter(|_| short.is_empty()).unwrap_or_else(|| short.to_vec())
}

/// Reference, total and number, where the header has them, and the octets behind it.
fn split(octets: &[u8]) -> (Option<(u16, u8, u8)>, &[u8]) {
    let length = octets.first().map_or(0, |length| usize::from(*length));
    let (header, text) = octets.split_at_checked(length + 1).unwrap_or((octets, &[]));
    let place = match header {
        [_, 0, 3, reference, total, no, ..] => Some((u16::from(*reference), *total, *no)),
        [_, 8, 4, high, low, total, no, ..] => Some((u16::from_be_bytes([*high, *low]), *total, *no)),
        _ => None,
    };
    (place, text)
}

fn by_fields(pdu: &SubmitSm) -> Option<(u16, u8, u8)> {
    let find = |of: fn(&TlvValue) -> Option<u16>| pdu.tlvs().iter().find_map(|tlv| tlv.value().and_then(of));
    let reference = find(|value| if let TlvValue::SarMsgRefNum(number) = value { Some(*number) } else { None })?;
    let total = find(|value| if let TlvValue::SarTotalSegments(total) = value { Some((*total).into()) } else { None })?;
    let no = find(|value| if let TlvValue::SarSegmentSeqnum(no) = value { Some((*no).into()) } else { None })?;
    Some((reference, u8::try_from(total).ok()?, u8::try_from(no).ok()?))
}

/// The request as the ledger shows it: every field, and the text as it was read.
fn shown(pdu: &SubmitSm) -> Value {
    let octets = octets(pdu);
    let coding: u8 = pdu.data_coding.into();
    let esm_class: u8 = pdu.esm_class.into();
    let (place, text) = if esm_class & UDHI != 0 { split(&octets) } else { (by_fields(pdu), octets.as_slice()) };
    let hex: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    json!({
        "source_addr_ton": u8::from(pdu.source_addr_ton),
        "source_addr_npi": u8::from(pdu.source_addr_npi),
        "source_addr": pdu.source_addr.as_str(),
        "dest_addr_ton": u8::from(pdu.dest_addr_ton),
        "dest_addr_npi": u8::from(pdu.dest_addr_npi),
        "destination_addr": pdu.destination_addr.as_str(),
        "esm_class": esm_class,
        "protocol_id": pdu.protocol_id,
        "priority_flag": u8::from(pdu.priority_flag),
        "schedule_delivery_time": pdu.schedule_delivery_time.as_str(),
        "validity_period": pdu.validity_period.as_str(),
        "registered_delivery": u8::from(pdu.registered_delivery),
        "data_coding": coding,
        "short_message": hex,
        "text": alphabet::decode(text, coding),
        "part": place.map(|(reference, total, no)| json!({"reference": reference, "total": total, "no": no})),
    })
}
