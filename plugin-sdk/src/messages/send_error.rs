//! Why a message was not taken.

use std::fmt;

/// What a plugin can do nothing about is not here: the host then ends the run and starts it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendError {
    /// No such customer.
    UnknownCustomer,
    /// The customer has no address on any channel that is allowed, or the number is none.
    NoAddress,
    /// The customer has not agreed, or has said stop: which consent is missing.
    NoConsent(String),
    /// What it refers to does not make it expected.
    NotExpected(String),
    /// Free content, while WhatsApp asks for a template and SMS is ruled out.
    TemplateNeeded,
    /// No such template, or the parameters do not fit it.
    BadTemplate(String),
    /// The content breaks a rule of every channel.
    BadContent(String),
    /// The manifest does not permit it.
    NotPermitted(String),
    /// The quota of this plugin for this customer, or in all, is used up.
    OverQuota(String),
    /// It expires before it can be sent.
    Expired,
    /// A reason that this version has no case for: a code of the registry.
    Other(String),
}

impl SendError {
    /// Nobody has made a mistake and nothing is to be repaired: this customer cannot or does not want to be written
    /// to now. An unknown customer is not among these: then somebody has yet to say who that is.
    pub fn is_about_the_customer(&self) -> bool {
        matches!(self, SendError::NoAddress | SendError::NoConsent(_) | SendError::OverQuota(_) | SendError::Expired)
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::UnknownCustomer => f.write_str("unknown-customer: the host knows no such customer"),
            SendError::NoAddress => f.write_str("no-address: the customer has no address on an allowed channel"),
            SendError::NoConsent(which) => write!(f, "no-consent: {which}"),
            SendError::NotExpected(why) => write!(f, "not-expected: {why}"),
            SendError::TemplateNeeded => {
                f.write_str("template-needed: the 24-hour window is closed, SMS is ruled out and there is no template")
            }
            SendError::BadTemplate(why) => write!(f, "bad-template: {why}"),
            SendError::BadContent(why) => write!(f, "bad-content: {why}"),
            SendError::NotPermitted(what) => write!(f, "not-permitted: {what}"),
            SendError::OverQuota(which) => write!(f, "over-quota: {which}"),
            SendError::Expired => f.write_str("expired: it is too late for this message"),
            SendError::Other(code) => f.write_str(code),
        }
    }
}

impl std::error::Error for SendError {}
