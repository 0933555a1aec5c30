//! A store moves from SQLite to PostgreSQL with everything in it, or not at all.

use std::{path::Path, process::Output};

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    Host, LEA, MALIK, NORA, PAUL, Setup,
    postgres::{Database, fresh_database},
    relais, start_relais, steps, unique,
};

async fn migrate(store: &Path, database: &Database, more: &[&str]) -> Output {
    let from = format!("sqlite:{}", store.display());
    let mut arguments = vec!["migrate", "--from", &from, "--to", &database.url];
    arguments.extend(more);
    relais(&arguments).await
}

/// That it went well; what it printed.
#[track_caller]
fn moved(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("everything was moved and compared"), "{said}");
    said
}

/// That it was refused for this reason.
#[track_caller]
fn refused(output: &Output, why: &str) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(why), "`{why}` is not in: {said}");
}

async fn sql(database: &Database) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(&database.url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn count(database: &Database, table: &str) -> i64 {
    sql(database).await.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.unwrap().get(0)
}

/// A host whose next start is on this database.
fn point_at(host: &mut Host, database: &Database) {
    host.set(&format!("store.url = \"{}\"", database.url));
}

/// Everything that a caller can see, but what tells of the process and the moment.
async fn all_that_is_seen(host: &Host) -> Value {
    let mut seen = json!({});
    for path in ["/v1/events?limit=200", "/v1/runs?limit=200", "/v1/messages?limit=200", "/v1/customers?limit=200"] {
        seen[path] = host.get(path).await;
    }
    for (listing, members) in [("/v1/messages", "messages"), ("/v1/runs", "runs"), ("/v1/events", "events")] {
        for member in seen[format!("{listing}?limit=200")][members].as_array().unwrap().clone() {
            let path = format!("{listing}/{}", member["id"].as_str().unwrap());
            seen[&path] = host.get(&path).await;
        }
    }
    let mut stats = host.stats().await;
    // What is the host's own, and what only a shared store has.
    for name in ["now", "timer_lateness_ms", "refused", "hosts", "shards"] {
        stats.as_object_mut().unwrap().remove(name);
    }
    seen["stats"] = stats;
    seen
}

/// A STOP on a channel, once it holds.
async fn stops(host: &Host, customer: &str, number: &str, channel: &str) {
    // Providers tell the time in whole seconds.
    host.advance("2s").await;
    host.sim.writes(number, channel, "STOP").await;
    host.until("the STOP holds", async || {
        let consents = host.get(&format!("/v1/customers/{customer}")).await["consents"].clone();
        let held = consents.as_array().unwrap().iter().any(|one| one["channel"] == channel && one["granted"] == false);
        if held { Ok(()) } else { Err(format!("{consents:#}")) }
    })
    .await;
}

/// Why the one run of an event asked for a message in vain.
async fn refusal(host: &Host, customer: &str) -> Value {
    let entity = format!("said-{}", unique());
    let ended = host.event(steps(customer, &entity, json!([{"send": {"text": "are you there?"}}]))).await;
    host.run(ended["results"][0]["id"].as_str().unwrap()).await["report"]["refused"][0]["code"].clone()
}

#[tokio::test]
async fn a_stopped_hosts_store_goes_on_in_postgresql_where_it_was() {
    let mut host = Host::start(Setup::tester().with("plugins.config.tester.broken = true")).await;
    for (name, number) in [("paul", PAUL), ("lea", LEA), ("malik", MALIK), ("nora", NORA)] {
        host.sim.phone(number, |phone| phone.online = name != "nora");
        host.customer(name, number).await;
    }
    let sent = steps("paul", "a", json!([{"send": {"text": "hello"}}, {"append": {"key": "list", "word": "before"}}]));
    host.event(sent.clone()).await;
    host.only_message("paul", "read").await;
    let timer = json!({"timer": {"key": "t", "after_s": 7200, "steps": [{"send": {"text": "from the timer"}}]}});
    host.event(steps("paul", "timed", json!([timer]))).await;
    host.event(steps("nora", "n", json!([{"send": {"text": "when you are back"}}]))).await;
    let waiting = host.only_message("nora", "sent").await;
    let script = json!([{"append": {"key": "list", "word": "mended"}}, "fail-if-broken"]);
    let aside = host.accept(steps("paul", "broken", script)).await["runs"][0].as_str().unwrap().to_owned();
    host.until_run(&aside, "set-aside").await;
    for (name, number) in [("lea", LEA), ("malik", MALIK)] {
        for channel in ["whatsapp", "sms"] {
            stops(&host, name, number, channel).await;
        }
    }
    let erased = host.send(Method::DELETE, "/v1/customers/malik", &[], "").await;
    assert_eq!(erased.status, 204, "{}", erased.text);
    let unknown = host.status("wamid.of-somebody-else", Some("an-unknown-token"), "delivered");
    assert_eq!(host.meta_webhook(&[unknown], host.meta_secret()).await.status, 200);
    host.until_eq("nothing is open", json!(0), async || host.stats().await["open_runs"].clone()).await;
    let before = all_that_is_seen(&host).await;
    host.stop().await;

    let database = fresh_database().await;
    let file = std::fs::read(host.store_file()).unwrap();
    let said = moved(&migrate(&host.store_file(), &database, &[]).await);
    assert!(said.contains(&format!("store.url = \"{}\"", database.url)), "{said}");
    let rows = |table: &str| {
        let line = said.lines().find(|line| line.split_whitespace().next() == Some(table)).unwrap();
        assert!(line.ends_with("the same"), "{line}");
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    for table in ["events", "event_keys", "runs", "run_results", "entities", "state", "timers", "messages", "counters"]
    {
        assert!(rows(table) > 0, "{table} was not tried: {said}");
    }
    for table in ["message_states", "attempts", "receipts", "parked_receipts", "incoming", "customers", "addresses"] {
        assert!(rows(table) > 0, "{table} was not tried: {said}");
    }
    assert!(rows("consents") > 0 && rows("suppressed") > 0, "{said}");
    assert!(std::fs::read(host.store_file()).unwrap() == file, "the file is not as it was");

    point_at(&mut host, &database);
    host.set("plugins.config.tester.broken = false");
    host.launch().await;
    let after = all_that_is_seen(&host).await;
    for (path, seen) in before.as_object().unwrap() {
        assert_eq!(&after[path], seen, "{path}");
    }
    assert_eq!(after.as_object().unwrap().len(), before.as_object().unwrap().len());
    // What was known is known, what was forbidden is forbidden, and what was open goes on.
    let again = host.accept(sent).await;
    assert_eq!(again["duplicate"], true, "{again:#}");
    assert_eq!(refusal(&host, "lea").await, "no-consent");
    host.customer("malik-again", MALIK).await;
    assert_eq!(refusal(&host, "malik-again").await, "no-consent");
    host.sim.online(NORA, true);
    host.until_state(waiting["id"].as_str().unwrap(), "read").await;
    host.post(&format!("/v1/runs/{aside}/replay"), json!({})).await.ok();
    host.until_run(&aside, "done").await;
    let told = host.event(steps("paul", "a", json!([{"tell": {"key": "list"}}]))).await;
    let told = host.run(told["results"][0]["id"].as_str().unwrap()).await;
    assert!(told["report"]["log"].to_string().contains("list is before"), "{told:#}");
    host.advance("2h").await;
    host.until("the timer has fired", async || {
        let messages = host.messages("paul").await;
        let fired = messages.iter().filter(|one| one["content"].to_string().contains("from the timer")).count();
        if fired == 1 { Ok(()) } else { Err(format!("{messages:#?}")) }
    })
    .await;
    assert_eq!(host.stats().await["timers"], 0);
}

#[tokio::test]
async fn a_store_or_a_database_that_is_in_use_is_refused_and_stays_as_it_is() {
    let mut host = Host::start(Setup::tester()).await;
    let database = fresh_database().await;
    refused(&migrate(&host.store_file(), &database, &[]).await, "Stop that host first");
    let nowhere = host.dir().join("no-such/relais.db");
    refused(&migrate(&nowhere, &database, &[]).await, "there is no such file");
    assert!(!nowhere.parent().unwrap().exists(), "nothing is made in its place");
    host.customer("paul", PAUL).await;
    host.stop().await;

    // A host is at work on the database, and then has left a customer there.
    let mut other = Host::prepare(Setup::tester()).await;
    point_at(&mut other, &database);
    other.launch().await;
    refused(&migrate(&host.store_file(), &database, &[]).await, "hosts work on the database");
    other.customer("lea", LEA).await;
    other.stop().await;
    for more in [&[][..], &["--restart"]] {
        refused(&migrate(&host.store_file(), &database, more).await, "`customers` has rows");
    }
    assert_eq!(count(&database, "customers").await, 1);
    other.launch().await;
    assert_eq!(other.get("/v1/customers/lea").await["name"], "lea");

    // The words of the command itself.
    let from = format!("sqlite:{}", host.store_file().display());
    let output = relais(&["migrate", "--from", &from, "--to", "postgres://me:s3cret@127.0.0.1/x"]).await;
    refused(&output, "store.postgres.password");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("s3cret"));
    refused(&relais(&["migrate", "--from", &database.url, "--to", &database.url]).await, "--from");
    refused(&relais(&["migrate", "--from", &from, "--to", &from]).await, "--to");
}

const EVENTS: i64 = 10_000;

/// The file of a host that has stopped, with so many events in it.
async fn many_events() -> Host {
    let mut host = Host::start(Setup::tester()).await;
    host.stop().await;
    let mut conn = rusqlite::Connection::open(host.store_file()).unwrap();
    let transaction = conn.transaction().unwrap();
    let sql = "INSERT INTO events (seq, id, tenant, source, source_id, type, time, received, data, runs) \
               VALUES (?1, ?2, 'default', '/test', ?3, 'com.example.nobody', 0, 0, '{}', x'')";
    for seq in 1..=EVENTS {
        let id = u128::from(seq.unsigned_abs()).to_be_bytes();
        transaction.execute(sql, rusqlite::params![seq, id, format!("e-{seq}")]).unwrap();
    }
    transaction.commit().unwrap();
    host
}

/// A move that was killed when some of the events had arrived.
async fn killed_in_the_middle(host: &mut Host, database: &Database) {
    // The first host makes the tables, and a row that is not committed keeps the move waiting for it.
    point_at(host, database);
    host.launch().await;
    host.stop().await;
    let in_the_way = sql(database).await;
    let row = "BEGIN; INSERT INTO events (seq, id, tenant, source, source_id, type, time, received, data, runs) \
               VALUES (9000, '', '', '', '', '', 0, 0, '', '')";
    in_the_way.batch_execute(row).await.unwrap();
    let from = format!("sqlite:{}", host.store_file().display());
    let mut child = start_relais(&["migrate", "--from", &from, "--to", &database.url]);
    host.until_eq("most of the events have arrived", 8_000, async || count(database, "events").await).await;
    child.kill().await.unwrap();
    in_the_way.batch_execute("ROLLBACK").await.unwrap();
}

#[tokio::test]
async fn a_move_that_was_killed_goes_on_where_it_was_and_no_host_starts_meanwhile() {
    let mut host = many_events().await;
    let database = fresh_database().await;
    killed_in_the_middle(&mut host, &database).await;
    assert!(host.try_launch().await.is_err(), "a host works with half a store");
    assert!(host.log().contains("a move into this database was not finished"), "{}", host.log());
    assert!(host.log().contains("Run `relais migrate` again"), "{}", host.log());

    // Another store's rows do not belong among these.
    let other = host.dir().join("other.db");
    std::fs::copy(host.store_file(), &other).unwrap();
    rusqlite::Connection::open(&other)
        .unwrap()
        .execute("UPDATE meta SET value = randomblob(32) WHERE name = 'store'", [])
        .unwrap();
    refused(&migrate(&other, &database, &[]).await, "a move of another store");

    let output = migrate(&host.store_file(), &database, &[]).await;
    moved(&output);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("this one goes on with it"), "{said}");
    host.launch().await;
    host.event(steps("", "a", json!([]))).await;
    let newest = sql(&database).await.query_one("SELECT max(seq), count(*) FROM events", &[]).await.unwrap();
    assert!(newest.get::<_, i64>(0) > EVENTS && newest.get::<_, i64>(1) == EVENTS + 1);
    // What was moved is in use now.
    host.stop().await;
    refused(&migrate(&host.store_file(), &database, &["--restart"]).await, "has rows");
}

