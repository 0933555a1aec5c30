//! `relais plugin test`, through the real binary.

use std::{fs, path::Path, process::Output};

use serde_json::Value;

use super::{Scratch, said};
use crate::harness::{Packages, ensure_other_languages, ensure_plugins, relais_with, repository};

/// A plugin that does what its events say, with these scenarios beside it.
struct Tester {
    scratch: Scratch,
    dir: String,
}

impl Tester {
    fn with(scenarios: &[(&str, &str)]) -> Tester {
        let scratch = Scratch::new();
        let packages = Packages::Tester.directory(Path::new(&scratch.path("")));
        let dir = packages.join("tester");
        fs::create_dir_all(dir.join("tests")).unwrap();
        for (name, text) in scenarios {
            let head = format!("scenario = 1\nname = \"{name}\"\nstart = \"2026-11-24T09:00:00Z\"\n");
            fs::write(dir.join("tests").join(format!("{name}.toml")), format!("{head}{text}")).unwrap();
        }
        Tester { dir: dir.to_str().unwrap().to_owned(), scratch }
    }

    async fn test(&self, more: &[&str]) -> Output {
        let words: Vec<&str> = ["plugin", "test", self.dir.as_str()].into_iter().chain(more.iter().copied()).collect();
        relais_with(&words, &[("XDG_CACHE_HOME", self.scratch.0.to_str().unwrap())], "").await
    }
}

const PAUL: &str = "[[customer]]\nid = \"paul\"\n";

/// A step in which the tester is told to do this, as TOML.
fn told(steps: &str) -> String {
    format!(
        "[[step]]\nevent = {{ type = \"com.example.test.told\", customer = \"paul\", data = {{ entity = \"e\", steps = {steps} }} }}\n"
    )
}

#[tokio::test]
async fn the_scenarios_of_every_plugin_come_out_as_they_say() {
    ensure_plugins();
    ensure_other_languages();
    let cache = Scratch::new();
    for entry in fs::read_dir(repository().join("plugins")).unwrap() {
        let dir = entry.unwrap().path();
        let words = ["plugin", "test", dir.to_str().unwrap()];
        let tested = relais_with(&words, &[("XDG_CACHE_HOME", cache.0.to_str().unwrap())], "").await;
        assert!(tested.status.success(), "{}", said(&tested));
        assert!(said(&tested).contains("passed, 0 failed"), "{}", said(&tested));
    }
}

#[tokio::test]
async fn what_came_instead_is_shown_beside_what_was_expected() {
    let send = told("[{ send = { text = \"It is ready.\\nCome soon.\" } }]");
    let wanted = "[[step.message]]\nto = \"paul\"\nsms-text = \"Free: It is ready.\\nCome at once.\"\n";
    let text = format!("{PAUL}{send}timers = [{{ key = \"later\", in = \"5m\" }}]\n{wanted}");
    let tester = Tester::with(&[("wrong", &text), ("right", &format!("{PAUL}[[step]]\nadvance = \"100d\"\n"))]);
    let tested = tester.test(&[]).await;
    let shown = said(&tested);
    assert_eq!(tested.status.code(), Some(1), "{shown}");
    for words in [
        "ok     right",
        "FAILS  wrong",
        "wrong.toml:6: step 1 (event com.example.test.told)",
        "message 1, sms-text:",
        "expected   Come at once.",
        "got        Come soon.",
        "expected   later in 5m",
        "memory",
        "of 200 ms",
        "2 scenarios: 1 passed, 1 failed",
    ] {
        assert!(shown.contains(words), "no `{words}` in\n{shown}");
    }
    assert!(!shown.contains("expected   Free"), "a line that is the same is no difference: {shown}");
    assert!(!shown.contains('\x1b'), "colours are for terminals");

    let tested = tester.test(&["--filter", "wrong", "--json"]).await;
    let json: Value = serde_json::from_slice(&tested.stdout).unwrap();
    assert_eq!((json.as_array().unwrap().len(), &json[0]["passed"]), (1, &Value::Bool(false)));
    assert_eq!(json[0]["failed"]["step"], 1);
    assert_eq!(json[0]["runs"][0]["used"][0]["limit"], "cpu");
    assert!(tester.test(&["--filter", "right"]).await.status.success());
    assert_eq!(tester.test(&["--filter", "neither"]).await.status.code(), Some(1));
}

#[tokio::test]
async fn a_run_that_fails_is_executed_again_as_time_goes_on() {
    let text = format!(
        "{PAUL}{}fails = {{ kind = \"fault\", contains = \"unreachable\" }}\n\
         [[step]]\nadvance = \"9s\"\nruns = 0\n\
         [[step]]\nadvance = \"4s\"\nruns = 1\n[[step.message]]\nto = \"paul\"\n\
         {}fails = {{ kind = \"reject\", contains = \"enough\" }}\n",
        told("[{ trap-before = { attempt = 2 } }, { send = { text = \"at last\" } }]"),
        told("[{ send = { text = \"never\" } }, { reject = { why = \"that is enough\" } }]"),
    );
    let tester = Tester::with(&[("again", &text), ("unexpected", &format!("{PAUL}{}", told("[\"trap\"]")))]);
    let tested = tester.test(&[]).await;
    let shown = said(&tested);
    assert!(shown.contains("ok     again"), "{shown}");
    assert!(shown.contains("FAILS  unexpected") && shown.contains("fault: "), "{shown}");
    assert!(shown.contains("tester"), "the backtrace names the plugin's own functions: {shown}");
}

