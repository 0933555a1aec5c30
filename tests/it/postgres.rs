//! The server that tests on PostgreSQL use: each gets a database of its own, and what it leaves is gone.

use std::{process::Command, time::Duration};

use tokio_postgres::NoTls;

use crate::harness::postgres::{OwnServer, fresh_database};

async fn connect(url: &str) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

#[tokio::test]
async fn each_test_has_a_database_of_its_own_which_goes_with_it() {
    let (one, two) = (fresh_database().await, fresh_database().await);
    let client = connect(&one.url).await.unwrap();
    client.batch_execute("create table mine (id int)").await.unwrap();
    let tables = "select count(*) from pg_tables where schemaname = 'public'";
    let count: i64 = client.query_one(tables, &[]).await.unwrap().get(0);
    assert_eq!(count, 1);
    let other: i64 = connect(&two.url).await.unwrap().query_one(tables, &[]).await.unwrap().get(0);
    assert_eq!(other, 0);
    let url = one.url.clone();
    // Although somebody is connected to it.
    drop(one);
    assert!(client.query_one("select 1", &[]).await.is_err());
    let error = connect(&url).await.err().unwrap();
    assert_eq!(error.code().unwrap().code(), "3D000", "{error}");
}

#[tokio::test]
async fn a_server_of_our_own_keeps_what_was_committed_when_it_crashes_and_goes_when_we_do() {
    let own = tokio::task::spawn_blocking(OwnServer::start).await.unwrap();
    let database = own.server.fresh_database().await;
    let client = connect(&database.url).await.unwrap();
    client.batch_execute("create table kept (id int); insert into kept values (1)").await.unwrap();
    own.crash();
    own.start_again();
    let client = connect(&database.url).await.unwrap();
    assert_eq!(client.query_one("select id from kept", &[]).await.unwrap().get::<_, i32>(0), 1);
    own.stop();
    assert!(connect(&database.url).await.is_err());
    own.start_again();
    connect(&database.url).await.unwrap();
    drop(database);
    let dir = own.dir.clone();
    assert!(dir.exists());
    drop(own);
    assert!(!dir.exists(), "{} is left behind", dir.display());
}

#[tokio::test]
async fn a_server_does_not_outlive_a_process_that_was_killed() {
    // Another process in our place: it holds the leash, and is killed.
    let dir = std::env::temp_dir().join(format!("relais-leash-{}", std::process::id()));
    let (mut holder, mut shell) = OwnServer::held_by_another(&dir);
    // Its log is the last that is there: initdb has a short-lived server of its own.
    let log = || std::fs::read_to_string(dir.join("log")).unwrap_or_default();
    until("it takes connections", || log().contains("ready to accept connections")).await;
    let pid_file = std::fs::read_to_string(dir.join("data/postmaster.pid")).unwrap();
    let pid = pid_file.lines().next().unwrap();
    let alive = || Command::new("kill").args(["-0", pid]).output().unwrap().status.success();
    assert!(alive());
    holder.kill().unwrap();
    holder.wait().unwrap();
    until("its directory is gone", || !dir.exists()).await;
    until("the server is gone", || !alive()).await;
    shell.wait().unwrap();
}

async fn until(what: &str, look: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !look() {
        assert!(began.elapsed() < Duration::from_secs(60), "it never came to this: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
