//! The conformance plugins of `tests/conformance`, each in every language that there is an SDK for, on the real host: the polite
//! one sees the same whatever it is written in, and each way in which the hostile one goes wrong ends as designed, with the
//! place in the plugin where it happened.

pub(crate) mod hostile;
pub(crate) mod polite;
