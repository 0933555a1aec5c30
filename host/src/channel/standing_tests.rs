use serde_json::{Value, json};

use super::*;
use crate::{
    channel::{MetaSettings, templates::HeaderShape, whatsapp::Rendered},
    domain::purpose::Category,
};

const BUSINESS: &str = "201000000000001";
const NOW: Timestamp = Timestamp(1_767_254_500_000);

fn standing() -> Standing {
    let other = MetaSettings { account: "other".into(), waba_id: "202".into(), ..MetaSettings::sample() };
    Standing::new(&Accounts { meta: vec![MetaSettings::sample(), other], ..Accounts::default() }, true)
}

fn said(field: &str, value: Value) -> Said {
    Said { business: BUSINESS.into(), time: Some(Timestamp(NOW.0 - 1000)), field: field.into(), value }
}

fn rendered(kind: &'static str) -> Rendition {
    Rendition::Whatsapp(Rendered { kind, payload: json!({}), upload: None })
}

fn shape(name: &str, language: &str) -> Shape {
    Shape {
        name: name.into(),
        language: language.into(),
        category: Category::Utility,
        params: vec![],
        named: false,
        header: HeaderShape::None,
        quick_replies: 0,
        links: vec![],
    }
}

fn approved(name: &str, language: &str, status: &str) -> Approved {
    Approved {
        name: name.into(),
        language: language.into(),
        status: status.into(),
        category: "UTILITY".into(),
        components: vec![json!({"type": "BODY", "text": "Bonjour"})],
        ..Approved::default()
    }
}

/// Why the account `main` cannot send a template.
fn against(standing: &Standing, shape: &Shape) -> Option<String> {
    standing.against("meta", "main", &rendered("template"), Some(shape), NOW).map(|found| found.why)
}

#[test]
fn nothing_is_held_back_for_what_is_not_known() {
    let standing = standing();
    assert_eq!(against(&standing, &shape("ready", "fr")), None);
    standing.listed(BUSINESS, Err("Meta refuses (403)".into()), NOW);
    assert_eq!(against(&standing, &shape("ready", "fr")), None, "it could not be read");
    assert_eq!(standing.findings(&[shape("ready", "fr")]), []);
    assert!(standing.accounts(NOW)[0]["templates_trouble"].as_str().unwrap().contains("403"));
}

#[test]
fn a_template_that_is_missing_paused_or_in_another_language_is_held_back_with_the_reason() {
    let standing = standing();
    let listed =
        vec![approved("ready", "fr", "APPROVED"), approved("late", "fr", "PAUSED"), approved("odd", "fr", "SHINY")];
    standing.listed(BUSINESS, Ok(listed), NOW);
    assert_eq!(against(&standing, &shape("ready", "fr")), None);
    let why = |name: &str, language: &str| against(&standing, &shape(name, language)).unwrap_or_default();
    assert_eq!(why("ready", "de"), "the template `ready` in `de`: the account has it in fr only");
    assert_eq!(why("gone", "fr"), "the template `gone` in `fr`: the account has no template of this name");
    assert_eq!(why("late", "fr"), "the template `late` in `fr`: it is paused for low quality");
    assert_eq!(why("odd", "fr"), "", "a state that is not known is let go, and told");
    assert!(standing.findings(&[shape("odd", "fr")])[0].2.why.contains("SHINY"));
    // Free content needs no template, and another business has templates of its own.
    assert_eq!(standing.against("meta", "main", &rendered("text"), Some(&shape("late", "fr")), NOW), None);
    assert_eq!(standing.against("meta", "other", &rendered("template"), Some(&shape("late", "fr")), NOW), None);
    assert_eq!(standing.against("cm", "main", &rendered("template"), Some(&shape("late", "fr")), NOW), None);
}

#[test]
fn without_hold_a_template_is_told_of_and_not_held_back() {
    let accounts = Accounts { meta: vec![MetaSettings::sample()], ..Accounts::default() };
    let standing = Standing::new(&accounts, false);
    standing.listed(BUSINESS, Ok(vec![approved("late", "fr", "PAUSED")]), NOW);
    assert_eq!(against(&standing, &shape("late", "fr")), None);
    assert_eq!(standing.findings(&[shape("late", "fr")]).len(), 1);
}

