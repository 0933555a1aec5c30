//! The command line: what it says, and what its exit codes mean. 0 done, 1 failed, 2 wrong usage, 3 host not reachable, 4 host
//! refuses.

use std::{fs, process::Output};

use serde_json::{Value, json};

use crate::harness::{Host, PAUL, Setup, copy_shipped, order_ready, relais, relais_with, repository, steps};

const KEY: &str = "a-key-of-the-shop-0001";

/// A host that asks for a key, with one customer.
async fn host() -> Host {
    let host = Host::start(Setup::new().key("shop", KEY)).await;
    host.sim.phone(PAUL, |_| {});
    host.customer("paul", PAUL).await;
    host
}

/// What a command said on standard output, where it ended with this code. Both streams are shown where it did not.
#[track_caller]
fn ended(output: &Output, code: i32) -> (String, String) {
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "--- standard output\n{out}\n--- standard error\n{err}");
    (out, err)
}

#[track_caller]
fn done(output: &Output) -> String {
    let (out, err) = ended(output, 0);
    assert_eq!(err, "", "nothing is wrong, and so there is nothing to say");
    out
}

#[track_caller]
fn json_of(output: &Output) -> Value {
    let out = done(output);
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
}

/// That it failed with this code, said why on standard error, and said nothing else.
#[track_caller]
fn failed(output: &Output, code: i32, words: &[&str]) {
    let (out, err) = ended(output, code);
    for word in words {
        assert!(err.contains(word), "{word:?} is not in {err:?}");
    }
    assert_eq!(out, "", "standard output is for answers");
}

/// Against a host, with its key in the environment.
async fn with_key(host: &Host, arguments: &[&str], input: &str) -> Output {
    relais_with(arguments, &[("RELAIS_URL", &host.url), ("RELAIS_KEY", KEY)], input).await
}

#[tokio::test]
async fn a_numbers_profile_is_read_and_changed_at_meta() {
    let host = Host::start(Setup::new()).await;
    let file = host.config_file().display().to_string();
    let profile = async |more: &[&str]| relais(&[&["whatsapp", "profile"], more, &["--config", &file]].concat()).await;
    let set = ["set", "--about", "Open until 8 pm", "--website", "https://bakery.example", "--email", "a@b.example"];
    assert!(done(&profile(&set).await).contains("is changed"));
    done(&profile(&["set", "--email", ""]).await);
    let read = json_of(&profile(&["get", "--json"]).await);
    let expected = json!({"about": "Open until 8 pm", "email": "", "websites": ["https://bakery.example"]});
    assert_eq!(read, expected);
    let shown = done(&profile(&["get"]).await);
    assert!(shown.contains("about        Open until 8 pm\n") && shown.contains("email        -\n"), "{shown}");
    failed(&profile(&["set"]).await, 1, &["nothing is named", "--about"]);
    failed(&profile(&["get", "--account", "other"]).await, 1, &["no account `other`", "main"]);
    let long = "x".repeat(140);
    failed(&profile(&["set", "--about", &long]).await, 4, &["Meta refuses (400)", "about"]);
}

#[tokio::test]
async fn an_event_is_sent_from_flags_a_file_or_standard_input() {
    let host = host().await;
    let data = r#"{"order": "O-1", "shop": "Paul", "minutes": 2}"#;
    let flags =
        ["event", "send", "--type", "com.example.order.ready", "--customer", "paul", "--id", "one", "--data", data];
    let sent = json_of(&with_key(&host, &[&flags[..], &["--wait", "20"]].concat(), "").await);
    assert_eq!((&sent["duplicate"], &sent["complete"]), (&json!(false), &json!(true)), "{sent:#}");
    assert_eq!(sent["results"][0]["messages"][0]["to"]["customer"], "paul");
    let again = json_of(&with_key(&host, &flags, "").await);
    assert_eq!((&again["duplicate"], &again["id"]), (&json!(true), &sent["id"]));
    let shown = json_of(&with_key(&host, &["event", "show", sent["id"].as_str().unwrap()], "").await);
    assert!(shown.to_string().contains("com.example.order.ready"), "{shown:#}");

    let file = host.dir().join("event.json");
    fs::write(&file, order_ready("paul", "O-2").to_string()).unwrap();
    let from_file = json_of(&with_key(&host, &["event", "send", file.to_str().unwrap(), "--wait", "20"], "").await);
    assert_eq!(from_file["results"][0]["state"], "done");
    let batch = json!([order_ready("paul", "O-3"), order_ready("paul", "O-4")]).to_string();
    let piped = json_of(&with_key(&host, &["event", "send", "-"], &batch).await);
    assert_eq!(piped.as_array().unwrap().len(), 2);
    host.until_eq("four messages", 4, async || host.messages("paul").await.len()).await;
}

