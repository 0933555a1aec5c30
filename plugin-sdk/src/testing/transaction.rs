//! One run: a copy of the store, the call, and then the copy in the original's place or thrown away.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use super::manifest::Manifest;
use super::store::Store;
use crate::http::{HttpError, Request, Response};
use crate::log::Level;
use crate::{Error, Instant, Outcome};

/// The services of a test.
pub(crate) type Answers = Rc<dyn Fn(&Request) -> Result<Response, HttpError>>;

/// What a run knows of itself, and what it has done so far.
pub(crate) struct Transaction {
    pub(crate) manifest: Rc<Manifest>,
    pub(crate) config: String,
    pub(crate) id: String,
    pub(crate) entity: String,
    pub(crate) customer: Option<String>,
    pub(crate) now: Instant,
    /// Whom the entity's entries are about, as the run found them.
    pub(crate) known: BTreeSet<String>,
    pub(crate) store: Store,
    pub(crate) messages: usize,
    pub(crate) timers: usize,
    pub(crate) drawn: u64,
    /// What services answer.
    pub(crate) answers: Answers,
    pub(crate) log: Vec<(Level, String)>,
}

thread_local! {
    /// The run in which the plugin's calls land. Tests run on threads of their own, so each has its own.
    static CURRENT: RefCell<Option<Transaction>> = const { RefCell::new(None) };
}

/// Calls a handler inside the transaction and gives it back with what the handler said. A panic counts as a trap,
/// which the host would try again.
pub(crate) fn execute(transaction: Transaction, call: impl FnOnce() -> Outcome) -> (Transaction, Outcome) {
    let before = CURRENT.replace(Some(transaction));
    assert!(before.is_none(), "a handler was called from inside another one");
    let outcome = catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|panic| Err(Error::retry(format!("the handler panicked: {}", said(&*panic)))));
    match CURRENT.take() {
        Some(transaction) => (transaction, outcome),
        None => unreachable!("only `execute` takes it away"),
    }
}

/// The current run.
#[expect(clippy::panic, reason = "a host call outside a run is a mistake of the test, and the test is to fail")]
pub(crate) fn current<R>(use_it: impl FnOnce(&mut Transaction) -> R) -> R {
    CURRENT.with_borrow_mut(|current| match current {
        Some(transaction) => use_it(transaction),
        None => panic!("this asks the host, and there is none outside a handler: post an event to a `World`"),
    })
}

/// The host ends a run that oversteps what its manifest says; so does this.
#[expect(clippy::panic, reason = "stands for the trap in which the host ends such a run")]
pub(crate) fn trap(why: &str) -> ! {
    panic!("{why}")
}

fn said(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}
