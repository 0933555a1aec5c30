//! The nouns: plain data that the stages hand to one another through the store.
//!
//! Nothing in here does input or output, knows SQL or names wasmtime. What is decided about the data by rule (a status
//! that only moves forward, a delivery state that a plugin sees) stands beside it, so that both databases and every stage decide alike.

pub mod bundle;
pub mod content;
pub mod customer;
pub mod endpoint;
pub mod event;
pub mod exchange;
pub mod file;
pub mod kinds;
pub mod message;
pub mod note;
pub mod plugin;
pub mod purpose;
pub mod quota;
pub mod run;
pub mod shard;
pub mod status;
pub mod tally;
pub mod text;
pub mod usage;
