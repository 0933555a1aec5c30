//! Figures of a store, of its messages by day, and of a host's part of it.

use std::collections::BTreeMap;

use serde::Serialize;

/// Figures that are cheap to read.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Figures {
    pub events: i64,
    pub open_runs: i64,
    pub set_aside_runs: i64,
    pub timers: i64,
    pub open_messages: i64,
    pub messages_by_state: BTreeMap<String, i64>,
    pub double_deliveries: i64,
    pub uncertain_attempts: i64,
}

/// What a host has of the work of its store.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Part {
    /// Of 1,024.
    pub shards: usize,
    /// Hosts that live, this one included.
    pub hosts: usize,
}

/// What the figures of messages may be grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Day,
    Plugin,
    Purpose,
    Channel,
    Country,
}

impl By {
    pub const ALL: [By; 5] = [By::Day, By::Plugin, By::Purpose, By::Channel, By::Country];

    pub fn as_str(self) -> &'static str {
        match self {
            By::Day => "day",
            By::Plugin => "plugin",
            By::Purpose => "purpose",
            By::Channel => "channel",
            By::Country => "country",
        }
    }

    pub fn parse(text: &str) -> Option<By> {
        By::ALL.into_iter().find(|by| by.as_str() == text)
    }
}

/// Which figures of messages are asked for.
#[derive(Clone, Debug)]
pub struct StatSpan {
    /// Days since 1970, both included.
    pub from: i64,
    pub to: i64,
    pub by: Vec<By>,
    /// Rows at most: one for each figure of each group.
    pub limit: u32,
}

/// One figure of a group. What is not grouped by is empty, and 0 as a day.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct StatRow {
    pub day: i64,
    pub plugin: String,
    pub purpose: String,
    pub channel: String,
    pub country: String,
    /// As [`crate::domain::tally::Measure`] writes it.
    pub name: String,
    pub value: i64,
}
