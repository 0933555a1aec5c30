//! What the customer reads, in two languages.

use relais_plugin::calendar::{Style, format};
use relais_plugin::customers;

use super::Plan;

/// The customer's language, English where it is not known.
pub(super) fn language(customer: &str) -> String {
    customers::get(customer).unwrap_or_default().language("en").to_owned()
}

/// When it begins, by the clock of the place.
pub(super) fn when(customer: &str, plan: &Plan) -> String {
    let locale = customers::get(customer).unwrap_or_default().locale.unwrap_or_else(|| "en".to_owned());
    format(plan.starts, &plan.timezone, &locale, Style::DateTime)
}

pub(super) fn appointment(language: &str, plan: &Plan, when: &str) -> String {
    let title = &plan.title;
    match (language, plan.confirmed) {
        ("fr", true) => format!("Rappel : {title}, {when}. Nous vous attendons."),
        ("fr", false) => format!("Rappel : {title}, {when}. Viendrez-vous ?"),
        (_, true) => format!("A reminder: {title}, {when}. We are looking forward to seeing you."),
        (_, false) => format!("A reminder: {title}, {when}. Will you come?"),
    }
}

pub(super) fn ticket(language: &str, plan: &Plan, when: &str, ticket: &str) -> String {
    let title = &plan.title;
    match language {
        "fr" => format!("Rappel : {title}, {when}. Votre billet est {ticket}. À bientôt."),
        _ => format!("A reminder: {title}, {when}. Your ticket is {ticket}. See you soon."),
    }
}

/// The labels of `come` and `cancel`.
pub(super) fn choices(language: &str) -> [&'static str; 2] {
    if language == "fr" { ["Je viens", "Annuler"] } else { ["I'll come", "Cancel"] }
}

pub(super) fn confirmed(language: &str) -> &'static str {
    if language == "fr" { "Merci, c'est noté. À bientôt." } else { "Thank you, it is noted. See you soon." }
}

pub(super) fn cancelling(language: &str) -> &'static str {
    if language == "fr" { "Nous annulons votre rendez-vous." } else { "We are cancelling your appointment." }
}

pub(super) fn over(language: &str) -> &'static str {
    if language == "fr" { "Ce rendez-vous est passé ou annulé." } else { "This appointment is over or cancelled." }
}
