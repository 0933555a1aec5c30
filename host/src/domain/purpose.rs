//! Why a customer expects a message. There is no purpose for promotion.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// It answers what the customer asked.
    Reply,
    /// It confirms what the customer did.
    Confirmation,
    /// It tells of something that happened and that concerns the customer.
    Alert,
    /// It reminds of something that is about to happen.
    Reminder,
}

impl Purpose {
    pub const ALL: [Purpose; 4] = [Purpose::Reply, Purpose::Confirmation, Purpose::Alert, Purpose::Reminder];

    pub fn as_str(self) -> &'static str {
        match self {
            Purpose::Reply => "reply",
            Purpose::Confirmation => "confirmation",
            Purpose::Alert => "alert",
            Purpose::Reminder => "reminder",
        }
    }

    pub fn parse(text: &str) -> Option<Purpose> {
        Purpose::ALL.into_iter().find(|purpose| purpose.as_str() == text)
    }
}

/// The category under which the provider files a template. What it calls marketing needs the customer's marketing consent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Category {
    Authentication,
    Utility,
    Marketing,
}

impl Category {
    pub fn as_str(self) -> &'static str {
        match self {
            Category::Authentication => "authentication",
            Category::Utility => "utility",
            Category::Marketing => "marketing",
        }
    }
}
