//! Meta's error codes as data: the HTTP status, the title, and whether they come with the answer or by webhook.

use serde_json::{Value, json};

use super::trouble::How;

struct Row {
    code: i64,
    status: u16,
    title: &'static str,
    how: How,
}

const fn sync(code: i64, status: u16, title: &'static str) -> Row {
    Row { code, status, title, how: How::Sync }
}

const fn webhook(code: i64, title: &'static str) -> Row {
    Row { code, status: 400, title, how: How::Webhook }
}

/// In the order of the codes. State: autumn 2026; statuses are not stable on Meta's side.
const ROWS: &[Row] = &[
    sync(0, 401, "AuthException"),
    sync(1, 400, "API Unknown"),
    sync(2, 503, "API Service"),
    sync(3, 500, "API Method"),
    sync(4, 400, "API Too Many Calls"),
    sync(10, 403, "Permission Denied"),
    sync(33, 400, "Parameter value is not valid"),
    sync(100, 400, "Invalid parameter"),
    sync(190, 401, "Access token has expired"),
    sync(368, 403, "Temporarily blocked for policies violations"),
    sync(80007, 400, "Rate limit issues"),
    webhook(130403, "User blocked by business"),
    sync(130429, 400, "Rate limit hit"),
    webhook(130472, "User's number is part of an experiment"),
    webhook(130497, "Business account is restricted from messaging users in this country"),
    sync(131000, 500, "Something went wrong"),
    sync(131005, 403, "Access denied"),
    sync(131008, 400, "Required parameter is missing"),
    sync(131009, 400, "Parameter value is not valid"),
    sync(131016, 500, "Service unavailable"),
    sync(131021, 400, "Recipient cannot be sender"),
    webhook(131026, "Message undeliverable"),
    sync(131030, 400, "Recipient phone number not in allowed list"),
    sync(131031, 403, "Account has been locked"),
    sync(131037, 400, "Display name approval is needed"),
    webhook(131042, "Business eligibility payment issue"),
    webhook(131043, "Message expired"),
    sync(131045, 500, "Incorrect certificate"),
    webhook(131047, "Re-engagement message"),
    webhook(131048, "Spam rate limit hit"),
    webhook(131049, "This message was not delivered to maintain healthy ecosystem engagement."),
    webhook(131050, "User has stopped marketing messages from your business"),
    sync(131051, 400, "Unsupported message type"),
    webhook(131052, "Media download error"),
    webhook(131053, "Media upload error"),
    sync(131055, 400, "Method not allowed"),
    sync(131056, 400, "(Business Account, Consumer Account) pair rate limit hit"),
    sync(131057, 500, "Account in maintenance mode"),
    sync(131062, 400, "Recipient is not supported for this message"),
    sync(131063, 400, "Marketing templates are not allowed on Cloud API"),
    sync(132000, 400, "Template Param Count Mismatch"),
    sync(132001, 404, "Template does not exist"),
    sync(132005, 400, "Template hydrated text too long"),
    sync(132007, 400, "Template format character policy violated"),
    sync(132008, 400, "Template parameter value is not valid"),
    sync(132012, 400, "Template parameter format mismatch"),
    sync(132015, 400, "Template is paused"),
    sync(132016, 400, "Template is disabled"),
    sync(132018, 400, "Template parameters do not pass validation"),
    sync(132068, 400, "Flow is in blocked state"),
    sync(132069, 400, "Flow is in throttled state"),
    sync(133000, 500, "Incomplete deregistration"),
    sync(133004, 503, "Server temporarily unavailable"),
    sync(133010, 400, "Phone number not registered"),
    sync(133015, 400, "Please wait a few minutes before attempting to register this phone number"),
    sync(135000, 400, "Generic user error"),
    webhook(137000, "Identity key mismatch"),
];

fn row(code: i64) -> Option<&'static Row> {
    ROWS.binary_search_by_key(&code, |row| row.code).ok().and_then(|at| ROWS.get(at))
}

pub(crate) fn usually(code: i64) -> How {
    // The permission errors 200 to 299 are one entry in Meta's list.
    if (200..300).contains(&code) { How::Sync } else { row(code).map_or(How::Webhook, |row| row.how) }
}

pub(crate) fn status(code: i64) -> u16 {
    if (200..300).contains(&code) { 403 } else { row(code).map_or(400, |row| row.status) }
}

pub(crate) fn title(code: i64) -> &'static str {
    row(code).map_or("Unknown error", |row| row.title)
}

/// The body of a refusal.
pub(crate) fn body(code: i64, details: &str, trace: &str) -> Value {
    json!({"error": {
        "message": format!("(#{code}) {}", title(code)),
        "type": "OAuthException",
        "code": code,
        "error_data": {"messaging_product": "whatsapp", "details": details},
        "fbtrace_id": trace,
    }})
}

/// An element of a status' `errors`.
pub(crate) fn in_status(code: i64, details: Option<&str>) -> Value {
    let title = title(code);
    json!({
        "code": code,
        "title": title,
        "message": title,
        "error_data": {"details": details.unwrap_or(title)},
        "href": "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_can_be_searched() {
        assert!(ROWS.is_sorted_by_key(|row| row.code));
        assert_eq!((usually(131026), usually(132001), status(132001)), (How::Webhook, How::Sync, 404));
        assert_eq!((usually(210), status(210)), (How::Sync, 403));
    }
}
