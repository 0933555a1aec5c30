//! A wire between two programs that does what wires do: it hangs, it is slow, it is cut, at the worst moment too.
//!
//! Between a host and PostgreSQL it loses the connection after a commit and before its answer; in front of several hosts it
//! is what a load balancer is, and goes on with the next host when one does not answer its door.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// What the wire does with what it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// What it should.
    Carries,
    /// Every answer takes this much longer.
    Slow(Duration),
    /// Nothing comes through either way, and nobody is told.
    Hangs,
    /// Whoever connects is disconnected.
    Cut,
}

pub(crate) struct Proxy {
    pub(crate) port: u16,
    shared: Arc<Shared>,
    accepts: JoinHandle<()>,
}

struct Shared {
    /// Ports on this machine, the next one first.
    targets: Mutex<Vec<u16>>,
    wire: watch::Sender<Wire>,
    /// Counts cuts: a connection that is older than the last one is over.
    cuts: watch::Sender<u64>,
    /// For how many more commits the answer is lost, and for how many it was.
    commits: Mutex<Commits>,
}

#[derive(Default)]
struct Commits {
    to_lose: u32,
    lost: u32,
}

impl Proxy {
    pub(crate) async fn to(targets: Vec<u16>) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            targets: Mutex::new(targets),
            wire: watch::Sender::new(Wire::Carries),
            cuts: watch::Sender::new(0),
            commits: Mutex::default(),
        });
        let accepts = tokio::spawn(accept(listener, shared.clone()));
        Proxy { port, shared, accepts }
    }

    /// The URL of what is behind it, by way of it.
    pub(crate) fn instead_of(&self, url: &str) -> String {
        let mut url = url::Url::parse(url).unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(self.port)).unwrap();
        url.into()
    }

    /// Where connections go from now on; those that there are stay.
    pub(crate) fn aim(&self, targets: Vec<u16>) {
        *self.shared.targets.lock().unwrap() = targets;
    }

    pub(crate) fn set(&self, wire: Wire) {
        self.shared.wire.send_replace(wire);
        if wire == Wire::Cut {
            self.cut();
        }
    }

    /// Ends every connection that there is, in the middle of whatever is on it.
    pub(crate) fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Has the next so many connections lost on which PostgreSQL says that it has committed, before it is heard.
    pub(crate) fn lose_answers_to_commits(&self, count: u32) {
        self.shared.commits.lock().unwrap().to_lose = count;
    }

    /// How many answers to commits have been lost.
    pub(crate) fn answers_lost(&self) -> u32 {
        self.shared.commits.lock().unwrap().lost
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepts.abort();
        self.cut();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        let shared = shared.clone();
        tokio::spawn(async move {
            let mut cuts = shared.cuts.subscribe();
            cuts.mark_unchanged();
            // Either end closing, an error and a cut are all the same: both ends are let go.
            tokio::select! {
                _ = carry(client, &shared) => {}
                _ = cuts.changed() => {}
            }
        });
    }
}

async fn carry(client: TcpStream, shared: &Shared) -> io::Result<()> {
    if *shared.wire.borrow() == Wire::Cut {
        return Ok(());
    }
    let Some(server) = connect(shared).await else { return Ok(()) };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        ended = pump(from_client, to_server, shared, Way::There) => ended,
        ended = pump(from_server, to_client, shared, Way::Back) => ended,
    }
}

/// The first that takes the connection; the next connection begins with the one after it.
async fn connect(shared: &Shared) -> Option<TcpStream> {
    let targets = {
        let mut targets = shared.targets.lock().unwrap();
        if !targets.is_empty() {
            targets.rotate_left(1);
        }
        targets.clone()
    };
    for target in targets {
        if let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await {
            return Some(server);
        }
    }
    None
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    There,
    Back,
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, shared: &Shared, way: Way) -> io::Result<()> {
    let mut wire = shared.wire.subscribe();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        // What was on its way when it began to hang comes through when it no longer does.
        let passable = wire.wait_for(|wire| *wire != Wire::Hangs).await;
        let state = *passable.map_err(io::Error::other)?;
        if let (Wire::Slow(pause), Way::Back) = (state, way) {
            tokio::time::sleep(pause).await;
        }
        if way == Way::Back && says_committed(&buffer[..count]) && shared.loses_this() {
            return Ok(());
        }
        to.write_all(&buffer[..count]).await?;
    }
}

impl Shared {
    fn loses_this(&self) -> bool {
        let mut commits = self.commits.lock().unwrap();
        let loses = commits.to_lose > 0;
        if loses {
            commits.to_lose -= 1;
            commits.lost += 1;
        }
        loses
    }
}

/// Whether PostgreSQL says in here that a transaction has been committed: `CommandComplete`, its length, and its tag.
fn says_committed(bytes: &[u8]) -> bool {
    const TAG: &[u8] = b"C\0\0\0\x0bCOMMIT\0";
    bytes.windows(TAG.len()).any(|window| window == TAG)
}
