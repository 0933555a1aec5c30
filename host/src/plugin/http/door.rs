//! The way out: names resolved and looked at, connections made to exactly what was looked at.

use std::{error::Error, fmt, net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;
use url::Host;

use super::{Answer, HttpSettings, NoAnswer, Outgoing, Outside, address::Networks};
use crate::{crypto, ids::PluginName, plugin::units::Span};

/// A way out: one plugin's, or that to endpoints. It has its own connections: none is handed from one plugin to another.
pub(crate) struct Door {
    client: reqwest::Client,
    networks: Arc<Networks>,
    places: Semaphore,
    response_bytes_max: usize,
    header_bytes_max: usize,
}

impl Door {
    pub(in crate::plugin) fn new(
        plugin: &PluginName,
        networks: Networks,
        settings: &HttpSettings,
    ) -> Result<Door, String> {
        Door::build(&plugin.to_string(), networks, settings)
    }

    /// The one to the endpoints of tenants, whose URLs are somebody else's words as well. Whoever uses it bounds what is made at once.
    pub(crate) fn to_endpoints(networks: Networks, connect: Duration) -> Result<Door, String> {
        let settings = HttpSettings { connect: Span(connect), at_once: 1, ..HttpSettings::default() };
        Door::build("webhooks", networks, &settings)
    }

    fn build(whose: &str, networks: Networks, settings: &HttpSettings) -> Result<Door, String> {
        crypto::install();
        let networks = Arc::new(networks);
        let client = reqwest::Client::builder()
            .connect_timeout(settings.connect.0)
            // A proxy of the environment would make the connection, and to an address that nobody here has seen.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .dns_resolver(Arc::new(Looking { networks: networks.clone() }))
            .user_agent(format!("relais/{} ({whose})", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| format!("there can be no client for HTTP: {error}"))?;
        Ok(Door {
            client,
            networks,
            places: Semaphore::new(settings.at_once.max(1) as usize),
            response_bytes_max: usize::try_from(settings.response_bytes.0).unwrap_or(usize::MAX),
            header_bytes_max: usize::try_from(settings.header_bytes.0).unwrap_or(usize::MAX),
        })
    }

    /// An address in the URL itself is never resolved, so it is looked at here.
    fn check_literal(&self, host: Option<Host<&str>>) -> Result<(), NoAnswer> {
        let address = match host {
            Some(Host::Ipv4(address)) => address.into(),
            Some(Host::Ipv6(address)) => address.into(),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        self.networks.check(address).map_err(|why| NoAnswer::KeptFrom(kept_from(&address.to_string(), address, why)))
    }

    /// Makes a request of which only status and headers matter. Of the body no more is read than lets the connection be used again.
    pub(crate) async fn knock(&self, request: Outgoing) -> Result<Answer, NoAnswer> {
        const BODY_WAIT: Duration = Duration::from_millis(500);
        self.check_literal(request.url.host())?;
        let timeout = request.timeout;
        let built = self.client.request(request.method, request.url).headers(request.headers).body(request.body);
        let sent = tokio::time::timeout(timeout, built.send()).await.map_err(|_| NoAnswer::TimedOut)?;
        let mut response = sent.map_err(no_answer)?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        let mut read = 0;
        let rest = async {
            while let Ok(Some(chunk)) = response.chunk().await {
                read += chunk.len();
                if read > self.header_bytes_max {
                    break;
                }
            }
        };
        // Slow or broken, it changes nothing about what was answered.
        let _ = tokio::time::timeout(BODY_WAIT, rest).await;
        Ok(Answer { status, headers, body: Bytes::new() })
    }

    async fn exchange(&self, request: Outgoing) -> Result<Answer, NoAnswer> {
        let built = self.client.request(request.method, request.url).headers(request.headers).body(request.body);
        let mut response = built.send().await.map_err(no_answer)?;
        let headers = std::mem::take(response.headers_mut());
        let header_bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if header_bytes > self.header_bytes_max {
            return Err(NoAnswer::TooLarge);
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(no_answer)? {
            if body.len() + chunk.len() > self.response_bytes_max {
                return Err(NoAnswer::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status: response.status(), headers, body: body.freeze() })
    }
}

#[async_trait]
impl Outside for Door {
    async fn send(&self, request: Outgoing) -> Result<Answer, NoAnswer> {
        self.check_literal(request.url.host())?;
        let Ok(_place) = self.places.try_acquire() else { return Err(NoAnswer::Busy) };
        let timeout = request.timeout;
        tokio::time::timeout(timeout, self.exchange(request)).await.unwrap_or(Err(NoAnswer::TimedOut))
    }
}

fn kept_from(name: &str, address: std::net::IpAddr, why: &str) -> String {
    format!(
        "`{name}` is at {address}, {why}, which plugins are kept from; where that is meant, open it in the host's \
         configuration: networks = [\"{address}\"] beside the plugin's grant of http"
    )
}

/// Resolves a name and gives back what may be connected to. One forbidden address among several condemns the name: whoever
/// answers so is not to be trusted with the others.
struct Looking {
    networks: Arc<Networks>,
}

impl Resolve for Looking {
    fn resolve(&self, name: Name) -> Resolving {
        let networks = self.networks.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            for address in &found {
                if let Err(why) = networks.check(address.ip()) {
                    let refused = KeptFrom(kept_from(name.as_str(), address.ip(), why));
                    return Err(Box::new(refused) as Box<dyn Error + Send + Sync>);
                }
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// What the resolver refuses, found again at the bottom of the client's error.
#[derive(Debug)]
struct KeptFrom(String);

impl fmt::Display for KeptFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for KeptFrom {}

fn no_answer(error: reqwest::Error) -> NoAnswer {
    // Its URL may hold what the plugin's log should not repeat.
    let error = error.without_url();
    if error.is_timeout() {
        return NoAnswer::TimedOut;
    }
    let mut words = error.to_string();
    let mut source = Error::source(&error);
    while let Some(cause) = source {
        if let Some(KeptFrom(why)) = cause.downcast_ref() {
            return NoAnswer::KeptFrom(why.clone());
        }
        words = format!("{words}: {cause}");
        source = cause.source();
    }
    NoAnswer::Unreachable(words)
}
