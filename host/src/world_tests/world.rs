//! A world: machines on shared tables, clients that post, providers, and whatever goes wrong.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout};

use super::{
    BEGIN,
    chance::Chance,
    check,
    machine::Life,
    plugin::{self, CUSTOMERS},
};
use crate::{
    clock::{AdjustableClock, Clock, Timestamp},
    domain::{
        customer::{Address, Channel},
        event::Event,
        message::MessageRecord,
        run::QueuedRun,
        shard::Shard,
        status::AttemptState,
    },
    ids::{AttemptToken, CustomerId, MessageId, TenantId},
    store::{
        CustomerProfile, Receipt, RoutedEvent, Store,
        handover::handover,
        memory::{Fair, Flaws, MemoryStore, Tables},
    },
};

/// Shards change hands in so many parts.
const PARTS: usize = 8;
/// How long a world may take to come to rest once nothing goes wrong any more: clocks may be ten minutes
/// behind, and what waits for a day waits for five minutes here.
const REST_WITHIN: Duration = Duration::from_secs(2 * 3600);
const JOURNAL_MAX: usize = 20_000;

pub(super) struct World {
    pub(super) seed: u64,
    pub(super) tables: Arc<Mutex<Tables>>,
    pub(super) flaws: Flaws,
    epoch: Instant,
    pub(super) hosts: usize,
    storm: AtomicBool,
    draws: Mutex<HashMap<String, u64>>,
    /// Which hosts believe that a part is theirs, as bits.
    owners: Mutex<[u8; PARTS]>,
    /// Of each machine, and how far it is ahead of the simulated time.
    clocks: Vec<(Arc<AdjustableClock>, Mutex<i64>)>,
    lives: Mutex<Vec<Option<Life>>>,
    journal: Mutex<Vec<String>>,
    pub(super) ledger: Mutex<Ledger>,
}

/// What was seen from outside.
#[derive(Default)]
pub(super) struct Ledger {
    /// Events that were acknowledged.
    pub(super) acknowledged: Vec<Arc<Event>>,
    pub(super) requests: BTreeMap<String, u32>,
    pub(super) answered: HashSet<String>,
    pub(super) highest: HashMap<(MessageId, u32), AttemptState>,
    pub(super) settled: HashSet<MessageId>,
    pub(super) kills: u32,
    pub(super) verbs: u64,
    pub(super) complaints: Vec<String>,
}

/// What came of a world.
pub(super) struct Played {
    pub(super) verbs: u64,
    pub(super) complaints: Vec<String>,
    pub(super) journal: Vec<String>,
}

pub(super) fn tenants() -> [TenantId; 2] {
    [TenantId::default_tenant(), TenantId::from("other")]
}

/// Plays the world of a seed to its end.
pub(super) fn play(seed: u64, flaws: Flaws) -> Played {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut chance = Chance::of(seed, "world");
        let hosts = chance.within(1..=2) as usize;
        let epoch = Instant::now();
        let world = Arc::new(World {
            seed,
            tables: Arc::default(),
            flaws,
            epoch,
            hosts,
            storm: AtomicBool::new(true),
            draws: Mutex::default(),
            owners: Mutex::new([0; PARTS]),
            clocks: (0..hosts).map(|_| (Arc::new(AdjustableClock::starting_at(BEGIN)), Mutex::new(0))).collect(),
            lives: Mutex::new(vec![None; hosts]),
            journal: Mutex::default(),
            ledger: Mutex::default(),
        });
        world.customers().await;
        world.share_fairly();
        (0..hosts).for_each(|host| world.start(host));
        let clients: Vec<_> = tenants().into_iter().map(|tenant| tokio::spawn(world.clone().post(tenant))).collect();
        world.clone().rage(&mut chance).await;
        world.calm();
        for client in clients {
            client.await.unwrap();
        }
        world.rest().await;
        check::at_rest(&world);
        let mut ledger = world.ledger.lock().unwrap();
        let journal = std::mem::take(&mut *world.journal.lock().unwrap());
        Played { verbs: ledger.verbs, complaints: std::mem::take(&mut ledger.complaints), journal }
    })
}

