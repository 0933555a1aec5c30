//! Each way of going wrong, in each language that knows it.

use serde_json::{Value, json};

use crate::harness::{Host, Packages, Setup, conformance, event};

/// A way to go wrong: how the run ends, and what its failure and its log have to say, so that the place can be found.
struct Way {
    how: &'static str,
    ends: &'static str,
    says: &'static [&'static str],
}

const fn way(how: &'static str, ends: &'static str, says: &'static [&'static str]) -> Way {
    Way { how, ends, says }
}

async fn goes_wrong(language: &'static str, ways: &[Way]) {
    let package = tokio::task::spawn_blocking(move || conformance(language, "hostile")).await.unwrap();
    let mut host = Host::start(Setup { plugins: Packages::These(vec![package]), ..Setup::new() }).await;
    // Runs that were set aside are what is wanted here.
    host.not_asked_at_the_end = true;
    let mut wrong = Vec::new();
    for Way { how, ends, says } in ways {
        let accepted = host.accept(event(&format!("com.example.hostile.{how}"), "", json!({"how": how}))).await;
        let run = host.until_run(accepted["runs"][0].as_str().unwrap(), "set-aside").await;
        let evidence = evidence(&run);
        let fits = run["failure"]["kind"] == *ends && says.iter().all(|words| evidence.contains(words));
        if !fits {
            wrong.push(format!("{how} should end as {ends} and say {says:?}:\n{evidence}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    // The host serves as before.
    let after = host.event(event("com.example.hostile.nothing", "", json!({"how": "nothing"}))).await;
    assert_eq!(after["complete"], true, "{after:#}");
}

/// The failure and the end of the log, as somebody reads them.
fn evidence(run: &Value) -> String {
    let mut said = String::new();
    collect(&run["failure"], &mut said);
    collect(&run["report"]["log"], &mut said);
    said
}

fn collect(value: &Value, said: &mut String) {
    match value {
        Value::String(text) => *said += &format!("{text}\n"),
        Value::Array(items) => items.iter().for_each(|item| collect(item, said)),
        Value::Object(fields) => fields.values().for_each(|value| collect(value, said)),
        _ => {}
    }
}

#[tokio::test]
async fn a_hostile_plugin_in_rust_ends_as_designed() {
    let ways = [
        way("loop", "limit", &["limits.cpu"]),
        way("memory", "limit", &["limits.memory"]),
        way("exception", "fault", &["told to fail", "hostile::exception"]),
        way("exit", "fault", &["it ended itself", "process::exit"]),
        way("recursion", "fault", &["stack exhausted", "hostile::deeper"]),
        way("log", "limit", &["log-bytes"]),
    ];
    goes_wrong("rust", &ways).await;
}

#[tokio::test]
async fn a_hostile_plugin_in_javascript_ends_as_designed() {
    let ways = [
        way("loop", "limit", &["limits.cpu"]),
        way("memory", "reject", &["out of memory", "memory (plugin.js:"]),
        way("exception", "reject", &["Error: told to fail", "inner (plugin.js:", "Caused by: TypeError"]),
        // Its engine would throw, and the sandbox's stack ends before the engine's own: of the script nothing is left to show.
        way("recursion", "fault", &["call stack exhausted"]),
        way("log", "limit", &["log-bytes"]),
    ];
    goes_wrong("javascript", &ways).await;
}

#[tokio::test]
async fn a_hostile_plugin_in_python_ends_as_designed() {
    let ways = [
        way("loop", "limit", &["limits.cpu"]),
        way("memory", "reject", &["MemoryError", "in memory"]),
        way("exception", "reject", &["RuntimeError: told to fail", "in inner", "KeyError: 'missing'"]),
        way("exit", "reject", &["SystemExit: 3", "in leave"]),
        way("exit-at-once", "fault", &["it ended itself"]),
        way("recursion", "reject", &["RecursionError", "in deeper"]),
        way("log", "limit", &["log-bytes"]),
    ];
    goes_wrong("python", &ways).await;
}

#[tokio::test]
async fn a_hostile_plugin_in_c_ends_as_designed() {
    let ways = [
        way("loop", "limit", &["limits.cpu"]),
        way("memory", "limit", &["limits.memory"]),
        way("exception", "fault", &["unreachable", "exception"]),
        way("recursion", "fault", &["deeper"]),
        way("log", "limit", &["log-bytes"]),
    ];
    goes_wrong("c", &ways).await;
}

#[tokio::test]
async fn a_hostile_plugin_in_go_ends_as_designed() {
    let ways = [
        way("loop", "limit", &["limits.cpu"]),
        way("memory", "limit", &["limits.memory"]),
        way("exception", "reject", &["assignment to entry in nil map", "main.exception"]),
        way("exit", "fault", &["it ended itself", "main.told"]),
        way("recursion", "fault", &["stack exhausted", "main.deeper"]),
        way("log", "limit", &["log-bytes"]),
    ];
    goes_wrong("go", &ways).await;
}
