//! Starts a real host and talks to it from outside.
//!
//! A test says what it needs ([`Setup`]), gets a host ([`Host`]) that is the built binary in a process of its own, with a
//! directory, a port and a clock of its own, and simulated providers ([`Sim`]) with their telephones on a real socket in
//! the test's process. It talks to the host over HTTP like anybody, kills it, starts it again, and moves its clock. What was
//! promised and what was seen is compared in one place ([`ledger`]).
//!
//! Nothing in here sleeps to wait for something: [`Host::until`] asks until it is so, and when it never is, says what it saw
//! and shows the end of the host's log.

mod api;
pub(crate) mod cluster;
mod db;
mod doctor;
mod forged;
mod host;
pub(crate) mod ledger;
pub(crate) mod load;
mod plugins;
pub(crate) mod postgres;
mod process;
pub(crate) mod proxy;
mod random;
mod receiver;
mod registry;
pub(crate) mod report;
mod setup;
mod sim;
mod story;
pub(crate) mod strace;

pub(crate) use api::Answer;
pub(crate) use cluster::Cluster;
pub(crate) use db::{Db, both_databases, on_postgres};
pub(crate) use forged::{hmac_sha256_hex, meta_signature};
pub(crate) use host::Host;
pub(crate) use plugins::{
    Packages, component_in, conformance, copy_example, copy_guest, copy_package, copy_shipped, ensure_other_languages,
    ensure_plugins, repository, shared_cache,
};
pub(crate) use process::{relais, relais_with, start_relais};
pub(crate) use random::Random;
pub(crate) use receiver::{Receiver, standard_signature};
pub(crate) use registry::{Registry, Wrong};
pub(crate) use setup::{LEASE, Setup, Sms, TILL_SECRET};
pub(crate) use sim::Sim;
pub(crate) use story::{Shown, attempt, event, order_ready, steps, text_of, unique};

/// The demo's telephone numbers, from a range that is set aside for fiction.
pub(crate) const PAUL: &str = "+33639981201";
pub(crate) const LEA: &str = "+33639981202";
pub(crate) const MALIK: &str = "+33639981203";
pub(crate) const NORA: &str = "+33639981204";
