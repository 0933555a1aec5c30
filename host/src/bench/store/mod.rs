//! `relais bench store`: what the store costs, without plugins, HTTP or providers.
//!
//! Variants of one thing (batches of one command, several hosts, a database that is full) are measured by turns in one call, and
//! medians are compared: what else the machine does meets all of them alike. CPU time is counted, of this process and of the
//! server's where it runs on this machine, because elapsed time says more about the neighbours.

mod life;
mod place;

use clap::Args;

use self::{
    life::{Cost, EACH, Life, VERBS},
    place::Clocks,
};
use super::{figures::Memory, mib};
use crate::{
    store::{Settings, StoreUrl},
    terminal::say,
};

#[derive(Args)]
#[command(
    after_help = "Example:\n  relais bench store --url postgres://postgres@127.0.0.1/bench --batch-max 1 --hosts 3\n\nThe database must be \
                        empty or from an earlier call, and nobody else's."
)]
pub(super) struct StoreBench {
    /// The store that is measured: sqlite:PATH or postgres://USER@SERVER/DATABASE
    #[arg(long, value_parser = StoreUrl::parse)]
    url: StoreUrl,
    /// Events in each round
    #[arg(long, default_value_t = 20_000)]
    events: usize,
    /// Calls on their way at once, over all hosts
    #[arg(long, default_value_t = 256)]
    in_flight: usize,
    /// Rounds of each variant
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Compare with at most so many commands to a transaction; 1 for none that are shared
    #[arg(long)]
    batch_max: Option<usize>,
    /// Compare with so many hosts that share the load (PostgreSQL)
    #[arg(long)]
    hosts: Option<usize>,
    /// Compare with another database that is filled beforehand
    #[arg(long, value_name = "URL", value_parser = StoreUrl::parse)]
    filled: Option<StoreUrl>,
    /// Open runs of another plugin in the filled database
    #[arg(long, default_value_t = 0, requires = "filled")]
    backlog: u64,
    /// Timers that are far from due in the filled database
    #[arg(long, default_value_t = 0, requires = "filled")]
    timers: u64,
}

struct Variant {
    name: String,
    url: StoreUrl,
    settings: Settings,
    hosts: usize,
    events: usize,
    rounds: Vec<Vec<Cost>>,
}

impl StoreBench {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let mut variants = self.variants();
        if let Some(url) = &self.filled {
            place::fill(url, self.backlog, self.timers).await?;
        }
        let mut drawn = [0u8; 4];
        getrandom::fill(&mut drawn)?;
        let name = u32::from_le_bytes(drawn);
        for round in 0..self.rounds {
            for (no, variant) in variants.iter_mut().enumerate() {
                self.round(variant, format!("bench-{name:08x}-{round}-{no}")).await?;
            }
        }
        variants.iter().for_each(report);
        if let Some((first, others)) = variants.split_first() {
            others.iter().for_each(|other| compare(first, other));
        }
        Ok(())
    }

    fn variants(&self) -> Vec<Variant> {
        let variant = |name: String| Variant {
            name,
            url: self.url.clone(),
            settings: Settings::default(),
            hosts: 1,
            events: self.events,
            rounds: Vec::new(),
        };
        let mut variants = vec![variant("as it is".to_owned())];
        if let Some(batch_max) = self.batch_max {
            let mut other = variant(format!("{batch_max} to a transaction"));
            other.settings.batch_max = batch_max;
            // A tenth takes as long.
            other.events = if batch_max == 1 { (self.events / 10).max(1) } else { self.events };
            variants.push(other);
        }
        if let Some(hosts) = self.hosts {
            variants.push(Variant { hosts, ..variant(format!("{hosts} hosts")) });
        }
        if let Some(url) = &self.filled {
            let name = format!("{} open runs, {} timers", self.backlog, self.timers);
            variants.push(Variant { url: url.clone(), ..variant(name) });
        }
        variants
    }

    async fn round(&self, variant: &mut Variant, name: String) -> anyhow::Result<()> {
        let before = Memory::of(std::process::id())?.resident_kib;
        let mut hosts = place::open(&variant.url, &variant.settings, variant.hosts, variant.events).await?;
        let first = hosts.first().ok_or_else(|| anyhow::anyhow!("there is no host"))?;
        let clocks = Clocks::of(first).await?;
        let mut life = Life { hosts: &mut hosts, clocks: &clocks, in_flight: self.in_flight, name };
        let costs = life.of(variant.events).await?;
        let after = Memory::of(std::process::id())?.resident_kib;
        let sum = of_event(&costs);
        let server = if clocks.knows_the_server() { format!(" + {:.0} of the server", sum.1) } else { String::new() };
        say(format_args!(
            "{:<34} {:>6.0} µs of this process{server} per event; {:.0} → {:.0} MiB resident",
            variant.name,
            sum.0,
            mib(before),
            mib(after)
        ));
        variant.rounds.push(costs);
        for host in &hosts {
            host.store.close().await?;
        }
        Ok(())
    }
}

