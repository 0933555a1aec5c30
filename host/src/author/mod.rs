//! For whoever writes a plugin: a package to begin with, and the commands that make a component of it.
//!
//! In: a name and a language, or a plugin's directory. Out: files, a component with its digest, what its scenarios came to
//! ([`scenario`]), or what came of a run of another host that was executed again ([`replay`]). What a language needs and how it is built stands in `templates/plugin/languages.toml` ([`languages`]), so a
//! language more is a table and a directory more. What can go wrong is the machine: a tool that is missing is named with what
//! installs it, and a build that fails shows its own words. Nothing of it is used by a host that serves.

mod build;
mod cache;
mod languages;
mod new;
pub mod registry;
mod replay;
mod scenario;
mod scratch;
mod templates;
mod tools;
mod watch;

pub use build::{Built, build};
pub use languages::{Language, languages};
pub use new::{Begun, begin};
pub use replay::{Replayed, replay};
pub use scenario::{Colours, Copied, Played, Wanted, has_scenarios, summary, test, text};
pub use watch::Sources;
