//! Write relais plugins in Rust.

pub mod calendar;
pub mod customers;
mod error;
mod event;
pub mod events;
mod host;
mod instant;
pub mod log;
pub mod messages;
pub mod run;
pub mod state;
pub mod timers;

#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod bindings;
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod export;

#[cfg(not(target_family = "wasm"))]
pub mod testing;

pub use error::{Error, Outcome, SendResult};
pub use event::Event;
pub use instant::Instant;
pub use messages::{Delivery, DeliveryState, Incoming, Message, MessageId, Place, Purpose, SendError};
pub use run::config;
pub use timers::Timer;

/// What a plugin does. It implements the handlers that its manifest asks for; the host calls no other.
///
/// Each call is a run: a fresh instance with nothing in memory of the runs before it, and a transaction of its own.
/// What it asks for is kept if it returns `Ok`, all of it at once, or else not at all. It may be executed more than
/// once; its effects take place once.
pub trait Plugin {
    /// An event that the manifest subscribes to.
    fn on_event(event: Event) -> Outcome {
        let _ = event;
        Ok(())
    }

    /// A timer that the plugin set for this entity has come due.
    fn on_timer(timer: Timer) -> Outcome {
        let _ = timer;
        Ok(())
    }

    /// Something has become of a message that the plugin sent.
    fn on_delivery(delivery: Delivery) -> Outcome {
        let _ = delivery;
        Ok(())
    }

    /// A customer has written.
    fn on_message(message: Incoming) -> Outcome {
        let _ = message;
        Ok(())
    }
}

/// Makes the crate a component with this [`Plugin`]. In a native build it only checks that it is one.
#[macro_export]
macro_rules! plugin {
    ($plugin:ty) => {
        const _: () = {
            #[cfg(target_family = "wasm")]
            type Exported = $crate::export::Component<$plugin>;
            #[cfg(target_family = "wasm")]
    $crate::bindings::__export!(Exported with_types_in $crate::bindings);

            #[cfg(not(target_family = "wasm"))]
            const fn is_a_plugin<P: $crate::Plugin>() {}
            #[cfg(not(target_family = "wasm"))]
            is_a_plugin::<$plugin>();
        };
    };
}