/// µs of this process and of the server.
fn of_event(costs: &[Cost]) -> (f64, f64) {
    let each = costs.iter().take(EACH);
    each.map(of_call).fold((0.0, 0.0), |(host, server), cost| (host + cost.0, server + cost.1))
}

fn of_call(cost: &Cost) -> (f64, f64) {
    let calls = cost.calls.max(1) as f64;
    (cost.spent.host.as_secs_f64() * 1e6 / calls, cost.spent.server.as_secs_f64() * 1e6 / calls)
}

fn rate(cost: &Cost) -> f64 {
    cost.calls as f64 / cost.took.as_secs_f64().max(1e-9)
}

fn shared(cost: &Cost) -> f64 {
    cost.calls as f64 / (cost.transactions.max(1) as f64)
}

/// Of all rounds. `of` says what of a verb.
fn median(variant: &Variant, of: impl Fn(&[Cost]) -> f64) -> f64 {
    let mut values: Vec<f64> = variant.rounds.iter().map(|costs| of(costs)).collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn of_verb(variant: &Variant, verb: usize, of: impl Fn(&Cost) -> f64) -> f64 {
    median(variant, |costs| costs.get(verb).map(&of).unwrap_or_default())
}

fn report(variant: &Variant) {
    say(format_args!("\n{} ({} events a round)", variant.name, variant.events));
    say("  verb               calls/s  calls/transaction   µs CPU: this process    server");
    for (no, verb) in VERBS.iter().enumerate() {
        say(format_args!(
            "  {verb:<16} {:>9.0} {:>18.1} {:>22.1} {:>9.1}",
            of_verb(variant, no, rate),
            of_verb(variant, no, shared),
            of_verb(variant, no, |cost| of_call(cost).0),
            of_verb(variant, no, |cost| of_call(cost).1),
        ));
    }
    say(format_args!(
        "  {:<16} {:>9.0} {:>18} {:>22.1} {:>9.1}",
        "an event",
        median(variant, events_a_second),
        "",
        median(variant, |costs| of_event(costs).0),
        median(variant, |costs| of_event(costs).1)
    ));
}

fn events_a_second(costs: &[Cost]) -> f64 {
    let took: f64 = costs.iter().take(EACH).map(|cost| 1.0 / rate(cost)).sum();
    1.0 / took.max(1e-9)
}

fn compare(first: &Variant, other: &Variant) {
    let whole = |costs: &[Cost]| of_event(costs).0 + of_event(costs).1;
    let run = |cost: &Cost| of_call(cost).0 + of_call(cost).1;
    let ratio = |of: &dyn Fn(&Variant) -> f64| of(other) / of(first).max(1e-9);
    say(format_args!(
        "\n{} against {}:\n  runs a second {:.3}, events a second {:.3}\n  CPU of a run {:.3}, of an event {:.3} (this process and the server)",
        other.name,
        first.name,
        ratio(&|variant| of_verb(variant, 1, rate)),
        ratio(&|variant| median(variant, events_a_second)),
        ratio(&|variant| of_verb(variant, 1, run)),
        ratio(&|variant| median(variant, whole)),
    ));
}