impl World {
    pub(super) fn storms(&self) -> bool {
        self.storm.load(Ordering::SeqCst)
    }

    /// Chance for the next time that this is asked.
    pub(super) fn draw(&self, question: &str) -> Chance {
        let mut draws = self.draws.lock().unwrap();
        let no = draws.entry(question.to_owned()).or_default();
        *no += 1;
        Chance::of(self.seed, &format!("{question} #{no}"))
    }

    pub(super) fn note(&self, what: impl FnOnce() -> String) {
        let mut journal = self.journal.lock().unwrap();
        if journal.len() < JOURNAL_MAX {
            journal.push(format!("{:>10} ms  {}", self.epoch.elapsed().as_millis(), what()));
        }
    }

    pub(super) fn complain(&self, what: String) {
        self.note(|| format!("!! {what}"));
        self.ledger.lock().unwrap().complaints.push(what);
    }

    // Hosts ----------------------------------------------------------------------------------------------------------

    fn start(self: &Arc<World>, host: usize) {
        let mut lives = self.lives.lock().unwrap();
        if lives[host].is_none() {
            self.note(|| format!("host {host} starts"));
            lives[host] = Some(Life::begin(self, host, self.clocks[host].0.clone()));
        }
    }

    pub(super) fn life(&self, host: usize) -> Option<Life> {
        self.lives.lock().unwrap()[host].clone()
    }

    /// Any host that lives, as a load balancer finds it.
    fn any(&self, chance: &mut Chance) -> Option<Life> {
        let lives: Vec<Life> = self.lives.lock().unwrap().iter().flatten().cloned().collect();
        if lives.is_empty() { None } else { Some(chance.pick(&lives).clone()) }
    }

    pub(super) fn owns(&self, host: usize, shard: Shard) -> bool {
        self.owners.lock().unwrap()[usize::from(shard.0) % PARTS] & (1 << host) != 0
    }

    /// Shards change hands; who gains some is told afterwards, and reads the store.
    fn share(&self, owner: impl Fn(usize) -> u8) {
        let before = *self.owners.lock().unwrap();
        let after: [u8; PARTS] = std::array::from_fn(owner);
        *self.owners.lock().unwrap() = after;
        self.note(|| format!("shards belong to {after:?}"));
        for host in 0..self.hosts {
            let gained = before.iter().zip(after).any(|(before, after)| after & !before & (1 << host) != 0);
            if let Some(life) = self.life(host).filter(|_| gained) {
                life.handover.read_the_store();
            }
        }
    }

    fn share_fairly(&self) {
        self.share(|part| 1 << (part % self.hosts));
    }

    /// What a commit made to be done for others: told to them a little later, or never.
    pub(super) fn hint(
        self: &Arc<World>,
        from: usize,
        runs: Vec<QueuedRun>,
        messages: Vec<MessageRecord>,
        due: Option<Timestamp>,
    ) {
        if runs.is_empty() && messages.is_empty() && due.is_none() {
            return;
        }
        for host in (0..self.hosts).filter(|host| *host != from) {
            let mut chance = self.draw(&format!("hint to {host}"));
            if chance.one_in(4) {
                continue;
            }
            let (world, runs, messages) = (self.clone(), runs.clone(), messages.clone());
            tokio::spawn(async move {
                sleep(Duration::from_millis(*chance.pick(&[0, 1, 10, 300]))).await;
                let Some(life) = world.life(host) else { return };
                let ours = |run: &QueuedRun| world.owns(host, Shard::of_entity(&run.run.key));
                runs.into_iter().filter(ours).for_each(|run| life.handover.run(run));
                let ours = |record: &MessageRecord| {
                    world.owns(host, Shard::of_lane(&record.message.tenant, record.message.to.lane()))
                };
                messages.into_iter().filter(ours).for_each(|record| life.handover.message(record));
                if let Some(due) = due {
                    life.handover.messages_due.at(due);
                }
            });
        }
    }

