//! The invariants of ARCHITECTURE.md, held against the source text: who may name what, where the time is read, and what must
//! not be there at all. They are absences, which no compiler and no other test sees.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use crate::harness::repository;

/// Every Rust file under `host/src`, by its path there, with `/`.
fn sources() -> BTreeMap<String, String> {
    let root = repository().join("host/src");
    let mut found = BTreeMap::new();
    collect(&root, "", &mut found);
    assert!(found.len() > 100 && found.contains_key("lib.rs"), "these are not the host's sources");
    found
}

fn collect(dir: &Path, prefix: &str, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{prefix}{}", path.file_name().unwrap().to_string_lossy());
        if path.is_dir() {
            collect(&path, &format!("{name}/"), found);
        } else if name.ends_with(".rs") {
            found.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
}

/// What is compiled into the program: no files of tests, no test modules, no comments.
fn production() -> BTreeMap<String, String> {
    let is_test = |path: &str| path.ends_with("tests.rs") || path.contains("/tests/") || path.contains("_tests/");
    let kept = sources().into_iter().filter(|(path, _)| !is_test(path));
    kept.map(|(path, text)| (path, without_comments(without_tests(&text)))).collect()
}

fn without_tests(text: &str) -> &str {
    // A module of tests is the last thing in its file.
    match text.find("#[cfg(test)]\nmod tests {") {
        Some(at) => &text[..at],
        None => text,
    }
}

fn without_comments(text: &str) -> String {
    let kept = text.lines().map(|line| if line.trim_start().starts_with("//") { "" } else { line });
    kept.collect::<Vec<_>>().join("\n")
}

/// Every module of the crate's root that a file names: in `crate::a::b`, in `use crate::{a::b, c}`, and by `super::super::a`.
fn modules_named(path: &str, text: &str) -> BTreeSet<String> {
    let depth = path.trim_end_matches(".rs").trim_end_matches("/mod").split('/').count();
    let to_root = format!("{}{}", "super::".repeat(depth - 1), "super::");
    let mut named = BTreeSet::new();
    for root in ["crate::", to_root.as_str()] {
        for (at, _) in text.match_indices(root) {
            let rest = &text[at + root.len()..];
            match rest.strip_prefix('{') {
                Some(group) => named.extend(heads(group)),
                None => _ = named.insert(word(rest)),
            }
        }
    }
    named
}

/// The first word of each member of a group, up to the brace that closes it.
fn heads(group: &str) -> Vec<String> {
    let mut heads = vec![word(group.trim_start())];
    let mut depth = 0;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.push(word(group[at + 1..].trim_start())),
            _ => {}
        }
    }
    heads
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Files that contain a text although they are in none of these places.
fn outside(needle: &str, places: &[&str]) -> Vec<String> {
    let files = production();
    let found: Vec<&String> = files.iter().filter(|(_, text)| text.contains(needle)).map(|(path, _)| path).collect();
    for place in places {
        assert!(
            found.iter().any(|path| path.starts_with(place)),
            "`{needle}` is not in {place} any more: shorten the list"
        );
    }
    let elsewhere = found.into_iter().filter(|path| !places.iter().any(|place| path.starts_with(place)));
    elsewhere.cloned().collect()
}

const NONE: [String; 0] = [];

#[test]
fn the_stages_do_not_import_one_another() {
    const STAGES: [&str; 4] = ["ingress", "run", "dispatch", "receipt"];
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for (path, text) in production() {
        let Some(stage) = STAGES.into_iter().find(|stage| path.starts_with(&format!("{stage}/"))) else { continue };
        seen.insert(stage);
        let named = modules_named(&path, &text);
        let others = STAGES.into_iter().filter(|other| *other != stage && named.contains(*other));
        wrong.extend(others.map(|other| format!("{path}: {other}")));
    }
    assert_eq!(seen.len(), STAGES.len());
    assert_eq!(wrong, NONE);
}

#[test]
fn names_are_found_however_they_are_imported() {
    let text = "use crate::{\n    a::{b, c},\n    d,\n};\nuse crate::e::f;\nfn g() { super::super::h::i() }";
    let named = modules_named("dispatch/route.rs", text);
    assert_eq!(
        named.iter().map(String::as_str).filter(|name| !name.is_empty()).collect::<Vec<_>>(),
        ["a", "d", "e", "h"]
    );
}

#[test]
fn connections_go_out_from_the_channels_and_from_the_tools_only() {
    assert_eq!(outside("reqwest", &["channel/", "plugin/http/", "demo/", "cli/", "bench/", "simulator/"]), NONE);
    assert_eq!(outside("oci_client", &["author/registry"]), NONE);
}

