//! The bookkeeping, without a host: whose message is next, and what is in memory.

use super::*;
use crate::{
    domain::{
        message::{Because, Content, NewMessage, Next, Recipient, SmsPolicy},
        purpose::Purpose,
        status::MessageState,
    },
    ids::MessageId,
};

fn record(tenant: &str, seq: i64, revision: i64, next: Next) -> MessageRecord {
    let tenant = TenantId::from(tenant);
    let message = NewMessage {
        id: MessageId::of_request(&tenant, &seq.to_string()),
        tenant,
        author: None,
        to: Recipient::Phone(format!("+3363998{:04}", seq % 40)),
        purpose: Purpose::Alert,
        because: Because::Reference("order/1".to_owned()),
        content: Content::default(),
        sms: SmsPolicy::Fallback,
        fallback_after: None,
        expires: None,
        dedup_key: None,
        tag: None,
        quote: None,
        created: Timestamp(0),
    };
    MessageRecord {
        message,
        seq,
        revision,
        state: MessageState::Pending,
        settled: false,
        code: None,
        decision: None,
        next,
        cancel: false,
        attempts: Vec::new(),
    }
}

fn now(tenant: &str, seq: i64) -> MessageRecord {
    record(tenant, seq, 1, Next::Now)
}

fn queue(in_memory_max: usize) -> Queue {
    let mut queue = Queue::new(in_memory_max, 8);
    queue.listed(Vec::new(), true);
    queue
}

fn held(queue: &Queue) -> usize {
    queue.shares.values().map(Share::len).sum()
}

fn next(queue: &mut Queue) -> Option<MessageRecord> {
    queue.next(|_, _| true)
}

fn left(queue: &mut Queue, record: MessageRecord) {
    queue.left(Left { record: Box::new(record), wait_until: None, earlier: Vec::new() });
}

/// What is next after a message was planned and rests with revision 2, where this was handed over meanwhile.
fn after_being_handed(revision: i64) -> Option<i64> {
    let mut queue = queue(100);
    let at = Next::At(Timestamp(1));
    queue.hand_over(record("a", 1, 1, at));
    assert_eq!(next(&mut queue).map(|taken| taken.revision), Some(1));
    queue.hand_over(record("a", 1, revision, at));
    assert!(next(&mut queue).is_none(), "its lane is busy");
    left(&mut queue, record("a", 1, 2, at));
    let next = next(&mut queue).map(|next| next.revision);
    assert_eq!(held(&queue), usize::from(next.is_some()));
    next
}

#[test]
fn what_comes_due_while_it_is_still_in_memory_is_taken_up_again() {
    assert_eq!(after_being_handed(2), Some(2));
    assert_eq!(after_being_handed(3), Some(3));
    assert_eq!(after_being_handed(1), None, "it was handed over before it was planned");
}

/// Answers every question from messages 1 to `open` of each tenant, those left out that are gone.
fn read(queue: &mut Queue, open: i64, gone: &dyn Fn(&str, i64) -> bool) {
    while let Some((tenant, read)) = queue.ask() {
        let of =
            |after: i64, limit: u32| (after + 1..=open).filter(|seq| !gone(tenant.as_str(), *seq)).take(limit as usize);
        let answer = match read {
            Read::Page { after, limit } => {
                Answer::Messages(of(after, limit).map(|seq| now(tenant.as_str(), seq)).collect())
            }
            Read::Due { .. } | Read::Lane { .. } => Answer::Messages(Vec::new()),
            Read::Sweep { after, through, limit } => {
                let named = |seq: i64| (seq, now(tenant.as_str(), seq).message.to.lane().to_owned());
                Answer::Seqs(of(after, limit).take_while(|seq| *seq <= through).map(named).collect())
            }
        };
        queue.answered(&tenant, Some(answer));
    }
}

#[test]
fn a_backlog_of_one_tenant_stays_within_memory_and_the_others_take_turns_with_it() {
    let mut queue = Queue::new(200, 8);
    queue.listed(vec![TenantId::from("big")], true);
    read(&mut queue, 1_000_000, &|_, _| false);
    assert_eq!(held(&queue), 200);
    queue.hand_over(now("small", 1_000_001));
    queue.hand_over(now("small", 1_000_002));
    assert_eq!(held(&queue), 102, "half of it is the other's now");
    let order: Vec<_> = (0..4).map(|_| next(&mut queue).unwrap().message.tenant.to_string()).collect();
    assert_eq!(order.iter().filter(|tenant| *tenant == "small").count(), 2, "{order:?}");
    // What was left in the store is read again, after what was kept.
    let sent = std::cell::RefCell::new(std::collections::BTreeSet::new());
    let mut order = Vec::new();
    for _ in 0..600 {
        read(&mut queue, 1_000_000, &|tenant, seq| tenant == "small" || sent.borrow().contains(&seq));
        assert!(held(&queue) <= 200);
        let Some(taken) = next(&mut queue) else { break };
        sent.borrow_mut().insert(taken.seq);
        order.push((taken.message.to.lane().to_owned(), taken.seq));
        left(&mut queue, record(taken.message.tenant.as_str(), taken.seq, 2, Next::Nothing));
    }
    assert_eq!(order.len(), 600);
    let mut last = HashMap::new();
    for (lane, seq) in order {
        assert!(last.insert(lane.clone(), seq).is_none_or(|before| before < seq), "{lane}: {seq}");
    }
}

