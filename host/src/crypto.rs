//! Which cryptography TLS uses, chosen once for the process: ring, which builds without cmake.

use std::sync::Once;

/// rustls asks the process, once. Somebody else having chosen before us is no error.
pub fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
