//! The table against the reference, webhooks against the documented bodies, sending against a listener that plays Meta.

mod bodies;
mod sending;
mod tabled;
mod webhooks;
