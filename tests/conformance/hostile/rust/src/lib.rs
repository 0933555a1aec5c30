//! Goes wrong as the event says.

use std::hint::black_box;

use relais_plugin::{Event, Outcome, Plugin, info, plugin};

struct Hostile;

plugin!(Hostile);

impl Plugin for Hostile {
    fn on_event(event: Event) -> Outcome {
        match event.verb() {
            "loop" => endless(),
            "memory" => memory(),
            "exception" => exception(None),
            "exit" => std::process::exit(3),
            "recursion" => {
                black_box(deeper(0));
            }
            "log" => flood(),
            _ => {}
        }
        Ok(())
    }
}

#[inline(never)]
fn endless() {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

#[inline(never)]
fn memory() {
    let mut kept = Vec::new();
    loop {
        kept.push(black_box(vec![7_u8; 1 << 20]));
    }
}

#[inline(never)]
#[expect(clippy::expect_used, reason = "to panic is what it is for")]
fn exception(given: Option<u32>) {
    black_box(black_box(given).expect("told to fail"));
}

#[inline(never)]
fn deeper(depth: u64) -> u64 {
    if depth == u64::MAX { depth } else { black_box(deeper(black_box(depth + 1))) - 1 }
}

#[inline(never)]
fn flood() {
    let line = "x".repeat(8192);
    loop {
        info!("{line}");
    }
}
