//! The rules that stand between a wish to send and a message: is it expected, is it allowed, is it well formed?
//!
//! They are asked twice: when a message is asked for, so that a plugin or a caller learns at once what cannot be, and again
//! when it is planned, because a customer may have said STOP in between. Each answer is a [`Check`] with its reason, and the
//! checks are kept with the message. Nothing in here reads a clock or a database by itself, except `expected`, which looks
//! up what a message refers to.

pub mod allowed;
pub mod content;
pub mod expected;
pub mod hours;
pub mod keywords;

use serde::{Deserialize, Serialize};

/// One rule that was looked at, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// `expected`, `consent`, `marketing`, `deadline`, `quiet-hours`, `window`, …
    pub rule: String,
    pub passed: bool,
    pub why: String,
}

impl Check {
    pub fn passed(rule: &str, why: impl Into<String>) -> Check {
        Check { rule: rule.to_owned(), passed: true, why: why.into() }
    }

    pub fn refused(rule: &str, why: impl Into<String>) -> Check {
        Check { rule: rule.to_owned(), passed: false, why: why.into() }
    }
}

/// Why a message is not taken: the cases of the contract's `send-error`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    #[error("there is no customer `{0}`")]
    UnknownCustomer(String),
    #[error("no address: {0}")]
    NoAddress(String),
    #[error("no consent: {0}")]
    NoConsent(String),
    #[error("not expected: {0}")]
    NotExpected(String),
    #[error(
        "WhatsApp asks for a template here, and free content is not allowed: the customer has not written for 24 hours"
    )]
    TemplateNeeded,
    #[error("bad template: {0}")]
    BadTemplate(String),
    #[error("bad content: {0}")]
    BadContent(String),
    #[error("not permitted: {0}")]
    NotPermitted(String),
    #[error("over quota: {0}")]
    OverQuota(String),
    #[error("it expires before it can be sent")]
    Expired,
    #[error("{0}")]
    Other(String),
}

impl Refusal {
    /// The code in answers and logs: the case's name in the contract.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::UnknownCustomer(_) => "unknown-customer",
            Refusal::NoAddress(_) => "no-address",
            Refusal::NoConsent(_) => "no-consent",
            Refusal::NotExpected(_) => "not-expected",
            Refusal::TemplateNeeded => "template-needed",
            Refusal::BadTemplate(_) => "bad-template",
            Refusal::BadContent(_) => "bad-content",
            Refusal::NotPermitted(_) => "not-permitted",
            Refusal::OverQuota(_) => "over-quota",
            Refusal::Expired => "expired",
            Refusal::Other(_) => "other",
        }
    }
}
