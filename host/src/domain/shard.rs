//! Shards: entities and recipients hash into a fixed number of them, and hosts share the shards among themselves.
//!
//! In a shard, different entities run side by side and one entity runs in order; so whoever owns a shard can keep the order of
//! everything in it. Ownership decides who tries, never who may commit.

use serde::{Deserialize, Serialize};

use crate::ids::{EndpointId, EntityKey, TenantId};

/// Fixed for a store's life: an entity's shard is written into its rows. Enough to share evenly among some hundred hosts.
pub const SHARDS: u16 = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shard(pub u16);

impl Shard {
    /// Where the runs and timers of an entity belong.
    pub fn of_entity(key: &EntityKey) -> Shard {
        Shard::of_entity_named(key.tenant.as_str(), key.plugin.as_str(), key.entity.as_str())
    }

    /// The same for names as they stand in rows.
    pub(crate) fn of_entity_named(tenant: &str, plugin: &str, entity: &str) -> Shard {
        Shard::of(&["entity", tenant, plugin, entity])
    }

    /// Where the messages to a recipient belong: each goes out in order.
    pub fn of_lane(tenant: &TenantId, lane: &str) -> Shard {
        Shard::of_lane_named(tenant.as_str(), lane)
    }

    pub(crate) fn of_lane_named(tenant: &str, lane: &str) -> Shard {
        Shard::of(&["lane", tenant, lane])
    }

    /// Where what is told to an endpoint belongs: one host has it at a time.
    pub fn of_endpoint(tenant: &TenantId, id: EndpointId) -> Shard {
        Shard::of(&["endpoint", tenant, &id.to_string()])
    }

    fn of(parts: &[&str]) -> Shard {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        let [a, b, ..] = *hasher.finalize().as_bytes();
        Shard(u16::from_le_bytes([a, b]) % SHARDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_never_changes() {
        let tenant = TenantId::default_tenant();
        // Written into rows: another number here would take entities away from their rows.
        assert_eq!(Shard::of_lane(&tenant, "ann"), Shard(563));
        assert_ne!(Shard::of(&["a", "bc"]), Shard::of(&["ab", "c"]));
    }

    #[test]
    fn names_spread_evenly() {
        let tenant = TenantId::default_tenant();
        let mut counts = vec![0u32; usize::from(SHARDS)];
        for no in 0..102_400 {
            counts[usize::from(Shard::of_lane(&tenant, &format!("c{no}")).0)] += 1;
        }
        // A hundred each on average: ten standard deviations are not seen by chance.
        assert!(counts.iter().all(|count| (20..200).contains(count)), "{counts:?}");
    }
}
