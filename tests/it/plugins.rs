//! (Another session writes this module now.)
