//! Lines in the host's log. They stay, whatever becomes of the run.

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For following one run step by step.
    Trace,
    /// For the plugin's author.
    Debug,
    /// What the operator may want to know.
    Info,
    /// What the operator should look at.
    Warn,
    /// What the operator has to repair.
    Error,
}

#[doc(hidden)]
pub fn write(level: Level, message: String) {
    crate::host::run_log(level, message);
}

/// Logs for following one run step by step.
#[macro_export]
macro_rules! trace { ($($part:tt)*) => { $crate::log::write($crate::log::Level::Trace, ::std::format!($($part)*)) }; }

/// Logs for the plugin's author.
#[macro_export]
macro_rules! debug { ($($part:tt)*) => { $crate::log::write($crate::log::Level::Debug, ::std::format!($($part)*)) }; }

/// Logs what the operator may want to know.
#[macro_export]
macro_rules! info { ($($part:tt)*) => { $crate::log::write($crate::log::Level::Info, ::std::format!($($part)*)) }; }

/// Logs what the operator should look at.
#[macro_export]
macro_rules! warn { ($($part:tt)*) => { $crate::log::write($crate::log::Level::Warn, ::std::format!($($part)*)) }; }

/// Logs what the operator has to repair.
#[macro_export]
macro_rules! error { ($($part:tt)*) => { $crate::log::write($crate::log::Level::Error, ::std::format!($($part)*)) }; }
