//! Templates at Meta: checking a message that uses one, and the endpoints that list, create and delete them.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json,
    extract::{Path, Query, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{
    Button, Content, Simulator, Template, UsedTemplate, meta,
    meta_body::{Checked, Problem, attachment, required},
    meta_template_parts as parts, set,
    templates::{Known, render},
};

/// What the receipts of a template message depend on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Facts {
    pub(crate) category: &'static str,
    pub(crate) ttl_s: Option<i64>,
}

pub(crate) fn check(simulator: &Simulator, own: &Value) -> Result<Checked, Problem> {
    let name = required(own, "name")?;
    let language = own.pointer("/language/code").and_then(Value::as_str);
    let language = language.ok_or_else(|| Problem::missing("template['language']['code']"))?;
    let components = own.get("components").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let parameters = body_parameters(components)?;
    let template = match simulator.templates.look_up(name, language) {
        Known::Anything => None,
        Known::Missing => {
            return Err(Problem::new(132001, format!("template name ({name}) does not exist in {language}")));
        }
        Known::Found(template) => Some(*template),
    };
    if let Some(template) = &template {
        check_against(template, &parameters)?;
        parts::check(template, components)?;
    }
    let rendered = template.as_ref().map(|template| render(template.body(), &parameters));
    if rendered.as_ref().is_some_and(|text| text.chars().count() > 1024) {
        return Err(Problem::new(132005, "Translated text too long: the body has more than 1024 characters"));
    }
    let content = Content {
        kind: "template".into(),
        text: rendered.clone(),
        media: header_media(simulator, components)?,
        header: template.as_ref().and_then(|template| header_text(template, components)),
        footer: template
            .as_ref()
            .and_then(|template| Some(template.component("FOOTER")?.get("text")?.as_str()?.to_owned())),
        buttons: buttons(template.as_ref(), components),
        template: Some(UsedTemplate {
            name: name.into(),
            language: language.into(),
            parameters: parameters.into_iter().map(|(_, text)| text).collect(),
            rendered,
        }),
        ..Content::default()
    };
    Ok(Checked { content, template: Some(facts(template.as_ref())) })
}

/// The approved line with the message's parameter in it.
fn header_text(template: &Template, components: &[Value]) -> Option<String> {
    let text = template.component("HEADER")?.get("text")?.as_str()?;
    let header = components.iter().find(|component| kind_of(component) == "header");
    let given = header.and_then(|header| header.get("parameters")).and_then(Value::as_array).into_iter().flatten();
    let named = given.enumerate().filter_map(|(at, parameter)| {
        let name = parameter.get("parameter_name").and_then(Value::as_str);
        Some((name.map_or_else(|| (at + 1).to_string(), str::to_owned), parameter.get("text")?.as_str()?.to_owned()))
    });
    Some(render(text, &named.collect::<Vec<_>>()))
}

fn facts(template: Option<&Template>) -> Facts {
    let category = match template.map(|template| template.category.as_str()) {
        Some("MARKETING") => "marketing",
        Some("AUTHENTICATION") => "authentication",
        // A name that is not registered is taken to be what a host of this kind sends most.
        _ => "utility",
    };
    Facts { category, ttl_s: template.and_then(|template| template.message_send_ttl_seconds) }
}

fn check_against(template: &Template, parameters: &[(String, String)]) -> Result<(), Problem> {
    match template.status.as_str() {
        "APPROVED" => {}
        "PAUSED" => return Err(Problem::new(132015, "Template is paused due to low quality")),
        "DISABLED" => return Err(Problem::new(132016, "Template is disabled due to low quality")),
        status => return Err(Problem::new(132001, format!("template ({}) is {status}", template.name))),
    }
    let wanted = template.placeholders();
    if wanted.len() != parameters.len() {
        let (given, wanted) = (parameters.len(), wanted.len());
        let details = format!(
            "body: number of localizable_params ({given}) does not match the expected number of params ({wanted})"
        );
        return Err(Problem::new(132000, details));
    }
    match parameters.iter().find(|(name, _)| !wanted.contains(name)) {
        Some((name, _)) => Err(Problem::new(132012, format!("body: the template has no parameter named {name}"))),
        None => Ok(()),
    }
}

