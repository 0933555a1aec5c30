//! Content by its name in the registry: the JSON that a plugin gives to `draft.content`, and the same under those names over
//! HTTP.
//!
//! A name or a field that is not known is an error that names it and shows what to write: content that is dropped in silence
//! is a message that says something else.

use serde::{Deserialize, Deserializer, de::DeserializeOwned};

use super::{
    content::{Card, Link},
    message::Choice,
};

/// Every name, with an example that can be copied.
const KINDS: [(&str, &str); 5] = [
    ("contact-card", r#"{"name": "Dr Example", "phone": "+33139980001"}"#),
    ("link", r#"{"label": "Follow it", "url": "https://shop.example/4821"}"#),
    (
        "list-menu",
        r#"{"button": "Choose", "sections": [{"title": "Tomorrow", "rows": [{"id": "am", "label": "8 to 12"}]}]}"#,
    ),
    ("reaction", r#"{"message": "m…", "emoji": "👍"}"#),
    ("sticker", r#"{"asset": "thanks.webp", "text": "Thank you"}"#),
];

/// A link and a card as they are asked for. In the store an unknown field is one that a later version knows; here it is a mistake.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkFields {
    label: String,
    url: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CardFields {
    name: String,
    phone: String,
    organization: Option<String>,
    email: Option<String>,
}

#[derive(Debug)]
pub(crate) struct AskedLink(pub(crate) Link);

impl<'de> Deserialize<'de> for AskedLink {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        LinkFields::deserialize(deserializer).map(|LinkFields { label, url }| AskedLink(Link { label, url }))
    }
}

#[derive(Debug)]
pub(crate) struct AskedCard(pub(crate) Card);

impl<'de> Deserialize<'de> for AskedCard {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let CardFields { name, phone, organization, email } = CardFields::deserialize(deserializer)?;
        Ok(AskedCard(Card { name, phone, organization, email }))
    }
}

/// Content of a kind, as it was asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    ContactCard(Card),
    Link(Link),
    ListMenu(ListMenu),
    Reaction(Reaction),
    Sticker(Sticker),
}

/// Choices under headings, always shown as a list.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListMenu {
    /// What opens it.
    pub button: Option<String>,
    pub sections: Vec<Section>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Section {
    pub title: Option<String>,
    pub rows: Vec<Row>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    pub id: String,
    pub label: String,
    pub description: Option<String>,
}

impl ListMenu {
    pub fn into_choices(self) -> Vec<Choice> {
        let of_section = |section: Section| {
            let title = section.title;
            let choice = move |row: Row| Choice {
                id: row.id,
                label: row.label,
                description: row.description,
                section: title.clone(),
            };
            section.rows.into_iter().map(choice)
        };
        self.sections.into_iter().flat_map(of_section).collect()
    }
}

/// An emoji on a message of the conversation.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reaction {
    pub message: String,
    pub emoji: String,
}

/// A WebP picture: at a URL, in the package, or as base64. Exactly one of them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sticker {
    pub url: Option<String>,
    pub asset: Option<String>,
    pub bytes: Option<String>,
    /// What it says in words, for SMS.
    pub text: Option<String>,
}

/// Reads the content of a kind. What is wrong is said with the field's name and an example.
pub fn read(kind: &str, data: &str) -> Result<Asked, String> {
    let Some((_, example)) = KINDS.iter().find(|(known, _)| *known == kind) else {
        let known: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
        return Err(format!("this host knows no content of the kind `{kind}`; it knows {}", known.join(", ")));
    };
    let asked = match kind {
        "contact-card" => parsed(data).map(|AskedCard(card)| Asked::ContactCard(card)),
        "link" => parsed(data).map(|AskedLink(link)| Asked::Link(link)),
        "list-menu" => parsed(data).map(Asked::ListMenu),
        "reaction" => parsed(data).map(Asked::Reaction),
        _ => parsed(data).map(Asked::Sticker),
    };
    asked.map_err(|problem| format!("content `{kind}`: {problem}; write it as {example}"))
}

fn parsed<T: DeserializeOwned>(data: &str) -> Result<T, String> {
    let mut json = serde_json::Deserializer::from_str(data);
    let read =
        serde_path_to_error::deserialize(&mut json).map_err(|error| match error.path().to_string().as_str() {
            "." => error.inner().to_string(),
            path => format!("`{path}`: {}", error.inner()),
        })?;
    json.end().map_err(|error| error.to_string())?;
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_read() {
        for (kind, example) in KINDS {
            assert!(read(kind, example).is_ok(), "{kind}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_an_example() {
        let wrong = |kind, data| read(kind, data).unwrap_err();
        assert!(wrong("carousel", "{}").contains("it knows contact-card, link, list-menu, reaction, sticker"));
        let text = wrong("list-menu", r#"{"sections": [{"rows": [{"id": "a", "label": "A"}, {"id": "b"}]}]}"#);
        assert!(text.contains("`sections[0].rows[1]`") && text.contains("missing field `label`"), "{text}");
        assert!(text.contains(r#"write it as {"button""#), "{text}");
        assert!(wrong("link", r#"{"label": "x", "href": "y"}"#).contains("unknown field `href`"));
        assert!(wrong("sticker", "nonsense").contains("expected"));
        assert!(wrong("sticker", r#"{"text": "a"} {}"#).contains("trailing"));
    }

    #[test]
    fn rows_of_a_menu_are_choices_in_their_order() {
        let menu = r#"{"sections": [{"title": "Tomorrow", "rows": [{"id": "am", "label": "8 to 12", "description": "Free"}]},
            {"rows": [{"id": "no", "label": "Not at all"}]}]}"#;
        let Ok(Asked::ListMenu(menu)) = read("list-menu", menu) else { panic!() };
        let am = Choice {
            description: Some("Free".into()),
            section: Some("Tomorrow".into()),
            ..Choice::new("am", "8 to 12")
        };
        assert_eq!(menu.into_choices(), [am, Choice::new("no", "Not at all")]);
    }
}
