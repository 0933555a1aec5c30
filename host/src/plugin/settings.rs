//! What the operator decides about plugins: where they are, what they may, and how much of the machine they get.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    budget::{Budget, Wishes},
    http::{HttpRuleTable, HttpSettings},
    trust::{Mode, PublicKey},
    units::{Bytes, Span},
};
use crate::{
    domain::quota::Money,
    ids::{PluginName, TenantId},
    secret::Secret,
};

/// The table `[plugins]` of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Settings {
    /// One directory for each plugin is in here.
    pub dir: PathBuf,
    /// Versions that are compared with those that serve: a directory each, of the plugin's name. They are given the same runs, and
    /// what they ask for is thrown away.
    pub shadow_dir: PathBuf,
    /// Where compiled code is kept, so that a restart compiles nothing. Whoever can write there can run code in the host, so
    /// it must be the host's own. Without it every start compiles.
    pub cache_dir: Option<PathBuf>,
    /// How much compiled code is kept; what was not used for longest goes first.
    pub cache_bytes: Bytes,
    pub compile: CompileSettings,
    /// What is made of a package that `plugins.lock` in its directory does not have, or has otherwise.
    pub lock: Mode,
    /// What is made of a package without a signature by one of `trusted_keys`.
    pub signatures: Mode,
    /// Public keys by whom they belong to.
    pub trusted_keys: BTreeMap<String, PublicKey>,
    /// Runs side by side. The pool of instances is sized by it; more runs wait in the store.
    pub concurrency: usize,
    /// How long a package has to stand as it is before it is read: a copy that is being made is not.
    pub settle: Span,
    /// How often the directory is looked at where the system tells of nothing, and what other hosts decided about plugins.
    pub poll: Span,
    /// So many different runs in a row that fail by a plugin's own fault, and it is paused. 0: never.
    pub pause_after: u32,
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
    pub caps: CapSettings,
    pub http: HttpSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            dir: PathBuf::from("plugins"),
            shadow_dir: PathBuf::from("shadows"),
            cache_dir: None,
            // About thirty plugins in JavaScript or Python, or some thousand in Rust.
            cache_bytes: Bytes(1 << 30),
            compile: CompileSettings::default(),
            // Both say nothing until somebody has pinned a package, or trusted a key.
            lock: Mode::new("warn"),
            signatures: Mode::new("warn"),
            trusted_keys: BTreeMap::new(),
            // A run of a small plugin takes 20 µs, so this is for plugins that wait for the store: enough to hide its
            // latency, and at 2 MiB that stays resident per slot no more than 128 MiB.
            concurrency: 64,
            // Longer than the pauses in a copy over a slow network, short enough to wait for.
            settle: Span(Duration::from_secs(1)),
            poll: Span(Duration::from_secs(2)),
            // Each of them has been executed three times or more by the time that it is set aside: ten are no accident.
            pause_after: 10,
            tenant: TenantId::default_tenant(),
            grant_by_default: true,
            grants: BTreeMap::new(),
            config: BTreeMap::new(),
            secrets: BTreeMap::new(),
            limits: LimitSettings::default(),
            caps: CapSettings::default(),
            http: HttpSettings::default(),
        }
    }
}

impl Settings {
    /// Words that are understood otherwise than they may have been meant.
    pub fn warnings(&self) -> Vec<String> {
        let words = [self.lock.warning("plugins.lock"), self.signatures.warning("plugins.signatures")];
        words.into_iter().flatten().collect()
    }
}

/// What compiling one component may take. It happens in a process of its own, one at a time.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct CompileSettings {
    /// Of computing, all cores together, in whole seconds.
    pub time: Span,
    pub memory: Bytes,
}

