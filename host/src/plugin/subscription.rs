//! Which events a plugin is run for, and what each run is about: patterns, filters and templates of the manifest.
//!
//! Everything is parsed when the manifest is; an event is matched without allocating until it is certain that it applies,
//! and its data is read as JSON at most once, only when a subscription asks for a field of it.

use std::cell::OnceCell;

use serde_json::Value;

use crate::{domain::event::Event, ids::CustomerId};

/// Longer is no name of anything, and it has to fit an index.
const DERIVED_BYTES_MAX: usize = 512;

/// An event type, exact or a prefix that ends in `.*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pattern {
    Exact(String),
    /// With the dot at its end.
    Prefix(String),
}

impl Pattern {
    pub fn parse(text: &str) -> Result<Pattern, String> {
        let (name, pattern) = match text.strip_suffix(".*") {
            Some(prefix) => (prefix, Pattern::Prefix(format!("{prefix}."))),
            None => (text, Pattern::Exact(text.to_owned())),
        };
        let fine = !name.is_empty() && !name.contains(|c: char| c == '*' || c.is_whitespace() || c.is_control());
        if fine {
            Ok(pattern)
        } else {
            Err(format!("`{text}` is no event type; write one, or a prefix that ends in `.*`"))
        }
    }

    pub fn matches(&self, event_type: &str) -> bool {
        match self {
            Pattern::Exact(exact) => exact == event_type,
            Pattern::Prefix(prefix) => event_type.starts_with(prefix.as_str()),
        }
    }

    /// Whether everything that `asked` names is named by this one as well.
    pub fn covers(&self, asked: &Pattern) -> bool {
        match (self, asked) {
            (_, Pattern::Exact(exact)) => self.matches(exact),
            (Pattern::Prefix(prefix), Pattern::Prefix(asked)) => asked.starts_with(prefix.as_str()),
            (Pattern::Exact(_), Pattern::Prefix(_)) => false,
        }
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Pattern::Exact(exact) => f.write_str(exact),
            Pattern::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

/// Where a value is found.
#[derive(Clone, Debug, PartialEq)]
pub enum Path {
    Customer,
    Subject,
    Source,
    Type,
    Id,
    Extension(String),
    /// A field of the event's data, or of a trigger's body.
    Field(Root, Vec<String>),
}

/// What a path may begin with: in a subscription the event is there, in a trigger only the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    Event,
    Body,
}

impl Path {
    pub fn parse(text: &str, root: Root) -> Result<Path, String> {
        let fields = |rest: &str| {
            let parts: Vec<String> = rest.split('.').map(str::to_owned).collect();
            if parts.iter().any(String::is_empty) {
                Err(format!("`{text}` has an empty part"))
            } else {
                Ok(Path::Field(root, parts))
            }
        };
        match (root, text, text.split_once('.')) {
            (Root::Body, _, Some(("body", rest))) => fields(rest),
            (Root::Body, ..) => Err(format!("`{text}` is no path of a trigger; write `body.FIELD`")),
            (Root::Event, "customer", _) => Ok(Path::Customer),
            (Root::Event, "subject", _) => Ok(Path::Subject),
            (Root::Event, "source", _) => Ok(Path::Source),
            (Root::Event, "type", _) => Ok(Path::Type),
            (Root::Event, "id", _) => Ok(Path::Id),
            (Root::Event, _, Some(("ext", name))) if !name.is_empty() => Ok(Path::Extension(name.to_owned())),
            (Root::Event, _, Some(("data", rest))) => fields(rest),
            (Root::Event, ..) => Err(format!(
                "`{text}` is no path; there are customer, subject, source, type, id, ext.NAME and data.FIELD"
            )),
        }
    }

    pub fn shown(&self) -> String {
        match self {
            Path::Customer => "customer".to_owned(),
            Path::Subject => "subject".to_owned(),
            Path::Source => "source".to_owned(),
            Path::Type => "type".to_owned(),
            Path::Id => "id".to_owned(),
            Path::Extension(name) => format!("ext.{name}"),
            Path::Field(Root::Event, parts) => format!("data.{}", parts.join(".")),
            Path::Field(Root::Body, parts) => format!("body.{}", parts.join(".")),
        }
    }
}

/// A text with paths in it, `sku/{data.sku}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(String),
    Path(Path),
}

