//! What wit-bindgen makes of the contract. Plugins see none of it.

#![allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, reason = "generated: it speaks the canonical ABI")]

wit_bindgen::generate!({
    path: "../wit/1.0.0",
    world: "plugin",
    pub_export_macro: true,
    export_macro_name: "__export",
    default_bindings_module: "relais_plugin::bindings",
    generate_all,
});
