//! Tells a guest that a table is free, and once more shortly before it is given to somebody else.

use std::time::Duration;

use relais_plugin::{
    Event, Incoming, Message, Outcome, Plugin, Purpose, SendResult, Timer, config, info, plugin, timers,
};
use serde::{Deserialize, Serialize};

struct TableFree;

plugin!(TableFree);

#[derive(Serialize, Deserialize)]
struct Table {
    restaurant: String,
}

#[derive(Deserialize)]
struct Settings {
    kept_minutes: u64,
    last_call_minutes: u64,
}

impl Plugin for TableFree {
    fn on_event(event: Event) -> Outcome {
        let table: Table = event.data()?;
        let Settings { kept_minutes, last_call_minutes } = config()?;
        Message::to(event.customer_id()?, Purpose::Alert)
            .template("table_free")
            .param("restaurant", &table.restaurant)
            .param("minutes", kept_minutes)
            .text(format!("Your table at {} is free. We keep it for {kept_minutes} minutes.", table.restaurant))
            .expires(event.time + Duration::from_mins(kept_minutes))
            .fallback_after(Duration::from_mins(1))
            .tag("table")
            .send()
            .or_skip()?;
        let wait = Duration::from_mins(kept_minutes.saturating_sub(last_call_minutes));
        timers::after("last-call", wait).data(&table)?.set();
        Ok(())
    }

    fn on_timer(timer: Timer) -> Outcome {
        let Table { restaurant } = timer.data()?;
        let Settings { last_call_minutes, .. } = config()?;
        let customer = timer.customer_id()?;
        info!("{customer} has not answered");
        Message::to(customer, Purpose::Alert)
            .template("table_last_call")
            .param("restaurant", &restaurant)
            .param("minutes", last_call_minutes)
            .text(format!("Your table at {restaurant} is kept for {last_call_minutes} more minutes."))
            .send()
            .or_skip()?;
        Ok(())
    }

    fn on_message(message: Incoming) -> Outcome {
        timers::cancel("last-call");
        Message::answer(&message).text("See you in a moment.").send().or_skip()?;
        Ok(())
    }
}