#[test]
fn only_the_store_knows_sql_and_only_the_plugin_layer_knows_wasmtime() {
    assert_eq!(outside("rusqlite", &["store/sqlite/"]), NONE);
    assert_eq!(outside("tokio_postgres", &["store/postgres/"]), NONE);
    assert_eq!(outside("wasmtime", &["plugin/"]), NONE);
}

#[test]
fn the_time_is_read_in_one_place_and_durations_are_measured_in_few() {
    for reads in ["SystemTime::now", "Timestamp::now()", "Zoned::now", "Utc::now"] {
        let elsewhere: Vec<String> = production()
            .into_iter()
            .filter(|(path, text)| path != "clock.rs" && text.contains(reads))
            .map(|(path, _)| path)
            .collect();
        assert_eq!(elsewhere, NONE, "{reads}");
    }
    // A duration by the machine's clock, where the host's own clock, which a demo moves, would be wrong.
    let measured = [
        ("clock.rs", "the clock itself"),
        ("bench/", "what it is for"),
        ("cli/migrate.rs", "how fast rows are moved"),
        ("demo/play.rs", "how long to wait for a story, in the time of whoever watches"),
        ("dispatch/deliver.rs", "whether the host was stopped between writing an attempt down and making it"),
        ("ingress/listen/", "deadlines of connections"),
        ("ingress/wait.rs", "how long a client waits for an answer"),
        ("plugin/cache.rs", "how long compiling took"),
        ("plugin/calls/http.rs", "how long a service took to answer"),
        ("plugin/calls/wasi.rs", "a guest's monotonic clock begins with its run"),
        ("plugin/long.rs", "how long a run took, and may take"),
        ("plugin/mod.rs", "how long loading took, and since when packages stand as they do"),
        ("plugin/watch.rs", "how long a package has stood as it is"),
        ("store/postgres/lease.rs", "how long a lease is good for, whatever the clocks show"),
    ];
    assert_eq!(outside("Instant::now", &measured.map(|(place, _)| place)), NONE);
}

#[test]
fn nothing_in_production_knows_of_the_simulator() {
    const MAY: [&str; 3] = ["demo/", "cli/", "simulator/"];
    let knows = production().into_iter().filter(|(path, text)| modules_named(path, text).contains("simulator"));
    let elsewhere: Vec<String> =
        knows.map(|(path, _)| path).filter(|path| !MAY.iter().any(|may| path.starts_with(may))).collect();
    assert_eq!(elsewhere, NONE);
}

#[test]
fn nothing_is_left_for_later() {
    let mut left = Vec::new();
    for (path, text) in tracked().into_iter().filter(|(path, _)| path.ends_with(".rs")) {
        for macro_name in ["todo", "unimplemented", "dbg"] {
            let call = format!("{macro_name}!(");
            left.extend(
                text.lines().filter(|line| line.contains(&call)).map(|line| format!("{path}: {}", line.trim())),
            );
        }
    }
    assert_eq!(left, NONE);
}

/// The files of settings, and what their structs are called in the configuration.
const SETTINGS: [(&str, &[&str]); 17] = [
    ("config.rs", &["Config", "Server", "ClockSettings", "LogSettings", "PriceSettings"]),
    ("ingress/settings.rs", &["Settings", "ListenLimits"]),
    ("store/settings.rs", &["Settings"]),
    ("store/sqlite/settings.rs", &["Settings"]),
    ("store/postgres/settings.rs", &["Settings"]),
    ("run/settings.rs", &["Settings"]),
    ("rules/allowed.rs", &["Settings"]),
    ("rules/hours.rs", &["Quiet"]),
    ("dispatch/settings.rs", &["Settings"]),
    ("dispatch/fallback.rs", &["Fallback"]),
    ("retention.rs", &["Settings"]),
    ("plugin/settings.rs", &["Settings", "CompileSettings", "LimitSettings", "CapSettings", "CapTable"]),
    ("plugin/budget.rs", &["Budget"]),
    ("plugin/http/mod.rs", &["HttpSettings"]),
    ("channel/sms/render.rs", &["Settings"]),
    ("channel/settings.rs", &["HttpSettings"]),
    ("channel/smpp/settings.rs", &["SmppSettings"]),
];

/// Whether a key is in the defaults: set, shown in a comment, or the name of a table.
fn is_documented(key: &str) -> bool {
    relais::config::DEFAULTS.lines().any(|line| {
        let line = line.trim_start_matches("# ").trim();
        let table = line.trim_start_matches('[').split(['.', ']']);
        line.split_once(" = ").is_some_and(|(name, _)| name.trim() == key)
            || (line.starts_with('[') && table.into_iter().any(|part| part == key))
    })
}

