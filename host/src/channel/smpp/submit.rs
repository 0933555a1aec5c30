//! PDUs that ask an SMSC for something.

use std::time::Duration;

use rusmpp::{
    Pdu,
    pdus::{BindTransceiver, SubmitSm},
    types::{COctetString, EmptyOrFullCOctetString, OctetString},
    values::{DataCoding, EsmClass, InterfaceVersion, Npi, RegisteredDelivery, Ton},
};

use super::{
    encoding::{self, UCS2},
    settings::SmppSettings,
};

/// The user data begins with a header.
const UDHI: u8 = 0x40;
/// A receipt of how it ends, well or badly.
const FINAL_RECEIPT: u8 = 1;
/// The longest time that is said; no SMSC keeps a message for longer.
const VALIDITY_MAX: Duration = Duration::from_secs(30 * 86_400);

pub(super) fn bind(settings: &SmppSettings) -> Result<Pdu, String> {
    Ok(BindTransceiver {
        system_id: string("system-id", &settings.system_id)?,
        password: string("password", settings.password.reveal())?,
        system_type: string("system-type", &settings.system_type)?,
        interface_version: InterfaceVersion::Smpp3_4,
        addr_ton: Ton::Unknown,
        addr_npi: Npi::Unknown,
        address_range: COctetString::empty(),
    }
    .into())
}

/// One `submit_sm` for each part of a text. `reference` is the same for all of them, and for whoever sends the message again:
/// then a telephone that has some of the parts joins what is missing.
pub(super) fn parts(
    settings: &SmppSettings,
    to: &str,
    text: &str,
    reference: u8,
    expires: Option<Duration>,
) -> Result<Vec<SubmitSm>, String> {
    let encoded = encoding::encode(text, settings.default_alphabet);
    let total = u8::try_from(encoded.parts.len()).map_err(|_| "a message has 255 parts at most".to_owned())?;
    let data_coding = if encoded.is_default { settings.default_data_coding } else { UCS2 };
    let digits = to.strip_prefix('+').unwrap_or(to);
    let (ton, npi, sender) = settings.source();
    let whole = SubmitSm::builder()
        .source_addr_ton(Ton::from(ton))
        .source_addr_npi(Npi::from(npi))
        .source_addr(string("the sender", sender)?)
        .dest_addr_ton(Ton::from(settings.destination_ton))
        .dest_addr_npi(Npi::from(settings.destination_npi))
        .destination_addr(string("the recipient", digits)?)
        // The library's own default is an acknowledgement.
        .esm_class(EsmClass::from(0))
        .validity_period(validity(expires.filter(|_| settings.validity))?)
        .registered_delivery(RegisteredDelivery::from(FINAL_RECEIPT))
        .data_coding(DataCoding::from(data_coding))
        .build();
    let mut parts = Vec::with_capacity(encoded.parts.len());
    for (octets, no) in encoded.parts.into_iter().zip(1..=total) {
        let mut part = whole.clone();
        let message = match total {
            1 => octets,
            _ => {
                part.esm_class = EsmClass::from(UDHI);
                [&encoding::header(reference, total, no)[..], &octets].concat()
            }
        };
        part.set_short_message(OctetString::from_vec(message).map_err(|error| error.to_string())?);
        parts.push(part);
    }
    Ok(parts)
}

/// `000002030000000R`: so long from now. Rounded up, so that something is left of less than a second.
fn validity(expires: Option<Duration>) -> Result<EmptyOrFullCOctetString<17>, String> {
    let Some(expires) = expires else { return Ok(EmptyOrFullCOctetString::empty()) };
    let expires = expires.min(VALIDITY_MAX);
    let seconds = (expires.as_secs() + u64::from(expires.subsec_nanos() > 0)).max(1);
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    let text = format!("0000{days:02}{hours:02}{:02}{:02}000R", seconds / 60 % 60, seconds % 60);
    EmptyOrFullCOctetString::from_string(text).map_err(|error| error.to_string())
}

/// A string that ends with NUL; what is wrong with it names the field and not what stands there, which may be a secret.
fn string<const MIN: usize, const MAX: usize>(field: &str, text: &str) -> Result<COctetString<MIN, MAX>, String> {
    COctetString::from_string(text.to_owned())
        .map_err(|_| format!("{field} does not fit into an SMPP message: {} plain characters at most", MAX - 1))
}