#[tokio::test]
async fn a_message_is_shown_with_its_story_and_listed() {
    let host = host().await;
    let none = done(&with_key(&host, &["message", "list", "--customer", "nobody"], "").await);
    assert_eq!(none.trim(), "no messages");
    host.event(order_ready("paul", "O-1")).await;
    let message = host.only_message("paul", "read").await;
    let id = message["id"].as_str().unwrap();

    let story = done(&with_key(&host, &["message", "show", id], "").await);
    assert!(story.lines().next().unwrap().contains("read"), "{story}");
    let told = message["story"].as_array().unwrap();
    assert!(told.len() > 3 && told.iter().all(|line| story.contains(line["text"].as_str().unwrap())), "{story}");
    assert_eq!(json_of(&with_key(&host, &["message", "show", id, "--json"], "").await)["id"], id);

    let list = done(&with_key(&host, &["message", "list", "--customer", "paul", "--state", "read"], "").await);
    assert_eq!(list.lines().count(), 1, "{list}");
    for word in [id, "read", "whatsapp", "paul", "alert"] {
        assert!(list.contains(word), "{word:?} is not in {list}");
    }
    let list = json_of(&with_key(&host, &["message", "list", "--json", "--limit", "1"], "").await);
    assert_eq!(list["messages"][0]["id"], id);
    let unknown = with_key(&host, &["message", "list", "--state", "red"], "").await;
    failed(&unknown, 4, &["field: state", "delivered"]);
}

#[tokio::test]
async fn a_host_that_refuses_is_4_one_that_is_not_there_is_3_and_wrong_usage_is_2() {
    let host = host().await;
    let send = ["event", "send", "--type", "t"];
    let without_key = relais_with(&send, &[("RELAIS_URL", &host.url)], "").await;
    failed(&without_key, 4, &["401", "--key-file", "RELAIS_KEY"]);
    let key = host.dir().join("key");
    fs::write(&key, format!("{KEY}\n")).unwrap();
    let url = ["--url", host.url.as_str(), "--key-file", key.to_str().unwrap()];
    done(&relais(&[&send[..], &url].concat()).await);
    let refused = with_key(&host, &["event", "send", "--type", "t", "--source", "not a source"], "").await;
    failed(&refused, 4, &["field: source", "fix: percent-encode it"]);
    failed(&with_key(&host, &["message", "show", "m00000000000000000000000000"], "").await, 4, &["the host refuses"]);

    // Nobody listens on the discard port of this machine.
    let nowhere = relais(&["event", "send", "--type", "t", "--url", "http://127.0.0.1:9"]).await;
    failed(&nowhere, 3, &["no host answers at http://127.0.0.1:9", "--url"]);
    let list = relais(&["message", "list", "--url", "http://127.0.0.1:9"]).await;
    failed(&list, 3, &["Is it running?"]);

    failed(&with_key(&host, &["event", "send", "--type", "t", "--data", "{oops"], "").await, 1, &["--data is no JSON"]);
    failed(&with_key(&host, &["event", "send", "no-such-file.json"], "").await, 1, &["no-such-file.json"]);
    failed(&relais(&["event", "send"]).await, 2, &["--type"]);
    failed(&relais(&["event", "send", "a.json", "--type", "t"]).await, 2, &["cannot be used with"]);
    failed(&relais(&["sreve"]).await, 2, &["serve"]);
}

