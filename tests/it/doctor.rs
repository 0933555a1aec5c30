//! `relais doctor`: that it finds work which nobody would ever do, and says so. That there is none is how every other test ends.

use serde_json::{Value, json};

use crate::harness::{Db, Host, PAUL, Setup, both_databases, relais_with, steps};

both_databases! {
    work_that_nobody_would_do_is_found_by_kind_and_id_and_fails_the_command,
    a_timer_and_a_run_that_lost_what_they_need_are_found,
}

/// What the command says, and its exit code.
async fn doctor(host: &Host) -> (i32, String) {
    let output = relais_with(&["doctor"], &[("RELAIS_URL", &host.url)], "").await;
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "what is found is an answer");
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stdout).into_owned())
}

async fn findings(host: &Host) -> Vec<Value> {
    host.get("/v1/doctor").await["findings"].as_array().unwrap().clone()
}

/// Changes the store while the host is down.
async fn changed(host: &mut Host, sql: &str) {
    host.kill().await;
    host.change_the_store(sql).await;
    host.launch().await;
}

async fn work_that_nobody_would_do_is_found_by_kind_and_id_and_fails_the_command(db: Db) {
    let mut host = Host::start(Setup::tester().on(db)).await;
    host.sim.phone(PAUL, |_| {});
    host.customer("paul", PAUL).await;
    host.event(steps("paul", "a", json!([{"send": {"text": "hello"}}]))).await;
    let message = host.only_message("paul", "read").await;
    let id = message["id"].as_str().unwrap();
    host.until_eq("it is settled", true, async || host.message(id).await["settled"] == true).await;
    let (code, said) = doctor(&host).await;
    assert_eq!((code, findings(&host).await.len()), (0, 0), "{said}");
    assert!(said.ends_with("healthy: nothing was found\n"), "{said}");

    // Not settled, and no next step: no loop of the host would ever look at it again.
    changed(&mut host, "UPDATE message_states SET settled = (1 = 0), step = 0, due = NULL").await;
    let found = findings(&host).await;
    assert_eq!((found.len(), &found[0]["kind"], &found[0]["id"]), (1, &json!("message-without-step"), &json!(id)));
    let (code, said) = doctor(&host).await;
    assert_eq!(code, 1, "{said}");
    for word in ["message-without-step", id, "nobody will look at it again", "found: 1", "docs/operate.md"] {
        assert!(said.contains(word), "{word:?} is not in {said}");
    }
    let output = relais_with(&["doctor", "--json"], &[("RELAIS_URL", &host.url)], "").await;
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &told["ok"], &told["findings"][0]), (Some(1), &json!(false), &found[0]));

    changed(&mut host, "UPDATE message_states SET settled = (1 = 1)").await;
    assert_eq!(doctor(&host).await.0, 0);
}

async fn a_timer_and_a_run_that_lost_what_they_need_are_found(db: Db) {
    let mut host = Host::start(Setup::tester().on(db)).await;
    host.customer("paul", PAUL).await;
    let timer = json!({"timer": {"key": "later", "after_s": 3600, "steps": []}});
    host.event(steps("paul", "a", json!([timer]))).await;
    // It fails, and waits for its next execution.
    let failed = host.accept(steps("paul", "b", json!([{"retry": {"why": "not yet", "after_s": 50}}]))).await;
    host.until("it was executed once", async || {
        let runs = host.all_runs().await;
        let waits = runs.iter().any(|run| run["state"] == "open" && run["attempts"] == 1);
        if waits { Ok(()) } else { Err(json!(runs).to_string()) }
    })
    .await;
    assert_eq!(doctor(&host).await.0, 0, "what waits for its time is not adrift");

    let put_off = "UPDATE runs SET not_before = 9000000000000 WHERE state = 0";
    let queued = "UPDATE timers SET queued = (1 = 1)";
    changed(&mut host, &format!("{put_off}; UPDATE runs SET event = -event WHERE state = 0; {queued}")).await;
    let kinds: Vec<_> = findings(&host).await.into_iter().map(|found| found["kind"].clone()).collect();
    assert_eq!(kinds, [json!("timer-without-run"), json!("run-without-cause")]);
    let (code, said) = doctor(&host).await;
    assert_eq!(code, 1, "{said}");
    for word in ["tester test/a later", "it will never fire", "it cannot be executed"] {
        assert!(said.contains(word), "{word:?} is not in {said}");
    }
    changed(&mut host, "UPDATE runs SET event = -event WHERE state = 0; UPDATE timers SET queued = (1 = 0)").await;
    assert_eq!(doctor(&host).await.0, 0, "{failed:#}");
}
