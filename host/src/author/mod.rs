//! For whoever writes a plugin: a package to begin with, and the commands that make a component of it.
//!
//! In: a name and a language, or a plugin's directory. Out: files, or a component with its digest. What a language needs and
//! how it is built stands in `templates/plugin/languages.toml` ([`languages`]), so a language more is a table and a directory
//! more. What can go wrong is the machine: a tool that is missing is named with what installs it, and a build that fails shows
//! its own words. Nothing here runs a plugin, and nothing of it is used by a host that serves.

mod build;
mod languages;
mod new;
pub mod registry;
mod templates;
mod tools;

pub use build::{Built, build};
pub use languages::{Language, languages};
pub use new::{Begun, begin};
