//! Header and buttons of a template message, against the template as it was approved.
//!
//! Only of templates that were registered with their components: the short form says nothing of header and buttons.

use serde_json::Value;

use super::{Template, meta_body::Problem, templates::placeholders};

pub(super) fn check(template: &Template, components: &[Value]) -> Result<(), Problem> {
    if template.components.is_empty() {
        return Ok(());
    }
    header(template, components)?;
    buttons(template, components)
}

fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn parameters(component: Option<&Value>) -> &[Value] {
    component.and_then(|component| component.get("parameters")).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn is(component: &Value, kind: &str) -> bool {
    text(component, "type").eq_ignore_ascii_case(kind)
}

/// `what` is `header`, or `buttons` with a place.
fn counted(what: &str, given: usize, wanted: usize) -> Result<(), Problem> {
    if given == wanted {
        return Ok(());
    }
    let details = format!(
        "{what}: number of localizable_params ({given}) does not match the expected number of params ({wanted})"
    );
    Err(Problem::new(132000, details))
}

fn header(template: &Template, components: &[Value]) -> Result<(), Problem> {
    let given = parameters(components.iter().find(|component| is(component, "header")));
    let Some(declared) = template.component("HEADER") else { return counted("header", given.len(), 0) };
    // Text where it says nothing else.
    let format = Some(text(declared, "format")).filter(|format| !format.is_empty()).unwrap_or("TEXT").to_uppercase();
    let wanted = if format == "TEXT" { placeholders(text(declared, "text")).len() } else { 1 };
    let received = given.first().map_or("UNKNOWN".to_owned(), |parameter| text(parameter, "type").to_uppercase());
    if received != format && (format != "TEXT" || !given.is_empty()) {
        let details = format!("header: Format mismatch, expected {format}, received {received}");
        return Err(Problem::new(132012, details));
    }
    counted("header", given.len(), wanted)
}

fn buttons(template: &Template, components: &[Value]) -> Result<(), Problem> {
    let declared = template.component("BUTTONS").and_then(|buttons| buttons.get("buttons")?.as_array());
    let declared = declared.map_or(&[][..], Vec::as_slice);
    for (index, button) in declared.iter().enumerate() {
        let sent = components.iter().find(|component| is(component, "button") && index_of(component) == Some(index));
        let kind = text(button, "type");
        if let Some(sent) = sent
            && !text(sent, "sub_type").eq_ignore_ascii_case(kind)
        {
            let received = text(sent, "sub_type");
            let details = format!("buttons: Button at index {index} is of type {kind}, and received {received}");
            return Err(Problem::new(132012, details));
        }
        if kind.eq_ignore_ascii_case("URL") {
            let wanted = placeholders(text(button, "url")).len();
            let given = parameters(sent).len();
            if given < wanted {
                return Err(Problem::missing(&format!(
                    "buttons: Button at index {index} of type Url requires a parameter"
                )));
            }
            counted(&format!("buttons: Button at index {index}"), given, wanted)?;
        }
    }
    let beyond = components
        .iter()
        .filter(|component| is(component, "button"))
        .find(|component| index_of(component).is_none_or(|index| index >= declared.len()));
    match beyond {
        Some(_) => Err(Problem::new(132000, format!("buttons: the template has {} buttons", declared.len()))),
        None => Ok(()),
    }
}

/// A string in the documentation, and taken as a number as well.
fn index_of(component: &Value) -> Option<usize> {
    match component.get("index")? {
        Value::String(text) => text.parse().ok(),
        number => usize::try_from(number.as_u64()?).ok(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn approved(components: Value) -> Template {
        Template { components: serde_json::from_value(components).unwrap(), ..Template::default() }
    }

    #[track_caller]
    fn refused(template: &Template, components: Value, code: i64) {
        let components: Vec<Value> = serde_json::from_value(components).unwrap();
        assert_eq!(check(template, &components).map_err(|problem| problem.code), Err(code));
    }

    #[track_caller]
    fn taken(template: &Template, components: Value) {
        let components: Vec<Value> = serde_json::from_value(components).unwrap();
        assert!(check(template, &components).is_ok());
    }

    #[test]
    fn a_header_has_what_the_template_has_there() {
        let header = |parameters: Value| json!([{"type": "header", "parameters": parameters}]);
        let (words, picture) =
            (json!({"type": "text", "text": "4821"}), json!({"type": "image", "image": {"id": "1"}}));
        let text = approved(json!([{"type": "HEADER", "format": "TEXT", "text": "Order {{1}}"}]));
        taken(&text, header(json!([words])));
        refused(&text, json!([]), 132000);
        refused(&text, header(json!([words, words])), 132000);
        refused(&text, header(json!([picture])), 132012);
        let image = approved(json!([{"type": "HEADER", "format": "IMAGE"}]));
        taken(&image, header(json!([picture])));
        refused(&image, json!([]), 132012);
        refused(&image, header(json!([words])), 132012);
        let fixed = approved(json!([{"type": "HEADER", "text": "Hello"}]));
        taken(&fixed, json!([]));
        refused(&fixed, header(json!([words])), 132000);
        refused(&approved(json!([{"type": "BODY", "text": "x"}])), header(json!([words])), 132000);
        taken(&Template { body: Some("x".into()), ..Template::default() }, header(json!([words])));
    }

    #[test]
    fn a_link_with_a_place_needs_a_parameter_and_one_without_takes_none() {
        let template = approved(json!([{"type": "BUTTONS", "buttons": [
            {"type": "QUICK_REPLY", "text": "Yes"}, {"type": "URL", "text": "See", "url": "https://x.example/{{1}}"},
            {"type": "URL", "text": "Home", "url": "https://x.example"},
        ]}]));
        let button = |sub_type: &str, index: &str, parameters: Value| json!({"type": "button", "sub_type": sub_type, "index": index, "parameters": parameters});
        let words = json!([{"type": "text", "text": "4821"}]);
        let link = || button("url", "1", words.clone());
        taken(&template, json!([link()]));
        taken(&template, json!([button("quick_reply", "0", json!([{"type": "payload", "payload": "y"}])), link()]));
        refused(&template, json!([]), 131008);
        refused(&template, json!([button("url", "1", json!([]))]), 131008);
        refused(&template, json!([link(), button("url", "2", words.clone())]), 132000);
        refused(&template, json!([link(), button("url", "0", words.clone())]), 132012);
        refused(&template, json!([link(), button("url", "3", words.clone())]), 132000);
    }
}
