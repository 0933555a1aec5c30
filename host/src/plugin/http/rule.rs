//! One permitted kind of request: `GET,HEAD https://api.example.com/v1/`.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize, Serializer};
use url::Url;

/// A rule as it is written in a manifest or a grant.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpRuleTable {
    /// `api.example.com`, with a port where it is not the scheme's own, or `*.example.com` for every name below.
    pub host: String,
    #[serde(default)]
    pub methods: Vec<String>,
    /// What the path begins with, whole segments.
    #[serde(default = "everywhere")]
    pub path: String,
    #[serde(default = "https")]
    pub scheme: String,
}

fn everywhere() -> String {
    "/".to_owned()
}

fn https() -> String {
    "https".to_owned()
}

/// A rule that makes sense.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HttpRule {
    scheme: &'static str,
    /// Lower case; every name below it where `below` says so.
    host: String,
    below: bool,
    port: u16,
    methods: BTreeSet<String>,
    path: String,
}

impl HttpRule {
    pub fn parse(table: &HttpRuleTable) -> Result<HttpRule, String> {
        let scheme = match table.scheme.as_str() {
            "https" => "https",
            "http" => "http",
            other => return Err(format!("`{other}` is no scheme; write https, or http where it cannot be otherwise")),
        };
        let (below, name) = match table.host.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, table.host.as_str()),
        };
        // The same parser as for requests, so that both spell a name the same way.
        let place = Url::parse(&format!("{scheme}://{name}/"))
            .map_err(|error| format!("`{}` is no host: {error}; write `api.example.com`", table.host))?;
        let plain = place.path() == "/" && place.query().is_none() && place.username().is_empty();
        let host = place.host_str().filter(|host| plain && !host.contains('*'));
        let host = host.ok_or_else(|| format!("`{}` is no host; write `api.example.com`", table.host))?;
        if below && !host.contains('.') {
            return Err(format!("`{}` would be every name there is; write a domain behind `*.`", table.host));
        }
        if !table.path.starts_with('/') || table.path.contains(['?', '#', '%']) {
            return Err(format!("`{}` is no path; write it from its `/` on, and without escapes", table.path));
        }
        Ok(HttpRule {
            scheme,
            host: host.to_owned(),
            below,
            port: place.port_or_known_default().unwrap_or_default(),
            methods: methods(&table.methods)?,
            path: table.path.clone(),
        })
    }

    pub(in crate::plugin) fn matches(&self, method: &str, url: &Url) -> bool {
        self.methods.contains(method)
            && url.scheme() == self.scheme
            && url.port_or_known_default() == Some(self.port)
            && url.host_str().is_some_and(|host| self.names(host))
            && within(&self.path, url.path())
    }

    fn names(&self, host: &str) -> bool {
        if self.below {
            host.strip_suffix(self.host.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
        } else {
            host == self.host
        }
    }

    /// What both rules permit.
    pub(in crate::plugin) fn and(&self, other: &HttpRule) -> Option<HttpRule> {
        if (self.scheme, self.port) != (other.scheme, other.port) {
            return None;
        }
        let narrower = |a: &HttpRule, b: &HttpRule| match (a.below, b.below) {
            (false, _) => b.names(&a.host),
            (true, true) => a.host == b.host || b.names(&a.host),
            (true, false) => false,
        };
        let host = if narrower(self, other) {
            self
        } else if narrower(other, self) {
            other
        } else {
            return None;
        };
        let path = if within(&other.path, &self.path) {
            &self.path
        } else if within(&self.path, &other.path) {
            &other.path
        } else {
            return None;
        };
        let methods: BTreeSet<String> = self.methods.intersection(&other.methods).cloned().collect();
        (!methods.is_empty()).then(|| HttpRule {
            scheme: self.scheme,
            host: host.host.clone(),
            below: host.below,
            port: self.port,
            methods,
            path: path.clone(),
        })
    }
}

impl HttpRule {
    /// As it is written in a manifest or a grant.
    pub(in crate::plugin) fn as_table(&self) -> String {
        let methods: Vec<String> = self.methods.iter().map(|method| format!("\"{method}\"")).collect();
        let star = if self.below { "*." } else { "" };
        let port = if self.port == own_port(self.scheme) { String::new() } else { format!(":{}", self.port) };
        let path = if self.path == "/" { String::new() } else { format!(", path = \"{}\"", self.path) };
        let scheme = if self.scheme == "https" { "" } else { ", scheme = \"http\"" };
        format!("{{ host = \"{star}{}{port}\", methods = [{}]{path}{scheme} }}", self.host, methods.join(", "))
    }
}

