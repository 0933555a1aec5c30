//! Write relais plugins in Rust.
//!
//! A plugin is told what happens (an event, a timer, a receipt, an answer) and asks for what is to follow: messages,
//! timers, state, further events. It implements [`Plugin`], is exported with one line, and is built for
//! `wasm32-wasip2`. This is a whole one, with the test that a `cargo test` runs:
//!
//! ```
//! use std::time::Duration;
//!
//! use relais_plugin::{Event, Message, Outcome, Plugin, Purpose, SendResult, Timer, plugin, state, timers};
//! use serde::{Deserialize, Serialize};
//!
//! /// Tells customers that their repair is done, and once more after three days if they have not come.
//! struct RepairDone;
//!
//! plugin!(RepairDone);
//!
//! #[derive(Serialize, Deserialize)]
//! struct Repair {
//!     ticket: String,
//!     what: String,
//! }
//!
//! impl Plugin for RepairDone {
//!     fn on_event(event: Event) -> Outcome {
//!         let repair: Repair = event.data()?; // what does not fit is rejected, with the field's path
//!         match event.verb() {
//!             "done" => {
//!                 tell(event.customer_id()?, &repair, "is ready for you")?;
//!                 timers::after("again", Duration::from_hours(72)).data(&repair)?.set();
//!                 state::set("done", &event.time)
//!             }
//!             _ => {
//!                 timers::cancel("again"); // it was fetched
//!                 Ok(())
//!             }
//!         }
//!     }
//!
//!     fn on_timer(timer: Timer) -> Outcome {
//!         tell(timer.customer_id()?, &timer.data()?, "is still waiting for you")
//!     }
//! }
//!
//! fn tell(customer: &str, repair: &Repair, how_it_is: &str) -> Outcome {
//!     Message::to(customer, Purpose::Alert)
//!         .template("repair_done") // for WhatsApp, when the customer has not written for 24 hours
//!         .param("what", &repair.what)
//!         .text(format!("Your {} {how_it_is}. Ticket {}.", repair.what, repair.ticket))
//!         .fallback_after(Duration::from_mins(30)) // then by SMS
//!         .tag(&repair.ticket)
//!         .send()
//!         .or_skip()?; // no consent, no address: logged, and no failure
//!     Ok(())
//! }
//!
//! # const MANIFEST: &str = r#"
//! # manifest = 1
//! # [plugin]
//! # name = "repair-done"
//! # version = "1.0.0"
//! # world = "relais:plugin@1.0.0"
//! # component = "repair-done.wasm"
//! # [[on-event]]
//! # types = ["com.example.repair.*"]
//! # entity = "repair/{data.ticket}"
//! # [on-timer]
//! # [permissions]
//! # purposes = ["alert"]
//! # channels = ["whatsapp", "sms"]
//! # templates = ["repair_done"]
//! # [[templates]]
//! # name = "repair_done"
//! # category = "utility"
//! # language = "en"
//! # params = ["what"]
//! # [templates.texts]
//! # en = "Your {what} has been repaired."
//! # "#;
//! // In a crate of your own this is a `#[test]`, and MANIFEST is `include_str!("../plugin.toml")`.
//! use relais_plugin::testing::{Customer, World};
//!
//! let mut world = World::from_manifest::<RepairDone>(MANIFEST);
//! world.add(Customer::new("4711"));
//!
//! let bicycle = serde_json::json!({"ticket": "R-9", "what": "bicycle"});
//! world.event("com.example.repair.done").customer("4711").data(bicycle.clone()).post();
//! assert_eq!(world.last_message().body, "Your bicycle has been repaired.");
//!
//! world.advance(Duration::from_hours(72)); // the test moves the clock, and the timer fires
//! assert_eq!(world.messages().len(), 2);
//!
//! world.event("com.example.repair.fetched").customer("4711").data(bicycle).post();
//! world.advance(Duration::from_hours(72));
//! assert_eq!(world.messages().len(), 2);
//! ```
//!
//! Four things to know:
//!
//! - **A run is a transaction.** What a handler asks for is kept if it returns `Ok`, or else not at all: see [`Error`]
//!   for the two ways to fail. A panic is a failure too, and its message is in the host's log.
//! - **A run is about one entity**: the customer, unless the manifest says otherwise (`entity = "repair/{data.ticket}"`).
//!   [`state`] and [`timers`] belong to it, and its runs never overlap.
//! - **Time stands still in a run**, at [`run::now`]. [`run::random`] and [`run::code`] give the same in every
//!   execution, so a run that is executed twice asks for the same things.
//! - **The manifest says what is permitted**: `MANIFEST.md` beside this crate describes it, and `README.md` leads to a
//!   first plugin in ten minutes.

#![warn(missing_docs)]

pub mod calendar;
pub mod customers;
mod error;
mod event;
pub mod events;
mod host;
pub mod http;
mod instant;
pub mod log;
pub mod messages;
pub mod opening;
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
