//! relais: a WebAssembly plugin host for message workflows.
//!
//! In reading order: the nouns, what bounds and names them, the stages that an event passes through, and what stands around.

// The nouns and what they are made of.
pub mod clock;
pub mod crypto;
pub mod domain;
pub mod ids;
pub mod secret;
pub mod shutdown;

// The rules, the truth, and the sandbox.
pub mod plugin;
pub mod retention;
pub mod rules;
pub mod store;

// One direction: ingress → run → commit → dispatch → receipt. Stages do not import one another; they meet in the store.
pub mod channel;
pub mod dispatch;
pub mod ingress;
pub mod links;
pub mod media;
pub mod notice;
pub mod receipt;
pub mod run;

// What people and their tools look at.
pub mod api;
pub mod page;

// Putting it together.
pub mod config;
pub mod host;
pub mod process;
pub mod terminal;

// Not part of a host in production: nothing above knows of these.
pub mod author;
pub mod bench;
pub mod cli;
pub mod demo;
pub mod simulator;

#[cfg(test)]
mod world_tests;
