//! Plugins under a real engine: hostile ones that must not get through, and polite ones that must.

mod hostile;
mod store;
mod world;