#[test]
fn tenants_that_wait_for_slow_providers_leave_a_place() {
    let mut queue = queue(1000);
    for seq in 1..=40 {
        queue.hand_over(now("slow", seq));
    }
    let taken = std::iter::from_fn(|| next(&mut queue)).count();
    assert_eq!(taken, 6, "three quarters of eight");
    queue.hand_over(now("other", 41));
    assert_eq!(next(&mut queue).unwrap().message.tenant.as_str(), "other");
}

#[test]
fn a_message_of_which_nobody_told_is_found_by_sweeping() {
    let mut queue = queue(100);
    for seq in [1, 2, 4] {
        queue.hand_over(now("a", seq));
    }
    let mut seen = Vec::new();
    let take = |queue: &mut Queue, seen: &mut Vec<i64>| {
        while let Some(taken) = next(queue) {
            seen.push(taken.seq);
            left(queue, record("a", taken.seq, 2, Next::Nothing));
        }
    };
    take(&mut queue, &mut seen);
    // Level with the store, so nothing is asked; the sweep asks.
    queue.hand_over(now("a", 5));
    queue.sweep();
    let before = seen.clone();
    read(&mut queue, 5, &|_, seq| before.contains(&seq));
    take(&mut queue, &mut seen);
    seen.sort_unstable();
    assert_eq!(seen, [1, 2, 3, 4, 5]);
}

#[test]
fn a_lane_that_belongs_to_another_host_is_dropped() {
    let mut queue = queue(100);
    queue.hand_over(now("a", 1));
    queue.hand_over(now("a", 2));
    let theirs = now("a", 1).message.to.lane().to_owned();
    assert_eq!(queue.next(|_, lane| lane != theirs).map(|taken| taken.seq), Some(2));
    assert_eq!(held(&queue), 1);
}

/// Answers what is asked for due messages: message `seq` of `tenant` is due at `seq`.
fn read_due(queue: &mut Queue, due: impl Fn(&str, i64) -> bool, most: i64) -> usize {
    let mut questions = 0;
    while let Some((tenant, read)) = queue.ask() {
        let Read::Due { after: (_, after), until, limit } = read else { panic!("{read:?}") };
        questions += 1;
        let open = (after.max(0) + 1..=until.0.min(most)).filter(|seq| due(tenant.as_str(), *seq));
        let open = open.take(limit as usize).map(|seq| record(tenant.as_str(), seq, 1, Next::At(Timestamp(seq))));
        queue.answered(&tenant, Some(Answer::Messages(open.collect())));
    }
    questions
}

#[test]
fn due_messages_that_are_held_back_hide_neither_later_ones_nor_those_of_other_tenants() {
    const COUNT: i64 = 5_000;
    let mut queue = Queue::new(400, 8);
    queue.listed(Vec::new(), true);
    let tenants = || ["paced", "other"].map(TenantId::from).to_vec();
    queue.come_due(tenants(), Timestamp(COUNT));
    let sent = std::cell::RefCell::new(std::collections::BTreeSet::new());
    let due =
        |tenant: &str, seq| tenant == "paced" && !sent.borrow().contains(&seq) || tenant == "other" && seq == COUNT;
    read_due(&mut queue, due, COUNT);
    assert!((200..=1200).contains(&held(&queue)), "{}: memory is bounded", held(&queue));
    // Its recipients wait for a pace, so that all of it stays due in the store.
    let mut others = 0;
    while let Some(taken) = next(&mut queue) {
        if taken.message.tenant.as_str() == "other" {
            others += 1;
            left(&mut queue, record("other", COUNT, 2, Next::Nothing));
        } else {
            queue.left(Left { record: Box::new(taken), wait_until: Some(Timestamp(COUNT)), earlier: Vec::new() });
        }
    }
    assert_eq!(others, 1, "it was read beside five thousand that are due before it");
    // What waits is not read again and again.
    queue.come_due(vec![TenantId::from("paced")], Timestamp(COUNT));
    assert_eq!(read_due(&mut queue, due, COUNT), 0);
    queue.wake(Timestamp(COUNT));
    while let Some(taken) = next(&mut queue) {
        sent.borrow_mut().insert(taken.seq);
        left(&mut queue, record("paced", taken.seq, 2, Next::Nothing));
        read_due(&mut queue, due, COUNT);
        assert!(held(&queue) <= 1200);
    }
    assert_eq!(sent.borrow().len(), 5_000);
    assert_eq!(held(&queue), 0);
}

