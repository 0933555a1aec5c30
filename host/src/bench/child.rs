//! The host that is measured, as a process of its own.

use std::{
    net::SocketAddr,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use serde_json::Value;

use super::{
    figures::{Cpu, Memory},
    provider,
};
use crate::channel::{HttpSettings, http_client};

pub(super) struct Child {
    process: tokio::process::Child,
    pub url: String,
    /// From the start of the process to its first good answer.
    pub ready_after: Duration,
    client: reqwest::Client,
}

impl Child {
    pub(super) async fn start(data: &Path, plugins: &Path, provider: SocketAddr) -> anyhow::Result<Child> {
        // A port that was free a moment ago; the host says so if it no longer is.
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let file = data.join("relais.toml");
        std::fs::write(&file, configuration(data, plugins, provider, port)?)?;
        let began = Instant::now();
        let process = tokio::process::Command::new(std::env::current_exe()?)
            .arg("serve")
            .arg("--config")
            .arg(&file)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("the host cannot be started")?;
        let client = http_client(&HttpSettings::default())?;
        let mut child = Child { process, url: format!("http://127.0.0.1:{port}"), ready_after: Duration::ZERO, client };
        loop {
            if let Some(status) = child.process.try_wait()? {
                bail!("the host ended at once: {status}");
            }
            let ready = child.client.get(format!("{}/readyz", child.url)).send().await;
            if ready.is_ok_and(|answer| answer.status().is_success()) {
                child.ready_after = began.elapsed();
                return Ok(child);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn id(&self) -> anyhow::Result<u32> {
        self.process.id().context("the host has ended")
    }

    pub(super) fn cpu(&self) -> anyhow::Result<Cpu> {
        Cpu::of(self.id()?)
    }

    pub(super) fn memory(&self) -> anyhow::Result<Memory> {
        Memory::of(self.id()?)
    }

    /// Waits until nothing is open any more. How long that took.
    pub(super) async fn settled(&self) -> anyhow::Result<Duration> {
        let began = Instant::now();
        loop {
            let answer = self.client.get(format!("{}/v1/stats", self.url)).send().await?;
            let stats: Value = serde_json::from_slice(&answer.bytes().await?)?;
            let open = |name: &str| {
                stats.get(name).and_then(Value::as_i64).with_context(|| format!("/v1/stats has no `{name}`: {stats}"))
            };
            if open("open_runs")? == 0 && open("open_messages")? == 0 {
                return Ok(began.elapsed());
            }
            // Rare enough not to be measured itself.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        self.process.kill().await.context("the host cannot be stopped")
    }
}

fn configuration(data: &Path, plugins: &Path, provider: SocketAddr, port: u16) -> anyhow::Result<String> {
    let secret = |name: &str, value: &str| -> anyhow::Result<String> {
        let path = data.join(name);
        std::fs::write(&path, value)?;
        Ok(format!("{{ file = {} }}", quoted(&path)))
    };
    Ok(format!(
        r#"
        [server]
        listen = "127.0.0.1:{port}"
        [ingress]
        open = true
        [store]
        url = {store}
        [log]
        level = "error"
        [plugins]
        dir = {plugins}
        cache-dir = {cache}
        # A few customers get everything.
        [plugins.caps.default]
        per-customer-day = 0
        [plugins.caps.ceiling]
        per-customer-day = 0
        [plugins.secrets.order-ready]
        till-webhook = {till}
        [dispatch]
        # The pace is Meta's; it is the host that is measured here.
        whatsapp-per-second = 1000000
        pair-interval-s = 0
        [[accounts.meta]]
        base-url = "http://{provider}"
        version = "v25.0"
        phone-number-id = "1"
        waba-id = "2"
        access-token = {access_token}
        app-secrets = [{app_secret}]
        verify-token = {verify_token}
        "#,
        store = toml::Value::String(format!("sqlite:{}", data.join("relais.db").display())),
        plugins = quoted(&std::path::absolute(plugins)?),
        cache = quoted(&data.join("machine-code")),
        till = secret("till", "bench-till-webhook-secret")?,
        access_token = secret("access-token", provider::ACCESS_TOKEN)?,
        app_secret = secret("app-secret", provider::APP_SECRET)?,
        verify_token = secret("verify-token", "bench-verify-token")?,
    ))
}

fn quoted(path: &Path) -> toml::Value {
    toml::Value::String(path.display().to_string())
}