#[tokio::test]
async fn a_row_that_arrived_otherwise_is_found_and_the_database_stays_closed() {
    let mut host = many_events().await;
    let database = fresh_database().await;
    killed_in_the_middle(&mut host, &database).await;
    // As many rows as there should be, and one of them is another.
    sql(&database).await.batch_execute("UPDATE events SET data = '{ }' WHERE seq = 17").await.unwrap();
    let output = migrate(&host.store_file(), &database, &[]).await;
    refused(&output, "what arrived is not what was sent");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let different: Vec<&str> = said.lines().filter(|line| line.ends_with("DIFFERENT")).collect();
    assert_eq!(different.len(), 1, "{said}");
    assert!(different[0].starts_with("events "), "{said}");
    assert!(host.try_launch().await.is_err(), "a host works with a store that is not the same");
    moved(&migrate(&host.store_file(), &database, &["--restart"]).await);
    host.launch().await;
}

#[tokio::test]
async fn what_postgresql_cannot_hold_is_named_before_anything_is_moved() {
    let mut host = Host::start(Setup::tester()).await;
    host.customer("paul", PAUL).await;
    host.stop().await;
    rusqlite::Connection::open(host.store_file())
        .unwrap()
        .execute("UPDATE customers SET locale = 'e' || char(0) || 'n'", [])
        .unwrap();
    let database = fresh_database().await;
    let output = migrate(&host.store_file(), &database, &[]).await;
    refused(&output, "customers (tenant \"default\", id \"paul\"): `locale` holds a NUL character");
    assert_eq!(count(&database, "addresses").await, 0);
    // Nothing was begun, so the database is an empty store.
    point_at(&mut host, &database);
    host.launch().await;
}