#[test]
fn a_message_that_is_written_as_due_before_what_was_read_is_read_as_well() {
    let mut queue = queue(100);
    let come = |queue: &mut Queue, due: &dyn Fn(i64) -> bool| {
        queue.come_due(vec![TenantId::from("a")], Timestamp(50));
        read_due(queue, |_, seq| due(seq), 50);
        std::iter::from_fn(|| {
            let taken = next(queue)?;
            left(queue, record("a", taken.seq, 2, Next::Nothing));
            Some(taken.seq)
        })
        .collect::<Vec<_>>()
    };
    assert_eq!(come(&mut queue, &|seq| seq == 20), [20]);
    assert_eq!(come(&mut queue, &|seq| seq == 10), [0; 0], "of this nobody told");
    queue.written_due(Timestamp(10));
    assert_eq!(come(&mut queue, &|seq| seq == 10), [10]);
    queue.sweep();
    read(&mut queue, 0, &|_, _| true);
    assert_eq!(come(&mut queue, &|seq| seq == 5), [5], "and a sweep finds what no hint told of");
}

#[test]
fn what_has_to_be_sent_before_a_message_goes_before_it() {
    let mut queue = queue(100);
    // Three of one lane, of which the first was not told of.
    for seq in [41, 81] {
        queue.hand_over(now("a", seq));
    }
    let taken = next(&mut queue).unwrap();
    assert_eq!(taken.seq, 41);
    queue.left(Left { record: Box::new(taken), wait_until: None, earlier: vec![now("a", 1)] });
    let mut order = Vec::new();
    while let Some(taken) = next(&mut queue) {
        order.push(taken.seq);
        left(&mut queue, record("a", taken.seq, 2, Next::Nothing));
    }
    assert_eq!(order, [1, 41, 81]);
}

#[test]
fn a_message_of_which_nobody_told_is_found_beyond_the_last_that_was_told_of() {
    let mut queue = queue(100);
    queue.hand_over(now("a", 1));
    // It waits for its sender's pace, so its tenant is never idle.
    let paced = next(&mut queue).unwrap();
    queue.left(Left { record: Box::new(paced), wait_until: Some(Timestamp::NEVER), earlier: Vec::new() });
    for _ in 0..2 {
        queue.sweep();
        read(&mut queue, 3, &|_, seq| seq == 2);
    }
    assert_eq!(next(&mut queue).map(|taken| taken.seq), Some(3));
}

#[test]
fn a_page_that_was_asked_for_before_everything_is_to_be_read_anew_is_not_taken() {
    let mut queue = queue(100);
    queue.hand_over(now("a", 9));
    queue.missed();
    let (tenant, asked) = queue.ask().unwrap();
    assert!(matches!(asked, Read::Page { after: 0, .. }), "{asked:?}");
    queue.missed();
    queue.answered(&tenant, Some(Answer::Messages(Vec::new())));
    read(&mut queue, 9, &|_, _| false);
    assert_eq!(held(&queue), 9);
}

#[test]
fn a_message_that_changes_in_memory_says_nothing_of_those_that_are_to_be_read() {
    let mut queue = queue(100);
    queue.hand_over(now("a", 9));
    queue.missed();
    queue.hand_over(record("a", 9, 2, Next::Now));
    read(&mut queue, 9, &|_, _| false);
    assert_eq!(held(&queue), 9);
}

#[test]
fn a_message_that_waits_for_its_pace_does_not_overtake_an_older_one() {
    let mut queue = queue(100);
    queue.hand_over(now("a", 41));
    let paced = next(&mut queue).unwrap();
    queue.hand_over(now("a", 1));
    queue.left(Left { record: Box::new(paced), wait_until: Some(Timestamp(1)), earlier: Vec::new() });
    queue.wake(Timestamp(1));
    assert_eq!(next(&mut queue).map(|taken| taken.seq), Some(1));
}

/// A message to one of two numbers.
fn to(number: &str, seq: i64) -> MessageRecord {
    let mut record = now("a", seq);
    record.message.to = Recipient::Phone(number.to_owned());
    record
}

