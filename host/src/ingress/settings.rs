//! What the operator decides about the entrance, with a default and a reason for each.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use serde::Deserialize;

use crate::{domain::purpose::Purpose, ids::TenantId, secret::Secret};

/// Who may come in and how much they may bring.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Settings {
    /// Nobody needs a key. For demo and dev on loopback only; [`super::auth::check`] refuses it anywhere else.
    pub open: bool,
    pub keys: Vec<ApiKey>,
    /// One event with all of its attributes. Four times what CloudEvents asks every consumer to take.
    pub event_bytes_max: usize,
    /// A batch is held in memory until all of it is on disk.
    pub batch_bytes_max: usize,
    /// As many as one transaction of the store should hold.
    pub batch_events_max: usize,
    /// One attribute. Sources, types and ids are index keys, and no sender in use has longer ones.
    pub attribute_bytes_max: usize,
    /// Attributes of one event, beyond which it is data in the wrong place.
    pub attributes_max: usize,
    /// JSON inside JSON, as deep as serde_json goes when a plugin reads it.
    pub json_depth_max: usize,
    /// Any other JSON body: a customer, a message.
    pub json_bytes_max: usize,
    /// The longest `?wait=`; proxies cut silent connections after 60 seconds.
    pub wait_seconds_max: u64,
    /// Rows of one page of a listing.
    pub page_rows_max: u32,
    /// Rows of `GET /v1/stats`: a year of days for two dozen plugins.
    pub stats_rows_max: u32,
    /// Events and messages that each tenant may bring per second; a second's worth may come at once. 0 for no bound, because no
    /// number suits every shop; set it where several tenants share a host.
    pub tenant_events_per_second: u32,
    /// Open runs of a tenant from which on no more of its events are taken. A million are some gigabytes of the store, and at a
    /// thousand a second they take a quarter of an hour. 0 for no bound.
    pub tenant_open_runs_max: u64,
    /// Requests on their way to the store at once, over all tenants: far below the store's own queue, so that commits and
    /// receipts always have room there. A tenant that is alone gets three quarters.
    pub accepting_max: usize,
    /// Whether `/v1/clock` exists. For demo, dev and tests.
    pub adjustable_clock: bool,
    /// The country that numbers without a country code are read in: `FR`. Without it they are refused.
    pub default_region: Option<String>,
    /// What messages of the CM.com entrance are for whose `customGrouping` names no purpose.
    pub cm_purpose: Purpose,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            open: false,
            keys: Vec::new(),
            event_bytes_max: 256 << 10,
            batch_bytes_max: 4 << 20,
            batch_events_max: 1000,
            attribute_bytes_max: 4096,
            attributes_max: 64,
            json_depth_max: 128,
            json_bytes_max: 64 << 10,
            wait_seconds_max: 60,
            page_rows_max: 200,
            stats_rows_max: 10_000,
            tenant_events_per_second: 0,
            tenant_open_runs_max: 1_000_000,
            accepting_max: 2048,
            adjustable_clock: false,
            default_region: None,
            cm_purpose: Purpose::Alert,
        }
    }
}

/// A key that lets its holder act for a tenant.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ApiKey {
    /// Who holds it, for the log: `shop-backend`.
    pub name: String,
    #[serde(default = "TenantId::default_tenant")]
    pub tenant: TenantId,
    pub secret: Secret,
}

/// What a listener lets a connection do.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct ListenLimits {
    /// From the first byte of a request to the end of its header.
    #[serde(rename = "header-timeout-ms", with = "millis")]
    pub header_timeout: Duration,
    /// From the end of the header to the end of the body.
    #[serde(rename = "body-timeout-ms", with = "millis")]
    pub body_timeout: Duration,
    /// How long a connection may be silent between requests. Longer than the pools of usual clients is of no use.
    #[serde(rename = "idle-timeout-ms", with = "millis")]
    pub idle_timeout: Duration,
    /// How long a client may take none of an answer.
    #[serde(rename = "write-timeout-ms", with = "millis")]
    pub write_timeout: Duration,
    /// Connections at once; more wait in the kernel's queue. Each costs some 20 KiB and a file descriptor.
    pub connections_max: usize,
    /// Of one address (IPv6: of one /64), so that one client cannot take them all; more are closed.
    pub connections_per_ip_max: usize,
    /// Requests at once on one HTTP/2 connection.
    pub http2_streams_max: u32,
    /// All of a request's header.
    pub header_bytes_max: u32,
}

impl Default for ListenLimits {
    fn default() -> Self {
        ListenLimits {
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(90),
            write_timeout: Duration::from_secs(30),
            connections_max: 4096,
            connections_per_ip_max: 1024,
            http2_streams_max: 128,
            header_bytes_max: 64 << 10,
        }
    }
}

/// What counts as one client for the cap: whoever has an IPv6 address has all 2^64 of its network.
pub(super) fn client(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, de::Error};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        match u64::deserialize(deserializer)? {
            0 => Err(D::Error::custom("0 would refuse everybody; give milliseconds")),
            ms => Ok(Duration::from_millis(ms)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_limits_are_the_defaults() {
        let settings = Settings::default();
        assert_eq!((settings.event_bytes_max, settings.batch_bytes_max), (262_144, 4_194_304));
        assert_eq!((settings.batch_events_max, settings.wait_seconds_max), (1000, 60));
        let limits = ListenLimits::default();
        assert_eq!((limits.header_timeout.as_secs(), limits.body_timeout.as_secs()), (10, 30));
        assert_eq!(limits.connections_max, 4096);
    }

    #[test]
    fn one_network_of_ipv6_is_one_client() {
        let a = client("2001:db8:1:2::1".parse().unwrap());
        let b = client("2001:db8:1:2:ffff::9".parse().unwrap());
        assert_eq!(a, b);
        assert_ne!(a, client("2001:db8:1:3::1".parse().unwrap()));
        assert_eq!(client("::ffff:192.0.2.1".parse().unwrap()), "192.0.2.1".parse::<IpAddr>().unwrap());
    }
}
