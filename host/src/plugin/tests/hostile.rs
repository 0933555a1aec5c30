//! Each limit is reached by a guest that tries, and named with the setting that raises it.

use std::time::Duration;

use super::world::{World, run, work};
use crate::{
    domain::{run::RunFailure, usage::Limit},
    plugin::{Execution, PluginStatus, State, units::Bytes},
};

fn limit(execution: Execution, name: &str) -> String {
    match execution.result {
        Err(RunFailure::Limit { limit, message }) if limit == name => message,
        other => panic!("expected the limit {name}, got {other:?}"),
    }
}

fn fault(execution: Execution) -> (String, Vec<String>) {
    match execution.result {
        Err(RunFailure::Fault { message, backtrace }) => (message, backtrace),
        other => panic!("expected a fault, got {other:?}"),
    }
}

#[tokio::test]
async fn a_polite_guest_ends_well() {
    let execution = run("polite", "").await;
    assert!(execution.result.is_ok(), "{execution:?}");
    assert_eq!(execution.report.memory_bytes, 2 << 16);
    let used: Vec<_> = execution.report.used.rows().filter(|row| row.used > 0).collect();
    let of = |limit| used.iter().find(|row| row.limit == limit).map(|row| (row.used, row.allowed));
    assert_eq!(of(Limit::Memory), Some((2 << 16, 64 << 20)));
    assert_eq!((of(Limit::Memories), of(Limit::Tables)), (Some((1, 16)), Some((1, 64))));
    assert_eq!(of(Limit::Messages), None);
    assert!(of(Limit::Time).is_some_and(|(used, allowed)| used < allowed && allowed == 5_000_000), "{used:?}");
}

/// Why the package is not loaded.
async fn refusal(name: &str, more: &str) -> String {
    let world = World::new();
    world.install(name, more);
    match world.start().await.status().as_slice() {
        [PluginStatus { state: State::Refused { reason }, .. }] => reason.clone(),
        other => panic!("{name} is not refused: {other:?}"),
    }
}

#[tokio::test]
async fn an_endless_loop_ends_at_the_cpu_limit_and_lets_others_run_meanwhile() {
    let world = World::new();
    world.install("cpu-loop", "[limits]\ncpu = \"300ms\"");
    world.install("polite", "");
    let plugins = world.start().await;
    // One thread serves both: the neighbour gets through only because the first tick gives the thread back.
    let hostile = plugins.execute(work("cpu-loop", 1));
    tokio::pin!(hostile);
    let mut neighbours = 0;
    let ended = loop {
        tokio::select! {
            biased;
            execution = &mut hostile => break execution,
            execution = plugins.execute(work("polite", neighbours)) => {
                assert!(execution.result.is_ok());
                neighbours += 1;
            }
        }
    };
    assert!(neighbours >= 10, "the neighbour ran {neighbours} times beside 300 ms of computing");
    let cpu = ended.report.used.rows().find(|row| row.limit == Limit::Cpu).unwrap();
    assert!((300_000..900_000).contains(&cpu.used), "{cpu}");
    let message = limit(ended, "cpu");
    assert!(message.contains("300ms") && message.contains("limits.cpu"), "{message}");
}

#[tokio::test]
async fn loops_where_no_handler_runs_yet_or_any_more_end_at_the_cpu_limit() {
    for name in ["loop-in-start", "loop-in-realloc", "loop-in-post-return", "bulk-memory"] {
        let message = limit(run(name, "[limits]\ncpu = \"40ms\"").await, "cpu");
        assert!(
            message.contains("40ms") && message.contains(&format!("plugins.limits.plugin.{name}.cpu")),
            "{message}"
        );
    }
}

#[tokio::test]
async fn more_long_runs_than_there_are_places_end_each_within_its_own_time() {
    let mut world = World::new();
    world.settings.concurrency = 40;
    world.install("cpu-loop", "[limits]\ncpu = \"150ms\"\ntime = \"3s\"");
    let plugins = world.start().await;
    // Together they compute for six seconds; were waiting counted, the last of them would end for their time.
    let runs = (0..40).map(|no| plugins.execute(work("cpu-loop", no)));
    for execution in futures_util::future::join_all(runs).await {
        limit(execution, "cpu");
    }
}

#[tokio::test]
async fn the_wall_clock_ends_a_run_that_has_computing_time_left() {
    let message = limit(run("cpu-loop", "[limits]\ncpu = \"10s\"\ntime = \"50ms\"").await, "time");
    assert!(message.contains("50ms") && message.contains("limits.time"), "{message}");
}

#[tokio::test]
async fn memory_is_bounded_however_it_is_asked_for() {
    let message = limit(run("memory-growth", "[limits]\nmemory = \"8MiB\"").await, "memory");
    assert!(message.contains("8MiB") && message.contains("limits.memory"), "{message}");
    limit(run("many-memories", "").await, "memory");
}