/// Name (or position) and text of each parameter of the body.
fn body_parameters(components: &[Value]) -> Result<Vec<(String, String)>, Problem> {
    let body = components.iter().find(|component| kind_of(component) == "body");
    let parameters = body.and_then(|body| body.get("parameters")).and_then(Value::as_array);
    parameters.into_iter().flatten().enumerate().map(|(at, parameter)| body_parameter(at, parameter)).collect()
}

fn body_parameter(at: usize, parameter: &Value) -> Result<(String, String), Problem> {
    let text = match parameter.get("type").and_then(Value::as_str) {
        Some("text") => parameter.get("text"),
        Some("currency") => parameter.pointer("/currency/fallback_value"),
        Some("date_time") => parameter.pointer("/date_time/fallback_value"),
        other => return Err(Problem::new(132012, format!("body: parameter {} has the type {other:?}", at + 1))),
    };
    let text = text.and_then(Value::as_str).ok_or_else(|| Problem::missing("parameters['text']"))?;
    if text.contains(['\n', '\t']) || text.contains("     ") {
        let details = "Param text cannot have new-line/tab characters or more than 4 consecutive spaces";
        return Err(Problem::new(132018, details));
    }
    let name = parameter.get("parameter_name").and_then(Value::as_str);
    Ok((name.map_or_else(|| (at + 1).to_string(), str::to_owned), text.to_owned()))
}

fn kind_of(component: &Value) -> String {
    component.get("type").and_then(Value::as_str).unwrap_or_default().to_lowercase()
}

fn header_media(simulator: &Simulator, components: &[Value]) -> Result<Vec<super::EntryMedia>, Problem> {
    let header = components.iter().find(|component| kind_of(component) == "header");
    let parameters = header.and_then(|header| header.get("parameters")).and_then(Value::as_array);
    let mut media = Vec::new();
    for parameter in parameters.into_iter().flatten() {
        let kind = parameter.get("type").and_then(Value::as_str).unwrap_or_default();
        if matches!(kind, "image" | "video" | "document") {
            let file = parameter.get(kind).ok_or_else(|| Problem::missing(kind))?;
            media.push(attachment(simulator, kind, file)?);
        }
    }
    Ok(media)
}

/// The buttons of the template with the payloads of the message; without a known template, the payloads alone.
fn buttons(template: Option<&Template>, components: &[Value]) -> Vec<Button> {
    let declared = template.and_then(|template| template.component("BUTTONS")?.get("buttons")?.as_array());
    let sent: Vec<&Value> = components.iter().filter(|component| kind_of(component) == "button").collect();
    let payload = |index: usize| {
        let wanted = index.to_string();
        let at = |button: &&&Value| match button.get("index") {
            Some(Value::String(text)) => *text == wanted,
            Some(number) => number.as_u64().is_some_and(|number| number.to_string() == wanted),
            None => false,
        };
        sent.iter().find(at).and_then(|button| button.pointer("/parameters/0/payload")).and_then(Value::as_str)
    };
    let Some(declared) = declared else {
        let texts = (0..sent.len()).filter_map(payload);
        return texts.map(|text| button(text, text, "quick-reply")).collect();
    };
    let shown = declared.iter().enumerate().map(|(index, declared)| {
        let title = declared.get("text").and_then(Value::as_str).unwrap_or_default();
        let quick =
            declared.get("type").and_then(Value::as_str).is_some_and(|kind| kind.eq_ignore_ascii_case("QUICK_REPLY"));
        // A quick reply without a payload answers with its own text.
        button(payload(index).unwrap_or(title), title, if quick { "quick-reply" } else { "url" })
    });
    shown.collect()
}

fn button(id: &str, title: &str, kind: &str) -> Button {
    Button { id: id.into(), title: title.into(), kind: kind.into(), description: None }
}

