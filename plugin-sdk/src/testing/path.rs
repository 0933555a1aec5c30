//! `sku/{data.sku}`: how a manifest takes something from an event.

use serde_json::Value;

use crate::Event;

/// The pattern with every `{path}` filled in; none where a path leads nowhere or to something that is no text,
/// number or boolean.
pub(crate) fn fill(pattern: &str, event: &Event) -> Option<String> {
    let mut filled = String::new();
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('{') {
        let (path, after) = after.split_once('}')?;
        filled.push_str(before);
        filled.push_str(&scalar(&look_up(path, event)?)?);
        rest = after;
    }
    filled.push_str(rest);
    Some(filled)
}

/// What a path leads to.
pub(crate) fn look_up(path: &str, event: &Event) -> Option<Value> {
    let text = |text: &String| Value::String(text.clone());
    match path {
        "customer" => event.customer.as_ref().map(text),
        "subject" => event.subject.as_ref().map(text),
        "source" => Some(text(&event.source)),
        "type" => Some(text(&event.event_type)),
        "id" => Some(text(&event.id)),
        _ => match path.split_once('.')? {
            ("ext", name) => event.attribute(name).map(Value::from),
            ("data", path) => {
                let data: Value = serde_json::from_str(&event.data).ok()?;
                path.split('.').try_fold(&data, |at, name| at.get(name)).cloned()
            }
            _ => None,
        },
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
