//! What the receipt stage brings, and what came of it.

use crate::{
    domain::{customer::Consent, run::Incoming},
    ids::{CustomerId, PluginName},
};

/// What came of recording a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It moved something forward, or added to the story.
    New,
    /// Heard before.
    Repeated,
    /// It is about no attempt that is known yet: kept, and matched when the attempt's answer is recorded.
    Parked,
}

/// What a customer wrote, and which plugins ask for messages that answer none.
#[derive(Clone, Debug)]
pub struct NewIncoming {
    pub incoming: Incoming,
    pub others: Vec<PluginName>,
    /// A STOP or START that the text is, by the keywords of `channels.md` §5.4.
    pub consent: Option<Consent>,
}

/// A part of what a customer wrote, where the parts of a long SMS come one by one.
#[derive(Clone, Debug)]
pub struct NewPart {
    /// Who wrote, by which provider, when: everything that the whole will have. Its text is the part's.
    pub incoming: Incoming,
    /// What the parts of a message have in common: account, sender, recipient, reference.
    pub key: String,
    /// From 1.
    pub no: u8,
    pub total: u8,
}

/// What came of moving a customer to another address.
#[derive(Clone, Debug, PartialEq)]
pub enum Moved {
    Done {
        customer: CustomerId,
    },
    /// Nobody is known to have it. What was refused from it is refused from the new one.
    Nobody,
    /// The new address is another customer's: nothing was changed.
    Taken {
        by: CustomerId,
    },
}