    // What goes wrong ------------------------------------------------------------------------------------------------

    async fn rage(self: Arc<World>, chance: &mut Chance) {
        for _ in 0..chance.within(3..=12) {
            sleep(Duration::from_millis(chance.within(0..=6_000))).await;
            let host = chance.within(0..=self.hosts as u64 - 1) as usize;
            match chance.within(0..=7) {
                0 | 1 => self.fall(host, false, chance),
                2 => self.fall(host, true, chance),
                3 => {
                    let ahead = *chance.pick(&[600_000, -600_000, 30_000, -30_000, 0]);
                    self.note(|| format!("the clock of host {host} is set {ahead} ms ahead"));
                    let (clock, before) = &self.clocks[host];
                    clock.jump(ahead - std::mem::replace(&mut *before.lock().unwrap(), ahead));
                }
                4 | 5 if self.hosts > 1 => {
                    let dice: [u8; PARTS] = std::array::from_fn(|_| *chance.pick(&[1, 1, 2, 2, 3, 0]));
                    self.share(|part| dice[part]);
                }
                4..=6 => {
                    if let Some(life) = self.life(host) {
                        let trouble = *chance.pick(&[2, 5, 20, 0]);
                        self.note(|| format!("one in {trouble} verbs of host {host} fails"));
                        life.weather.trouble.store(trouble, Ordering::SeqCst);
                    }
                }
                _ => self.cancel_any(chance).await,
            }
            self.nothing_is_adrift().await;
        }
    }

    /// A host is killed or stopped, and started again a little later.
    fn fall(self: &Arc<World>, host: usize, orderly: bool, chance: &mut Chance) {
        let Some(life) = self.lives.lock().unwrap()[host].take() else { return };
        self.note(|| format!("host {host} is {}", if orderly { "stopped" } else { "killed" }));
        let (world, pause) = (self.clone(), chance.within(0..=8_000));
        tokio::spawn(async move {
            if orderly {
                life.stop().await;
            } else {
                world.ledger.lock().unwrap().kills += 1;
                life.kill();
            }
            sleep(Duration::from_millis(pause)).await;
            world.start(host);
        });
    }

    async fn cancel_any(self: &Arc<World>, chance: &mut Chance) {
        let records = self.tables.lock().unwrap().records();
        if let (Some(life), false) = (self.any(chance), records.is_empty()) {
            let message = &chance.pick(&records).message;
            self.note(|| format!("{} is to be cancelled", message.id));
            let asked = life.store.cancel_message(&message.tenant, message.id, BEGIN.plus(self.epoch.elapsed()));
            // A host that was killed never answers.
            let _ = timeout(Duration::from_secs(2), asked).await;
        }
    }

    /// Nothing goes wrong from here on, and each part is one host's. A host that fell starts by itself, once it has ended: of a
    /// store that is one host's there is never a second.
    fn calm(&self) {
        self.storm.store(false, Ordering::SeqCst);
        self.note(|| "it calms down".to_owned());
        self.share_fairly();
    }

    async fn rest(&self) {
        let calm = Instant::now();
        while calm.elapsed() < REST_WITHIN && !self.tables.lock().unwrap().at_rest() {
            sleep(Duration::from_secs(10)).await;
        }
        self.nothing_is_adrift().await;
        let left = check::unfinished(&self.tables.lock().unwrap());
        left.into_iter().for_each(|what| self.complain(format!("adrift: {what}")));
    }

    /// What the store itself says, and says at any moment of a host's life: there is nothing that nobody would ever do.
    async fn nothing_is_adrift(&self) {
        for found in self.store().adrift().await.unwrap() {
            self.complain(format!("the store says that {} {} is adrift: {}", found.kind, found.id, found.why));
        }
    }