/// The keys of a struct of settings, as they are written in a configuration.
fn keys(text: &str, name: &str) -> Vec<String> {
    let start = text.find(&format!("pub struct {name} {{")).unwrap_or_else(|| panic!("there is no struct {name}"));
    let body = text[start..].split("\n}").next().unwrap();
    let mut keys = Vec::new();
    let mut renamed = None;
    for line in body.lines().map(str::trim) {
        if let Some((_, rest)) = line.split_once("rename = \"") {
            renamed = rest.split('"').next().map(str::to_owned);
        }
        if let Some((field, _)) = line.strip_prefix("pub ").and_then(|field| field.split_once(':')) {
            keys.push(renamed.take().unwrap_or_else(|| field.replace('_', "-")));
        }
    }
    keys
}

#[test]
fn every_setting_is_in_the_defaults_that_are_printed() {
    let files = production();
    let mut missing = Vec::new();
    for (path, structs) in SETTINGS {
        for name in structs {
            let keys = keys(&files[path], name);
            assert!(!keys.is_empty(), "{path}: {name} has no keys");
            missing
                .extend(keys.into_iter().filter(|key| !is_documented(key)).map(|key| format!("{path}: {name}.{key}")));
        }
    }
    assert_eq!(missing, NONE);
    assert!(!is_documented("fallback-after-m"), "the search finds what is not there");
}

/// Every file that is under version control, and its text; what is no text is left out.
fn tracked() -> BTreeMap<String, String> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(repository()).output().unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let paths = String::from_utf8(listed.stdout).unwrap();
    // A file that is on its way out of the working tree has no text any more.
    let read = |path: &str| fs::read_to_string(repository().join(path)).ok().map(|text| (path.to_owned(), text));
    let tracked: BTreeMap<String, String> =
        paths.split('\0').filter(|path| !path.is_empty()).filter_map(read).collect();
    assert!(tracked.len() > 200, "there are only {} files", tracked.len());
    tracked
}

#[test]
fn no_source_file_is_too_long_to_be_read() {
    const LINES_MAX: usize = 600;
    let is_source =
        |path: &str| [".rs", ".js", ".css", ".html", ".wit", ".py", ".sh"].iter().any(|end| path.ends_with(end));
    let long = tracked().into_iter().filter(|(path, text)| is_source(path) && text.lines().count() > LINES_MAX);
    assert_eq!(long.map(|(path, _)| path).collect::<Vec<_>>(), NONE);
}

#[test]
fn no_file_names_a_package_registry_or_a_path_of_somebodys_machine() {
    // Put together, so that this file does not name them.
    let needles = [
        concat!("crates", ".io"),
        concat!("static.crates", ".io"),
        concat!("registry.npmjs", ".org"),
        concat!("pypi", ".org"),
        concat!("proxy.golang", ".org"),
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/home", "/"),
    ];
    let mut found = Vec::new();
    for (path, text) in tracked() {
        // Cargo writes its registry's name into the lock file.
        if path.ends_with("Cargo.lock") {
            continue;
        }
        for needle in needles {
            found.extend(
                text.lines().filter(|line| line.contains(needle)).map(|line| format!("{path}: {}", line.trim())),
            );
        }
    }
    assert_eq!(found, NONE);
}

#[test]
fn every_source_file_is_part_of_the_program() {
    let files = sources();
    let mut orphans = Vec::new();
    for path in files.keys().filter(|path| !["lib.rs", "main.rs"].contains(&path.as_str())) {
        let module = path.trim_end_matches(".rs").trim_end_matches("/mod");
        let (parent, name) = module.rsplit_once('/').unwrap_or(("", module));
        let parents = match parent {
            "" => vec!["lib.rs".to_owned(), "main.rs".to_owned()],
            parent => vec![format!("{parent}/mod.rs"), format!("{parent}.rs")],
        };
        let declares = |parent: &String, line: &str| {
            files.get(parent).is_some_and(|text| {
                text.lines().map(str::trim).any(|found| found.ends_with(line) && !found.starts_with("//"))
            })
        };
        // Tests may be kept beside their module, and are named by their path there.
        let mut beside = files.keys().filter(|other| other.rsplit_once('/').map_or("", |(dir, _)| dir) == parent);
        let declared = parents.iter().any(|parent| declares(parent, &format!("mod {name};")))
            || beside.any(|other| declares(other, &format!("#[path = \"{name}.rs\"]")));
        if !declared {
            orphans.push(path.clone());
        }
    }
    assert_eq!(orphans, NONE);
}