fn own_port(scheme: &str) -> u16 {
    if scheme == "https" { 443 } else { 80 }
}

/// Whole segments: `/v1` is the beginning of `/v1/orders` and not of `/v10`.
fn within(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| prefix.ends_with('/') || rest.is_empty() || rest.starts_with('/'))
}

/// Reading is what a rule permits that names no method.
fn methods(named: &[String]) -> Result<BTreeSet<String>, String> {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    if named.is_empty() {
        return Ok(["GET", "HEAD"].map(str::to_owned).into());
    }
    match named.iter().find(|method| !KNOWN.contains(&method.as_str())) {
        Some(other) => Err(format!("`{other}` is no method; write one of {}", KNOWN.join(", "))),
        None => Ok(named.iter().cloned().collect()),
    }
}

impl fmt::Display for HttpRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let methods: Vec<&str> = self.methods.iter().map(String::as_str).collect();
        let star = if self.below { "*." } else { "" };
        write!(f, "{} {}://{star}{}", methods.join(","), self.scheme, self.host)?;
        if self.port != own_port(self.scheme) {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(&self.path)
    }
}

impl Serialize for HttpRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(host: &str, methods: &[&str], path: &str) -> HttpRule {
        let methods = methods.iter().map(|method| (*method).to_owned()).collect();
        let table = HttpRuleTable { host: host.to_owned(), methods, path: path.to_owned(), scheme: https() };
        HttpRule::parse(&table).unwrap()
    }

    fn may(rule: &HttpRule, method: &str, url: &str) -> bool {
        rule.matches(method, &Url::parse(url).unwrap())
    }

    #[test]
    fn a_request_has_to_fit_method_scheme_host_port_and_path() {
        let rule = rule("API.example.com", &["GET", "POST"], "/v1");
        assert!(may(&rule, "GET", "https://api.example.com/v1/orders?x=1"));
        assert!(may(&rule, "POST", "https://api.EXAMPLE.com:443/v1"));
        for (method, url) in [
            ("PUT", "https://api.example.com/v1"),
            ("GET", "http://api.example.com/v1"),
            ("GET", "https://api.example.com:444/v1"),
            ("GET", "https://example.com/v1"),
            ("GET", "https://api.example.com.evil.test/v1"),
            ("GET", "https://api.example.com/v10"),
            ("GET", "https://api.example.com/v1/../admin"),
            ("GET", "https://api.example.com/v1/%2e%2e/admin"),
        ] {
            assert!(!may(&rule, method, url), "{method} {url}");
        }
    }

    #[test]
    fn a_star_stands_for_every_name_below_and_not_for_the_domain_itself() {
        let rule = rule("*.example.com", &[], "/");
        assert!(may(&rule, "GET", "https://a.example.com/") && may(&rule, "GET", "https://b.a.example.com/"));
        assert!(!may(&rule, "GET", "https://example.com/") && !may(&rule, "GET", "https://badexample.com/"));
    }

    #[test]
    fn two_rules_permit_together_what_both_permit() {
        let asked = rule("*.example.com", &["GET", "POST"], "/v1/");
        let granted = rule("api.example.com", &["GET"], "/");
        assert_eq!(asked.and(&granted).unwrap().to_string(), "GET https://api.example.com/v1/");
        assert_eq!(granted.and(&asked), asked.and(&granted));
        let again: HttpRuleTable = toml::from_str(&format!("rule = {}", asked.as_table()))
            .map(|mut table: toml::Table| table.remove("rule").unwrap().try_into().unwrap())
            .unwrap();
        assert_eq!(HttpRule::parse(&again).as_ref(), Ok(&asked), "what is pasted is what was meant");
        assert_eq!(asked.and(&rule("api.other.com", &["GET"], "/")), None);
        assert_eq!(asked.and(&rule("api.example.com", &["PUT"], "/")), None);
        assert_eq!(granted.and(&granted), Some(granted));
    }

    #[test]
    fn a_wrong_rule_says_what_to_write() {
        let wrong = |host: &str, method: &str, path: &str| {
            let methods = vec![method.to_owned()];
            HttpRule::parse(&HttpRuleTable { host: host.into(), methods, path: path.into(), scheme: https() })
                .unwrap_err()
        };
        assert!(wrong("https://a.b", "GET", "/").contains("api.example.com"));
        assert!(wrong("*.com", "GET", "/").contains("every name"));
        assert!(wrong("a.b", "get", "/").contains("GET"));
        assert!(wrong("a.b", "GET", "v1").contains("from its `/`"));
    }
}
