//! `relais demo --exit`, as somebody runs it who has just built it: the day is played to its end, and the exit code says whether
//! every story ended as its file says.

use std::{fs, path::Path, process::Output};

use crate::harness::{ensure_other_languages, ensure_plugins, relais, repository, shared_cache};

/// One customer and one order, which goes to WhatsApp: that it goes out by SMS is not true.
const WRONG_DAY: &str = r#"
title = "A day that expects too much"
start = "2026-11-24T08:00:00+01:00"

[[customer]]
id = "paul"
name = "Paul"
locale = "en"
timezone = "Europe/Paris"
phone = { number = "+33639981201" }
about = "has WhatsApp"

[[story]]
name = "The bakery"
at = "08:12"
[[story.step]]
event = { type = "com.example.order.ready", source = "/bakery", customer = "paul", data = { order = "1", shop = "Paul", minutes = 2 } }
[[story.expect]]
customer = "paul"
channel = "sms"
state = "delivered"
"#;

/// Plays a day on a free port, on data that are kept in `data`.
async fn demo(data: &Path, more: &[&str]) -> (Output, String) {
    let plugins = repository().join("plugins");
    let (plugins, data) = (plugins.to_str().unwrap(), data.to_str().unwrap());
    let mut arguments = vec!["demo", "--exit", "--listen", "127.0.0.1:0", "--plugins", plugins, "--data", data];
    arguments.extend(more);
    let output = relais(&arguments).await;
    let said = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, said)
}

#[tokio::test]
async fn the_demo_day_ends_as_its_file_says_and_one_that_does_not_ends_with_1_and_says_why() {
    let built = tokio::task::spawn_blocking(|| {
        ensure_plugins();
        ensure_other_languages();
    });
    built.await.unwrap();
    let data = std::env::temp_dir().join(format!("relais-it-demo-{}", std::process::id()));
    fs::create_dir_all(&data).unwrap();
    std::os::unix::fs::symlink(shared_cache(), data.join("machine-code")).unwrap();
    let (output, said) = demo(&data, &[]).await;
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(!said.contains("Left out"), "the plugins in other languages play as well: {said}");
    for words in ["customer", "what happened", "channel", "status", "why", "price", "together"] {
        assert!(said.contains(words), "the table has no {words:?}: {said}");
    }
    for (customer, channel, status) in [
        ("Paul", "whatsapp", "read"),
        ("Léa", "sms", "delivered"),
        ("Malik", "sms", "twice"),
        ("Sam", "none", "refused"),
    ] {
        let row = said
            .lines()
            .find(|line| line.starts_with(customer) && line.contains(&format!(" {channel} ")) && line.contains(status));
        assert!(row.is_some(), "there is no row {customer}, {channel}, {status}: {said}");
    }

    // The machine code is kept, the day is another one.
    for entry in fs::read_dir(&data).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("relais.") {
            fs::remove_file(path).unwrap();
        }
    }
    let day = data.join("wrong-day.toml");
    fs::write(&day, WRONG_DAY).unwrap();
    let (output, said) = demo(&data, &["--day", day.to_str().unwrap()]).await;
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("no message to paul came to be delivered on sms"), "{said}");
    assert!(said.contains("whatsapp read") || said.contains("whatsapp"), "what there is instead: {said}");
    fs::remove_dir_all(&data).unwrap();
}

#[tokio::test]
async fn a_day_that_cannot_be_read_is_refused_with_its_key() {
    let day = std::env::temp_dir().join(format!("relais-it-day-{}.toml", std::process::id()));
    fs::write(&day, WRONG_DAY.replace("channel = \"sms\"", "chanel = \"sms\"")).unwrap();
    let output = relais(&["demo", "--exit", "--listen", "127.0.0.1:0", "--day", day.to_str().unwrap()]).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("chanel") && said.contains("is no demo day"), "{said}");
    fs::remove_file(day).unwrap();
}