#[tokio::test]
async fn runs_that_were_set_aside_are_listed_shown_replayed_and_discarded() {
    let host = Host::start(Setup::tester().key("shop", KEY)).await;
    host.sim.phone(PAUL, |_| {});
    host.customer("paul", PAUL).await;
    let none = done(&with_key(&host, &["runs", "list", "--set-aside"], "").await);
    assert_eq!(none.trim(), "no runs");
    let mut ids = Vec::new();
    for entity in ["a", "b", "c", "d"] {
        let event = steps("paul", entity, json!([{"reject": {"why": "of no use"}}]));
        let run = host.accept(event).await["runs"][0].as_str().unwrap().to_owned();
        host.until_run(&run, "set-aside").await;
        ids.push(run);
    }
    let list = done(&with_key(&host, &["runs", "list", "--set-aside", "--plugin", "tester"], "").await);
    assert_eq!(list.lines().count(), 4, "{list}");
    assert!(list.contains(&ids[0]) && list.contains("test/a") && list.contains("reject: of no use"), "{list}");
    let list = json_of(&with_key(&host, &["runs", "list", "--entity", "test/b", "--json"], "").await);
    assert_eq!(list["runs"][0]["id"], json!(ids[1]));
    let shown = json_of(&with_key(&host, &["runs", "show", &ids[0]], "").await);
    assert_eq!(shown["input"]["event"]["type"], "com.example.test.go");
    failed(&with_key(&host, &["runs", "show", "r0/replay"], "").await, 4, &["the host refuses"]);

    // What they are replayed for has not gone: they are set aside again, and the command ends all the same.
    let said = done(&with_key(&host, &["runs", "replay", &ids[0], &ids[1]], "").await);
    assert_eq!(said.trim(), "replayed: 2");
    for id in &ids[..2] {
        host.until_run(id, "set-aside").await;
    }
    let said = done(&with_key(&host, &["runs", "replay", "--plugin", "tester", "--all"], "").await);
    assert_eq!(said.trim(), "replayed: 4");
    host.until_eq("all are set aside again", json!(4), async || host.stats().await["set_aside_runs"].clone()).await;

    let unasked = with_key(&host, &["runs", "discard", "--all"], "y\n").await;
    failed(&unasked, 1, &["does not come back", "--yes"]);
    let said = done(&with_key(&host, &["runs", "discard", &ids[0], "--yes"], "").await);
    assert_eq!(said.trim(), "discarded: 1");
    let again = with_key(&host, &["runs", "discard", &ids[0], &ids[1], "--yes"], "").await;
    let (out, err) = ended(&again, 4);
    assert!(out.contains("discarded: 1") && err.contains("1 of them"), "{out}{err}");
    let all = ["runs", "discard", "--plugin", "tester", "--failure", "reject", "--all", "--yes"];
    assert_eq!(done(&with_key(&host, &all, "").await).trim(), "discarded: 2");
    failed(&relais(&["runs", "replay", "--plugin", "tester"]).await, 2, &["--all"]);
    failed(&relais(&["runs", "replay", "--all", "r0"]).await, 2, &["cannot be used with"]);
}

