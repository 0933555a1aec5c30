//! The command line: what each command is called, takes and says of itself.
//!
//! Exit codes: 0 done · 1 it failed, and says why · 2 the command's words are off · 3 the host cannot be reached · 4 the host
//! refuses (its answer is printed).

mod client;
mod config;
mod dev;
mod doctor;
mod endpoint;
mod event;
mod message;
mod migrate;
mod plugin;
mod plugins;
mod registry;
mod replay;
mod runs;
mod serve;
mod simulate;
mod stats;
mod trust;
mod whatsapp;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::terminal::Failure;

/// A WebAssembly plugin host for message workflows.
///
/// Systems post events; sandboxed plugins decide whether a customer expects a message about them; one channel layer sends it
/// by WhatsApp and falls back to SMS when WhatsApp cannot deliver.
#[derive(Parser)]
#[command(
    name = "relais",
    version,
    after_help = "Start with `relais demo`: it plays a customer's day on this machine and shows it at http://127.0.0.1:8080/.\n\
                  Exit codes: 0 done, 1 failed, 2 wrong usage, 3 host not reachable, 4 host refuses."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the host: take events, run plugins, send messages
    #[command(
        after_help = "Example:\n  relais serve --config relais.toml\n\nEvery setting has a default, printed by `relais config defaults`. A setting can be\n\
                            given in the environment: RELAIS_SERVER__LISTEN=127.0.0.1:9000 is `listen` of [server].\nSecrets are never in the file: it names an environment variable or a file that holds them."
    )]
    Serve(serve::Serve),
    /// Play the demo day on this machine: host, simulated providers, phones and a page to watch
    #[command(
        after_help = "Examples:\n  relais demo                 and open the page that it names; Ctrl-C ends it\n  \
                            relais demo --exit          as a test: exit code 0 only if every story ended as its file says\n\nNothing leaves this machine."
    )]
    Demo(crate::demo::Demo),
    /// Write a plugin with a host beside it: builds, watches, rebuilds and reloads it, and shows what each of its runs did
    #[command(
        after_help = "Examples:\n  relais dev table-free\n  relais dev table-free --listen 127.0.0.1:0      on any free port\n\n\
                            Events are posted to the address that it prints, with `relais event send --url` or anything else; messages arrive\n\
                            at the phones on its page. A build that fails shows the compiler's words, and the build before it goes on serving.\n\
                            Nothing leaves this machine. Ctrl-C ends it. Exit codes: 0 it was ended, 1 it could not begin."
    )]
    Dev(dev::Dev),
    /// Run the simulated providers alone (Meta, CM.com and Twilio), for a host to talk to
    Simulate(simulate::Simulate),
    /// Send events to a host
    #[command(
        after_help = "Example:\n  relais event send --type com.example.order.ready --customer paul --data '{\"order\":\"4821\"}' --wait 10"
    )]
    Event {
        #[command(subcommand)]
        command: event::EventCommand,
    },
    /// Look at messages and why they went the way they went
    #[command(after_help = "Example:\n  relais message list --customer paul")]
    Message {
        #[command(subcommand)]
        command: message::MessageCommand,
    },
    /// Look at runs, and replay or discard those that were set aside
    #[command(
        after_help = "Examples:\n  relais runs list --set-aside\n  relais runs replay --plugin reminder --all\n\nA run that fails again and again is set aside, with its evidence, and waits for you."
    )]
    Runs {
        #[command(subcommand)]
        command: runs::RunsCommand,
    },
    /// Show what was counted of messages: by day, plugin, purpose, channel and country
    #[command(
        after_help = "Examples:\n  relais stats\n  relais stats --by plugin,channel --from 2026-10-01 --to 2026-10-31\n\nDays are of UTC, and a message counts on the day on which it was asked for."
    )]
    Stats(stats::Stats),
    /// Look after endpoints: where your own systems are told what becomes of messages (webhooks out)
    #[command(
        after_help = "Examples:\n  relais endpoint add https://shop.example/relais --type 'relais.message.*'\n  relais endpoint list\n\ndocs/webhooks.md says what is told and how to check its signature."
    )]
    Endpoint {
        #[command(subcommand)]
        command: endpoint::EndpointCommand,
    },
    /// Ask a host whether it is well: work that nobody would do, and how far behind the rest is
    #[command(
        after_help = "Examples:\n  relais doctor\n  relais doctor --json\n\nWhat to do about each finding is in docs/operate.md. It reads whole tables: ask now and then, not every second.\n\
                            Exit codes: 0 healthy; 1 something was found; 3 host not reachable; 4 the host refuses, or no API key."
    )]
    Doctor(doctor::Doctor),
    /// Begin, build, test and check plugins; look after those of a host
    #[command(
        after_help = "Examples:\n  relais plugin new table-free --lang python\n  relais plugin build table-free\n  relais plugin test table-free\n  relais plugin check table-free\n  \
                            relais plugin list\n  relais plugin resume table-free"
    )]
    Plugin {
        #[command(subcommand)]
        command: plugin::PluginCommand,
    },
    /// Execute a run of another host again, from its bundle, and compare what came of it then and now
    #[command(
        after_help = "Examples:\n  relais replay run.json                       with the plugin in this directory\n  relais replay run.json --package table-free\n\n\
                            `relais runs bundle ID` prints a bundle. Nothing is sent and no host is asked. \n\
                            Exit codes: 0 it was executed, whatever came of it; 1 it could not be (the reason is printed)."
    )]
    Replay(replay::Replay),
    /// Check a configuration, or print every setting with its default
    #[command(after_help = "Example:\n  relais config defaults > relais.toml && relais config check relais.toml")]
    Config {
        #[command(subcommand)]
        command: config::ConfigCommand,
    },
    /// Move a stopped host's SQLite store into an empty PostgreSQL database, and check what was moved
    #[command(
        after_help = "Example:\n  relais migrate --from sqlite:data/relais.db --to postgres://relais@db.example/relais --config relais.toml\n\n\
                            The database's password is never on the command line: set store.postgres.password = { env = \"NAME\" }.\n\
                            Interrupted, it goes on where it was when it is run again. The SQLite file stays as it is.\n\n\
                            Exit codes: 0 everything was moved and compared, 1 it was not (the reason is printed)."
    )]
    Migrate(migrate::Migrate),
    /// Look after a business number on WhatsApp: its profile
    #[command(
        after_help = "Example:\n  relais whatsapp profile get --config relais.toml\n\nIt talks to Meta with the account of the configuration; no host has to run."
    )]
    Whatsapp {
        #[command(subcommand)]
        command: whatsapp::WhatsappCommand,
    },
    /// Compile the component that standard input brings: what the host starts for each plugin, and of no use to people
    #[command(hide = true)]
    CompileComponent,
    /// Measure the whole path and a run alone, on loopback
    Bench(crate::bench::Bench),
}