impl Template {
    pub fn parse(text: &str, root: Root) -> Result<Template, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (path, after) = after.split_once('}').ok_or_else(|| format!("`{text}` has a {{ without its }}"))?;
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            pieces.push(Piece::Path(Path::parse(path, root)?));
            rest = after;
        }
        if rest.contains('}') {
            return Err(format!("`{text}` has a }} without its {{"));
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        if pieces.is_empty() { Err("it is empty".to_owned()) } else { Ok(Template(pieces)) }
    }

    /// Fills it in, or says which path has nothing that fits.
    pub fn fill(&self, find: impl Fn(&Path) -> Option<String>) -> Result<String, String> {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(part) => text.push_str(part),
                Piece::Path(path) => match find(path) {
                    Some(value) if !value.is_empty() => text.push_str(&value),
                    _ => return Err(format!("`{}` holds no text, number or boolean", path.shown())),
                },
            }
        }
        if text.contains('\0') {
            return Err("it would contain U+0000, which no text may".to_owned());
        }
        if text.len() > DERIVED_BYTES_MAX {
            return Err(format!("it would have {} bytes, {DERIVED_BYTES_MAX} at most are allowed", text.len()));
        }
        Ok(text)
    }
}

/// A value that a `where` filter asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    Text(String),
    Number(f64),
    Bool(bool),
}

impl Scalar {
    fn equals(&self, value: &Value) -> bool {
        match (self, value) {
            (Scalar::Text(text), Value::String(other)) => text == other,
            (Scalar::Number(number), Value::Number(other)) => other.as_f64() == Some(*number),
            (Scalar::Bool(truth), Value::Bool(other)) => truth == other,
            _ => false,
        }
    }
}

/// One `[[on-event]]` of a manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscription {
    pub types: Vec<Pattern>,
    /// What the event's source has to begin with.
    pub source: Option<String>,
    pub filter: Vec<(Path, Scalar)>,
    pub entity: Option<Template>,
    pub customer: Option<Template>,
}

/// An event that is being matched, with its data read at most once.
pub(super) struct Subject<'a> {
    pub event: &'a Event,
    data: OnceCell<Value>,
}

/// What a subscription makes of an event.
#[derive(Debug, PartialEq)]
pub(super) enum Match {
    /// It is not meant.
    No,
    /// It is meant by its type, but something is missing: why.
    Unfit(String),
    Run {
        entity: String,
        customer: Option<CustomerId>,
    },
}

impl<'a> Subject<'a> {
    pub(super) fn new(event: &'a Event) -> Subject<'a> {
        Subject { event, data: OnceCell::new() }
    }

    fn data(&self) -> &Value {
        self.data.get_or_init(|| serde_json::from_str(&self.event.data).unwrap_or(Value::Null))
    }

    fn find(&self, path: &Path) -> Option<Value> {
        let event = self.event;
        let text = |text: &str| Some(Value::String(text.to_owned()));
        match path {
            Path::Customer => text(event.customer.as_ref()?),
            Path::Subject => text(event.subject.as_ref()?),
            Path::Source => text(&event.source),
            Path::Type => text(&event.event_type),
            Path::Id => text(&event.source_id),
            Path::Extension(name) => match event.attributes.iter().find(|(known, _)| known == name) {
                Some((_, value)) => text(value),
                None if name == "customer" => text(event.customer.as_ref()?),
                None => None,
            },
            Path::Field(_, parts) => field(self.data(), parts).cloned(),
        }
    }

    /// Matches a subscription whose type pattern already matched.
    pub(super) fn meets(&self, subscription: &Subscription) -> Match {
        let event = self.event;
        if subscription.source.as_ref().is_some_and(|source| !event.source.starts_with(source.as_str())) {
            return Match::No;
        }
        if !subscription.filter.iter().all(|(path, wanted)| self.find(path).is_some_and(|value| wanted.equals(&value)))
        {
            return Match::No;
        }
        let customer = match &subscription.customer {
            None => event.customer.clone(),
            Some(template) => match template.fill(|path| self.find(path).as_ref().and_then(scalar_text)) {
                Ok(id) => Some(CustomerId::new(id)),
                Err(why) => return Match::Unfit(format!("`customer` cannot be derived: {why}")),
            },
        };
        let entity = match &subscription.entity {
            Some(template) => template.fill(|path| match path {
                Path::Customer => customer.as_ref().map(ToString::to_string),
                path => self.find(path).as_ref().and_then(scalar_text),
            }),
            None => Ok(match (&customer, &event.subject) {
                (Some(customer), _) => format!("customer/{customer}"),
                (None, Some(subject)) => subject.clone(),
                (None, None) => event.source.clone(),
            }),
        };
        match entity {
            Ok(entity) => Match::Run { entity, customer },
            Err(why) => Match::Unfit(format!("`entity` cannot be derived: {why}")),
        }
    }
}

/// Walks into objects by name, and into arrays by number.
pub(super) fn field<'v>(value: &'v Value, parts: &[String]) -> Option<&'v Value> {
    parts.iter().try_fold(value, |value, part| match value {
        Value::Object(fields) => fields.get(part),
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        _ => None,
    })
}

