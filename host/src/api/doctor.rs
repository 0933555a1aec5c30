//! `GET /v1/doctor`: is there work that nobody would ever do, and how far behind is the rest?
//!
//! It answers 200 whatever it finds; `ok` says whether somebody is needed. It reads whole tables: for a person, or a monitor that
//! asks now and then.

use axum::{extract::State, http::StatusCode, response::Response};
use serde::Serialize;
use serde_json::{Value, json};

use super::view;
use crate::{
    clock::Timestamp,
    ids::TenantId,
    ingress::{AppState, auth::Caller},
    store::{self, Vitals},
};

/// How late something may be before it is a finding: longer than any pause between two looks of those who do the work.
const LATE_S: u64 = 300;
/// An open run may wait for its retries for longer.
const OLD_RUN_S: u64 = 24 * 3600;

#[derive(Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
    detail: String,
}

#[derive(Default)]
struct Report {
    checks: Vec<Check>,
    findings: Vec<Value>,
}

impl Report {
    fn check(&mut self, name: &'static str, why_not: Option<String>, detail: String) {
        let ok = why_not.is_none();
        if let Some(why) = why_not {
            self.findings.push(json!({"kind": name, "id": Value::Null, "why": why}));
        }
        self.checks.push(Check { name, ok, detail });
    }
}

pub(super) async fn show(State(state): State<AppState>, caller: Caller) -> Response {
    let mut report = Report::default();
    let now = state.clock.now();
    let written = state.store.check().await;
    report.check("store", written.err().map(|error| error.to_string()), "it can be written".to_owned());
    match state.store.adrift().await {
        Ok(adrift) => self::adrift(&mut report, &caller.tenant, adrift),
        Err(error) => report.check("adrift", Some(error.to_string()), "it cannot be read".to_owned()),
    }
    match state.store.vitals().await {
        Ok(vitals) => self::vitals(&mut report, &vitals, now),
        Err(error) => report.check("late", Some(error.to_string()), "it cannot be read".to_owned()),
    }
    plugins(&mut report, &state.directory.plugins());
    accounts(&mut report, &state.directory.accounts(now));
    templates(&mut report, &state.directory.misfits());
    let ok = report.findings.is_empty();
    let answer = json!({"ok": ok, "now": view::time(now), "findings": report.findings, "checks": report.checks});
    view::answer(StatusCode::OK, &answer)
}

/// What is the caller's, or everybody's, by name; of other tenants only how much there is.
fn adrift(report: &mut Report, tenant: &TenantId, adrift: Vec<store::Adrift>) {
    let (mine, others): (Vec<_>, Vec<_>) =
        adrift.into_iter().partition(|found| found.tenant.as_ref().is_none_or(|of| of == tenant));
    let detail = format!("{} without owner and deadline", mine.len() + others.len());
    report.checks.push(Check { name: "adrift", ok: mine.is_empty() && others.is_empty(), detail });
    report.findings.extend(mine.iter().map(|found| json!(found)));
    if !others.is_empty() {
        let why = format!("{} findings concern other tenants; ask with their keys", others.len());
        report.findings.push(json!({"kind": "other-tenants", "id": Value::Null, "why": why}));
    }
}

fn vitals(report: &mut Report, vitals: &Vitals, now: Timestamp) {
    let mut late = |name: &'static str, at: Option<Timestamp>, bound_s: u64, nothing: &str| {
        let Some(at) = at.filter(|at| *at <= now) else { return report.check(name, None, nothing.to_owned()) };
        let seconds = now.since(at).as_secs();
        let why = (seconds > bound_s).then(|| format!("since {at}, for {seconds} s"));
        report.check(name, why, format!("since {at}, for {seconds} s"));
    };
    late("oldest-open-run", vitals.oldest_open_run, OLD_RUN_S, "no run is open");
    late("messages-overdue", vitals.next_message_due, LATE_S, "no message is overdue");
    late("timers-overdue", vitals.next_timer_due, LATE_S, "no timer is overdue");
    if !vitals.hosts.is_empty() {
        let living = vitals.hosts.iter().filter(|host| host.lease_left_s >= 0);
        let lines: Vec<_> = living
            .map(|host| {
                let store::HostLine { name, version, lease_left_s, shards } = host;
                format!("{name} ({version}): {shards} shards, lease for {lease_left_s} s")
            })
            .collect();
        let why = lines.is_empty().then(|| "no host has a lease".to_owned());
        report.check("hosts", why, lines.join("; "));
    }
}

fn plugins(report: &mut Report, plugins: &Value) {
    let all = plugins.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut waiting = 0;
    for plugin in all {
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut found = |kind: &str, why: String| {
            report.findings.push(json!({"kind": kind, "id": plugin.get("name"), "why": why}));
        };
        match text(plugin, "state").as_str() {
            "refused" => found("plugin-not-loaded", text(plugin, "reason")),
            "held" | "paused" => found("plugin-waits", text(plugin, "reason")),
            _ => {}
        }
        waiting += usize::from(plugin.get("state") != Some(&json!("loaded")));
        if let Some(update) = plugin.get("update").filter(|update| update.is_object()) {
            found("plugin-update-not-loaded", text(update, "reason"));
        }
    }
    let detail = format!("{} serve, {waiting} do not", all.len() - waiting);
    report.checks.push(Check { name: "plugins", ok: waiting == 0, detail });
}

/// What a provider has restricted or flagged. Readiness does not depend on it: messages go another way.
fn accounts(report: &mut Report, accounts: &[Value]) {
    let mut poor = 0;
    for account in accounts {
        let told = account.get("health").and_then(Value::as_array).into_iter().flatten();
        for health in told.filter(|health| health.get("state") != Some(&json!("told"))) {
            poor += 1;
            report.findings.push(json!({"kind": "account", "id": account.get("account"), "why": health.get("why")}));
        }
    }
    let unread: Vec<String> = accounts
        .iter()
        .filter_map(|account| {
            let name = account.get("account")?.as_str()?;
            Some(format!("; the templates of {name} are not checked: {}", account.get("templates_trouble")?.as_str()?))
        })
        .collect();
    let detail = format!("{} known with Meta, {poor} restricted or flagged{}", accounts.len(), unread.concat());
    report.checks.push(Check { name: "accounts", ok: poor == 0, detail });
}

fn templates(report: &mut Report, misfits: &[Value]) {
    for misfit in misfits {
        let text = |name: &str| misfit.get(name).and_then(Value::as_str).unwrap_or_default();
        let holds = misfit.get("holds") == Some(&Value::Bool(true));
        let kind = if holds { "template-held-back" } else { "template" };
        let why = format!("account {}: {}", text("account"), text("why"));
        report.findings.push(json!({"kind": kind, "id": misfit.get("template"), "why": why}));
    }
    let detail = format!("{} do not fit what was approved", misfits.len());
    report.checks.push(Check { name: "templates", ok: misfits.is_empty(), detail });
}
