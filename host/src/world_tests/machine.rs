//! One machine with a host on it: the real run stage and the real dispatch stage, on the tables that all machines share.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::task::JoinHandle;

use super::{plugin::Plugins, provider::Scripted, world::World};
use crate::{
    channel::{Provider, price},
    clock::{AdjustableClock, Clock},
    dispatch,
    domain::{customer::Channel, shard::Shard},
    run,
    shutdown::Shutdown,
    store::{
        Error, Handover, Result, Store,
        handover::handover,
        memory::{Handed, MemoryStore, Script},
    },
};

/// One life of a host: from its start to its kill or its stop.
#[derive(Clone)]
pub(super) struct Life {
    pub(super) store: Arc<MemoryStore>,
    pub(super) handover: Handover,
    pub(super) weather: Arc<Weather>,
    shutdown: Shutdown,
    tasks: Arc<std::sync::Mutex<Vec<JoinHandle<()>>>>,
}

/// What happens around the verbs of one life.
pub(super) struct Weather {
    world: Arc<World>,
    host: usize,
    alive: AtomicBool,
    /// One in so many verbs fails; 0 for none.
    pub(super) trouble: AtomicU64,
}

impl Life {
    pub(super) fn begin(world: &Arc<World>, host: usize, clock: Arc<AdjustableClock>) -> Life {
        let weather =
            Arc::new(Weather { world: world.clone(), host, alive: AtomicBool::new(true), trouble: AtomicU64::new(0) });
        let mut chance = world.draw(&format!("life of {host}"));
        let (handover, inlets) = handover(*chance.pick(&[1, 3, 100]), 1);
        let store = Arc::new(MemoryStore::open(world.tables.clone(), handover.clone(), weather.clone(), world.flaws));
        let shutdown = Shutdown::default();
        let runs = run::Parts {
            store: store.clone(),
            clock: clock.clone(),
            plugins: Arc::new(Plugins { world: world.clone(), host }),
            settings: run::Settings {
                concurrent_max: *chance.pick(&[1, 4, 48]),
                in_memory_max: *chance.pick(&[4, 1_000]),
                lane_in_memory_max: *chance.pick(&[1, 3, 64]),
                sweep_s: 5,
                ..run::Settings::default()
            },
            alerts: run::Alerts::default(),
            lateness: Arc::default(),
        };
        let messages = dispatching(world, host, store.clone(), clock, *chance.pick(&[2, 1_000]));
        let tasks = vec![
            tokio::spawn(run::work(runs, inlets.runs, handover.clone(), shutdown.clone())),
            tokio::spawn(dispatch::work(messages, inlets.messages, handover.clone(), shutdown.clone())),
        ];
        Life { store, handover, weather, shutdown, tasks: Arc::new(std::sync::Mutex::new(tasks)) }
    }

    /// The machine loses its power: whatever its tasks were waiting for, they go no further.
    pub(super) fn kill(&self) {
        self.weather.alive.store(false, Ordering::SeqCst);
        self.tasks.lock().unwrap().iter().for_each(JoinHandle::abort);
        self.shutdown.stop.cancel();
    }

    /// An orderly stop, as on SIGTERM; what does not end in time is killed.
    pub(super) async fn stop(&self) {
        self.shutdown.stop.cancel();
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap());
        let grace = tokio::time::Instant::now() + Duration::from_secs(30);
        for mut task in tasks {
            if tokio::time::timeout_at(grace, &mut task).await.is_err() {
                task.abort();
            }
        }
        self.kill();
    }
}

