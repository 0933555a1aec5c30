//! Long runs: what computes for longer than a tick of the engine's clock goes on on threads of its own.
//!
//! A run begins on the thread that serves everything else, because most are over before they could be handed to another. Once it
//! has computed for a tick it is moved here, and from then on the machine gives it what the host's own work leaves: the threads have a
//! lower priority, and only a few long runs compute at a time, so that each of them ends within its time. Neither waiting for a
//! place nor for the machine counts as a run's time. A plugin whose runs are long begins here at once.
//!
//! Computing is counted as the thread's own time, so that a run is not charged for a machine that is busy with others.

use std::{
    future::poll_fn,
    io,
    panic::resume_unwind,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    task::Poll,
    thread,
    time::{Duration, Instant},
};

use tokio::{runtime::Runtime, sync::Semaphore};
use tokio_util::task::AbortOnDropHandle;

use super::engine::TICK;

/// Behind everything else that the host does, and not so far behind that a busy host starves it: a thread of this priority
/// still has a tenth of a core beside one that never rests.
const NICE: i32 = 10;
/// Long runs that compute at a time, for each thread. Some of them wait for the store.
const PLACES_PER_THREAD: usize = 4;
/// After a long run so many short ones are needed before the plugin's next begins among the short ones again.
const MEMORY: u32 = 16;

/// The threads of long runs, and their places.
pub(super) struct LongRuns {
    /// Taken when the host is done, because a runtime cannot be waited for from within another.
    runtime: Option<Runtime>,
    places: Arc<Semaphore>,
}

impl LongRuns {
    pub(super) fn start() -> io::Result<LongRuns> {
        // One processor is left to the host's own work: a lower priority alone does not give it back at once.
        let threads = thread::available_parallelism().map_or(1, |processors| processors.get().saturating_sub(1).max(1));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("plugin-long-runs")
            .on_thread_start(step_back)
            .enable_all()
            .build()?;
        Ok(LongRuns { runtime: Some(runtime), places: Arc::new(Semaphore::new(threads * PLACES_PER_THREAD)) })
    }

    /// Drives a run to its end: here once it is long, or from the beginning where its plugin is known for it. `None`
    /// where the host is shutting down.
    pub(super) async fn drive<T: Send + 'static>(
        &self,
        mut run: Pin<Box<impl Future<Output = T> + Send + 'static>>,
        pace: &Arc<Pace>,
        habit: &Habit,
    ) -> Option<T> {
        if !habit.is_long() {
            let done = poll_fn(|cx| {
                let began = Instant::now();
                let polled = run.as_mut().poll(cx);
                pace.computed(began.elapsed());
                match polled {
                    Poll::Ready(done) => Poll::Ready(Some(done)),
                    Poll::Pending if pace.is_long() => Poll::Ready(None),
                    Poll::Pending => {
                        pace.let_go();
                        Poll::Pending
                    }
                }
            });
            if let Some(done) = done.await {
                habit.was(pace.is_long());
                return Some(done);
            }
        }
        let done = self.finish(run, pace.clone()).await;
        habit.was(pace.is_long());
        done
    }

    async fn finish<T: Send + 'static>(
        &self,
        mut run: Pin<Box<impl Future<Output = T> + Send + 'static>>,
        pace: Arc<Pace>,
    ) -> Option<T> {
        let began = Instant::now();
        let place = self.places.clone().acquire_owned().await.ok()?;
        pace.waited(began.elapsed());
        let runtime = self.runtime.as_ref()?;
        let task = AbortOnDropHandle::new(runtime.spawn(async move {
            let done = poll_fn(|cx| {
                pace.begin_slice();
                let polled = run.as_mut().poll(cx);
                pace.end_slice();
                polled
            });
            let done = done.await;
            drop(place);
            done
        }));
        match task.await {
            Ok(done) => Some(done),
            // As if it had happened here.
            Err(failed) => failed.try_into_panic().map_or(None, |panic| resume_unwind(panic)),
        }
    }
}

impl Drop for LongRuns {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Lowers the thread's priority. On Linux a thread has one of its own; elsewhere the whole process would step back.
fn step_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::warn!(%error, "long runs have the priority of the host's own work");
    }
}

/// Time that the thread spent computing, in microseconds.
fn thread_us() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let us = time.tv_sec.saturating_mul(1_000_000).saturating_add(time.tv_nsec / 1000);
    u64::try_from(us).unwrap_or(0)
}

/// How a run gets on, for the three who look at it: the guest's clock, the timer around it, and who drives it.
#[derive(Debug)]
pub(super) struct Pace {
    born: Instant,
    long: AtomicBool,
    computed_us: AtomicU64,
    waited_us: AtomicU64,
    slice: Mutex<Slice>,
}

/// A stretch of a long run on one thread.
#[derive(Debug, Default)]
struct Slice {
    /// When it began, and the thread's time then; `None` between slices.
    from: Option<(Instant, u64)>,
    /// It has given its thread back and could go on at once.
    ready_since: Option<Instant>,
    ticked: bool,
    /// Among the short ones: the thread's time at the first tick since the run has it.
    first_tick_us: Option<u64>,
}

impl Pace {
    pub(super) fn begin() -> Pace {
        Pace {
            born: Instant::now(),
            long: AtomicBool::default(),
            computed_us: AtomicU64::default(),
            waited_us: AtomicU64::default(),
            slice: Mutex::default(),
        }
    }

