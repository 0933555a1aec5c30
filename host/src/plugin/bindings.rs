//! The contract in Rust, generated from `wit/`.
//!
//! Only the calls that may ask the store are asynchronous; everything else answers from memory.

wasmtime::component::bindgen!({
    path: "../wit/1.0.0",
    world: "plugin",
    imports: {
        "relais:plugin/customers": async | trappable,
        "relais:plugin/http": async | trappable,
        "relais:plugin/messages.[method]draft.send": async | trappable,
        "relais:plugin/messages.cancel": async | trappable,
        "relais:plugin/messages.status": async | trappable,
        "relais:plugin/messages.media": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    require_store_data_send: true,
    with: {
        "relais:plugin/messages.draft": crate::plugin::calls::messages::Draft,
    },
});

pub(super) use self::exports::relais::plugin::{on_delivery, on_event, on_message, on_timer};
pub(super) use self::relais::plugin::{calendar, customers, events, http, messages, run, state, timers, types};

/// The contract of a channel that a component brings.
pub(super) mod channel {
    wasmtime::component::bindgen!({
        path: ["../wit/1.0.0", "../wit/channel-0.1.0"],
        world: "relais:channel/channel",
        exports: { default: async },
        require_store_data_send: true,
        with: {
            "relais:plugin/types": crate::plugin::bindings::relais::plugin::types,
            "relais:plugin/run": crate::plugin::bindings::relais::plugin::run,
            "relais:plugin/http": crate::plugin::bindings::relais::plugin::http,
        },
    });
}

pub(super) use self::channel::exports::relais::channel::gateway;