    /// The tables, as one sees them who is no host.
    fn store(&self) -> MemoryStore {
        MemoryStore::open(self.tables.clone(), handover(1, 1).0, Arc::new(Fair), Flaws::default())
    }

    // Who uses it ----------------------------------------------------------------------------------------------------

    async fn customers(&self) {
        let store = self.store();
        for (tenant, (no, customer)) in tenants().iter().flat_map(|t| CUSTOMERS.iter().enumerate().map(move |c| (t, c)))
        {
            let address = |channel| Address {
                channel,
                address: format!("+3361111111{no}"),
                last_incoming: Some(BEGIN),
                unusable_until: None,
                free_until: None,
            };
            let addresses = Channel::ALL.map(address).to_vec();
            let profile = CustomerProfile { addresses, ..CustomerProfile::default() };
            store.put_customer(tenant, &CustomerId::from(*customer), profile, BEGIN).await.unwrap();
        }
    }

    /// A tenant's system posts its events one after another, each until it is acknowledged.
    async fn post(self: Arc<World>, tenant: TenantId) {
        let mut chance = Chance::of(self.seed, &format!("client of {tenant}"));
        for no in 0..chance.within(2..=8) {
            sleep(Duration::from_millis(*chance.pick(&[0, 0, 300, 2_000, 9_000]))).await;
            let (_, event) = plugin::event(&tenant, &format!("event-{no}"), &mut chance, false);
            let event = event.unwrap();
            while !self.post_one(&event, &mut chance).await {
                sleep(Duration::from_millis(chance.within(1..=1_000))).await;
            }
            self.note(|| format!("{tenant}: event-{no} is acknowledged"));
            self.ledger.lock().unwrap().acknowledged.push(event);
        }
    }

    async fn post_one(&self, event: &Arc<Event>, chance: &mut Chance) -> bool {
        let Some(life) = self.any(chance) else { return false };
        let routed = RoutedEvent { event: event.clone(), runs: plugin::route(event), notes: Vec::new() };
        let accepted = timeout(Duration::from_secs(2), life.store.accept_events(vec![routed])).await;
        matches!(accepted, Ok(Ok(_)))
    }

    // What is seen of it ---------------------------------------------------------------------------------------------

    pub(super) fn requested(&self, token: AttemptToken) {
        *self.ledger.lock().unwrap().requests.entry(token.to_string()).or_default() += 1;
    }

    pub(super) fn answered(&self, token: AttemptToken) {
        self.ledger.lock().unwrap().answered.insert(token.to_string());
    }

    /// A provider tells any host of a receipt, until one says that it has it.
    pub(super) async fn tell(self: Arc<World>, mut receipt: Receipt) {
        let mut chance = self.draw("receipt");
        let token = receipt.provider_id.as_deref().and_then(|id| id.split('-').nth(1)?.parse::<AttemptToken>().ok());
        let records = self.tables.lock().unwrap().records();
        let about = records.iter().find(|record| Some(record.message.id) == token.map(|token| token.message));
        receipt.tenant = about.unwrap().message.tenant.clone();
        loop {
            if let Some(life) = self.any(&mut chance) {
                let now = BEGIN.plus(self.epoch.elapsed());
                let told =
                    timeout(Duration::from_secs(2), life.store.record_receipts(vec![receipt.clone()], now)).await;
                if matches!(told, Ok(Ok(_))) {
                    self.note(|| format!("receipt {:?} of {}", receipt.state, receipt.provider_id.as_deref().unwrap()));
                    return;
                }
            }
            sleep(Duration::from_millis(chance.within(1..=3_000))).await;
        }
    }

    /// After each verb: what moved back?
    pub(super) fn observe(&self, verb: &'static str) {
        self.ledger.lock().unwrap().verbs += 1;
        if matches!(verb, "change_message" | "record_receipts") {
            check::on_the_way(self);
        }
    }
}