#[tokio::test]
async fn a_package_is_checked_before_it_is_loaded() {
    let host = Host::prepare(Setup::new()).await;
    let good = repository().join("plugins/order-ready");
    let said = done(&relais(&["plugin", "check", good.to_str().unwrap()]).await);
    for words in ["order-ready 1.0.0 would be loaded", "on-event", "sha256:", "asks for"] {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
    let report = json_of(&relais(&["plugin", "check", "--json", good.to_str().unwrap()]).await);
    assert_eq!((&report["name"], &report["errors"]), (&json!("order-ready"), &json!([])));
    let needs = &report["needs"];
    assert!(needs["memory_bytes"].as_u64() < needs["memory_bytes_max"].as_u64(), "{needs}");
    assert!(needs["instances"].as_u64() > Some(0) && needs["tables_max"] == 64, "{needs}");
    assert_eq!(report["warnings"], json!([]), "that an SDK exports all handlers is no warning");
    assert!(report["notes"][0].as_str().unwrap().contains("on-timer"), "{}", report["notes"]);
    assert!(report["scenarios"].as_array().unwrap().iter().all(|scenario| scenario["passed"] == true));

    // An update, and a scenario that fails with it.
    let update = copy_shipped("order-ready", &host.dir().join("update"));
    let manifest = fs::read_to_string(update.join("plugin.toml")).unwrap();
    let more = manifest
        .replace("version = \"1.0.0\"", "version = \"1.1.0\"")
        .replace("[\"locale\"]", "[\"locale\", \"name\"]");
    fs::write(update.join("plugin.toml"), more).unwrap();
    fs::create_dir(update.join("tests")).unwrap();
    fs::write(
        update.join("tests/never.toml"),
        "scenario = 1\nname = \"never\"\n[[step]]\nadvance = \"1m\"\nruns = 1\n",
    )
    .unwrap();
    let words = ["plugin", "check", update.to_str().unwrap(), "--against", good.to_str().unwrap()];
    let (said, _) = ended(&relais(&words).await, 1);
    for words in ["would be loaded", "1.0.0 → 1.1.0: it asks for more", "+ customer: \"name\"", "FAILS: never"] {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
    let component = relais(&["plugin", "check", good.join("order-ready.wasm").to_str().unwrap()]).await;
    assert!(done(&component).contains("without a plugin.toml"));

    let bad = copy_shipped("order-ready", host.dir());
    fs::write(bad.join("order-ready.wasm"), "no WebAssembly").unwrap();
    let (said, _) = ended(&relais(&["plugin", "check", bad.to_str().unwrap()]).await, 1);
    assert!(said.contains("would be refused") && said.contains("is no WebAssembly component"), "{said}");
    let (said, _) = ended(&relais(&["plugin", "check", "no/such/package"]).await, 1);
    assert!(said.contains("no/such/package"), "{said}");

    // Under the grants of a configuration.
    host.write_config();
    let config = fs::read_to_string(host.config_file()).unwrap();
    let narrow = host.dir().join("narrow.toml");
    fs::write(&narrow, format!("{config}\n[plugins.grants.order-ready]\nchannels = [\"sms\"]\n")).unwrap();
    let config = narrow.to_str().unwrap();
    let arguments = ["plugin", "check", "--json", "--no-scenarios", "--config", config, good.to_str().unwrap()];
    let report = json_of(&relais(&arguments).await);
    assert_eq!(report["permissions_effective"]["channels"], json!(["sms"]));
    let warning = report["warnings"][0].as_str().unwrap();
    assert!(warning.contains("[plugins.grants.order-ready]\nchannels = [\"whatsapp\",\"sms\"]"), "{warning}");
}

#[tokio::test]
async fn a_configuration_is_checked_and_the_key_at_fault_is_named() {
    let host = Host::prepare(Setup::new()).await;
    host.write_config();
    let said = done(&relais(&["config", "check", host.config_file().to_str().unwrap()]).await);
    assert!(said.contains("the configuration is right"), "{said}");

    let good = fs::read_to_string(host.config_file()).unwrap();
    let file = host.dir().join("wrong.toml");
    let wrong = file.to_str().unwrap();
    for (text, words) in [
        (format!("{good}\n[dispatch]\nfallback-aftr-s = 3\n"), ["fallback-aftr-s", "wrong.toml"]),
        (format!("{good}\n[fallback]\nafter-s = \"soon\"\n"), ["after-s", "invalid type"]),
        (good.replace("open = true", "open = false"), ["there is no API key", "[[ingress.keys]]"]),
        (good.replace("listen = \"127.0.0.1:", "listen = \"0.0.0.0:"), ["can be reached from other machines", "open"]),
        ("[server\n".to_owned(), ["wrong.toml", "line 1"]),
    ] {
        fs::write(&file, text).unwrap();
        failed(&relais(&["config", "check", wrong]).await, 1, &words);
        failed(&relais(&["serve", "--config", wrong]).await, 1, &words);
    }
    failed(&relais(&["config", "check", "no-such.toml"]).await, 1, &["no-such.toml"]);
    let by_environment = [("RELAIS_INGRESS__OPEN", "true"), ("RELAIS_SERVER__LISTEN", "127.0.0.1:9001")];
    let said = done(&relais_with(&["config", "check"], &by_environment, "").await);
    assert!(said.contains("127.0.0.1:9001"), "{said}");
}

#[tokio::test]
async fn the_defaults_that_are_printed_are_a_configuration() {
    let host = Host::prepare(Setup::new()).await;
    let defaults = done(&relais(&["config", "defaults"]).await);
    let table: toml::Table = defaults.parse().unwrap();
    assert_eq!(table["fallback"]["after-s"].as_integer(), Some(120));
    let file = host.dir().join("defaults.toml");
    fs::write(&file, defaults).unwrap();
    let open = [("RELAIS_INGRESS__OPEN", "true")];
    let said = done(&relais_with(&["config", "check", file.to_str().unwrap()], &open, "").await);
    assert!(said.contains("no provider account"), "what is missing is said: {said}");
}

#[tokio::test]
async fn a_host_whose_port_is_taken_says_so_and_ends_with_1() {
    let host = host().await;
    let listen = host.url.trim_start_matches("http://");
    let environment = [("RELAIS_INGRESS__OPEN", "true"), ("RELAIS_SERVER__LISTEN", listen)];
    let (_, said) = ended(&relais_with(&["serve"], &environment, "").await, 1);
    assert!(said.contains(listen) && said.contains("is another host running there?"), "{said}");
}

#[tokio::test]
async fn the_help_of_every_command_has_an_example_or_what_its_exit_codes_mean() {
    let commands: [&[&str]; 24] = [
        &[],
        &["serve"],
        &["demo"],
        &["simulate"],
        &["bench"],
        &["event", "send"],
        &["event", "show"],
        &["message", "show"],
        &["message", "list"],
        &["runs"],
        &["runs", "list"],
        &["runs", "show"],
        &["runs", "replay"],
        &["runs", "bundle"],
        &["replay"],
        &["dev"],
        &["runs", "discard"],
        &["plugin", "new"],
        &["plugin", "build"],
        &["plugin", "test"],
        &["plugin", "check"],
        &["config", "check"],
        &["config", "defaults"],
        &["event"],
    ];
    let mut poor = Vec::new();
    for command in commands {
        let help = done(&relais(&[command, &["--help"]].concat()).await);
        if !help.contains("Example") && !help.contains("xit code") {
            poor.push(command.join(" "));
        }
        // Whoever asks which commands there are has to find every one that is tested here.
        if let [first, ..] = command {
            assert!(done(&relais(&["--help"]).await).contains(&format!("  {first} ")), "{first} is not listed");
        }
    }
    assert_eq!(poor, Vec::<String>::new(), "their help teaches nothing");
    assert!(done(&relais(&["--version"]).await).starts_with("relais "));
}
