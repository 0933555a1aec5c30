//! PDUs on the wire: frames by their length, what is in those that an SMSC sends, and what we send.
//!
//! What a PDU has to hold is read by the library. The optional fields behind it are read here, one by one: vendors write them in
//! ways that the specification does not know, and a receipt is not to be lost for a NUL that is missing.

use bytes::BytesMut;
use rusmpp::{
    Command, CommandStatus, Pdu,
    decode::DecodeWithLength,
    pdus::{DeliverSm, DeliverSmResp},
};
use tokio_util::codec::LengthDelimitedCodec;

/// A `message_payload` holds 64 KiB at most; nothing that an SMSC sends is longer than that and a little.
const PDU_BYTES_MAX: usize = 70_000;
const HEADER: usize = 16;

const DELIVER_SM: u32 = 0x0000_0005;
const UNBIND: u32 = 0x0000_0006;
const ENQUIRE_LINK: u32 = 0x0000_0015;
const GENERIC_NACK: u32 = 0x8000_0000;
const RESPONSE: u32 = 0x8000_0000;

pub(super) const TLV_RECEIPTED_MESSAGE_ID: u16 = 0x001E;
pub(super) const TLV_SAR_REFERENCE: u16 = 0x020C;
pub(super) const TLV_SAR_TOTAL: u16 = 0x020E;
pub(super) const TLV_SAR_NUMBER: u16 = 0x020F;
pub(super) const TLV_MESSAGE_PAYLOAD: u16 = 0x0424;
pub(super) const TLV_MESSAGE_STATE: u16 = 0x0427;

/// One PDU in each frame, its length included: the length counts itself, and is not taken off.
pub(super) fn frames() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder().length_field_type::<u32>().num_skip(0).max_frame_length(PDU_BYTES_MAX).new_codec()
}

/// What an SMSC says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// To something that we asked. `id` is the first field, which only the answers to messages and binds have.
    Answer {
        sequence: u32,
        status: u32,
        id: String,
    },
    Delivers {
        sequence: u32,
        delivered: Box<Delivered>,
    },
    EnquireLink {
        sequence: u32,
    },
    Unbind {
        sequence: u32,
    },
    /// Something that nobody asked for, or that cannot be read.
    Other {
        sequence: u32,
        command: u32,
        why: String,
    },
}

/// A receipt, or what a customer wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Delivered {
    pub(super) source: String,
    pub(super) source_ton: u8,
    pub(super) destination: String,
    pub(super) esm_class: u8,
    pub(super) data_coding: u8,
    pub(super) message: Vec<u8>,
    pub(super) optional: Vec<(u16, Vec<u8>)>,
}

impl Delivered {
    pub(super) fn tlv(&self, tag: u16) -> Option<&[u8]> {
        self.optional.iter().find(|(of, _)| *of == tag).map(|(_, value)| value.as_slice())
    }
}

/// Reads one frame. `None` where it is shorter than a header.
pub(super) fn read(frame: &[u8]) -> Option<Said> {
    let (header, body) = frame.split_at_checked(HEADER)?;
    let field = |at: usize| header.get(at..at + 4).and_then(|octets| octets.try_into().ok()).map(u32::from_be_bytes);
    let (command, status, sequence) = (field(4)?, field(8)?, field(12)?);
    Some(match command {
        GENERIC_NACK => Said::Answer { sequence, status, id: String::new() },
        _ if command & RESPONSE != 0 => Said::Answer { sequence, status, id: c_string(body) },
        ENQUIRE_LINK => Said::EnquireLink { sequence },
        UNBIND => Said::Unbind { sequence },
        DELIVER_SM => match delivered(frame, body) {
            Ok(delivered) => Said::Delivers { sequence, delivered: Box::new(delivered) },
            Err(why) => Said::Other { sequence, command, why },
        },
        _ => Said::Other { sequence, command, why: "it is nothing that an SMSC has to say".to_owned() },
    })
}

/// A text field, which may or may not end with NUL.
pub(super) fn c_string(octets: &[u8]) -> String {
    let text = octets.split(|octet| *octet == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).trim().to_owned()
}

fn delivered(frame: &[u8], body: &[u8]) -> Result<Delivered, String> {
    let length = mandatory(body).ok_or("it ends before all of its fields")?;
    let (_, optional) = body.split_at(length);
    // The library wants no length before it.
    let mut whole = BytesMut::from(frame.get(4..HEADER + length).unwrap_or_default());
    let octets = whole.len();
    let (command, _) = <Command as DecodeWithLength>::decode(&mut whole, octets).map_err(|error| error.to_string())?;
    let Some(Pdu::DeliverSm(pdu)) = command.pdu() else { return Err("it has no body".to_owned()) };
    Ok(with_optional(pdu, tlvs(optional)))
}

fn with_optional(pdu: &DeliverSm, optional: Vec<(u16, Vec<u8>)>) -> Delivered {
    let mut delivered = Delivered {
        source: pdu.source_addr.as_str().trim().to_owned(),
        source_ton: pdu.source_addr_ton.into(),
        destination: pdu.destination_addr.as_str().trim().to_owned(),
        esm_class: pdu.esm_class.into(),
        data_coding: pdu.data_coding.into(),
        message: pdu.short_message().as_ref().to_vec(),
        optional,
    };
    if let Some(payload) = delivered.tlv(TLV_MESSAGE_PAYLOAD).filter(|payload| !payload.is_empty()) {
        delivered.message = payload.to_vec();
    }
    delivered
}

/// How long the fields are that every `deliver_sm` has.
fn mandatory(body: &[u8]) -> Option<usize> {
    // A string, or so many octets: service_type; ton and npi with an address, twice; esm_class, protocol_id and priority_flag;
    // two times; registered_delivery, replace_if_present_flag, data_coding and sm_default_msg_id.
    const FIELDS: [usize; 9] = [0, 2, 0, 2, 0, 3, 0, 0, 4];
    let mut at = 0;
    for octets in FIELDS {
        at += match octets {
            0 => body.get(at..)?.iter().position(|octet| *octet == 0)? + 1,
            octets => octets,
        };
    }
    let end = at + 1 + usize::from(*body.get(at)?);
    (end <= body.len()).then_some(end)
}

/// The optional fields, as far as they can be read.
fn tlvs(mut octets: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut found = Vec::new();
    while let [tag_high, tag_low, length_high, length_low, rest @ ..] = octets {
        let length = usize::from(u16::from_be_bytes([*length_high, *length_low]));
        let Some((value, rest)) = rest.split_at_checked(length) else { break };
        found.push((u16::from_be_bytes([*tag_high, *tag_low]), value.to_vec()));
        octets = rest;
    }
    found
}

/// The answer to what was delivered to us.
pub(super) fn delivered_answer(sequence: u32, status: CommandStatus) -> Command {
    Command::builder().status(status).sequence_number(sequence).pdu(DeliverSmResp::default())
}

/// An answer without a body.
pub(super) fn bare_answer(sequence: u32, status: CommandStatus, pdu: Pdu) -> Command {
    Command::builder().status(status).sequence_number(sequence).pdu(pdu)
}

/// A PDU as it goes over the wire.
#[cfg(test)]
pub(super) fn octets(command: &Command) -> bytes::Bytes {
    use tokio_util::codec::Encoder;
    let mut written = BytesMut::new();
    rusmpp::tokio_codec::CommandCodec::new().encode(command, &mut written).unwrap();
    written.freeze()
}
