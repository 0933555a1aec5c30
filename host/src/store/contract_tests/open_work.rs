//! Open work is found by whose it is, in order, and in pages.

use super::*;

/// Accepts an event with one run of that flow and entity; the run as it was handed over.
async fn run_of(world: &mut World, tenant: &str, plugin: &str, entity: &str) -> QueuedRun {
    let key =
        EntityKey { tenant: TenantId::from(tenant), plugin: PluginName::from(plugin), entity: Entity::from(entity) };
    let no = all_open(&*world.store).await.len();
    let mut routed = event(&no.to_string());
    let id = EventId::of(&key.tenant, "/shop", &format!("{no}"));
    routed.event = Arc::new(Event { id, tenant: key.tenant.clone(), ..(*routed.event).clone() });
    let run = NewRun {
        id: RunId::of_event(id, &key.plugin, 0),
        cause: Cause::Event(routed.event.clone()),
        key,
        ..routed.runs.remove(0)
    };
    routed.runs.push(run);
    world.store.accept_events(vec![routed]).await.unwrap();
    world.inlets.runs.queue.recv().await.unwrap()
}

fn of(tenant: &str, plugin: &str) -> Flow {
    Flow { tenant: TenantId::from(tenant), plugin: PluginName::from(plugin) }
}

async fn end(world: &World, run: &QueuedRun) {
    let version = world.store.load_entity(&run.run.key, at(10)).await.unwrap().version;
    let committed = world.store.commit_run(commit(run, version, Outcome::default())).await.unwrap();
    assert!(matches!(committed, Committed::Done(_)), "{committed:?}");
}

pub(crate) async fn the_flows_with_open_runs_are_listed(place: &dyn Place) {
    let mut world = open(place).await;
    assert_eq!(world.store.open_flows().await.unwrap(), []);
    let mut runs = Vec::new();
    for (tenant, plugin) in [("b", "x"), ("a", "y"), ("a", "x"), ("a", "y"), ("b", "x")] {
        runs.push(run_of(&mut world, tenant, plugin, "e").await);
    }
    let listed = async |world: &World| {
        let mut flows = world.store.open_flows().await.unwrap();
        flows.sort();
        flows
    };
    assert_eq!(listed(&world).await, [of("a", "x"), of("a", "y"), of("b", "x")]);
    end(&world, &runs[2]).await;
    end(&world, &runs[1]).await;
    assert_eq!(listed(&world).await, [of("a", "y"), of("b", "x")], "one run of each is still open");
}

pub(crate) async fn open_runs_are_read_by_flow_and_by_entity(place: &dyn Place) {
    let mut world = open(place).await;
    let mut mine = Vec::new();
    for no in 0..12 {
        run_of(&mut world, "a", "other", "e0").await;
        run_of(&mut world, "b", "x", "e0").await;
        mine.push(run_of(&mut world, "a", "x", &format!("e{}", no % 3)).await);
    }
    let store = &*world.store;
    assert_eq!(store.open_runs(&of("a", "x"), 0, 100).await.unwrap(), mine);
    assert_eq!(store.open_runs(&of("a", "x"), mine[4].seq, 3).await.unwrap(), mine[5..8]);
    let key = &mine[1].run.key;
    let about: Vec<_> = mine.iter().filter(|run| run.run.key == *key).cloned().collect();
    assert_eq!(store.open_runs_of(key, 0, 100).await.unwrap(), about);
    assert_eq!(store.open_runs_of(key, about[0].seq, 2).await.unwrap(), about[1..3]);
    end(&world, &about[0]).await;
    assert_eq!(world.store.open_runs_of(key, 0, 100).await.unwrap(), about[1..]);
    let nobody = EntityKey { entity: Entity::from("e"), ..key.clone() };
    assert_eq!(world.store.open_runs_of(&nobody, 0, 100).await.unwrap(), []);
}

pub(crate) async fn the_open_runs_of_a_flow_are_numbered(place: &dyn Place) {
    let mut world = open(place).await;
    let mut mine = Vec::new();
    for no in 0..6 {
        run_of(&mut world, "b", "x", "e0").await;
        let run = run_of(&mut world, "a", "x", &format!("e{}", no % 2)).await;
        mine.push((run.seq, run.run.key.entity));
    }
    let seqs = async |after, through, limit| world.store.open_run_seqs(&of("a", "x"), after, through, limit).await;
    assert_eq!(seqs(0, i64::MAX, 100).await.unwrap(), mine);
    assert_eq!(seqs(mine[0].0, mine[4].0, 100).await.unwrap(), mine[1..5]);
    assert_eq!(seqs(mine[0].0, mine[4].0, 2).await.unwrap(), mine[1..3]);
}

