use axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::*;

const EXAMPLE: &str = r#"{
  "specversion": "1.0",
  "id": "e-0001",
  "source": "/boutique/paris",
  "type": "fr.example.commande.prete",
  "subject": "commande/4821",
  "time": "2026-01-15T10:30:00Z",
  "datacontenttype": "application/json",
  "data": {"client": "c-17", "pret_dans_min": 2}
}"#;

const NOW: Timestamp = Timestamp(1_800_000_000_000);

fn header_map(headers: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}

fn read_with(settings: &Settings, headers: &[(&str, &str)], body: &[u8]) -> Result<Vec<Event>, Value> {
    let tenant = TenantId::default_tenant();
    let headers = header_map(headers);
    let reader = Reader { tenant: &tenant, now: NOW, settings };
    mode(&headers)
        .and_then(|mode| reader.read(mode, &headers, body))
        .map_err(|problem| serde_json::to_value(&problem).unwrap())
}

fn read(headers: &[(&str, &str)], body: &str) -> Result<Vec<Event>, Value> {
    read_with(&Settings::default(), headers, body.as_bytes())
}

fn structured(body: &str) -> Result<Event, Value> {
    read(&[("content-type", "application/cloudevents+json")], body).map(|events| events.into_iter().next().unwrap())
}

const CORE: [(&str, &str); 4] = [("ce-specversion", "1.0"), ("ce-id", "e-0001"), ("ce-source", "/s"), ("ce-type", "t")];

fn binary(headers: &[(&str, &str)], body: &[u8]) -> Result<Event, Value> {
    let all: Vec<_> = CORE.iter().chain(headers).copied().collect();
    read_with(&Settings::default(), &all, body).map(|events| events.into_iter().next().unwrap())
}

