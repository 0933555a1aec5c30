//! What the operator decides about plugins: where they are, what they may, and how much of the machine they get.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    http::{HttpRuleTable, HttpSettings},
    units::{Bytes, Span},
};
use crate::{
    ids::{PluginName, TenantId},
    secret::Secret,
};

/// The table `[plugins]` of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Settings {
    /// One directory for each plugin is in here.
    pub dir: PathBuf,
    /// Where compiled code is kept, so that a restart compiles nothing. Whoever can write there can run code in the host, so
    /// it must be the host's own. Without it every start compiles.
    pub cache_dir: Option<PathBuf>,
    /// Runs side by side. The pool of instances is sized by it; more runs wait in the store.
    pub concurrency: usize,
    /// Whose plugins these are.
    #[serde(default = "TenantId::default_tenant")]
    pub tenant: TenantId,
    /// Whether a plugin without an entry in `grants` has everything that its manifest asks for.
    pub grant_by_default: bool,
    /// What each plugin is granted of what its manifest asks for.
    pub grants: BTreeMap<PluginName, Grant>,
    /// Settings of each plugin, over the defaults of its manifest.
    pub config: BTreeMap<PluginName, serde_json::Map<String, serde_json::Value>>,
    /// Secrets of each plugin by the names in its manifest.
    pub secrets: BTreeMap<PluginName, BTreeMap<String, Secret>>,
    pub limits: LimitSettings,
    pub http: HttpSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            dir: PathBuf::from("plugins"),
            cache_dir: None,
            // A run of a small plugin takes 20 µs, so this is for plugins that wait for the store: enough to hide its
            // latency, and at 2 MiB that stays resident per slot no more than 128 MiB.
            concurrency: 64,
            tenant: TenantId::default_tenant(),
            grant_by_default: true,
            grants: BTreeMap::new(),
            config: BTreeMap::new(),
            secrets: BTreeMap::new(),
            limits: LimitSettings::default(),
            http: HttpSettings::default(),
        }
    }
}

/// What the operator grants one plugin. What is absent is granted as the manifest asks; what is there narrows it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Grant {
    pub purposes: Option<Vec<String>>,
    pub channels: Option<Vec<String>>,
    pub templates: Option<Vec<String>>,
    pub customer: Option<Vec<String>>,
    pub history: Option<Vec<String>>,
    pub emits: Option<Vec<String>>,
    pub phone: Option<bool>,
    pub secrets: Option<Vec<String>>,
    /// Requests to services. Nothing is granted where this is absent.
    pub http: Vec<HttpRuleTable>,
    /// Networks that are not public and that `http` may lead to all the same.
    pub networks: Vec<String>,
}

/// Bounds on what one run may use. Every one of them is on.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct LimitSettings {
    /// For a plugin whose manifest wishes nothing.
    pub default: Budget,
    /// No plugin gets more, whatever its manifest wishes.
    pub ceiling: Budget,
    /// Events that a run may raise. One per line of a large order is plenty; a loop over all customers belongs in a timer.
    pub events: u32,
    /// A key of an entry or timer. Long enough for a URL, short enough for an index.
    pub key_bytes: Bytes,
    /// A value of an entry. A commit writes it as a whole, so it should stay small against a disk's page run.
    pub value_bytes: Bytes,
    /// The data of a timer or an emitted event: what an accepted event may hold.
    pub data_bytes: Bytes,
    /// Log lines and stderr of a run. A stack trace of Python or JavaScript has about 4 KiB.
    pub log_bytes: Bytes,
    /// Calls to the host. The most that a scan over a full entity needs is about a thousand.
    pub host_calls: u32,
    /// All that a run asks for together, attachments included. Two pictures of the largest size that WhatsApp takes.
    pub effect_bytes: Bytes,
    /// What one call may hand to the host: the largest attachment, with room for its message.
    pub crossing_bytes: Bytes,
    /// Elements of all tables together: StarlingMonkey alone has 7,689.
    pub table_elements: u32,
    /// The component's file. A Python component has 18.5 MB before any dependency.
    pub package_bytes: Bytes,
    /// All assets of a package, which stay in memory.
    pub asset_bytes: Bytes,
}

impl Default for LimitSettings {
    fn default() -> Self {
        LimitSettings {
            default: Budget::default(),
            ceiling: Budget {
                // A commit waits for its run: ten seconds of computing is where a run stops being a run.
                cpu: Span(Duration::from_secs(10)),
                time: Span(Duration::from_secs(60)),
                // Times `concurrency` it is what all runs together may take: 16 GiB of address space at most, used as needed.
                memory: Bytes(256 << 20),
                messages: 1000,
                timers: 1000,
                state: Bytes(8 << 20),
            },
            events: 100,
            key_bytes: Bytes(512),
            value_bytes: Bytes(64 << 10),
            data_bytes: Bytes(256 << 10),
            log_bytes: Bytes(256 << 10),
            host_calls: 10_000,
            effect_bytes: Bytes(10 << 20),
            crossing_bytes: Bytes(17 << 20),
            table_elements: 20_000,
            package_bytes: Bytes(32 << 20),
            asset_bytes: Bytes(32 << 20),
        }
    }
}

/// What a manifest may wish for in `[limits]`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Budget {
    /// Of computing, per run.
    pub cpu: Span,
    /// From start to end of a run, waiting included.
    pub time: Span,
    /// All memories of a run together.
    pub memory: Bytes,
    pub messages: u32,
    pub timers: u32,
    /// All keys and values of an entity together.
    pub state: Bytes,
}

impl Default for Budget {
    fn default() -> Self {
        Budget {
            // Ten thousand times what a small plugin needs, and a neighbour waits no longer than one tick of it.
            cpu: Span(Duration::from_millis(500)),
            time: Span(Duration::from_secs(5)),
            // Python begins with 12.7 MiB, SpiderMonkey with 9.3.
            memory: Bytes(64 << 20),
            messages: 100,
            timers: 100,
            state: Bytes(1 << 20),
        }
    }
}

impl Budget {
    /// What is left of a wish under the ceiling.
    pub fn under(self, ceiling: &Budget) -> Budget {
        Budget {
            cpu: self.cpu.min(ceiling.cpu),
            time: self.time.min(ceiling.time),
            memory: self.memory.min(ceiling.memory),
            messages: self.messages.min(ceiling.messages),
            timers: self.timers.min(ceiling.timers),
            state: self.state.min(ceiling.state),
        }
    }
}
