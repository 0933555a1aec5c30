//! `[[templates]]`: what the provider approved, as the plugin's author declares it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{Error, wrong};
use crate::domain::{message::MediaKind, purpose::Category};

/// A template that the provider approved.
#[derive(Clone, Debug, PartialEq)]
pub struct TemplateSpec {
    pub name: String,
    pub category: Category,
    /// The one to use when the customer's is not among `texts`.
    pub language: String,
    /// Those of the body, in the order of `{{1}}`, `{{2}}`, …
    pub params: Vec<String>,
    /// It was created with named parameters.
    pub named: bool,
    pub header: Option<MediaKind>,
    /// The header by language, where it is text.
    pub headers: BTreeMap<String, String>,
    /// Ids of its quick replies, in their order.
    pub buttons: Vec<String>,
    pub links: Vec<LinkSpec>,
    pub texts: BTreeMap<String, String>,
}

/// A button that opens a page.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkSpec {
    /// Its place among all buttons, from 0.
    pub index: usize,
    /// With one parameter at its end, or none.
    pub url: String,
    /// By language; under the empty one where it is the same in all.
    pub labels: BTreeMap<String, String>,
}

impl LinkSpec {
    pub fn label(&self, language: &str) -> Option<&str> {
        self.labels.get(language).or_else(|| self.labels.get("")).map(String::as_str)
    }
}

