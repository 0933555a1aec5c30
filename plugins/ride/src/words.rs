//! What the customer reads, in two languages.

use relais_plugin::customers;

use super::{Ride, Stage};

/// The customer's language, English where it is not known.
pub(super) fn language(customer: &str) -> String {
    customers::get(customer).unwrap_or_default().language("en").to_owned()
}

pub(super) fn news(language: &str, ride: &Ride, minutes: u32) -> String {
    let Ride { driver, car, plate, .. } = ride;
    match (language, ride.stage) {
        ("fr", Stage::Found) => format!("{plate} : {driver} arrive en {car}, dans environ {minutes} min."),
        ("fr", Stage::Arriving) => format!("{plate} : {driver} sera là dans {minutes} min."),
        ("fr", Stage::Arrived) => format!("{plate} : {driver} est là."),
        ("fr", Stage::Cancelled) => format!("Votre course avec {driver} a été annulée."),
        (_, Stage::Found) => format!("{plate}: {driver} is coming in a {car}, in about {minutes} min."),
        (_, Stage::Arriving) => format!("{plate}: {driver} will be with you in {minutes} min."),
        (_, Stage::Arrived) => format!("{plate}: {driver} is here."),
        (_, Stage::Cancelled) => format!("Your ride with {driver} has been cancelled."),
    }
}

pub(super) fn cancel_label(language: &str) -> &'static str {
    if language == "fr" { "Annuler la course" } else { "Cancel the ride" }
}

pub(super) fn cancel_answer(language: &str, open: bool) -> &'static str {
    match (language, open) {
        ("fr", true) => "Nous annulons votre course.",
        ("fr", false) => "La voiture est déjà là ou la course est finie : nous ne pouvons plus l'annuler ici.",
        (_, true) => "We are cancelling your ride.",
        (_, false) => "The car is already there or the ride is over: it can no longer be cancelled here.",
    }
}