const PACED: &str = "+33639980001";
const OTHER: &str = "+33639980002";
const BACKLOG: i64 = 100_000;

/// A store with a backlog to one number, and behind it a few messages to another. What was sent is not in it any more.
struct Store {
    sent: std::collections::BTreeSet<i64>,
    last: i64,
    reads: usize,
}

impl Store {
    fn record(&self, seq: i64) -> MessageRecord {
        to(if seq <= BACKLOG { PACED } else { OTHER }, seq)
    }

    fn answer(&mut self, queue: &mut Queue) {
        while let Some((tenant, read)) = queue.ask() {
            self.reads += usize::from(matches!(read, Read::Page { .. } | Read::Lane { .. }));
            let open = |after: i64| (after + 1..=self.last).filter(|seq| !self.sent.contains(seq));
            let answer = match read {
                Read::Page { after, limit } => {
                    Answer::Messages(open(after).take(limit as usize).map(|seq| self.record(seq)).collect())
                }
                Read::Lane { lane, after, limit } => {
                    let of = open(after).map(|seq| self.record(seq)).filter(|record| record.message.to.lane() == lane);
                    Answer::Messages(of.take(limit as usize).collect())
                }
                Read::Sweep { after, through, limit } => {
                    let seqs = open(after).take_while(|seq| *seq <= through).take(limit as usize);
                    Answer::Seqs(seqs.map(|seq| (seq, self.record(seq).message.to.lane().to_owned())).collect())
                }
                Read::Due { .. } => Answer::Messages(Vec::new()),
            };
            queue.answered(&tenant, Some(answer));
        }
    }
}

#[test]
fn a_backlog_to_one_paced_number_leaves_room_for_messages_to_other_numbers() {
    let mut store = Store { sent: Default::default(), last: BACKLOG + 3, reads: 0 };
    let mut queue = Queue::new(1_000, 8).with_lanes_of(64);
    queue.listed(vec![TenantId::from("a")], true);
    store.answer(&mut queue);
    assert_eq!(held(&queue), 64 + 3, "what does not fit stays in the store");
    let first = next(&mut queue).unwrap();
    assert_eq!(first.seq, 1);
    let others: Vec<i64> = (0..3)
        .map(|_| {
            let taken = next(&mut queue).unwrap();
            store.sent.insert(taken.seq);
            left(&mut queue, record_of(&taken));
            taken.seq
        })
        .collect();
    assert_eq!(others, [BACKLOG + 1, BACKLOG + 2, BACKLOG + 3], "while the first of the backlog is still being sent");
    // What is newly committed to the other number is taken as it is handed over, and nothing has to be read for it.
    let reads = store.reads;
    store.last += 1;
    queue.hand_over(store.record(store.last));
    assert_eq!(next(&mut queue).map(|taken| taken.seq), Some(store.last));
    assert_eq!(store.reads, reads);
    // Sweeping finds nothing lost in what was left in the store on purpose, and reads no page again.
    let newest = store.record(store.last);
    store.sent.insert(newest.seq);
    left(&mut queue, record_of(&newest));
    for _ in 0..8 {
        queue.sweep();
        store.answer(&mut queue);
    }
    assert_eq!(store.reads, reads);
    assert_eq!(held(&queue), 64);
}

fn record_of(taken: &MessageRecord) -> MessageRecord {
    MessageRecord { revision: 2, next: Next::Nothing, ..taken.clone() }
}

#[test]
fn a_backlog_to_one_number_is_sent_whole_and_in_its_order_with_a_few_in_memory() {
    const COUNT: i64 = 2_000;
    let mut store = Store { sent: Default::default(), last: COUNT, reads: 0 };
    let mut queue = Queue::new(1_000, 8).with_lanes_of(64);
    queue.listed(Vec::new(), true);
    // Half of it is handed over while it is sent, and what finds the lane full is left in the store.
    let mut handed = 0;
    let mut order = Vec::new();
    while order.len() < usize::try_from(COUNT).unwrap() {
        for _ in 0..3 {
            if handed < COUNT {
                handed += 1;
                queue.hand_over(store.record(handed));
            }
        }
        store.last = handed;
        store.answer(&mut queue);
        assert!(held(&queue) <= 64 + 64, "{}", held(&queue));
        let Some(taken) = next(&mut queue) else { panic!("nothing is left to send after {order:?}") };
        store.sent.insert(taken.seq);
        order.push(taken.seq);
        left(&mut queue, record_of(&taken));
    }
    assert_eq!(order, (1..=COUNT).collect::<Vec<_>>());
    assert_eq!(held(&queue), 0);
}
