//! Has the plugins' templates approved: registered with the simulated Meta as a business registers them with the real one,
//! so that a wrong number of parameters is refused and the phones show what a customer would read.

use reqwest::Method;
use serde_json::{Value, json};

use super::remote::Remote;
use crate::{
    ids::PluginName,
    plugin::{Plugins, TemplateSpec},
};

/// Registers every template of every loaded plugin, in each of its languages.
pub(crate) async fn approve(remote: &Remote, plugins: &Plugins) -> anyhow::Result<()> {
    for status in plugins.status() {
        let Some(plugin) = plugins.get(&PluginName::from(status.name.as_str())) else { continue };
        for template in plugin.manifest.templates.values() {
            for (language, text) in &template.texts {
                let body = as_meta_has_it(template, language, text);
                remote.simulator(Method::POST, "/templates", Some(&body)).await?;
            }
        }
    }
    Ok(())
}

fn as_meta_has_it(template: &TemplateSpec, language: &str, text: &str) -> Value {
    let mut body = text.to_owned();
    for (place, name) in template.params.iter().enumerate() {
        body = body.replace(&format!("{{{name}}}"), &format!("{{{{{}}}}}", place + 1));
    }
    let mut components = Vec::new();
    if let Some(kind) = template.header {
        components.push(json!({ "type": "HEADER", "format": kind.as_str().to_uppercase() }));
    }
    if let Some(header) = template.headers.get(language) {
        components.push(json!({ "type": "HEADER", "format": "TEXT", "text": numbered(header) }));
    }
    components.push(json!({ "type": "BODY", "text": body }));
    let mut buttons: Vec<Value> =
        template.buttons.iter().map(|id| json!({ "type": "QUICK_REPLY", "text": id })).collect();
    for link in &template.links {
        let text = link.label(language).unwrap_or("Open");
        let button = json!({ "type": "URL", "text": text, "url": numbered(&link.url) });
        buttons.insert(link.index.min(buttons.len()), button);
    }
    if !buttons.is_empty() {
        components.push(json!({ "type": "BUTTONS", "buttons": buttons }));
    }
    json!({
        "name": template.name, "language": language, "category": template.category.as_str().to_uppercase(),
        "status": "APPROVED", "components": components,
    })
}

/// A header and a link have one parameter at most, and it is the first of its own.
fn numbered(text: &str) -> String {
    match text.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?.1))) {
        Some((before, after)) => format!("{before}{{{{1}}}}{after}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::{message::MediaKind, purpose::Category};

    #[test]
    fn parameters_become_numbers_in_their_order() {
        let template = TemplateSpec {
            name: "t".to_owned(),
            category: Category::Utility,
            language: "en".to_owned(),
            params: vec!["shop".to_owned(), "order".to_owned()],
            named: false,
            header: Some(MediaKind::Image),
            headers: BTreeMap::new(),
            buttons: vec!["come".to_owned()],
            links: vec![],
            texts: BTreeMap::new(),
        };
        let body = as_meta_has_it(&template, "en", "Order {order} at {shop}.");
        assert_eq!(body.pointer("/components/1/text"), Some(&json!("Order {{2}} at {{1}}.")));
        assert_eq!(body.pointer("/components/0/format"), Some(&json!("IMAGE")));
        assert_eq!(body.pointer("/components/2/buttons/0/text"), Some(&json!("come")));
    }
}