#[tokio::test]
async fn timers_fire_in_their_order_and_what_follows_from_them_is_of_the_same_step() {
    let timers = told(
        "[{ timer = { key = \"b\", after_s = 3600, steps = [{ send = { text = \"second\" } }] } }, \
          { timer = { key = \"a\", after_s = 60, steps = [{ send = { text = \"first\" } }, { timer = { key = \"c\", after_s = 86400, steps = [] } }] } }]",
    );
    let text = format!(
        "{PAUL}{timers}timers = [{{ key = \"a\", in = \"1m\" }}, {{ key = \"b\", in = \"1h\", entity = \"test/e\" }}]\n\
         [[step]]\nadvance = \"2h\"\ntimers = [{{ key = \"c\", at = \"2026-11-25T09:01:00Z\" }}]\n\
         [[step.message]]\nsms-text = \"Free: first\"\n[[step.message]]\nsms-text = \"Free: second\"\nname = \"second\"\n\
         [[step]]\nreceipt = {{ message = \"second\", state = \"failed\" }}\n\
         [[step]]\nadvance = \"100d\"\ntimers = []\nruns = 1\n"
    );
    let tester = Tester::with(&[("timers", &text)]);
    let tested = tester.test(&[]).await;
    assert!(tested.status.success(), "{}", said(&tested));
}

#[tokio::test]
async fn a_scenario_that_is_not_right_names_its_line_and_the_fix() {
    let tester = Tester::with(&[
        ("length", "[[step]]\nadvance = \"ten minutes\"\n"),
        ("nobody", "[[step]]\nwrite = { customer = \"paul\", text = \"hello\" }\n"),
        ("unwanted", "[[step]]\nevent = { type = \"com.example.nothing\" }\n"),
    ]);
    let tested = tester.test(&[]).await;
    let shown = said(&tested);
    assert_eq!(tested.status.code(), Some(1));
    for words in [
        "length.toml:5: `ten minutes` is no length of time; write it as \"90s\"",
        "no customer `paul`: add a [[customer]] with that id",
        "no subscription of the plugin is for `com.example.nothing`",
    ] {
        assert!(shown.contains(words), "no `{words}` in\n{shown}");
    }
    let none = Tester::with(&[]);
    let tested = none.test(&[]).await;
    assert!(said(&tested).contains("docs/scenarios.md"), "{}", said(&tested));
    fs::remove_file(Path::new(&none.dir).join("tester.wasm")).unwrap();
    let tested = none.test(&[]).await;
    assert!(said(&tested).contains("relais plugin build"), "{}", said(&tested));
}

/// Permissions that a test adds to the tester's.
fn asking(tester: &Tester, http: &str) {
    let path = Path::new(&tester.dir).join("plugin.toml");
    let manifest = fs::read_to_string(&path).unwrap();
    let more = manifest.replace("[permissions]\n", &format!("[permissions]\nsecrets = [\"stock\"]\nhttp = [{http}]\n"));
    assert_ne!(manifest, more);
    fs::write(path, more).unwrap();
}

#[tokio::test]
async fn services_answer_as_the_scenario_says_and_it_sees_what_they_were_asked() {
    let asks = told(
        "[{ ask = { url = \"https://stock.example/v1/items/7?in=kg\", secret = \"stock\" } }, \
          { ask = { url = \"https://stock.example/v1/orders\", post = \"{\\\"item\\\": 7}\" } }]",
    );
    let right = format!(
        "[[http]]\nurl = \"https://stock.example/v1/items/*\"\njson = {{ left = 3 }}\n\
         [[http]]\nmethod = \"POST\"\nurl = \"https://stock.example/v1/orders\"\nstatus = 201\nbody = \"ordered\"\n{PAUL}\
         {asks}log = [\"answered 200 {{\\\"left\\\":3}}\", \"answered 201 ordered\"]\n\
         requests = [{{ url = \"https://stock.example/v1/items/7?in=kg\", headers = {{ Authorization = \"Bearer secret:stock\" }} }}, \
                     {{ method = \"POST\", url = \"https://stock.example/v1/orders\", json = {{ item = 7.0 }} }}]\n\
         {asks}log = [\"no answer: the service did not answer in time\"]\n[[step.http]]\nmethod = \"POST\"\n\
         url = \"https://stock.example/v1/orders\"\nerror = \"timed-out\"\n"
    );
    let wrong = format!("{PAUL}{asks}requests = []\n");
    let tester = Tester::with(&[("right", &right), ("wrong", &wrong)]);
    asking(&tester, "{ host = \"stock.example\", methods = [\"GET\", \"POST\"] }");
    let tested = tester.test(&[]).await;
    let shown = said(&tested);
    for words in [
        "ok     right",
        "FAILS  wrong",
        "GET https://stock.example/v1/items/7?in=kg has no answer; add to the file",
        "[[http]]",
        "method = \"POST\"",
        "url = \"https://stock.example/v1/orders\"",
        "expected   none",
        "got        POST https://stock.example/v1/orders",
    ] {
        assert!(shown.contains(words), "no `{words}` in\n{shown}");
    }
}

#[tokio::test]
async fn a_request_that_the_manifest_does_not_ask_for_is_not_permitted_whatever_answers_there_are() {
    let asks = told("[{ ask = { url = \"https://other.example/\" } }]");
    let text =
        format!("[[http]]\nurl = \"https://other.example/\"\n{PAUL}{asks}log = [\"no answer: \"]\nrequests = []\n");
    let tester = Tester::with(&[("kept in", &text)]);
    asking(&tester, "{ host = \"stock.example\" }");
    let tested = tester.test(&[]).await;
    assert!(tested.status.success(), "{}", said(&tested));
}
