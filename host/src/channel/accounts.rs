//! What there is to say of an account with each provider.
//!
//! An account here is one sender on one channel: who has a number for SMS and another for WhatsApp with the same provider
//! writes two, each with a name of its own. Several accounts of a channel share its messages by country, health and price.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::{domain::customer::Channel, ids::PluginName, secret::Secret};

/// A telephone number on Meta's WhatsApp Cloud API.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MetaSettings {
    /// What the account is called here: in logs, decisions and webhook URLs.
    #[serde(default = "main_account")]
    pub account: String,
    #[serde(default = "meta_base_url")]
    pub base_url: String,
    /// A version of the Graph API lives about two years, so it is a setting.
    #[serde(default = "meta_version")]
    pub version: String,
    pub phone_number_id: String,
    /// The WhatsApp Business account, `entry[].id` in webhooks.
    pub waba_id: String,
    pub access_token: Secret,
    /// The app's secrets: several while one is being replaced. A webhook signed with any of them is genuine.
    pub app_secrets: Vec<Secret>,
    /// What Meta has to show when the webhook's URL is registered.
    pub verify_token: Secret,
    /// Countries (`FR`) or calling codes (`33`) of the numbers that it serves; all of them where none is named.
    #[serde(default)]
    pub countries: Vec<String>,
    /// Of accounts that cost the same the one with the lower number goes first.
    #[serde(default)]
    pub preference: u32,
}

/// A product of CM.com's Business Messaging, for SMS or for WhatsApp.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CmSettings {
    #[serde(default = "main_account")]
    pub account: String,
    #[serde(default = "cm_base_url")]
    pub base_url: String,
    pub product_token: Secret,
    #[serde(default = "sms")]
    pub channel: Channel,
    /// `from`: at most 11 letters and digits, or a number of at most 16 digits; on WhatsApp the business number.
    pub sender: String,
    /// The last part of the webhooks' URL: CM signs nothing. Several while one is being replaced.
    pub webhook_secrets: Vec<Secret>,
    /// The WhatsApp namespace of the account's templates, where CM asks for it.
    #[serde(default)]
    pub template_namespace: Option<String>,
    /// Who sends the SMS when WhatsApp does not deliver.
    #[serde(default)]
    pub fallback: Fallback,
    #[serde(default)]
    pub countries: Vec<String>,
    #[serde(default)]
    pub preference: u32,
}

/// Who falls back from WhatsApp to SMS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fallback {
    /// This host, by its rules and its timer.
    #[default]
    Own,
    /// The provider: one request carries the text of the SMS as well.
    Provider,
}

/// A Twilio account, for SMS or for WhatsApp.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TwilioSettings {
    #[serde(default = "main_account")]
    pub account: String,
    #[serde(default = "twilio_base_url")]
    pub base_url: String,
    pub account_sid: String,
    /// The first is sent with; a webhook signed with any of them is genuine, which a rotation needs.
    pub auth_tokens: Vec<Secret>,
    #[serde(default = "sms")]
    pub channel: Channel,
    /// `From` (a number or a name), or `MG…`, a messaging service. On WhatsApp the number with its plus.
    pub sender: String,
    /// Which content at Twilio stands for which template; Twilio knows no names of templates.
    #[serde(default)]
    pub templates: Vec<ContentTemplate>,
    #[serde(default)]
    pub countries: Vec<String>,
    #[serde(default)]
    pub preference: u32,
}

/// A template's stand-in at Twilio, for one of its languages.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ContentTemplate {
    pub name: String,
    pub language: String,
    /// `HX` and 32 hexadecimal digits.
    pub content_sid: String,
    /// The variable that holds the link of the header's image, video or document.
    #[serde(default)]
    pub header_variable: Option<String>,
    /// The variables that hold what buttons answer, in the order of the buttons.
    #[serde(default)]
    pub button_variables: Vec<String>,
}

/// A gateway that a plugin with a `[channel]` brings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GatewaySettings {
    #[serde(default = "main_account")]
    pub account: String,
    /// The plugin's name.
    pub plugin: PluginName,
    #[serde(default = "sms")]
    pub channel: Channel,
    /// What the component is given as the sender.
    pub sender: String,
    /// The last part of the webhooks' URL. Several while one is being replaced.
    pub webhook_secrets: Vec<Secret>,
    #[serde(default)]
    pub countries: Vec<String>,
    #[serde(default)]
    pub preference: u32,
}

impl GatewaySettings {
    /// The provider's name in attempts and receipts: no plugin can take that of a provider that is built in.
    pub fn provider(&self) -> String {
        format!("plugin:{}", self.plugin)
    }
}

impl TwilioSettings {
    /// A name and a language stand for one content.
    pub(super) fn check_templates(&self) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        for template in &self.templates {
            let sid = &template.content_sid;
            if !sid.starts_with("HX") || !sid.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return Err(format!("templates: content-sid `{sid}` is none; write HX and its digits"));
            }
            if !seen.insert((&template.name, &template.language)) {
                return Err(format!("templates: `{}` in `{}` is there twice", template.name, template.language));
            }
        }
        Ok(())
    }
}

fn main_account() -> String {
    "main".to_owned()
}

fn sms() -> Channel {
    Channel::Sms
}

fn meta_base_url() -> String {
    "https://graph.facebook.com".to_owned()
}

fn meta_version() -> String {
    "v25.0".to_owned()
}

fn cm_base_url() -> String {
    "https://gw.messaging.cm.com".to_owned()
}

fn twilio_base_url() -> String {
    "https://api.twilio.com".to_owned()
}

#[cfg(test)]
impl MetaSettings {
    pub(crate) fn sample() -> MetaSettings {
        MetaSettings {
            account: main_account(),
            base_url: meta_base_url(),
            version: meta_version(),
            phone_number_id: "109000000000001".to_owned(),
            waba_id: "201000000000001".to_owned(),
            access_token: Secret::new("token"),
            app_secrets: vec![Secret::new("secret")],
            verify_token: Secret::new("verify"),
            countries: Vec::new(),
            preference: 0,
        }
    }
}

#[cfg(test)]
impl CmSettings {
    pub(crate) fn sample(sender: &str) -> CmSettings {
        CmSettings {
            account: main_account(),
            base_url: cm_base_url(),
            product_token: Secret::new("00000000-0000-4000-8000-000000000001"),
            channel: Channel::Sms,
            sender: sender.to_owned(),
            webhook_secrets: vec![Secret::new("f3a9c2d17b604e8fa51c")],
            template_namespace: None,
            fallback: Fallback::Own,
            countries: Vec::new(),
            preference: 0,
        }
    }
}

#[cfg(test)]
impl TwilioSettings {
    pub(crate) fn sample(sender: &str) -> TwilioSettings {
        TwilioSettings {
            account: main_account(),
            base_url: twilio_base_url(),
            account_sid: "AC00000000000000000000000000000001".to_owned(),
            auth_tokens: vec![Secret::new("auth-token")],
            channel: Channel::Sms,
            sender: sender.to_owned(),
            templates: Vec::new(),
            countries: Vec::new(),
            preference: 0,
        }
    }
}
