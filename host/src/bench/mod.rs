//! `relais bench`: the whole path on loopback, and a run alone.
//!
//! The host is a process of its own, started as an operator starts it, so that its CPU time and memory are its own; what
//! posts the events and plays the provider is this process. Figures of one call can be compared with one another; across
//! machines and days only ratios say something.

mod alone;
mod child;
mod figures;
mod load;
mod plan;
mod provider;
mod store;

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};

use crate::terminal::say;
use child::Child;
use figures::Latencies;

#[derive(Args)]
#[command(
    after_help = "Example:\n  relais bench --events 5000 --runs 10000\n\nThe figures: events per second; p50 and p99 of the answer to an event, and from the event to the provider's\n\
                        door; CPU of the host per event, user and system; memory when idle and at its peak; time from the\n\
                        start of a process to its first answer, with the machine code cached."
)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Bench {
    #[command(subcommand)]
    part: Option<Part>,
    /// Events posted on the whole path
    #[arg(long, default_value_t = 20_000)]
    events: usize,
    /// Events on their way at once, from the post to the provider's door
    #[arg(long, default_value_t = 64)]
    in_flight: usize,
    /// Post the next event as soon as the last is accepted, faster than they can be sent: what a backlog costs
    #[arg(long)]
    flood: bool,
    /// Customers that the events go round
    #[arg(long, default_value_t = 1_000)]
    customers: usize,
    /// Receipts that the provider posts for each message: 1 (delivered), 2 (sent, delivered) or 3 (sent, delivered, read)
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=3))]
    receipts: u8,
    /// Runs of the run alone, on one thread and on two
    #[arg(long, default_value_t = 50_000)]
    runs: u32,
    /// The directory of plugin packages; `order-ready` is measured
    #[arg(long, default_value = "plugins", value_name = "DIR")]
    plugins: PathBuf,
    /// Where the store is kept during the measurement: the disk that is measured. A temporary directory where absent
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Part {
    /// Measure the store alone: its verbs, batches, several hosts, a backlog
    Store(store::StoreBench),
    /// Measure rules, route, rendition and price of a message, without a store and without sending
    Plan(plan::PlanBench),
}

impl Bench {
    pub async fn run(self) -> anyhow::Result<()> {
        match self.part {
            Some(Part::Store(bench)) => return bench.run().await,
            Some(Part::Plan(bench)) => return bench.run().await,
            None => {}
        }
        let data = self
            .data
            .clone()
            .unwrap_or_else(|| std::env::temp_dir().join(format!("relais-bench-{}", std::process::id())));
        std::fs::create_dir_all(&data)?;
        let measured = self.measure(&data).await;
        if self.data.is_none() {
            std::fs::remove_dir_all(&data)?;
        }
        measured
    }

    async fn measure(&self, data: &std::path::Path) -> anyhow::Result<()> {
        let provider = provider::Provider::start(self.events, self.receipts).await?;
        let mut child = Child::start(data, &self.plugins, provider.address).await?;
        child.stop().await?;
        // The second start finds the machine code.
        let mut child = Child::start(data, &self.plugins, provider.address).await?;
        say(format_args!(
            "restart, machine code cached   {:>10.0} ms to the first answer",
            child.ready_after.as_secs_f64() * 1e3
        ));
        tokio::time::sleep(Duration::from_secs(1)).await;
        say(format_args!("idle host                      {:>10.1} MiB resident", mib(child.memory()?.resident_kib)));

        provider.send_receipts_to(&child.url);
        load::customers(&child.url, self.customers).await?;
        // A tenth beforehand, so that connections, pools and caches are as they are in a host that has been running.
        let warm_up = (self.events / 10).max(1);
        load::events(&child.url, &provider, 0..warm_up, self.customers, self.in_flight, self.flood).await?;
        child.settled().await?;
        let before = child.cpu()?;
        let load =
            load::events(&child.url, &provider, warm_up..self.events, self.customers, self.in_flight, self.flood)
                .await?;
        let settled = child.settled().await?;
        let cpu = child.cpu()?.since(before);
        let count = (self.events - warm_up) as f64;
        let rate = count / (load.took + settled).as_secs_f64();
        say(format_args!(
            "whole path                     {rate:>10.0} events/s, {} receipts each, {} in flight",
            self.receipts, self.in_flight
        ));
        print_latencies("  event posted → 202", load.answers);
        print_latencies("  event posted → provider", provider.latencies(warm_up));
        say(format_args!(
            "  CPU of the host              {:>10.0} µs per event ({:.0} user, {:.0} system)",
            (cpu.user + cpu.system).as_secs_f64() * 1e6 / count,
            cpu.user.as_secs_f64() * 1e6 / count,
            cpu.system.as_secs_f64() * 1e6 / count,
        ));
        say(format_args!("  peak memory                  {:>10.1} MiB", mib(child.memory()?.peak_kib)));
        child.stop().await?;
        self.runs_alone(data).await
    }

    async fn runs_alone(&self, data: &std::path::Path) -> anyhow::Result<()> {
        for threads in [1, 2] {
            let (rate, cpu) = alone::runs(data, &self.plugins, self.runs, threads).await?;
            say(format_args!("a run alone, {threads} thread(s)        {rate:>10.0} runs/s, {cpu:.1} µs of CPU each"));
        }
        Ok(())
    }
}

fn print_latencies(what: &str, mut latencies: Latencies) {
    say(format_args!(
        "{what:<30} {:>10.2} ms p50 · {:.2} ms p99",
        latencies.percentile(50.0).as_secs_f64() * 1e3,
        latencies.percentile(99.0).as_secs_f64() * 1e3
    ));
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