fn dispatching(
    world: &Arc<World>,
    host: usize,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    in_memory_max: usize,
) -> dispatch::Parts {
    static PRICES: OnceLock<price::Table> = OnceLock::new();
    let provider =
        |name, channel| -> Arc<dyn Provider> { Arc::new(Scripted { world: world.clone(), host, name, channel }) };
    let settings = dispatch::Settings {
        concurrent_max: 8,
        in_memory_max,
        // So few that recipients have more than that now and then.
        lane_in_memory_max: 2,
        sweep_s: 5,
        fallback: dispatch::Fallback { after_s: Some(60), doubt_wait_s: Some(20), ..dispatch::Fallback::default() },
        retry_longest_s: 30,
        close_after_s: 300,
        ..dispatch::Settings::default()
    };
    dispatch::Parts {
        store,
        clock,
        providers: vec![provider("meta", Channel::Whatsapp), provider("cm", Channel::Sms)],
        prices: PRICES.get_or_init(price::Table::built_in).clone(),
        sms: crate::channel::sms::Settings::default(),
        rules: crate::rules::allowed::Settings::default(),
        attempt_timeout: Duration::from_secs(10),
        standing: Arc::new(crate::channel::standing::Standing::new(&crate::channel::Accounts::default(), true)),
        circuits: dispatch::Circuits::default(),
        pace: dispatch::Pace::new(&settings),
        settings,
    }
}

impl Weather {
    /// A verb takes its time, in which the machine may die.
    async fn pass(&self, verb: &str, when: &str) -> Result<()> {
        let mut chance = self.world.draw(&format!("{verb} {when} on {}", self.host));
        if chance.one_in(3) {
            tokio::time::sleep(Duration::from_millis(chance.within(1..=20))).await;
        }
        if !self.alive.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let trouble = self.trouble.load(Ordering::SeqCst);
        if trouble > 0 && self.world.storms() && chance.one_in(trouble) {
            self.world.note(|| format!("host {}: {verb} fails {when}", self.host));
            return Err(Error::Unavailable {
                place: "the world".into(),
                reason: format!("it fails {when} it was done"),
                advice: "Wait".into(),
            });
        }
        Ok(())
    }

    /// A commit that is done, and whose host does not get to hear of it: it tells nobody of what is to be done now. A host that
    /// is alone reads the store then, as every store has it do; of several one cannot know of what another lost.
    fn is_not_heard(&self) -> bool {
        let trouble = self.trouble.load(Ordering::SeqCst);
        let unheard = trouble > 0
            && self.world.storms()
            && self.world.draw(&format!("commit on {}", self.host)).one_in(2 * trouble);
        if unheard {
            self.world.note(|| format!("host {}: what a commit hands over is lost", self.host));
            if let Some(life) = self.world.life(self.host).filter(|_| !self.shared()) {
                life.handover.read_the_store();
            }
        }
        unheard
    }
}

#[async_trait]
impl Script for Weather {
    async fn before(&self, verb: &'static str) -> Result<()> {
        self.pass(verb, "before").await
    }

    async fn after(&self, verb: &'static str) -> Result<()> {
        self.world.observe(verb);
        self.pass(verb, "after").await
    }

    fn owns(&self, shard: Shard) -> bool {
        self.world.owns(self.host, shard)
    }

    fn shared(&self) -> bool {
        self.world.hosts > 1
    }

    fn committed(&self, handed: &mut Handed) {
        if self.is_not_heard() {
            *handed = Handed { runs: Vec::new(), messages: Vec::new(), timer_due: None, message_due: None };
            return;
        }
        let of_run = |run: &crate::domain::run::QueuedRun| Shard::of_entity(&run.run.key);
        let of_message = |record: &crate::domain::message::MessageRecord| {
            Shard::of_lane(&record.message.tenant, record.message.to.lane())
        };
        let (runs, others_runs) = std::mem::take(&mut handed.runs).into_iter().partition(|run| self.owns(of_run(run)));
        let (messages, others) =
            std::mem::take(&mut handed.messages).into_iter().partition(|message| self.owns(of_message(message)));
        (handed.runs, handed.messages) = (runs, messages);
        self.world.hint(self.host, others_runs, others, handed.message_due);
    }
}
