//! A template as its manifest declares it, with the parameters of a message put in.

use crate::{
    domain::{
        content::{HeaderText, TemplateLink, in_a_url},
        message::{MediaKind, Template},
    },
    plugin::manifest::{TemplateSpec, names_in},
    rules::Refusal,
};

/// Puts the parameters into the text of the right language, and says what does not fit.
pub(super) fn resolve(
    spec: &TemplateSpec,
    params: &[(String, String)],
    locale: Option<&str>,
    attachment: Option<MediaKind>,
) -> Result<Template, Refusal> {
    let bad = |problem: String| Refusal::BadTemplate(format!("`{}`: {problem}", spec.name));
    let known = spec.all_params();
    if let Some((unknown, _)) = params.iter().find(|(name, _)| !known.contains(&name.as_str())) {
        return Err(bad(format!("it has no parameter `{unknown}`; it has {}", known.join(", "))));
    }
    for name in &known {
        let mut given = params.iter().filter(|(given, _)| given == name);
        match (given.next(), given.next()) {
            (Some((_, value)), None) if !value.trim().is_empty() => {}
            (Some(_), None) => return Err(bad(format!("the parameter `{name}` is empty"))),
            (Some(_), Some(_)) => return Err(bad(format!("the parameter `{name}` is given twice"))),
            (None, _) => return Err(bad(format!("the parameter `{name}` is missing"))),
        }
    }
    if spec.header != attachment && spec.header.is_some() {
        let header = spec.header.map_or("", MediaKind::as_str);
        return Err(bad(format!("its header needs an attachment of the kind {header}")));
    }
    let (language, text) = in_language(spec, locale).ok_or_else(|| bad("it has no text".to_owned()))?;
    let value = |name: &str| params.iter().find(|(given, _)| given == name).cloned();
    Ok(Template {
        name: spec.name.clone(),
        category: spec.category,
        language: language.to_owned(),
        body: fill(text, params),
        params: spec.params.iter().filter_map(|name| value(name)).collect(),
        named: spec.named,
        header: spec.header,
        header_text: spec.headers.get(language).map(|header| HeaderText {
            text: fill(header, params),
            param: names_in(header).first().and_then(|name| value(name)),
        }),
        buttons: spec.buttons.clone(),
        links: links(spec, language, params),
    })
}

fn links(spec: &TemplateSpec, language: &str, params: &[(String, String)]) -> Vec<TemplateLink> {
    let link = |link: &crate::plugin::manifest::LinkSpec| {
        let name = names_in(&link.url).first().map(|name| (*name).to_owned());
        let param = name.and_then(|name| params.iter().find(|(given, _)| *given == name));
        // What goes into an address is written as addresses are: Meta puts it there as it is.
        let written = param.map(|(name, value)| (name.clone(), in_a_url(value)));
        TemplateLink {
            index: link.index,
            label: link.label(language).map(str::to_owned),
            url: fill(&link.url, written.as_slice()),
            param: written.map(|(_, value)| value),
        }
    };
    spec.links.iter().map(link).collect()
}

/// The text for exactly this locale, for its language, or in the template's own language.
fn in_language<'s>(spec: &'s TemplateSpec, locale: Option<&str>) -> Option<(&'s str, &'s str)> {
    let plain = |tag: &str| tag.replace('_', "-").to_lowercase();
    let primary = |tag: &str| plain(tag).split('-').next().unwrap_or_default().to_owned();
    let find = |wanted: &dyn Fn(&str) -> bool| spec.texts.iter().find(|(language, _)| wanted(language));
    let by_locale = locale.and_then(|locale| {
        find(&|language| plain(language) == plain(locale))
            .or_else(|| find(&|language| plain(language) == primary(locale)))
            .or_else(|| find(&|language| primary(language) == primary(locale)))
    });
    let (language, text) = by_locale.or_else(|| spec.texts.get_key_value(&spec.language))?;
    Some((language, text))
}

/// One pass over the text, so that a parameter which looks like a placeholder stays what it is.
fn fill(text: &str, params: &[(String, String)]) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let Some((name, after)) = after.split_once('}') else {
            rest = after;
            break;
        };
        let value = params.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        filled.push_str(value.unwrap_or_default());
        rest = after;
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{domain::purpose::Category, plugin::manifest::LinkSpec};

    fn spec() -> TemplateSpec {
        TemplateSpec {
            name: "t".into(),
            category: Category::Utility,
            language: "en".into(),
            params: vec!["name".into(), "item".into()],
            named: false,
            header: None,
            headers: BTreeMap::new(),
            buttons: vec![],
            links: vec![],
            texts: [("en", "{name}: {item}"), ("fr", "{name} : {item}"), ("pt-BR", "{item}, {name}")]
                .map(|(language, text)| (language.to_owned(), text.to_owned()))
                .into(),
        }
    }

    fn params(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_template_is_filled_in_the_customers_language() {
        let both = params(&[("item", "{name}"), ("name", "Zoé")]);
        let body = |locale| resolve(&spec(), &both, locale, None).unwrap().body;
        assert_eq!(body(Some("fr-FR")), "Zoé : {name}");
        assert_eq!(body(Some("pt_PT")), "{name}, Zoé");
        assert_eq!(body(Some("de")), "Zoé: {name}");
        assert_eq!(body(None), "Zoé: {name}");
    }

    #[test]
    fn parameters_have_to_be_complete_and_known() {
        for wrong in
            [&[("name", "Zoé")][..], &[("name", "a"), ("item", " ")], &[("name", "a"), ("item", "b"), ("x", "c")]]
        {
            assert!(matches!(resolve(&spec(), &params(wrong), None, None), Err(Refusal::BadTemplate(_))), "{wrong:?}");
        }
        let headed = TemplateSpec { header: Some(MediaKind::Image), ..spec() };
        let both = params(&[("item", "b"), ("name", "a")]);
        assert!(resolve(&headed, &both, None, None).is_err());
        assert!(resolve(&headed, &both, None, Some(MediaKind::Image)).is_ok());
    }

    #[test]
    fn headers_and_links_have_parameters_of_their_own() {
        let with_both = TemplateSpec {
            headers: [("en", "Order {order}"), ("fr", "Commande {order}"), ("pt-BR", "{order}")]
                .map(|(language, text)| (language.to_owned(), text.to_owned()))
                .into(),
            links: vec![LinkSpec { index: 1, url: "https://x.example/{code}".into(), labels: BTreeMap::new() }],
            ..spec()
        };
        let all = [("item", "b"), ("name", "a"), ("order", "4821"), ("code", "a b/é")];
        let resolved = resolve(&with_both, &params(&all), Some("fr"), None).unwrap();
        assert_eq!(resolved.params, params(&[("name", "a"), ("item", "b")]));
        let header = HeaderText { text: "Commande 4821".into(), param: Some(("order".into(), "4821".into())) };
        assert_eq!(resolved.header_text, Some(header));
        assert_eq!(resolved.links[0].url, "https://x.example/a%20b/%C3%A9");
        assert_eq!(resolved.links[0].param.as_deref(), Some("a%20b/%C3%A9"));
        let missing = resolve(&with_both, &params(&all[..3]), None, None).unwrap_err().to_string();
        assert!(missing.contains("`code` is missing"), "{missing}");
    }
}
