//! Addresses that plugins and endpoints are kept from: everything that is not the public network, unless the operator names it.
//!
//! A name in somebody else's hands can lead anywhere, to the machine itself, to the network around it, to the service where
//! a cloud gives out keys. So what counts is the address that a name leads to, and it is looked at before the connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Networks that an operator opens to a plugin although they are not public.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Networks(Vec<IpNet>);

impl Networks {
    pub(crate) fn parse(texts: &[String]) -> Result<Networks, String> {
        let parse = |text: &String| {
            let whole = text.parse::<IpAddr>().map(IpNet::from);
            whole
                .or_else(|_| text.parse::<IpNet>())
                .map_err(|_| format!("`{text}` is neither an address nor a network; write `10.1.2.3` or `10.1.0.0/16`"))
        };
        Ok(Networks(texts.iter().map(parse).collect::<Result<_, _>>()?))
    }

    /// Why nothing is to connect to it.
    pub(crate) fn check(&self, address: IpAddr) -> Result<(), &'static str> {
        let address = address.to_canonical();
        if self.0.iter().any(|network| network.contains(&address)) {
            return Ok(());
        }
        let reason = match address {
            IpAddr::V4(address) => v4(address),
            IpAddr::V6(address) => v6(address),
        };
        reason.map_or(Ok(()), Err)
    }
}

/// IANA's registry of special-purpose IPv4 addresses.
fn v4(address: Ipv4Addr) -> Option<&'static str> {
    let [a, b, c, _] = address.octets();
    Some(match (a, b, c) {
        (0, ..) => "an address of this network itself",
        (127, ..) => "an address of the machine itself",
        (10, ..) | (172, 16..=31, _) | (192, 168, _) => "a private address",
        (100, 64..=127, _) => "an address behind a carrier's translation",
        // Where clouds give out keys, 169.254.169.254, among others.
        (169, 254, _) => "a link-local address",
        (192, 0, 0) | (192, 0, 2) | (192, 88, 99) | (198, 18 | 19, _) | (198, 51, 100) | (203, 0, 113) => {
            "an address with a special purpose"
        }
        (224..=239, ..) => "a multicast address",
        (240.., ..) => "a reserved address",
        _ => return None,
    })
}

/// IANA's registry of special-purpose IPv6 addresses; where one carries an IPv4 address, that one counts.
fn v6(address: Ipv6Addr) -> Option<&'static str> {
    let segments = address.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("no address at all"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("an address of the machine itself"),
        [0, 0, 0, 0, 0, 0, ..] => Some("an address with a special purpose"),
        // NAT64, and the translation of one's own network.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x64, 0xff9b, ..] => Some("a private address"),
        // 6to4.
        [0x2002, high, low, ..] => embedded(high, low),
        [0x100, 0, 0, 0, ..] => Some("an address that discards"),
        // Teredo and the others of 2001::/23; documentation; SRv6.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] | [0x5f00, ..] => {
            Some("an address with a special purpose")
        }
        [0xfc00..=0xfdff, ..] => Some("a private address"),
        [0xfe80..=0xfebf, ..] => Some("a link-local address"),
        [0xfec0..=0xfeff, ..] => Some("a private address"),
        [0xff00..=0xffff, ..] => Some("a multicast address"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_public_is_kept_from_plugins_in_every_spelling() {
        let none = Networks::default();
        for address in [
            "127.0.0.1",
            "0.0.0.0",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::7f00:1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2001:0:1::",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
        ] {
            assert!(none.check(address.parse().unwrap()).is_err(), "{address}");
        }
        for address in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::101:101"] {
            assert_eq!(none.check(address.parse().unwrap()), Ok(()), "{address}");
        }
    }

    #[test]
    fn an_operator_opens_a_network() {
        let networks = Networks::parse(&["10.1.0.0/16".into(), "::1".into()]).unwrap();
        for (address, open) in [("10.1.2.3", true), ("10.2.0.1", false), ("::1", true), ("::ffff:10.1.0.1", true)] {
            assert_eq!(networks.check(address.parse().unwrap()).is_ok(), open, "{address}");
        }
        assert!(Networks::parse(&["ten".into()]).unwrap_err().contains("10.1.0.0/16"));
    }
}
