//! A host to test against: plugins run natively, and their calls meet a [`World`] instead of a wire.
//!
//! A world is made from the plugin's own manifest, and derives the entity and the customer of each run from it, checks
//! what it permits and renders its templates, as the host does. The test has the clock in its hand: timers fire
//! when it moves past them. A handler that fails leaves nothing behind.
//!
//! What it does not do: receipts come from the test only (a cancelled message makes none), it has no limits of computing,
//! memory or size, retries nothing, knows the names of days and months in English and French only, and its SMS are not
//! counted in parts. `relais demo` does all of that.

mod calendar;
mod cloudevent;
mod customer;
pub(crate) mod host;
mod manifest;
mod path;
mod send;
mod store;
mod transaction;
mod world;

#[cfg(test)]
mod tests;

pub use customer::Customer;
pub use store::{Refusal, Sent};
pub use world::{NewEvent, World};
