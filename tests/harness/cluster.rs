//! Several hosts on one database, with one set of providers, and something in front of them that finds one that answers.

use std::{sync::Arc, time::Duration};

use super::{Host, Setup, Sim, db::Db, postgres::Database, process, proxy::Proxy};

pub(crate) struct Cluster {
    pub(crate) hosts: Vec<Host>,
    pub(crate) sim: Arc<Sim>,
    /// Where the providers' webhooks come in: connections go to the hosts that run, in turn.
    front: Proxy,
    setup: Setup,
    database: Option<Arc<Database>>,
    /// Where hosts that join reach their store, where that is not where it is.
    store_url: Option<String>,
}

impl Cluster {
    /// Starts that many hosts, one after the other. SQLite has room for one.
    pub(crate) async fn start(setup: Setup, count: usize) -> Cluster {
        let database = setup.db.prepare().await;
        Cluster::start_on(setup, count, database, None).await
    }

    /// The same on a database that there is, which the hosts reach at another place than where it is.
    pub(crate) async fn start_on(
        setup: Setup,
        count: usize,
        database: Option<Database>,
        store_url: Option<String>,
    ) -> Cluster {
        assert!(count == 1 || setup.db == Db::Postgres, "one file is for one host");
        let front = Proxy::to(Vec::new()).await;
        let sim = Arc::new(Host::providers(&setup, &format!("http://127.0.0.1:{}", front.port)).await);
        let database = database.map(Arc::new);
        let mut cluster = Cluster { hosts: Vec::new(), sim, front, setup, database, store_url };
        for _ in 0..count {
            cluster.join().await;
        }
        cluster
    }

    /// One host more; its number, and how long it took to be ready.
    pub(crate) async fn join(&mut self) -> (usize, Duration) {
        self.join_with("").await
    }

    /// One host more, with settings of its own over those of all.
    pub(crate) async fn join_with(&mut self, settings: &str) -> (usize, Duration) {
        let public_url = format!("http://127.0.0.1:{}", self.front.port);
        let setup = self.setup.clone().with(settings);
        let port = process::free_port();
        let mut host = Host::assemble(setup, port, public_url, self.sim.clone(), self.database.clone()).await;
        if let Some(url) = &self.store_url {
            host.reach_store_at(url.clone());
        }
        self.hosts.push(host);
        let no = self.hosts.len() - 1;
        let took = self.launch(no).await;
        (no, took)
    }

    /// Hosts that join from now on reach their store there.
    pub(crate) fn reach_store_at(&mut self, url: Option<String>) {
        self.store_url = url;
    }

    pub(crate) fn database(&self) -> &Database {
        self.database.as_ref().expect("it is on PostgreSQL")
    }

    pub(crate) async fn launch(&mut self, no: usize) -> Duration {
        let took = self.hosts[no].launch().await;
        self.aim();
        took
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self, no: usize) {
        self.hosts[no].kill().await;
        self.aim();
    }

    /// SIGTERM, and it has to end well.
    pub(crate) async fn stop(&mut self, no: usize) {
        self.hosts[no].stop().await;
        self.aim();
    }

    /// SIGSTOP.
    pub(crate) async fn pause(&mut self, no: usize) {
        self.hosts[no].pause().await;
        self.aim();
    }

    /// SIGCONT.
    pub(crate) async fn resume(&mut self, no: usize) {
        self.hosts[no].resume().await;
        self.aim();
    }

    /// What stands in front leaves this one out: it runs, and its health would say that it cannot work.
    pub(crate) fn leave_out(&self, no: usize) {
        let others = self.hosts.iter().enumerate().filter(|(at, host)| *at != no && host.is_running());
        self.front.aim(others.map(|(_, host)| host.port).collect());
    }

    /// What stands in front looks at the hosts' health; it is spared the looking.
    pub(crate) fn aim(&self) {
        self.front.aim(self.running().iter().map(|host| host.port).collect());
    }

    pub(crate) fn running(&self) -> Vec<&Host> {
        self.hosts.iter().filter(|host| host.is_running()).collect()
    }

    /// One that can be asked: they all tell the same.
    pub(crate) fn any(&self) -> &Host {
        self.running().first().expect("a host that runs")
    }

    /// Moves the clocks of all hosts that run, and the providers'.
    pub(crate) async fn advance(&self, by: &str) {
        for host in self.running() {
            host.advance(by).await;
        }
    }

    /// Where events can be posted, one for each host that there is, running or not.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.hosts.iter().map(|host| host.url.clone()).collect()
    }
}
