//! The host from outside: each test starts the real binary, with simulated providers behind a real socket.
//!
//! The modules are named by the behaviour that they test. What a test needs to start a host is in `../harness`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test, to panic is to fail, and an index that is not there fails it too"
)]

#[path = "../harness/mod.rs"]
mod harness;

mod accounts;
mod acknowledged;
mod aside;
mod author;
mod caps;
mod cli;
mod cluster;
mod compiling;
mod conformance;
mod contract;
mod conversations;
mod crash;
mod customers;
mod demo;
mod disk;
mod doctor;
mod duplicates;
mod entrance;
mod fairness;
mod fallback;
mod foreseen;
mod hostile;
mod http;
mod ingress;
mod migrate;
mod nul;
mod order;
mod plugins;
mod postgres;
mod receipts;
mod registry;
mod reload;
mod retention;
mod rules;
mod runs;
mod shutdown;
mod smpp;
mod stories;
mod tidy;
mod timers;
mod triggers;
mod trust;
mod webhooks;
mod wire;
