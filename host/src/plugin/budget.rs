//! What a run may use: each limit with its default, its ceiling, and who may change it.
//!
//! A plugin has the defaults, or what its manifest wishes in `[limits]`, or what the operator sets for it by name, which goes
//! before the manifest; and never more than the ceiling.

use serde::{Deserialize, Serialize};

use super::units::{Bytes, Span};

/// Defines the limits once, as three structs that have them all: what is allowed, and what somebody says of some of them.
macro_rules! limits {
    (pub struct $budget:ident {
        $($(#[$doc:meta])* pub $name:ident: $kind:ident = $default:expr, at most $ceiling:expr;)*
    }) => {
        /// What a run may use. As `[plugins.limits.default]` for a plugin that says nothing, as `[plugins.limits.ceiling]` for all.
        #[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
        #[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
        pub struct $budget {
            $($(#[$doc])* pub $name: $kind,)*
        }

        impl Default for $budget {
            fn default() -> Self {
                $budget { $($name: $kind::from($default),)* }
            }
        }

        impl $budget {
            pub(super) fn ceiling() -> $budget {
                $budget { $($name: $kind::from($ceiling),)* }
            }

            /// What is left of it under the ceiling.
            pub fn under(self, ceiling: &$budget) -> $budget {
                $budget { $($name: self.$name.min(ceiling.$name),)* }
            }

            /// The first limit that is above the ceiling.
            fn above(&self, ceiling: &$budget) -> Option<String> {
                $(if self.$name > ceiling.$name {
                    return Some(stringify!($name).replace('_', "-"));
                })*
                None
            }
        }

        /// Some of the limits: `[limits]` of a manifest, or `[plugins.limits.plugin.NAME]` of the host.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
        #[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
        pub struct Wishes {
            $(#[serde(skip_serializing_if = "Option::is_none")] $name: Option<$kind>,)*
        }

        impl Wishes {
            /// The same with what is said here in place of what is there.
            pub fn over(&self, default: &$budget) -> $budget {
                $budget { $($name: self.$name.unwrap_or(default.$name),)* }
            }
        }
    };
}

limits! {
    pub struct Budget {
        /// Of computing, in the run's own thread. A thousand times what a small plugin needs.
        pub cpu: Span = 500, at most 10_000;
        /// From start to end of a run, waiting included. A commit waits for its run.
        pub time: Span = 5_000, at most 60_000;
        /// All memories of a run together. Python begins with 12.7 MiB, SpiderMonkey with 9.3. The ceiling times
        /// `plugins.concurrency` is what all runs together may take: 16 GiB of address space, used as needed.
        pub memory: Bytes = 64 << 20, at most 256 << 20;
        /// JavaScript components have two, composed ones one for each part.
        pub memories: u32 = 16_u32, at most 16_u32;
        pub tables: u32 = 64_u32, at most 64_u32;
        /// Of all tables together: StarlingMonkey alone has 7,689.
        pub table_elements: u32 = 20_000_u32, at most 20_000_u32;
        /// Core instances: a Python component has 38.
        pub instances: u32 = 128_u32, at most 128_u32;
        /// What one call may hand to the host: the largest attachment, with room for its message.
        pub crossing_bytes: Bytes = 17 << 20, at most 17 << 20;
        /// Resources that the guest holds at a time: drafts, streams, pollables, and the component's own.
        pub handles: u32 = 1024_u32, at most 10_000_u32;
        /// Keys and codes have a few dozen bytes; this is for libraries that fill a pool.
        pub random_bytes: Bytes = 64 << 10, at most 1 << 20;
        /// Log lines and stderr of a run. A stack trace of Python or JavaScript has about 4 KiB.
        pub log_bytes: Bytes = 256 << 10, at most 1 << 20;
        /// Calls to the contract's functions. The most that a scan over a full entity needs is about a thousand.
        pub host_calls: u32 = 10_000_u32, at most 100_000_u32;
        pub messages: u32 = 100_u32, at most 1000_u32;
        pub timers: u32 = 100_u32, at most 1000_u32;
        /// Events that a run may raise. One per line of a large order is plenty; a loop over all customers belongs in a timer.
        pub events: u32 = 100_u32, at most 1000_u32;
        /// All keys and values of an entity together.
        pub state: Bytes = 1 << 20, at most 8 << 20;
        /// All that a run asks for together, attachments included. Two pictures of the largest size that WhatsApp takes.
        pub effect_bytes: Bytes = 10 << 20, at most 20 << 20;
        /// Runs of the plugin side by side, from their start to their commit; more wait in the store.
        pub concurrent: u32 = 32_u32, at most 1024_u32;
    }
}

impl Budget {
    /// What a plugin gets: the operator's word for it goes before its own wish, and the ceiling before both.
    pub(super) fn of(default: &Budget, ceiling: &Budget, wished: &Wishes, set: Option<&Wishes>) -> Budget {
        let wished = wished.over(default);
        set.map_or(wished, |set| set.over(&wished)).under(ceiling)
    }
}

impl Wishes {
    /// The first limit that is above the ceiling, where the operator's own settings contradict one another.
    pub(super) fn above(&self, ceiling: &Budget) -> Option<String> {
        self.over(ceiling).above(ceiling)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wishes(text: &str) -> Wishes {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn the_operator_goes_before_the_manifest_and_the_ceiling_before_both() {
        let (default, ceiling) = (Budget::default(), Budget::ceiling());
        let wished = wishes("cpu = \"2s\"\nmessages = 5\nhost-calls = 4000000");
        let set = wishes("messages = 7");
        let alone = Budget::of(&default, &ceiling, &wished, None);
        assert_eq!((alone.messages, alone.host_calls, alone.timers), (5, ceiling.host_calls, default.timers));
        let both = Budget::of(&default, &ceiling, &wished, Some(&set));
        assert_eq!((both.messages, both.cpu), (7, alone.cpu));
        assert_eq!(set.above(&ceiling), None);
        assert_eq!(wishes("table-elements = 20001").above(&ceiling), Some("table-elements".to_owned()));
        assert!(toml::from_str::<Wishes>("mesages = 7").is_err());
    }

    #[test]
    fn the_defaults_are_within_the_ceiling() {
        assert_eq!(Budget::default().above(&Budget::ceiling()), None);
    }
}
