//! Plugins under a real engine: hostile ones that must not get through, and polite ones that must.

mod calls;
mod hostile;
mod http;
mod polite;
mod store;
mod world;
