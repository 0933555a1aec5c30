//! Watches the plugins' directory: told by the system where it can, by looking now and then in any case, and when somebody asks.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher, event::AccessKind, event::AccessMode};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use super::{
    Plugins, look,
    reload::{Taken, TakenAs},
    settle::Settling,
    shadow,
};

pub(super) type Request = oneshot::Sender<Vec<Taken>>;

/// What [`watch`] works with, kept between the start of a host and the start of its watch.
pub(super) struct Watching {
    pub settling: Settling,
    pub requests: mpsc::Receiver<Request>,
    pub to_shadows: mpsc::Receiver<shadow::Task>,
}

/// Files of one copy are looked at once and not one by one.
const MOMENT: Duration = Duration::from_millis(20);

/// Runs until it is to stop.
pub async fn watch(plugins: Arc<Plugins>, stop: CancellationToken) {
    let watching = plugins.watching.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    let Some(Watching { mut settling, mut requests, to_shadows }) = watching else { return };
    let shadows = tokio::spawn(shadow::work(plugins.clone(), to_shadows, stop.clone()));
    look_and_listen(&plugins, &mut settling, &mut requests, stop).await;
    if let Err(error) = shadows.await {
        tracing::error!(%error, "the comparison with shadows ended badly");
    }
}

async fn look_and_listen(
    plugins: &Plugins,
    settling: &mut Settling,
    requests: &mut mpsc::Receiver<Request>,
    stop: CancellationToken,
) {
    let mut poll = tokio::time::interval(plugins.loader.settings.poll.0.max(MOMENT));
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut eyes = Eyes::open();
    let mut pass = Pass::default();
    loop {
        let at_rest = settling.next(pass.is_asked_for());
        let wake = async {
            match at_rest {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            _ = poll.tick() => plugins.hear().await,
            () = eyes.noticed.notified() => tokio::time::sleep(MOMENT).await,
            Some(request) = requests.recv() => {
                // Whatever made it fail may be gone.
                plugins.refused().iter().for_each(|path| settling.again(path, Instant::now()));
                pass.asked.push(request);
            }
            () = wake => {}
        }
        pass.look(plugins, settling, &mut eyes).await;
    }
}

/// Looks until everything has come to rest, and who is told of it then.
#[derive(Default)]
struct Pass {
    asked: Vec<Request>,
    taken: Vec<Taken>,
    /// The directory could not be looked at: said once.
    blind: bool,
}

impl Pass {
    fn is_asked_for(&self) -> bool {
        !self.asked.is_empty()
    }

    async fn look(&mut self, plugins: &Plugins, settling: &mut Settling, eyes: &mut Eyes) {
        let loader = plugins.loader.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let mut seen = look::packages(&loader.settings.dir)?;
            seen.extend(look::packages_or_none(&loader.settings.shadow_dir)?);
            std::io::Result::Ok(seen)
        });
        let looked = looked.await;
        let seen = match looked {
            Ok(Ok(seen)) => seen,
            Ok(Err(error)) => return self.cannot_look(plugins, &error.to_string()),
            Err(error) => return self.cannot_look(plugins, &error.to_string()),
        };
        self.blind = false;
        let settings = &plugins.loader.settings;
        eyes.follow([&settings.dir, &settings.shadow_dir], seen.keys().map(AsRef::as_ref));
        let ready = settling.note(seen, Instant::now(), self.is_asked_for());
        for (path, outside) in ready {
            let taken = plugins.take(&path, outside.as_ref(), false).await;
            match taken.outcome {
                TakenAs::Later => settling.again(&path, Instant::now()),
                _ => settling.acted(&path, outside, Instant::now()),
            }
            self.taken.push(taken);
        }
        if settling.next(self.is_asked_for()).is_none() {
            self.tell();
        }
    }

    /// What is loaded stays: a directory that cannot be read is something else than one that is empty.
    fn cannot_look(&mut self, plugins: &Plugins, why: &str) {
        if !std::mem::replace(&mut self.blind, true) {
            let dir = plugins.loader.settings.dir.display();
            tracing::warn!("the plugins' directory {dir} cannot be looked at, and what is loaded stays: {why}");
        }
        self.tell();
    }

    fn tell(&mut self) {
        let taken: Vec<Taken> = self.taken.drain(..).filter(|taken| taken.outcome != TakenAs::Later).collect();
        for asked in self.asked.drain(..) {
            // Whoever asked may have gone.
            let _ = asked.send(taken.clone());
        }
    }
}

impl Plugins {
    async fn hear(&self) {
        // A single host knows what it decided.
        if self.shared.store.part().is_none() {
            return;
        }
        if let Err(error) = self.hear_of_others().await {
            tracing::warn!(%error, "what other hosts decided about plugins cannot be read now");
        }
    }
}

/// The system's notices, where it gives any.
struct Eyes {
    watcher: Option<RecommendedWatcher>,
    /// With their inodes: another directory under the same name is another one.
    followed: Vec<(PathBuf, u64)>,
    noticed: Arc<Notify>,
}

impl Eyes {
    fn open() -> Eyes {
        let noticed = Arc::new(Notify::new());
        let told = noticed.clone();
        // Looking opens files as well, which must not lead to another look.
        let is_news = |kind: &EventKind| match kind {
            EventKind::Access(kind) => *kind == AccessKind::Close(AccessMode::Write),
            _ => true,
        };
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.map_or(true, |event| is_news(&event.kind)) {
                told.notify_one();
            }
        });
        let watcher = watcher.inspect_err(|error| {
            tracing::warn!(
                "the system tells nothing of changed files, so plugins.poll says how soon they are seen: {error}"
            );
        });
        Eyes { watcher: watcher.ok(), followed: Vec::new(), noticed }
    }

    /// The directories, and that of each package. Not what is below: sources may lie there, with all that their tools write.
    fn follow<'a>(&mut self, dirs: [&'a PathBuf; 2], packages: impl Iterator<Item = &'a Path>) {
        let Some(watcher) = &mut self.watcher else { return };
        let known = |path: PathBuf| {
            let inode = std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_dir)?.ino();
            Some((path, inode))
        };
        let below = packages.flat_map(|package| [package.to_owned(), package.join("assets")]);
        let wanted: Vec<(PathBuf, u64)> = dirs.into_iter().cloned().chain(below).filter_map(known).collect();
        if wanted == self.followed {
            return;
        }
        for (gone, _) in self.followed.iter().filter(|followed| !wanted.contains(followed)) {
            // A directory that is gone has taken its watch along.
            let _ = watcher.unwatch(gone);
        }
        for (new, _) in wanted.iter().filter(|wanted| !self.followed.contains(wanted)) {
            if let Err(error) = watcher.watch(new, RecursiveMode::NonRecursive) {
                tracing::debug!("{} is not watched, and looked at every plugins.poll: {error}", new.display());
            }
        }
        self.followed = wanted;
    }
}