/// The example with one member replaced, or left out where the value is empty.
fn example_with(name: &str, value: &str) -> String {
    let mut members: Vec<String> = [
        ("specversion", r#""1.0""#),
        ("id", r#""e-0001""#),
        ("source", r#""/boutique/paris""#),
        ("type", r#""fr.example.commande.prete""#),
    ]
    .iter()
    .filter(|(other, _)| *other != name)
    .map(|(name, value)| format!("\"{name}\":{value}"))
    .collect();
    if !value.is_empty() {
        members.push(format!("\"{name}\":{value}"));
    }
    format!("{{{}}}", members.join(","))
}

#[test]
fn the_documented_example_is_the_same_event_in_every_mode() {
    let one = structured(EXAMPLE).unwrap();
    assert_eq!((one.source_id.as_str(), one.source.as_str()), ("e-0001", "/boutique/paris"));
    assert_eq!((one.event_type.as_str(), one.subject.as_deref()), ("fr.example.commande.prete", Some("commande/4821")));
    assert_eq!((one.time, one.received), (Timestamp::parse("2026-01-15T10:30:00Z").unwrap(), NOW));
    assert_eq!(&*one.data, r#"{"client": "c-17", "pret_dans_min": 2}"#);
    assert_eq!(one.attributes, [("datacontenttype".to_owned(), "application/json".to_owned())]);
    let headers = [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "e-0001"),
        ("ce-source", "/boutique/paris"),
        ("ce-type", "fr.example.commande.prete"),
        ("ce-subject", "commande/4821"),
        ("ce-time", "2026-01-15T10:30:00Z"),
    ];
    assert_eq!(read(&headers, r#"{"client": "c-17", "pret_dans_min": 2}"#).unwrap(), std::slice::from_ref(&one));
    let batch = read(&[("content-type", "application/cloudevents-batch+json")], &format!("[{EXAMPLE},{EXAMPLE}]"));
    assert_eq!(batch.unwrap(), [one.clone(), one]);
}

#[test]
fn the_content_type_decides_the_mode_without_regard_to_case() {
    let mode_of = |headers: &[(&str, &str)]| mode(&header_map(headers)).map_err(|problem| problem.status().as_u16());
    let json = [("content-type", "Application/CloudEvents+JSON; charset=UTF-8")];
    assert_eq!(mode_of(&json).unwrap(), Mode::Structured);
    // `ce-specversion` makes nothing binary that its content type says is structured.
    assert_eq!(mode_of(&[json[0], ("ce-specversion", "1.0")]).unwrap(), Mode::Structured);
    assert_eq!(mode_of(&[("content-type", "application/cloudevents-batch+json")]).unwrap(), Mode::Batch);
    assert_eq!(mode_of(&[("ce-specversion", "1.0")]).unwrap(), Mode::Binary);
    for unread in [
        "application/json",
        "application/cloudevents",
        "application/cloudevents+avro",
        "application/cloudevents-batch",
        "application/cloudevents+json; charset=iso-8859-1",
    ] {
        assert_eq!(mode_of(&[("content-type", unread)]).unwrap_err(), 415, "{unread}");
    }
    assert_eq!(mode_of(&[]).unwrap_err(), 415);
}

#[test]
fn a_missing_attribute_is_named_as_the_sender_writes_it() {
    for name in ["specversion", "id", "source", "type"] {
        let problem = structured(&example_with(name, "")).unwrap_err();
        assert_eq!((problem["status"].as_u64(), problem["field"].as_str()), (Some(400), Some(name)));
        assert!(problem["fix"].as_str().unwrap().starts_with(&format!("add `{name}`")), "{problem}");
        // null is absent.
        assert_eq!(structured(&example_with(name, "null")).unwrap_err()["field"], name);
    }
    let problem = read(&[("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s")], "").unwrap_err();
    assert_eq!(problem["field"], "ce-type");
}

#[test]
fn a_wrong_attribute_is_refused_with_its_name() {
    for (name, value) in [
        ("id", r#""""#),
        ("id", "7"),
        ("id", "{}"),
        ("source", r#""/a b""#),
        ("type", "[1]"),
        ("specversion", r#""0.3""#),
        ("specversion", "1.0"),
        ("subject", r#""""#),
        ("time", r#""yesterday""#),
        ("time", r#""2026-01-15T10:30:00""#),
        ("time", r#""2026-01-15 10:30:00Z""#),
        ("time", r#""2026-01-15T10:30:00Z[UTC]""#),
        ("time", r#""20260115T103000Z""#),
        ("time", r#""2026-02-30T10:30:00Z""#),
        ("dataschema", r#""relative/path""#),
        ("datacontenttype", r#""json""#),
        ("Upper", r#""x""#),
        ("with_underscore", r#""x""#),
        ("n", "1.5"),
        ("n", "2147483648"),
        ("n", "18446744073709551615"),
        ("control", r#""a\u0007b""#),
        ("noncharacter", r#""a\uffffb""#),
        ("customer", r#""""#),
    ] {
        let problem = structured(&example_with(name, value)).unwrap_err();
        assert_eq!(problem["field"], name, "{value}: {problem}");
        assert_eq!(problem["status"], 400);
        assert!(problem["fix"].is_string(), "{problem}");
    }
    let twice = structured(&example_with("id", r#""a","id":"b""#)).unwrap_err();
    assert_eq!(twice["field"], "id");
}

#[test]
fn extensions_are_kept_as_text_and_the_customer_is_found() {
    let body = example_with(
        "customer",
        r#""c-17","flag":true,"count":-2147483648,"expirytime":"2026-01-15T11:00:00Z","no":null"#,
    );
    let event = structured(&body).unwrap();
    assert_eq!(event.customer.as_deref(), Some("c-17"));
    let kept: Vec<_> = event.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(kept, [("flag", "true"), ("count", "-2147483648"), ("expirytime", "2026-01-15T11:00:00Z")]);
    let event = binary(&[("ce-customer", "c%2017")], b"").unwrap();
    assert_eq!(event.customer.as_deref(), Some("c 17"));
}

#[test]
fn data_are_kept_as_json_text_whatever_they_were() {
    let data =
        |member: &str| structured(&example_with("ext", &format!("\"x\",{member}"))).map(|event| event.data.to_string());
    assert_eq!(data(r#""data":[1, 2]"#).unwrap(), "[1, 2]");
    assert_eq!(data(r#""data":null"#).unwrap(), "null");
    assert_eq!(structured(&example_with("ext", "1")).unwrap().data.as_ref(), "null");
    assert_eq!(data(r#""datacontenttype":"text/plain","data":"hé""#).unwrap(), "\"hé\"");
    assert_eq!(data(r#""datacontenttype":"image/png","data_base64":"iVBORw==""#).unwrap(), "\"iVBORw==\"");
    assert_eq!(
        data(r#""datacontenttype":"application/vnd.x+json","data_base64":"eyJhIjoxfQ==""#).unwrap(),
        r#"{"a":1}"#
    );
    assert_eq!(data(r#""data_base64":null,"data":1"#).unwrap(), "1");
    for (wrong, field) in [
        (r#""data":1,"data_base64":"AA==""#, "data_base64"),
        (r#""data_base64":"not base64!""#, "data_base64"),
        (r#""data_base64":7"#, "data_base64"),
        (r#""datacontenttype":"text/plain","data":{"a":1}"#, "data"),
        (r#""data":1,"data":2"#, "data"),
    ] {
        assert_eq!(data(wrong).unwrap_err()["field"], field, "{wrong}");
    }
}

#[test]
fn in_binary_mode_the_content_type_says_what_the_body_is() {
    let data = |content_type: &str, body: &[u8]| {
        binary(&[("content-type", content_type)], body).map(|event| event.data.to_string())
    };
    assert_eq!(data("application/json", b" {\"a\": 1} ").unwrap(), "{\"a\": 1}");
    assert_eq!(data("text/plain; charset=utf-8", "dit \"oui\"".as_bytes()).unwrap(), r#""dit \"oui\"""#);
    assert_eq!(data("image/png", &[0x89, 0x50]).unwrap(), "\"iVA=\"");
    assert_eq!(data("application/json", b"").unwrap(), "null");
    assert_eq!(binary(&[], b"").unwrap().attributes, []);
    let broken = data("application/json", b"{\n \"a\": }").unwrap_err();
    assert_eq!((broken["line"].as_u64(), broken["status"].as_u64()), (Some(2), Some(400)));
    assert_eq!(data("application/json; charset=latin1", b"{}").unwrap_err()["status"], 415);
    assert_eq!(binary(&[], b"no json").unwrap_err()["field"], "content-type");
}

#[test]
fn headers_that_mean_nothing_or_two_things_are_refused() {
    for (headers, field) in [
        (vec![("ce-datacontenttype", "application/json")], "ce-datacontenttype"),
        (vec![("ce-subject", "%C0%A0")], "ce-subject"),
        (vec![("ce-subject", "a"), ("ce-subject", "b")], "ce-subject"),
        (vec![("ce-data", "x")], "ce-data"),
        (vec![("ce-time", "soon")], "ce-time"),
    ] {
        assert_eq!(binary(&headers, b"").unwrap_err()["field"], field);
    }
    let event = binary(&[("ce-subject", "Euro%20%E2%82%AC%20%F0%9F%98%80")], b"").unwrap();
    assert_eq!(event.subject.as_deref(), Some("Euro € 😀"));
}

#[test]
fn broken_json_is_refused_with_line_and_column() {
    let problem = structured("{\n  \"id\": \"a\",\n  \"source\": \"/s\"\n  \"type\": \"t\"}").unwrap_err();
    assert_eq!((problem["line"].as_u64(), problem["column"].as_u64()), (Some(4), Some(3)));
    assert_eq!(problem["type"], "/problems/bad-json");
    for body in ["", "[]", "7", "{} {}", r#"{"id":"\ud800"}"#] {
        assert_eq!(structured(body).unwrap_err()["status"], 400, "{body}");
    }
}

#[test]
fn what_is_wrong_in_a_batch_is_told_with_its_position() {
    let batch = |body: &str| read(&[("content-type", "application/cloudevents-batch+json")], body);
    assert_eq!(batch("[]").unwrap(), []);
    let missing = batch(&format!("[{EXAMPLE},{}]", example_with("type", ""))).unwrap_err();
    assert_eq!((missing["index"].as_u64(), missing["field"].as_str()), (Some(1), Some("type")));
    let broken = batch(&format!("[{EXAMPLE},{EXAMPLE},{{]")).unwrap_err();
    assert_eq!((broken["index"].as_u64(), broken["line"].as_u64()), (Some(2), Some(19)));
    assert_eq!(batch("{}").unwrap_err()["status"], 400);
}

#[test]
fn every_limit_is_kept() {
    let settings = Settings {
        event_bytes_max: 300,
        batch_events_max: 2,
        attribute_bytes_max: 40,
        attributes_max: 1,
        json_depth_max: 3,
        ..Settings::default()
    };
    let one = |body: &str| read_with(&settings, &[("content-type", "application/cloudevents+json")], body.as_bytes());
    let batch =
        |body: &str| read_with(&settings, &[("content-type", "application/cloudevents-batch+json")], body.as_bytes());
    let small = example_with("ext", "1");
    assert_eq!(batch(&format!("[{small},{small}]")).unwrap().len(), 2);
    let many = batch(&format!("[{small},{small},{small}]")).unwrap_err();
    assert!(many["detail"].as_str().unwrap().contains("more than 2 events"), "{many}");
    let large = example_with("data", &format!("\"{}\"", "x".repeat(300)));
    let large = batch(&format!("[{small},{large}]")).unwrap_err();
    assert_eq!((large["status"].as_u64(), large["index"].as_u64()), (Some(413), Some(1)));
    assert_eq!(one(&example_with("ext", &format!("\"{}\"", "x".repeat(41)))).unwrap_err()["field"], "ext");
    assert_eq!(one(&example_with("ext", r#"1,"two":2"#)).unwrap_err()["field"], "two");
    assert!(one(&example_with("data", r#"[[["[[[["]]]"#)).is_ok());
    assert_eq!(one(&example_with("data", "[[[[1]]]]")).unwrap_err()["field"], "data");
}
