//! Lines in the host's log. They stay, whatever becomes of the run.
//!
//! Each macro takes what `format!` takes, and before that fields to find the line by:
//!
//! ```no_run
//! # use relais_plugin::{info, warn};
//! # let (id, name) = (4821, "the cake");
//! info!("the order is ready");
//! warn!(order = id, parts = 3, "{name} is late");
//! ```

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
pub fn write(level: Level, message: String, fields: Vec<(String, String)>) {
    crate::host::run_log(level, message, fields);
}

/// Fields are taken off the front one by one; what is left is for `format!`.
#[doc(hidden)]
#[macro_export]
macro_rules! __log {
    ($level:ident, [$($fields:tt)*] $name:ident = $value:expr, $($rest:tt)+) => {
        $crate::__log!($level, [$($fields)* ($name, $value)] $($rest)+)
    };
    ($level:ident, [$(($name:ident, $value:expr))*] $($part:tt)*) => {
        $crate::log::write(
            $crate::log::Level::$level,
            ::std::format!($($part)*),
            ::std::vec![$((::std::string::String::from(::std::stringify!($name)), ::std::string::ToString::to_string(&$value))),*],
        )
    };
}

/// Logs for following one run step by step.
#[macro_export]
macro_rules! trace { ($($part:tt)*) => { $crate::__log!(Trace, [] $($part)*) }; }

/// Logs for the plugin's author.
#[macro_export]
macro_rules! debug { ($($part:tt)*) => { $crate::__log!(Debug, [] $($part)*) }; }

/// Logs what the operator may want to know.
#[macro_export]
macro_rules! info { ($($part:tt)*) => { $crate::__log!(Info, [] $($part)*) }; }

/// Logs what the operator should look at.
#[macro_export]
macro_rules! warn { ($($part:tt)*) => { $crate::__log!(Warn, [] $($part)*) }; }

/// Logs what the operator has to repair.
#[macro_export]
macro_rules! error { ($($part:tt)*) => { $crate::__log!(Error, [] $($part)*) }; }
