//! What there is to say of a bind.

use std::path::PathBuf;

use serde::Deserialize;

use crate::secret::Secret;

/// How an SMSC writes the ids of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageIds {
    /// The same text in answers and receipts.
    #[default]
    Text,
    /// A number in base ten, perhaps with zeros before it.
    Decimal,
    /// A number in base sixteen, perhaps with zeros before it.
    Hex,
}

/// What the SMSC takes its default data coding for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Alphabet {
    /// One septet of GSM 03.38 in each octet.
    #[default]
    Gsm,
    Latin1,
}

/// A bind to an SMSC by SMPP 3.4.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SmppSettings {
    /// What the account is called here: in logs and decisions.
    #[serde(default = "main_account")]
    pub account: String,
    /// `smsc.example:2775`.
    pub address: String,
    /// TLS from the first byte on, which SMSCs have on a port of its own.
    #[serde(default)]
    pub tls: bool,
    /// Certificates to believe, in PEM, besides the machine's own: many SMSCs sign theirs themselves.
    #[serde(default)]
    pub tls_roots: Option<PathBuf>,
    /// At most 15 characters.
    pub system_id: String,
    /// At most 8 characters.
    pub password: Secret,
    /// At most 12 characters; most SMSCs want none.
    #[serde(default)]
    pub system_type: String,
    /// A number with its plus, a short code, or a name of at most 11 characters.
    pub sender: String,
    /// Type and plan of numbers, where the SMSC wants others than the sender's form tells: 5 and 0 for a name, 1 and 1 for a number
    /// with its plus, 0 and 0 for a short code.
    #[serde(default)]
    pub source_ton: Option<u8>,
    #[serde(default)]
    pub source_npi: Option<u8>,
    #[serde(default = "one")]
    pub destination_ton: u8,
    #[serde(default = "one")]
    pub destination_npi: u8,
    /// Whether to say how long a message is of use. Not every SMSC takes a time that counts from now.
    #[serde(default = "yes")]
    pub validity: bool,
    /// Requests that are unanswered at a time. SMSCs allow 10 to 100.
    #[serde(default = "window")]
    pub window: usize,
    /// How often the SMSC is asked whether it is there.
    #[serde(default = "enquire_link_s")]
    pub enquire_link_s: u64,
    /// How long a connection, a bind, an `enquire_link` and an `unbind` may take. For a message `http.timeout-ms` holds.
    #[serde(default = "response_timeout_ms")]
    pub response_timeout_ms: u64,
    /// The pause before the second attempt to bind; it doubles up to the longest.
    #[serde(default = "reconnect_first_ms")]
    pub reconnect_first_ms: u64,
    #[serde(default = "reconnect_longest_ms")]
    pub reconnect_longest_ms: u64,
    /// What the SMSC takes its default data coding for.
    #[serde(default)]
    pub default_alphabet: Alphabet,
    /// `data_coding` of what is in that alphabet.
    #[serde(default)]
    pub default_data_coding: u8,
    /// How `submit_sm_resp` writes a message's id.
    #[serde(default)]
    pub response_ids: MessageIds,
    /// How receipts write it.
    #[serde(default)]
    pub receipt_ids: MessageIds,
    #[serde(default)]
    pub countries: Vec<String>,
    #[serde(default)]
    pub preference: u32,
}

impl SmppSettings {
    /// What an SMSC would refuse, or would never be reached with.
    pub(in crate::channel) fn check(&self) -> Result<(), String> {
        // With their NUL: system_id 16 octets, password 9, system_type 13, an address 21 (SMPP 3.4).
        let fields = [
            ("system-id", self.system_id.as_str(), 15),
            ("password", self.password.reveal(), 8),
            ("system-type", self.system_type.as_str(), 12),
            ("sender", self.sender.as_str(), 20),
        ];
        for (field, text, chars_max) in fields {
            if !text.is_ascii() || text.len() > chars_max || text.contains('\0') {
                return Err(format!("{field} must be plain letters, digits and signs, {chars_max} at most"));
            }
        }
        if self.system_id.is_empty() || self.sender.trim_start_matches('+').is_empty() {
            return Err("system-id and sender are needed".to_owned());
        }
        let port = self.address.rsplit_once(':').and_then(|(host, port)| (!host.is_empty()).then_some(port));
        if !port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0)) {
            return Err(format!("address `{}` must be a host and a port, such as smsc.example:2775", self.address));
        }
        if (self.response_ids == MessageIds::Text) != (self.receipt_ids == MessageIds::Text) {
            return Err("response-ids and receipt-ids must both be \"text\", or each \"decimal\" or \"hex\"".to_owned());
        }
        if self.tls_roots.is_some() && !self.tls {
            return Err("tls-roots is of use with tls = true only".to_owned());
        }
        let needed = [
            ("window", self.window as u64),
            ("enquire-link-s", self.enquire_link_s),
            ("response-timeout-ms", self.response_timeout_ms),
            ("reconnect-first-ms", self.reconnect_first_ms),
            ("reconnect-longest-ms", self.reconnect_longest_ms),
        ];
        match needed.into_iter().find(|(_, value)| *value == 0) {
            Some((field, _)) => Err(format!("{field} is 0; it must be 1 or more")),
            None => Ok(()),
        }
    }

    /// Type and plan of the sender, and the sender as it goes out.
    pub(super) fn source(&self) -> (u8, u8, &str) {
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let (ton, npi, sender) = match self.sender.strip_prefix('+') {
            Some(number) if digits(number) => (1, 1, number),
            None if digits(&self.sender) => (0, 0, self.sender.as_str()),
            _ => (5, 0, self.sender.as_str()),
        };
        (self.source_ton.unwrap_or(ton), self.source_npi.unwrap_or(npi), sender)
    }
}

fn main_account() -> String {
    "main".to_owned()
}

fn one() -> u8 {
    1
}

fn yes() -> bool {
    true
}

/// The least that SMSCs usually allow.
fn window() -> usize {
    10
}

/// Usual is half a minute to a minute.
fn enquire_link_s() -> u64 {
    30
}

fn response_timeout_ms() -> u64 {
    10_000
}

fn reconnect_first_ms() -> u64 {
    1_000
}

/// A minute: who refuses a bind does so for longer than that, and who comes back is to be found soon.
fn reconnect_longest_ms() -> u64 {
    60_000
}

#[cfg(test)]
impl SmppSettings {
    pub(crate) fn sample(sender: &str) -> SmppSettings {
        SmppSettings {
            account: main_account(),
            address: "127.0.0.1:2775".to_owned(),
            tls: false,
            tls_roots: None,
            system_id: "relais".to_owned(),
            password: Secret::new("secret01"),
            system_type: String::new(),
            sender: sender.to_owned(),
            source_ton: None,
            source_npi: None,
            destination_ton: 1,
            destination_npi: 1,
            validity: true,
            window: window(),
            enquire_link_s: enquire_link_s(),
            response_timeout_ms: response_timeout_ms(),
            reconnect_first_ms: reconnect_first_ms(),
            reconnect_longest_ms: reconnect_longest_ms(),
            default_alphabet: Alphabet::Gsm,
            default_data_coding: 0,
            response_ids: MessageIds::Text,
            receipt_ids: MessageIds::Text,
            countries: Vec::new(),
            preference: 0,
        }
    }
}