impl Default for CompileSettings {
    fn default() -> Self {
        CompileSettings {
            // A Python component takes ten seconds; one with many dependencies, or a slow machine, several times that.
            time: Span(Duration::from_secs(60)),
            // The same does with 768 MiB, and not with 512.
            memory: Bytes(1 << 30),
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
    /// Messages to one customer within 24 hours, and what its messages may cost in a day.
    pub per_customer_day: Option<u32>,
    pub spend_day: Option<Money>,
}

/// How much plugins may send to one customer, and spend.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CapSettings {
    /// For a plugin whose manifest and grant say nothing.
    pub default: CapTable,
    /// No plugin gets more, whatever its manifest asks for and its grant says.
    #[serde(deserialize_with = "cap_ceiling")]
    pub ceiling: CapTable,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct CapTable {
    /// 0: no bound.
    pub per_customer_day: u32,
    pub spend_day: Option<Money>,
}

impl Default for CapTable {
    fn default() -> Self {
        // A customer who is written to more often than about once an hour of the day is being pestered by a mistake.
        CapTable { per_customer_day: 20, spend_day: None }
    }
}

impl Default for CapSettings {
    fn default() -> Self {
        CapSettings { default: CapTable::default(), ceiling: CapTable { per_customer_day: 100, spend_day: None } }
    }
}

impl CapTable {
    pub(super) fn per_customer_day(&self) -> Option<u32> {
        Some(self.per_customer_day).filter(|number| *number > 0)
    }
}

/// What a table of ceilings does not name has its own default, which is not that of a plugin that asks for nothing.
fn cap_ceiling<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<CapTable, D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    struct Given {
        per_customer_day: Option<u32>,
        spend_day: Option<Money>,
    }
    let given = Given::deserialize(deserializer)?;
    let own = CapSettings::default().ceiling;
    Ok(CapTable {
        per_customer_day: given.per_customer_day.unwrap_or(own.per_customer_day),
        spend_day: given.spend_day.or(own.spend_day),
    })
}

/// Bounds on what one run may use, and on what a package may have. Every one of them is on.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct LimitSettings {
    /// For a plugin whose manifest wishes nothing.
    pub default: Budget,
    /// No plugin gets more, whatever its manifest wishes.
    #[serde(deserialize_with = "ceiling")]
    pub ceiling: Budget,
    /// What the operator sets for a plugin by its name, in place of what its manifest wishes.
    pub plugin: BTreeMap<PluginName, Wishes>,
    /// A key of an entry or timer. Long enough for a URL, short enough for an index.
    pub key_bytes: Bytes,
    /// A value of an entry. A commit writes it as a whole, so it should stay small against a disk's page run.
    pub value_bytes: Bytes,
    /// The data of a timer or an emitted event: what an accepted event may hold.
    pub data_bytes: Bytes,
    /// `plugin.toml`, and the schema of a plugin's settings. They are written by hand; the longest that we know has 8 KiB.
    pub manifest_bytes: Bytes,
    /// The component's file. A Python component has 18.5 MB before any dependency.
    pub package_bytes: Bytes,
    /// All assets of a package, which stay in memory.
    pub asset_bytes: Bytes,
    /// Files and directories of a package, and what lies beside its manifest.
    pub package_entries: u32,
    /// Directories in directories of assets.
    pub package_depth: u32,
    /// Of a file of a package.
    pub package_path_bytes: u32,
}

impl Default for LimitSettings {
    fn default() -> Self {
        LimitSettings {
            default: Budget::default(),
            ceiling: Budget::ceiling(),
            plugin: BTreeMap::new(),
            key_bytes: Bytes(512),
            value_bytes: Bytes(64 << 10),
            data_bytes: Bytes(256 << 10),
            package_bytes: Bytes(32 << 20),
            asset_bytes: Bytes(32 << 20),
            manifest_bytes: Bytes(256 << 10),
            package_entries: 1000,
            package_depth: 8,
            package_path_bytes: 255,
        }
    }
}

impl LimitSettings {
    /// What a plugin's runs may use, by its name and what its manifest wishes.
    pub fn budget(&self, plugin: &PluginName, wished: &Wishes) -> Budget {
        Budget::of(&self.default, &self.ceiling, wished, self.plugin.get(plugin))
    }

    /// Whether the operator's own settings contradict one another.
    pub fn check(&self) -> Result<(), String> {
        for (plugin, set) in &self.plugin {
            if let Some(limit) = set.above(&self.ceiling) {
                return Err(format!(
                    "plugins.limits.plugin.{plugin}.{limit} is above plugins.limits.ceiling.{limit}: lower it, or raise the ceiling"
                ));
            }
        }
        Ok(())
    }
}

/// What a table of ceilings does not name has its own default, which is not that of a run.
fn ceiling<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Budget, D::Error> {
    Ok(Wishes::deserialize(deserializer)?.over(&Budget::ceiling()))
}
