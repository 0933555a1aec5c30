//! Plugins under a real engine: hostile ones that must not get through, and polite ones that must.

mod calls;
#[path = "../../../../tests/hostile/component.rs"]
mod component;
mod hostile;
mod http;
mod many;
mod polite;
mod store;
pub(super) mod world;
