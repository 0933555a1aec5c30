//! Small readings of Meta's bodies that more than one file needs.

use serde_json::Value;

/// The names on contact cards, one a line.
pub(crate) fn names(cards: &Value) -> String {
    let names =
        cards.as_array().into_iter().flatten().filter_map(|card| card.pointer("/name/formatted_name")?.as_str());
    names.collect::<Vec<_>>().join("\n")
}