pub(crate) async fn list(
    State(simulator): State<Arc<Simulator>>,
    Path((_, waba_id)): Path<(String, String)>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    if let Some(refused) = meta::refuse(&simulator, &headers, &waba_id, &simulator.options.meta.waba_id) {
        return refused;
    }
    let all = simulator.templates.all();
    if all.is_empty() {
        // Every name is taken then, and a list that says so cannot be written: the app may not read it.
        let details = "Application does not have permission for this action";
        return meta::problem(&simulator, &Problem::new(10, details));
    }
    let known = all.len();
    let fits = |name: &str, value: &str| query.get(name).is_none_or(|wanted| wanted.eq_ignore_ascii_case(value));
    let asked =
        |one: &Template| fits("name", &one.name) && fits("status", &one.status) && fits("language", &one.language);
    let all: Vec<Template> = all.into_iter().filter(asked).collect();
    let wanted = query.get("limit").and_then(|limit| limit.parse::<usize>().ok()).unwrap_or(25).clamp(1, 1000);
    let from = query.get("after").and_then(|cursor| cursor.parse::<usize>().ok()).unwrap_or(0);
    let page: Vec<Value> = all.iter().skip(from).take(wanted).map(listed).collect();
    let (until, base) = (from + page.len(), &simulator.options.meta.waba_id);
    let mut paging = json!({"cursors": {"before": from.to_string(), "after": until.to_string()}});
    if until < all.len() {
        let next = format!("https://graph.facebook.com/{base}/message_templates?after={until}&limit={wanted}");
        set(&mut paging, "next", next);
    }
    let mut answer = json!({"data": page, "paging": paging});
    // Counts are given where they are asked for.
    if query.contains_key("summary") {
        let summary = json!({
            "total_count": known, "message_template_count": known,
            "message_template_limit": TEMPLATES_MAX, "are_translations_complete": true,
        });
        set(&mut answer, "summary", summary);
    }
    Json(answer).into_response()
}

/// How many templates an account may have.
const TEMPLATES_MAX: usize = 250;

/// As Meta lists a template: with components, whichever form it was registered in.
fn listed(template: &Template) -> Value {
    let mut row = json!(template);
    if template.components.is_empty() {
        set(&mut row, "components", json!([{"type": "BODY", "text": template.body()}]));
    }
    let named = template.placeholders().iter().any(|name| name.parse::<u32>().is_err());
    set(&mut row, "parameter_format", if named { "NAMED" } else { "POSITIONAL" });
    if let Some(fields) = row.as_object_mut() {
        fields.remove("body");
        if template.message_send_ttl_seconds.is_none() {
            fields.remove("message_send_ttl_seconds");
        }
    }
    row
}

pub(crate) async fn create(
    State(simulator): State<Arc<Simulator>>,
    Path((_, waba_id)): Path<(String, String)>,
    headers: HeaderMap,
    Json(template): Json<Template>,
) -> Response {
    if let Some(refused) = meta::refuse(&simulator, &headers, &waba_id, &simulator.options.meta.waba_id) {
        return refused;
    }
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if template.name.is_empty() || template.name.len() > 512 || !template.name.chars().all(valid) {
        return meta::problem(
            &simulator,
            &Problem::new(100, "Param name must match [a-z0-9_], at most 512 characters."),
        );
    }
    if template.language.is_empty() {
        return meta::problem(&simulator, &Problem::missing("language"));
    }
    // Nobody reviews here, so it is approved at once, where Meta would say PENDING.
    let made = simulator.templates.put(Template { status: "APPROVED".into(), ..template });
    Json(json!({"id": made.id, "status": made.status, "category": made.category})).into_response()
}

pub(crate) async fn delete(
    State(simulator): State<Arc<Simulator>>,
    Path((_, waba_id)): Path<(String, String)>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    if let Some(refused) = meta::refuse(&simulator, &headers, &waba_id, &simulator.options.meta.waba_id) {
        return refused;
    }
    match query.get("name") {
        Some(name) if simulator.templates.remove(name) => Json(json!({"success": true})).into_response(),
        _ => meta::problem(&simulator, &Problem::new(100, "Param name must name a template of this account.")),
    }
}