    /// A tick of the engine's clock has passed while the guest was computing: how much it has computed in all, where it is long.
    ///
    /// The first tick may come the moment a run begins, and on a busy machine the thread may have had nothing of what passed
    /// since. So a run is long when its thread has worked for half a tick from one tick to another.
    pub(super) fn tick(&self) -> Option<Duration> {
        let mut slice = self.slice();
        slice.ticked = true;
        let now_us = thread_us();
        let from = match (slice.from, slice.first_tick_us) {
            (Some((_, from)), _) => from,
            (None, Some(first)) => first,
            (None, None) => *slice.first_tick_us.insert(now_us),
        };
        let since_us = now_us.saturating_sub(from);
        if slice.from.is_none() && since_us < us(TICK / 2) {
            return None;
        }
        self.long.store(true, Ordering::Relaxed);
        Some(Duration::from_micros(self.computed_us().saturating_add(since_us)))
    }

    /// A short run waits for something, and may go on in another thread.
    fn let_go(&self) {
        self.slice().first_tick_us = None;
    }

    fn is_long(&self) -> bool {
        self.long.load(Ordering::Relaxed)
    }

    pub(super) fn computed_us(&self) -> u64 {
        self.computed_us.load(Ordering::Relaxed)
    }

    pub(super) fn took(&self) -> Duration {
        self.born.elapsed()
    }

    /// Since the run began, without what it waited for a place or for the machine, which is not its own time.
    pub(super) fn own_time(&self) -> Duration {
        self.born.elapsed().saturating_sub(self.waited_in_all())
    }

    /// When the run will have had so much time of its own.
    pub(super) fn ends(&self, time: Duration) -> Instant {
        self.born + time + self.waited_in_all()
    }

    fn waited_in_all(&self) -> Duration {
        Duration::from_micros(self.waited_us.load(Ordering::Relaxed))
    }

    fn computed(&self, time: Duration) {
        self.computed_us.fetch_add(us(time), Ordering::Relaxed);
    }

    fn waited(&self, time: Duration) {
        self.waited_us.fetch_add(us(time), Ordering::Relaxed);
    }

    fn begin_slice(&self) {
        let mut slice = self.slice();
        let now = Instant::now();
        if let Some(since) = slice.ready_since.take() {
            self.waited(now - since);
        }
        slice.ticked = false;
        slice.from = Some((now, thread_us()));
    }

    fn end_slice(&self) {
        let mut slice = self.slice();
        let now = Instant::now();
        if let Some((began, from)) = slice.from.take() {
            let computed = Duration::from_micros(thread_us().saturating_sub(from));
            self.computed(computed);
            // Meanwhile the machine did something else.
            self.waited((now - began).saturating_sub(computed));
        }
        slice.ready_since = slice.ticked.then_some(now);
    }

    fn slice(&self) -> std::sync::MutexGuard<'_, Slice> {
        self.slice.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Whether a plugin's runs are usually long. A guess that is wrong costs a little time and nothing else.
#[derive(Debug, Default)]
pub(super) struct Habit(AtomicU32);

impl Habit {
    fn is_long(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    fn was(&self, long: bool) {
        let left = self.0.load(Ordering::Relaxed);
        if long {
            self.0.store(MEMORY, Ordering::Relaxed);
        } else if left > 0 {
            self.0.store(left - 1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_run_moves_once_it_has_computed_for_a_tick_and_its_plugins_next_begins_there() {
        let (long, habit) = (LongRuns::start().unwrap(), Habit::default());
        let name = || thread::current().name().unwrap_or_default().to_owned();
        let ticking = |pace: Arc<Pace>| {
            Box::pin(async move {
                let before = name();
                assert_eq!(pace.tick(), None, "the first may come at once");
                while pace.tick().is_none() {}
                tokio::task::yield_now().await;
                (before, name())
            })
        };
        let pace = Arc::new(Pace::begin());
        let (before, after) = long.drive(ticking(pace.clone()), &pace, &habit).await.unwrap();
        assert_ne!(before, "plugin-long-runs");
        assert_eq!(after, "plugin-long-runs");
        for no in 0..=MEMORY {
            let pace = Arc::new(Pace::begin());
            let at = long.drive(Box::pin(async move { name() }), &pace, &habit).await.unwrap();
            assert_eq!(at == "plugin-long-runs", no < MEMORY, "after {no} short ones");
        }
    }

    #[tokio::test]
    async fn waiting_for_a_place_is_counted_apart() {
        let (long, habit) = (LongRuns::start().unwrap(), Habit::default());
        let all = u32::try_from(long.places.available_permits()).unwrap();
        let taken = long.places.clone().acquire_many_owned(all).await.unwrap();
        let pace = Arc::new(Pace::begin());
        habit.was(true);
        let run = long.drive(Box::pin(async {}), &pace, &habit);
        tokio::pin!(run);
        assert!(tokio::time::timeout(Duration::from_millis(20), run.as_mut()).await.is_err());
        drop(taken);
        assert_eq!(run.await, Some(()));
        assert!(pace.waited_in_all() >= Duration::from_millis(15), "{pace:?}");
        assert!(pace.computed_us() < 15_000, "{pace:?}");
    }
}
