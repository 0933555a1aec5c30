//! Answers keywords with what was written for them, once for each message.
//!
//! A keyword is found as a word of its own, in whatever case and with or without accents: `menu` is in "Le menu, SVP" and not in
//! "menuisier". It is looked for in what is nobody's answer, so a question of another plugin's is never answered from here.

mod words;

use std::collections::BTreeMap;
use std::time::Duration;

use relais_plugin::{Error, Incoming, Message, Outcome, Plugin, SendResult, config, customers, info, plugin};
use serde::Deserialize;

struct QuickReply;

plugin!(QuickReply);

#[derive(Deserialize)]
struct Settings {
    language: String,
    sms: bool,
    mark_read: bool,
    typing: bool,
    replies: Vec<Reply>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reply {
    keywords: Vec<String>,
    text: Text,
    /// An https address of a file that goes along, and its MIME type.
    file: Option<File>,
}

/// One for everybody, or one for each language.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    One(String),
    Each(BTreeMap<String, String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    url: String,
    mime_type: String,
    name: Option<String>,
}

/// What was asked in passing is not answered half a day later.
const USEFUL: Duration = Duration::from_hours(12);

impl Plugin for QuickReply {
    fn on_message(message: Incoming) -> Outcome {
        let settings: Settings = config()?;
        // An emoji that is put on a message is no text, and words that were taken back ask for nothing.
        let asks = !matches!(message.kind.as_str(), "reaction" | "edit" | "revoke");
        if !asks || (message.channel == "sms" && !settings.sms) {
            return Ok(());
        }
        let Some(reply) = fitting(&settings.replies, &message.text)? else { return Ok(()) };
        let Some(text) = text(reply, &settings.language, &message) else {
            info!(
                "`{}`: no text in the customer's language, and none in `{}`",
                reply.keywords.join(", "),
                settings.language
            );
            return Ok(());
        };
        let answer = Message::answer(&message).text(text).quote(message.id.clone());
        let answer = answer.expires(message.time + USEFUL).tag("quick-reply");
        let answer = match &reply.file {
            Some(File { url, mime_type, name }) => {
                let answer = answer.attach_url(url, mime_type);
                if let Some(name) = name { answer.filename(name) } else { answer }
            }
            None => answer,
        };
        let answer = if settings.mark_read { answer.setting("mark-read", "true") } else { answer };
        let answer = if settings.typing { answer.setting("typing", "true") } else { answer };
        // On the channel on which it was asked, and on no other.
        let answer = if message.channel == "sms" { answer.sms_only() } else { answer.no_sms() };
        answer.send().or_skip()?;
        Ok(())
    }
}

/// The first of them that has a keyword in the text.
fn fitting<'a>(replies: &'a [Reply], text: &str) -> Result<Option<&'a Reply>, Error> {
    let said = words::of(text);
    for (index, reply) in replies.iter().enumerate() {
        for keyword in &reply.keywords {
            let keyword = words::of(keyword);
            if keyword.is_empty() {
                return Err(Error::reject(format!("config.replies[{index}].keywords: one has no letter and no digit")));
            }
            if said.windows(keyword.len()).any(|words| words == keyword) {
                return Ok(Some(reply));
            }
        }
    }
    Ok(None)
}

fn text<'a>(reply: &'a Reply, language: &str, message: &Incoming) -> Option<&'a String> {
    match &reply.text {
        Text::One(text) => Some(text),
        Text::Each(texts) => {
            let customer = message.customer.as_deref().and_then(customers::get).unwrap_or_default();
            texts.get(customer.language(language)).or_else(|| texts.get(language))
        }
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
#[path = "../tests/scenario.rs"]
mod scenario;
