//! `relais migrate`.

use std::{
    io::{IsTerminal, Write},
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Args;

use crate::{
    config::Config,
    store::{
        StoreUrl,
        migrate::{self, Compared, Move, Progress, Step},
    },
    terminal::{Failure, say},
};

#[derive(Args)]
pub(super) struct Migrate {
    /// The store to be moved, as in `store.url`: sqlite:PATH. Its host is stopped
    #[arg(long, value_name = "URL")]
    from: String,
    /// An empty database: postgres://USER@SERVER/DATABASE
    #[arg(long, value_name = "URL")]
    to: String,
    /// The configuration, for the database's password and timeouts
    #[arg(long, short, env = "RELAIS_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Throw away what an earlier move into this database left unfinished, and begin anew
    #[arg(long)]
    restart: bool,
}

impl Migrate {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let StoreUrl::Sqlite(from) = url("--from", &self.from)? else {
            return Err(wrong("--from is to name an SQLite store: sqlite:PATH. Moving back is not possible"));
        };
        let StoreUrl::Postgres(to) = url("--to", &self.to)? else {
            return Err(wrong("--to is to name a PostgreSQL database: postgres://USER@SERVER/DATABASE"));
        };
        let settings = Config::load_store(self.config.as_deref()).map_err(anyhow::Error::from)?;
        let order = Move { from: from.clone(), to: to.clone(), settings, restart: self.restart };
        let mut shown = Shown::new();
        let moved = migrate::run(order, &mut |progress| shown.show(&progress)).await;
        shown.clear();
        let compared = moved.map_err(anyhow::Error::from)?;
        say(results(&compared));
        if compared.iter().any(|table| !table.same) {
            return Err(wrong(
                "what arrived is not what was sent: the file or the database was changed meanwhile. Hosts refuse the database; \
                 run this again with --restart",
            ));
        }
        say(format_args!(
            "everything was moved and compared.\n\
             Next: set store.url = \"{to}\" and start the hosts. Do not start a host on the old file again: it would send what \
             the new ones send. Move it away (with its -wal, if there is one) and keep it as a backup: {}",
            from.display()
        ));
        Ok(())
    }
}

fn url(option: &str, text: &str) -> Result<StoreUrl, Failure> {
    StoreUrl::parse(text).map_err(|error| wrong(&format!("{option}: {error}")))
}

fn wrong(text: &str) -> Failure {
    Failure::Failed(anyhow::anyhow!("{text}"))
}

/// Every table, and whether it arrived.
fn results(compared: &[Compared]) -> String {
    let mut lines = vec![format!("{:<16} {:>12} {:>12}  {}", "table", "rows", "arrived", "compared")];
    lines.extend(compared.iter().map(|table| {
        let verdict = if table.same { "the same" } else { "DIFFERENT" };
        format!("{:<16} {:>12} {:>12}  {verdict}", table.table, table.rows, table.arrived)
    }));
    lines.join("\n")
}

/// What is shown meanwhile, on standard error: a bar that moves where somebody watches, else a line for each table.
struct Shown {
    bar: bool,
    /// The table being dealt with, when that began, and at which row.
    at: Option<(Step, &'static str, Instant, u64)>,
    drawn: Option<Instant>,
}

/// More often is not seen.
const DRAW_EVERY: Duration = Duration::from_millis(100);

impl Shown {
    fn new() -> Shown {
        Shown { bar: std::io::stderr().is_terminal(), at: None, drawn: None }
    }

    fn show(&mut self, progress: &Progress) {
        match progress {
            Progress::Note(note) => self.line(note),
            Progress::Rows { step, table, done, total } => self.rows(*step, table, *done, *total),
            // What is read first is counted again while it is moved.
            Progress::Done { step: Step::Reading, .. } => {}
            Progress::Done { step, table, rows } => {
                if !self.bar {
                    self.line(&format!("{} {table}: {rows} rows", word(*step)));
                }
            }
        }
    }

    fn rows(&mut self, step: Step, table: &'static str, done: u64, total: Option<u64>) {
        let now = Instant::now();
        let (began, from) = match self.at {
            Some((of, name, began, from)) if of == step && name == table => (began, from),
            _ => {
                self.at = Some((step, table, now, done));
                (now, done)
            }
        };
        if !self.bar || self.drawn.is_some_and(|drawn| now.duration_since(drawn) < DRAW_EVERY) {
            return;
        }
        self.drawn = Some(now);
        let text = drawn(step, table, done, total, done.saturating_sub(from), now.duration_since(began));
        // There is nowhere to say that standard error is gone, and the move goes on without it.
        let _ = write!(std::io::stderr().lock(), "\r\x1b[K{text}");
    }

    fn line(&mut self, text: &str) {
        self.clear();
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    fn clear(&mut self) {
        if self.bar && self.drawn.take().is_some() {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}

fn word(step: Step) -> &'static str {
    match step {
        Step::Reading => "reading",
        Step::Moving => "moved",
        Step::Comparing => "compared",
    }
}

/// `moved events           [########............]  40% 4000 of 10000, 52000 rows/s, 1 s left`
fn drawn(step: Step, table: &str, done: u64, total: Option<u64>, since: u64, took: Duration) -> String {
    const WIDTH: u64 = 20;
    let what = format!("{:<8} {table:<16}", word(step));
    let rate = if took.is_zero() { 0 } else { (since as f64 / took.as_secs_f64()) as u64 };
    let Some(total) = total else { return format!("{what} {done} rows, {rate} rows/s") };
    let part = |whole: u64| (done.min(total) * whole).checked_div(total).unwrap_or(whole);
    let full = part(WIDTH) as usize;
    let bar = format!("{}{}", "#".repeat(full), ".".repeat(WIDTH as usize - full));
    let left = match total.saturating_sub(done).checked_div(rate) {
        Some(seconds) => format!(", {seconds} s left"),
        None => String::new(),
    };
    format!("{what} [{bar}] {:>3}% {done} of {total}, {rate} rows/s{left}", part(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_says_how_far_how_fast_and_how_long() {
        let text = drawn(Step::Moving, "events", 4_000, Some(10_000), 2_000, Duration::from_secs(1));
        assert_eq!(text, "moved    events           [########............]  40% 4000 of 10000, 2000 rows/s, 3 s left");
        let text = drawn(Step::Moving, "events", 0, Some(0), 0, Duration::ZERO);
        assert_eq!(text, "moved    events           [####################] 100% 0 of 0, 0 rows/s");
        let text = drawn(Step::Reading, "events", 10, None, 10, Duration::from_secs(2));
        assert_eq!(text, "reading  events           10 rows, 5 rows/s");
    }
}
