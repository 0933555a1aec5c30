//! Goes to each limit in turn: the last word of the event's type says which.
//!
//! Everything in here is what a partner's plugin could do by mistake or on purpose, with the SDK and the standard library. What no
//! compiler makes (loops before a handler is called, pointers out of memory) is in `tests/hostile`.

// It calls the host below the SDK as well, which there is in a component only.
#![cfg(target_family = "wasm")]

use std::{hint::black_box, mem, thread, time::Duration};

use relais_plugin::{
    Error, Event, Message, Outcome, Plugin, Purpose, Timer, bindings, events, info, plugin, run, state, timers,
};

struct Hostile;

plugin!(Hostile);

impl Plugin for Hostile {
    fn on_event(event: Event) -> Outcome {
        match event.verb() {
            "loop" => spin(),
            "recursion" => _ = black_box(deeper(1)),
            "memory-in-one-piece" => _ = black_box(vec![1_u8; 64 << 20]),
            "memory-in-many-pieces" => hoard(),
            "bulk-memory" => copy(),
            "giant-string" => _ = state::get::<String>(&"x".repeat(20 << 20)),
            "giant-list" => giant_list(&event),
            "host-calls" => for_ever(|_| _ = run::attempt()),
            "log" => for_ever(|_| info!("{}", "x".repeat(1000))),
            "log-in-one-line" => info!("{}", "x".repeat(1 << 20)),
            "stderr" => for_ever(|_| eprintln!("{}", "x".repeat(1000))),
            "messages" => for_ever(|no| _ = send(&event, no)),
            "refusals" => for_ever(|no| _ = Message::to_phone(format!("+33{no:04}"), Purpose::Alert).text("x").send()),
            "timers" => for_ever(|no| timers::after(no.to_string(), Duration::from_secs(3600)).set()),
            "events" => for_ever(|_| events::event("com.example.idle").emit()),
            "state" => for_ever(|no| _ = state::set(&no.to_string(), &"x".repeat(30_000))),
            "state-again" => for_ever(|_| _ = state::set("same", &"x".repeat(30_000))),
            "value" => state::set("value", &"x".repeat(100_000))?,
            "key" => state::set(&"x".repeat(1000), "key")?,
            "timer-data" => timers::after("data", Duration::from_secs(1)).data(&"x".repeat(300_000))?.set(),
            "attachments" => for_ever(|_| attach(&event)),
            "drafts" => for_ever(|_| mem::forget(draft(&event))),
            "random" => for_ever(|_| _ = black_box(bindings::relais::plugin::run::random(1000))),
            "sleep" => thread::sleep(Duration::from_secs(3600)),
            "naps" => for_ever(|_| thread::sleep(Duration::from_millis(1))),
            "panic" => give_up(),
            "exit" => std::process::exit(3),
            other => return Err(Error::reject(format!("there is no attack `{other}`"))),
        }
        Ok(())
    }

    fn on_timer(_timer: Timer) -> Outcome {
        Ok(())
    }
}

fn for_ever(mut act: impl FnMut(u64)) {
    for no in 0.. {
        act(no);
    }
}

fn spin() {
    for_ever(|no| _ = black_box(no));
}

#[expect(unconditional_recursion, reason = "that it does not end is the attack")]
fn deeper(depth: u64) -> u64 {
    // What is done after the call keeps the compiler from making a loop of it.
    black_box(deeper(black_box(depth + 1))) + depth
}

fn hoard() {
    let mut pieces = Vec::new();
    loop {
        pieces.push(black_box(vec![1_u8; 10_000]));
    }
}

/// Copies all that it may have, again and again: each copy is one instruction.
fn copy() {
    let mut bytes = vec![1_u8; 24 << 20];
    let half = bytes.len() / 2;
    for_ever(|_| {
        bytes.copy_within(..half, half);
        black_box(&bytes);
    });
}

fn customer(event: &Event) -> String {
    event.customer.clone().unwrap_or_default()
}

fn send(event: &Event, no: u64) -> bool {
    Message::to(customer(event), Purpose::Alert).text(format!("hostile {no}")).send().is_ok()
}

fn draft(event: &Event) -> bindings::relais::plugin::messages::Draft {
    use bindings::relais::plugin::messages::{Draft, Purpose};
    Draft::to_customer(&customer(event), Purpose::Alert)
}

/// A list of very many pairs, each of which says nothing.
fn giant_list(event: &Event) {
    let params = vec![(String::new(), String::new()); 420_000];
    draft(event).template("none", &params);
}

fn attach(event: &Event) {
    draft(event).attach_bytes(&vec![1; 2 << 20], "image/png", None);
}

#[expect(clippy::panic, reason = "to trap is what this attack is for")]
fn give_up() {
    panic!("told to trap")
}