/// Which host a command talks to.
#[derive(Args, Clone)]
pub struct Target {
    /// Where the host listens
    #[arg(long, env = "RELAIS_URL", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    url: String,
    /// A file that holds the API key; RELAIS_KEY in the environment does as well. Never on the command line, where others see it
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

impl Cli {
    /// Whether this process is to compile a component and nothing else. It needs no runtime, whose threads would count as its.
    pub fn compiles(&self) -> bool {
        matches!(self.command, Command::CompileComponent)
    }
}

/// Does what the command line says.
pub async fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Serve(serve) => Ok(Box::pin(serve.run()).await?),
        Command::Demo(demo) => Box::pin(demo.run()).await,
        Command::Dev(dev) => Ok(Box::pin(dev.run()).await?),
        Command::Simulate(simulate) => Ok(simulate.run().await?),
        Command::Event { command } => command.run().await,
        Command::Message { command } => command.run().await,
        Command::Stats(stats) => stats.run().await,
        Command::Endpoint { command } => command.run().await,
        Command::Doctor(doctor) => doctor.run().await,
        Command::Runs { command } => command.run().await,
        Command::Plugin { command } => command.run().await,
        Command::Replay(replay) => replay.run().await,
        Command::Config { command } => command.run(),
        Command::Migrate(migrate) => migrate.run().await,
        Command::Whatsapp { command } => command.run().await,
        // Done by `main`, before there is a runtime.
        Command::CompileComponent => Err(Failure::Silent),
        Command::Bench(bench) => Ok(bench.run().await?),
    }
}