/// A text, number or boolean as a text; nothing else has one form that everybody would expect.
pub(super) fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Timestamp,
        ids::{EventId, TenantId},
    };

    fn event(data: &str) -> Event {
        let tenant = TenantId::default_tenant();
        Event {
            id: EventId::of(&tenant, "/shop", "1"),
            tenant,
            source_id: "1".into(),
            source: "/shop/paris".into(),
            event_type: "com.example.cart.added".into(),
            subject: None,
            time: Timestamp(0),
            received: Timestamp(0),
            customer: Some("4711".into()),
            data: data.into(),
            attributes: vec![],
            cause: None,
        }
    }

    fn subscription(entity: Option<&str>) -> Subscription {
        Subscription {
            types: vec![Pattern::parse("com.example.cart.*").unwrap()],
            source: Some("/shop/".into()),
            filter: vec![],
            entity: entity.map(|text| Template::parse(text, Root::Event).unwrap()),
            customer: None,
        }
    }

    #[test]
    fn a_prefix_covers_what_is_below_it_and_nothing_else() {
        let cart = Pattern::parse("com.example.cart.*").unwrap();
        assert!(
            cart.matches("com.example.cart.added")
                && !cart.matches("com.example.cart")
                && !cart.matches("com.example.cartoon.x")
        );
        assert!(cart.covers(&Pattern::parse("com.example.cart.item.*").unwrap()));
        assert!(!cart.covers(&Pattern::parse("com.example.*").unwrap()));
        assert!(Pattern::parse("com.*.x").is_err() && Pattern::parse(".*").is_err() && Pattern::parse("").is_err());
    }

    #[test]
    fn an_entity_is_derived_from_the_data_or_defaults_to_the_customer() {
        let event = event(r#"{"sku":"SHOE-42","n":3,"deep":{"list":[{"x":true}]}}"#);
        let subject = Subject::new(&event);
        let entity = |template: Option<&str>| match subject.meets(&subscription(template)) {
            Match::Run { entity, .. } => entity,
            other => panic!("{other:?}"),
        };
        assert_eq!(entity(Some("sku/{data.sku}/{data.n}")), "sku/SHOE-42/3");
        assert_eq!(entity(Some("{data.deep.list.0.x}@{source}")), "true@/shop/paris");
        assert_eq!(entity(None), "customer/4711");
    }

    #[test]
    fn a_path_that_finds_nothing_is_said_and_sets_off_no_run() {
        let event = event(r#"{"sku":{"no":"text"}}"#);
        assert!(matches!(Subject::new(&event).meets(&subscription(Some("sku/{data.sku}"))), Match::Unfit(_)));
    }

    #[test]
    fn filters_compare_texts_numbers_and_booleans_exactly() {
        let event = event(r#"{"kind":"train","n":2}"#);
        let mut wanted = subscription(None);
        wanted.filter = vec![(Path::parse("data.n", Root::Event).unwrap(), Scalar::Number(2.0))];
        assert!(matches!(Subject::new(&event).meets(&wanted), Match::Run { .. }));
        wanted.filter = vec![(Path::parse("data.kind", Root::Event).unwrap(), Scalar::Text("bus".into()))];
        assert_eq!(Subject::new(&event).meets(&wanted), Match::No);
        wanted.filter = vec![];
        wanted.source = Some("/other".into());
        assert_eq!(Subject::new(&event).meets(&wanted), Match::No);
    }

    #[test]
    fn templates_with_unknown_paths_or_loose_braces_are_refused() {
        for wrong in ["", "{customer", "customer}", "{body.x}", "{data.}", "{nothing}"] {
            assert!(Template::parse(wrong, Root::Event).is_err(), "{wrong}");
        }
        assert!(Template::parse("{body.x}", Root::Body).is_ok());
    }
}