#[test]
fn a_webhook_pauses_a_template_at_once_and_an_older_one_does_not_undo_it() {
    let standing = standing();
    let status = |event: &str, seconds: i64| Said {
        time: Some(Timestamp(NOW.0 + seconds * 1000)),
        ..said(
            "message_template_status_update",
            json!({"event": event, "message_template_name": "ready", "message_template_language": "fr"}),
        )
    };
    standing.listed(BUSINESS, Ok(vec![approved("ready", "fr", "APPROVED")]), NOW);
    let notes = standing.hear(&status("PAUSED", 10), NOW);
    assert!(against(&standing, &shape("ready", "fr")).unwrap().contains("paused"));
    standing.hear(&status("APPROVED", 5), NOW);
    assert!(against(&standing, &shape("ready", "fr")).is_some(), "it came late");
    standing.hear(&status("APPROVED", 20), NOW);
    assert_eq!(against(&standing, &shape("ready", "fr")), None);
    // Another host, which was told of the pause alone.
    let elsewhere = self::standing();
    elsewhere.learn(&notes);
    assert!(against(&elsewhere, &shape("ready", "fr")).is_some());
    elsewhere.listed(BUSINESS, Ok(vec![approved("ready", "fr", "APPROVED")]), Timestamp(NOW.0 + 60_000));
    assert_eq!(against(&elsewhere, &shape("ready", "fr")), None, "what is read later holds");
}

#[test]
fn a_template_that_is_filed_anew_or_loses_quality_is_told_of() {
    let standing = standing();
    standing.listed(BUSINESS, Ok(vec![approved("ready", "fr", "APPROVED")]), Timestamp(NOW.0 - 5000));
    let of = |more: Value| {
        let mut value = json!({"message_template_name": "ready", "message_template_language": "fr"});
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        value
    };
    standing.hear(&said("message_template_quality_update", of(json!({"new_quality_score": "RED"}))), NOW);
    standing.hear(&said("template_category_update", of(json!({"correct_category": "MARKETING"}))), NOW);
    let found = standing.findings(&[shape("ready", "fr")]);
    let told: Vec<&str> = found.iter().map(|(_, _, misfit)| misfit.why.as_str()).collect();
    assert_eq!(told, ["its quality is red: it may be paused", "Meta will file it as marketing soon"]);
    assert_eq!(against(&standing, &shape("ready", "fr")), None);
    let filed = Said { time: Some(NOW), ..said("template_category_update", of(json!({"new_category": "MARKETING"}))) };
    standing.hear(&filed, NOW);
    assert!(against(&standing, &shape("ready", "fr")).unwrap().contains("filed as marketing"));
}

#[test]
fn a_restriction_closes_the_account_for_what_it_names_and_until_it_ends() {
    let standing = standing();
    let ends = NOW.0 / 1000 + 3600;
    let restricted = |kind: &str| {
        json!({"event": "ACCOUNT_RESTRICTION",
            "restriction_info": [{"restriction_type": kind, "expiration": ends}]})
    };
    standing.hear(&said("account_update", restricted("RESTRICTED_BIZ_INITIATED_MESSAGING")), NOW);
    let closed = |standing: &Standing, kind, now| standing.against("meta", "main", &rendered(kind), None, now);
    let found = closed(&standing, "template", NOW).unwrap();
    assert!(found.why.contains("ACCOUNT_RESTRICTION"), "{found:?}");
    assert_eq!((found.code, found.until), ("account-problem", Some(Timestamp::from_seconds(ends))));
    assert_eq!(closed(&standing, "text", NOW), None, "an answer may go out");
    assert_eq!(closed(&standing, "template", Timestamp::from_seconds(ends)), None, "it has ended");
    let later = |value| Said { time: Some(NOW), ..said("account_update", value) };
    standing.hear(&later(json!({"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "DISABLE"}})), NOW);
    assert!(closed(&standing, "text", NOW).is_some());
    let again = Said { time: Some(Timestamp(NOW.0 + 1)), ..later(json!({})) };
    let reinstated = json!({"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "REINSTATE"}});
    standing.hear(&Said { value: reinstated, ..again }, NOW);
    assert_eq!(closed(&standing, "text", NOW), None);
    assert_eq!(standing.accounts(NOW)[0]["health"], json!([]));
}

#[test]
fn a_flagged_number_goes_after_the_others_until_it_is_not() {
    let standing = standing();
    let quality = |event: &str, seconds: i64| Said {
        time: Some(Timestamp(NOW.0 + seconds * 1000)),
        ..said("phone_number_quality_update", json!({"display_phone_number": "33139980001", "event": event}))
    };
    standing.hear(&quality("FLAGGED", 0), NOW);
    assert!(standing.flagged("meta", "main", NOW).unwrap().contains("FLAGGED"));
    assert_eq!(standing.flagged("meta", "other", NOW), None);
    assert_eq!(standing.against("meta", "main", &rendered("text"), None, NOW), None);
    assert_eq!(standing.accounts(NOW)[0]["health"][0]["state"], "flagged");
    standing.hear(&quality("ONBOARDING", 1), NOW);
    assert!(standing.flagged("meta", "main", NOW).is_some(), "that says nothing of it");
    standing.hear(&quality("UNFLAGGED", 2), NOW);
    assert_eq!(standing.flagged("meta", "main", NOW), None);
}