impl TemplateSpec {
    /// Every parameter that a message has to give: of the body, the header and the links.
    pub fn all_params(&self) -> Vec<&str> {
        let mut all: Vec<&str> = self.params.iter().map(String::as_str).collect();
        let others = self.headers.values().chain(self.links.iter().map(|link| &link.url));
        for name in others.flat_map(|text| names_in(text)) {
            if !all.contains(&name) {
                all.push(name);
            }
        }
        all
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    name: String,
    category: Category,
    language: String,
    #[serde(default)]
    params: Vec<String>,
    #[serde(default)]
    named: bool,
    header: Option<MediaKind>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    buttons: Vec<Button>,
    texts: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Button {
    /// A quick reply's id.
    Reply(String),
    Link(LinkTable),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkTable {
    link: String,
    label: Option<Label>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Label {
    Same(String),
    ByLanguage(BTreeMap<String, String>),
}

pub(super) fn parse_all(tables: Vec<Table>) -> Result<BTreeMap<String, TemplateSpec>, Error> {
    let mut all = BTreeMap::new();
    for table in tables {
        let spec = parse(table)?;
        if let Some(before) = all.insert(spec.name.clone(), spec) {
            return Err(wrong("templates", format!("`{}` is there twice", before.name)));
        }
    }
    Ok(all)
}

fn parse(table: Table) -> Result<TemplateSpec, Error> {
    let field = |what: &str| format!("templates `{}`: {what}", table.name);
    if !table.texts.contains_key(&table.language) {
        return Err(wrong(field("texts"), format!("there is none in its own language, `{}`", table.language)));
    }
    if matches!(table.header, Some(MediaKind::Audio)) {
        return Err(wrong(field("header"), "`audio` is no header of a template; there are image, video and document"));
    }
    for (language, text) in &table.texts {
        placeholders(text, &table.params).map_err(|problem| wrong(field(&format!("texts.{language}")), problem))?;
    }
    headers(&table).map_err(|(what, problem)| wrong(field(&what), problem))?;
    let at_buttons = field("buttons");
    let (mut buttons, mut links) = (Vec::new(), Vec::new());
    for (index, button) in table.buttons.into_iter().enumerate() {
        match button {
            Button::Reply(id) => buttons.push(id),
            Button::Link(table) => {
                links.push(link(index, table).map_err(|problem| wrong(at_buttons.clone(), problem))?);
            }
        }
    }
    Ok(TemplateSpec {
        name: table.name,
        category: table.category,
        language: table.language,
        params: table.params,
        named: table.named,
        header: table.header,
        headers: table.headers,
        buttons,
        links,
        texts: table.texts,
    })
}

/// A header is text or a file, has the languages of the body, and one parameter at most, which is the same in all of them.
fn headers(table: &Table) -> Result<(), (String, String)> {
    if table.headers.is_empty() {
        return Ok(());
    }
    if table.header.is_some() {
        return Err(("headers".to_owned(), "a header is a file or a text: give `header` or `headers`".to_owned()));
    }
    let languages = |texts: &BTreeMap<String, String>| texts.keys().cloned().collect::<BTreeSet<_>>();
    if languages(&table.headers) != languages(&table.texts) {
        let problem = "it needs the languages of `texts`, and no other".to_owned();
        return Err(("headers".to_owned(), problem));
    }
    for (language, text) in &table.headers {
        let at = |problem: &str| (format!("headers.{language}"), problem.to_owned());
        if text.matches('{').count() != names_in(text).len() {
            return Err(at("it has a { without its }"));
        }
        if names_in(text).len() > 1 {
            return Err(at("a header has one parameter at most"));
        }
    }
    Ok(())
}

fn link(index: usize, table: LinkTable) -> Result<LinkSpec, String> {
    let url = table.link;
    let name = names_in(&url);
    let at_the_end = match name.as_slice() {
        [] => !url.contains('{'),
        [name] => url.ends_with(&format!("{{{name}}}")) && url.matches('{').count() == 1,
        _ => false,
    };
    if !url.starts_with("https://") || !at_the_end {
        return Err(format!(
            "the link `{url}` has to begin with https://, and may have one parameter, at its end: https://shop.example/{{order}}"
        ));
    }
    let labels = match table.label {
        Some(Label::Same(label)) => [(String::new(), label)].into(),
        Some(Label::ByLanguage(labels)) => labels,
        None => BTreeMap::new(),
    };
    Ok(LinkSpec { index, url, labels })
}

/// The names in braces, in their order.
pub(crate) fn names_in(text: &str) -> Vec<&str> {
    text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name).collect()
}

/// Every `{name}` of a text is a parameter, and every parameter is in it.
fn placeholders(text: &str, params: &[String]) -> Result<(), String> {
    let mut found = BTreeSet::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').ok_or("it has a { without its }")?;
        if !params.iter().any(|param| param == name) {
            return Err(format!("{{{name}}} is not among `params`"));
        }
        found.insert(name);
        rest = after;
    }
    match params.iter().find(|param| !found.contains(param.as_str())) {
        Some(missing) => Err(format!("it has no {{{missing}}}, which is among `params`")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(more: &str, text: &str) -> Result<TemplateSpec, Error> {
        let toml = format!(
            "name = \"t\"\ncategory = \"utility\"\nlanguage = \"en\"\nparams = [\"a\"]\n{more}\n[texts]\nen = \"{text}\""
        );
        parse(toml::from_str(&toml).unwrap())
    }

    fn refusal(more: &str, text: &str) -> String {
        read(more, text).unwrap_err().to_string()
    }

    #[test]
    fn a_template_holds_exactly_its_parameters() {
        assert!(read("", "Hello {a}").is_ok());
        assert!(refusal("", "Hello {b}").contains("{b}"));
        assert!(refusal("", "Hello").contains("{a}"));
    }

    #[test]
    fn buttons_are_quick_replies_and_links_in_the_templates_order() {
        let spec = read(
            r#"buttons = ["keep", { link = "https://x.example/{order}", label = { en = "See it" } }, { link = "https://x.example" }]
            named = true
            headers = { en = "Order {order}" }"#,
            "Hello {a}",
        );
        let spec = spec.unwrap();
        assert_eq!((spec.buttons.as_slice(), spec.named), (&["keep".to_owned()][..], true));
        let [first, second] = spec.links.as_slice() else { panic!() };
        assert_eq!((first.index, first.label("en"), first.label("fr")), (1, Some("See it"), None));
        assert_eq!((second.index, second.label("en")), (2, None));
        assert_eq!(spec.all_params(), ["a", "order"]);
    }

    #[test]
    fn what_meta_would_not_take_is_refused_by_name() {
        for (more, words) in [
            ("headers = { fr = \"x\" }", "languages of `texts`"),
            ("headers = { en = \"{a} {b}\" }", "one parameter at most"),
            ("headers = { en = \"{a\" }", "without its }"),
            ("headers = { en = \"x\" }\nheader = \"image\"", "a file or a text"),
            ("header = \"audio\"", "there are image, video and document"),
            ("buttons = [{ link = \"http://x.example\" }]", "begin with https://"),
            ("buttons = [{ link = \"https://x.example/{a}/more\" }]", "at its end"),
        ] {
            let text = refusal(more, "Hello {a}");
            assert!(text.contains(words), "{more}: {text}");
        }
    }
}