pub(crate) async fn open_messages_are_read_by_tenant(place: &dyn Place) {
    let world = open(place).await;
    assert_eq!(world.store.open_message_tenants().await.unwrap(), []);
    let mut mine = Vec::new();
    for no in 0..4 {
        for tenant in ["a", "b"] {
            let tenant = TenantId::from(tenant);
            let id = MessageId::of_request(&tenant, &no.to_string());
            assert!(world.store.accept_message(NewMessage { id, tenant, ..message("m") }).await.unwrap());
        }
        mine.push(MessageId::of_request(&TenantId::from("a"), &no.to_string()));
    }
    let mut tenants = world.store.open_message_tenants().await.unwrap();
    tenants.sort();
    assert_eq!(tenants, [TenantId::from("a"), TenantId::from("b")]);
    let a = TenantId::from("a");
    let found = world.store.open_messages(&a, 0, 10).await.unwrap();
    assert_eq!(found.iter().map(|record| record.message.id).collect::<Vec<_>>(), mine);
    assert_eq!(world.store.open_messages(&a, found[0].seq, 2).await.unwrap(), found[1..3]);
    let seqs: Vec<i64> = found.iter().map(|record| record.seq).collect();
    let lane = message("any").to.lane().to_owned();
    let with_lane = |seqs: &[i64]| seqs.iter().map(|seq| (*seq, lane.clone())).collect::<Vec<_>>();
    assert_eq!(world.store.open_message_seqs(&a, 0, i64::MAX, 10).await.unwrap(), with_lane(&seqs));
    assert_eq!(world.store.open_message_seqs(&a, seqs[0], seqs[2], 10).await.unwrap(), with_lane(&seqs[1..3]));
    assert_eq!(world.store.open_messages_of(&a, &lane, seqs[0], 2).await.unwrap(), found[1..3]);
    assert_eq!(world.store.open_messages_of(&a, "nobody", 0, 2).await.unwrap(), []);
    // One that waits for a time is not to be planned now.
    let kind = MessageChangeKind::Hold { code: "quiet-hours".into(), decision: json!({}), until: at(HOUR) };
    let hold = MessageChange { tenant: a.clone(), message: mine[0], revision: found[0].revision, kind, now: at(30) };
    world.store.change_message(hold).await.unwrap();
    assert_eq!(world.store.open_message_seqs(&a, 0, i64::MAX, 10).await.unwrap(), with_lane(&seqs[1..]));
    let after = world.store.open_messages_of(&a, &lane, 0, 1).await.unwrap();
    assert_eq!(after[0].seq, seqs[1]);
}

pub(crate) async fn earlier_messages_of_a_lane_are_those_that_nobody_has_sent(place: &dyn Place) {
    let world = open(place).await;
    let store = &*world.store;
    let mut ids = Vec::new();
    for name in ["sent", "held", "under-way", "now", "late"] {
        let message = NewMessage { dedup_key: None, ..message(name) };
        assert!(store.accept_message(message.clone()).await.unwrap());
        ids.push(message.id);
        // Another recipient's is of no interest.
        let to = Recipient::Phone("+33699999999".into());
        let id = MessageId::of_request(&tenant(), &format!("other {name}"));
        assert!(store.accept_message(NewMessage { id, to, dedup_key: None, ..message }).await.unwrap());
    }
    begin(store, ids[0], 1, Channel::Whatsapp).await;
    answer(store, ids[0], 1, Answer::Accepted { provider_id: "wamid.1".into() }, Next::At(at(HOUR))).await;
    let until = at(HOUR);
    change(store, ids[1], MessageChangeKind::Hold { code: "quiet-hours".into(), decision: json!({}), until }).await;
    begin(store, ids[2], 1, Channel::Whatsapp).await;
    let (now, late) = (read(store, ids[3]).await, read(store, ids[4]).await);
    let lane = late.message.to.lane();
    let found = store.earlier_messages(&tenant(), lane, late.seq).await.unwrap();
    assert_eq!(found, [read(store, ids[2]).await, now]);
    let first = read(store, ids[0]).await;
    assert_eq!(store.earlier_messages(&tenant(), lane, first.seq).await.unwrap(), []);
}