#[tokio::test]
async fn more_memory_to_begin_with_than_allowed_is_refused_at_load() {
    let world = World::new();
    world.install("declared-memory", "");
    world.install("polite", "");
    let plugins = world.start().await;
    let status = plugins.status();
    assert!(
        matches!(&status[0].state, State::Refused { reason } if reason.contains("250MiB") && reason.contains("limits.memory")),
        "{status:?}"
    );
    assert_eq!(status[1].state, State::Loaded, "one bad package keeps nobody from serving");
}

#[tokio::test]
async fn a_component_of_too_many_parts_is_refused_at_load_with_the_limit() {
    for (name, limit) in [
        ("countless-memories", "memories"),
        ("countless-tables", "tables"),
        ("declared-table", "table-elements"),
        ("many-instances", "instances"),
    ] {
        let reason = refusal(name, "").await;
        assert!(reason.contains(&format!("plugins.limits.ceiling.{limit}")), "{name}: {reason}");
    }
    // The same by a limit of its own below the ceiling.
    for (limit, allowed) in [("memories", 0), ("tables", 0), ("table-elements", 0)] {
        let reason = refusal("polite", &format!("[limits]\n{limit} = {allowed}")).await;
        assert!(reason.contains(&format!("its limit of {limit} is {allowed}")), "{reason}");
    }
}

#[tokio::test]
async fn what_only_a_run_shows_is_bounded_by_the_plugins_own_limit() {
    let message = limit(run("polite", "[limits]\ninstances = 2").await, "instances");
    assert!(message.contains("limits.instances"), "{message}");
    limit(run("many-tables", "").await, "table-elements");
    let message = limit(run("own-handles", "[limits]\nhandles = 100").await, "handles");
    assert!(message.contains("limits.handles") && message.contains("100"), "{message}");
}

#[tokio::test]
async fn what_the_operator_sets_for_a_plugin_goes_before_its_wish() {
    let mut world = World::new();
    world.settings.limits.plugin.insert("cpu-loop".into(), toml::from_str("cpu = \"30ms\"").unwrap());
    world.install("cpu-loop", "[limits]\ncpu = \"9s\"");
    let plugins = world.start().await;
    let message = limit(plugins.execute(work("cpu-loop", 1)).await, "cpu");
    assert!(message.contains("30ms"), "{message}");
}

#[tokio::test]
async fn tables_stack_and_host_calls_are_bounded() {
    limit(run("table-growth", "").await, "table-elements");
    let (message, backtrace) = fault(run("recursion", "").await);
    assert!(message.contains("stack exhausted"), "{message}");
    assert!(backtrace.iter().any(|frame| frame.contains("deeper")), "{backtrace:?}");
    limit(run("host-call-flood", "").await, "host-calls");
}

#[tokio::test]
async fn what_crosses_to_the_host_is_bounded_and_has_to_lie_in_memory() {
    let mut world = World::new();
    world.settings.limits.default.crossing_bytes = Bytes(64 << 10);
    world.install("crossing-flood", "");
    let plugins = world.start().await;
    limit(plugins.execute(work("crossing-flood", 1)).await, "crossing-bytes");
    for name in ["wild-pointer", "wild-realloc", "absurd-length", "absurd-answer", "start-traps"] {
        fault(run(name, "").await);
    }
    let (message, _) = fault(run("reentry", "").await);
    assert!(message.contains("cannot leave component instance"), "{message}");
}

#[tokio::test]
async fn nothing_of_one_run_is_visible_in_the_next() {
    let world = World::new();
    world.install("residue", "");
    let plugins = world.start().await;
    // More runs than the pool has slots, so that every slot is used again.
    for no in 0..50 {
        let execution = plugins.execute(work("residue", no)).await;
        assert!(execution.result.is_ok(), "run {no}: {execution:?}");
    }
}

#[tokio::test]
async fn a_second_start_compiles_nothing() {
    let mut world = World::new();
    world.settings.cache_dir = Some(world.root.join("cache"));
    world.install("polite", "");
    assert!(!world.start().await.status()[0].cached);
    assert!(world.start().await.status()[0].cached);
    // A damaged file is a miss, and made anew.
    let file = std::fs::read_dir(world.root.join("cache")).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&file, b"damaged").unwrap();
    let plugins = world.start().await;
    assert!(!plugins.status()[0].cached);
    assert!(plugins.execute(work("polite", 1)).await.result.is_ok());
    assert!(world.start().await.status()[0].cached);
}

#[tokio::test]
async fn a_run_that_is_dropped_half_way_leaves_the_host_whole() {
    let world = World::new();
    world.install("cpu-loop", "");
    world.install("polite", "");
    let plugins = world.start().await;
    let given_up = tokio::time::timeout(Duration::from_millis(30), plugins.execute(work("cpu-loop", 1))).await;
    assert!(given_up.is_err());
    assert!(plugins.execute(work("polite", 2)).await.result.is_ok());
}
