//! `deliver_sm`: receipts, and what telephones write, to whoever is bound to receive; again until it is acknowledged.

use std::sync::Arc;

use rusmpp::{
    Pdu,
    pdus::DeliverSm,
    tlvs::MessageDeliveryRequestTlvValue,
    types::{COctetString, OctetString},
    values::{DataCoding, EsmClass, MessageState, Npi, Ton},
};

use super::{ReceiptForm, alphabet, submit::Piece};
use crate::{
    clock::Timestamp,
    simulator::{
        Content, Simulator, Tick,
        delivery::{Carried, Reason, Report, Wire},
        door::pause,
    },
};

const RECEIPT: u8 = 0x04;
const UDHI: u8 = 0x40;
/// What an absent subscriber is, in the codes of GSM.
const ABSENT: i64 = 27;

/// The receipts of one step: one for each part that asked for it. Only how it ends is reported.
pub(crate) fn report(simulator: &Arc<Simulator>, carried: &Carried, report: &Report) {
    let Wire::Smpp { pieces } = &carried.wire else { return };
    for piece in pieces {
        let failure = match (&report.reason, &piece.failure) {
            (Some(Reason::Code(code, details)), _) | (None, Some((code, details))) => Some((*code, details.clone())),
            (Some(_), _) => Some((ABSENT, None)),
            (None, None) => None,
        };
        let asked = match piece.registered {
            1 => true,
            2 => failure.is_some(),
            _ => false,
        };
        if asked && matches!(report.tick, Tick::Delivered | Tick::Failed) {
            let pdu = receipt(simulator, carried, piece, failure, report.at);
            deliver(simulator, pdu);
        }
    }
}

/// What became of it, in the words of receipts. A trouble's `details` may be one of them.
fn outcome(failure: Option<&(i64, Option<String>)>) -> (&'static str, MessageState) {
    match failure.map(|(_, details)| details.as_deref().unwrap_or_default()) {
        None => ("DELIVRD", MessageState::Delivered),
        Some("EXPIRED") => ("EXPIRED", MessageState::Expired),
        Some("DELETED") => ("DELETED", MessageState::Deleted),
        Some("REJECTD") => ("REJECTD", MessageState::Rejected),
        Some("UNKNOWN") => ("UNKNOWN", MessageState::Unknown),
        Some("ACCEPTD") => ("ACCEPTD", MessageState::Accepted),
        Some("ENROUTE") => ("ENROUTE", MessageState::Enroute),
        Some(_) => ("UNDELIV", MessageState::Undeliverable),
    }
}

fn receipt(
    simulator: &Simulator,
    carried: &Carried,
    piece: &Piece,
    failure: Option<(i64, Option<String>)>,
    at: Timestamp,
) -> DeliverSm {
    let (word, state) = outcome(failure.as_ref());
    let error = failure.map_or(0, |(code, _)| code % 1000);
    let arrived = u8::from(word == "DELIVRD");
    let date = at.to_jiff().strftime("%y%m%d%H%M").to_string();
    let id = format!("{:010}", piece.id);
    let text = format!(
        "id:{id} sub:001 dlvrd:{arrived:03} submit date:{date} done date:{date} stat:{word} err:{error:03} text:Simulated"
    );
    let form = simulator.options.smpp.receipts;
    let text = if form == ReceiptForm::Fields { String::new() } else { text };
    let digits = carried.number.trim_start_matches('+');
    let mut pdu = addressed((1, digits), (0, &carried.business));
    pdu.esm_class = EsmClass::from(RECEIPT);
    pdu.set_short_message(OctetString::from_string(text).unwrap_or_default());
    if form != ReceiptForm::Text {
        pdu.push_tlv(MessageDeliveryRequestTlvValue::MessageState(state));
        let id = COctetString::from_string(id).unwrap_or_default();
        pdu.push_tlv(MessageDeliveryRequestTlvValue::ReceiptedMessageId(id));
    }
    pdu
}

fn addressed((ton, source): (u8, &str), (to_ton, to): (u8, &str)) -> DeliverSm {
    DeliverSm::builder()
        .source_addr_ton(Ton::from(ton))
        .source_addr_npi(Npi::from(1))
        .source_addr(COctetString::from_string(source.to_owned()).unwrap_or_default())
        .dest_addr_ton(Ton::from(to_ton))
        .dest_addr_npi(Npi::from(to_ton))
        .destination_addr(COctetString::from_string(to.to_owned()).unwrap_or_default())
        // The library's own default is an acknowledgement.
        .esm_class(EsmClass::from(0))
        .build()
}

/// What a phone writes, in as many parts as it takes.
pub(crate) fn incoming(simulator: &Arc<Simulator>, number: &str, content: &Content) {
    let text = content.text.clone().unwrap_or_default();
    let (coding, parts) = alphabet::encode(&text);
    let total = u8::try_from(parts.len()).unwrap_or(u8::MAX);
    let reference = simulator.ids.number().to_be_bytes().last().copied().unwrap_or_default();
    for (octets, no) in parts.into_iter().zip(1..=total) {
        let mut pdu = addressed((1, number.trim_start_matches('+')), (1, &simulator.options.smpp.number));
        pdu.data_coding = DataCoding::from(coding);
        let octets = if total == 1 {
            octets
        } else {
            pdu.esm_class = EsmClass::from(UDHI);
            [&[5, 0, 3, reference, total, no][..], &octets].concat()
        };
        pdu.set_short_message(OctetString::from_vec(octets).unwrap_or_default());
        deliver(simulator, pdu);
    }
}

/// Delivers by itself: waits for somebody who receives, and begins anew where it is not acknowledged.
fn deliver(simulator: &Arc<Simulator>, pdu: DeliverSm) {
    let this = Arc::clone(simulator);
    simulator.spawn(async move {
        loop {
            let bound = this.smsc.bound.notified();
            match this.smsc.receiver() {
                None => bound.await,
                Some(session) => match session.deliver(Pdu::DeliverSm(pdu.clone())).await {
                    Some(0) => return,
                    _ => pause(this.options.smpp.retry_ms).await,
                },
            }
        }
    });
}
