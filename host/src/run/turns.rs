//! Whose turn it is to execute: tenants in turn, each tenant's plugins in turn, and in a flow who came first.
//!
//! Whoever has work may use what nobody else wants, but never all of it: a flow may begin another run while it has fewer than
//! three times as many under way as there are places free, a tenant seven times. Alone, a flow gets three quarters of the
//! places, two get three sevenths each, and however many hold long runs, a place is left for who comes next.

use std::collections::{HashMap, VecDeque};

use crate::{
    domain::run::Flow,
    ids::{PluginName, TenantId},
};

const FLOW_OVER_FREE: usize = 3;
const TENANT_OVER_FREE: usize = 7;

#[derive(Default)]
pub(super) struct Turns {
    places: usize,
    /// What the operator bounds each tenant to; 0 for nothing but the shares.
    tenant_most: usize,
    taken: usize,
    tenants: VecDeque<TenantId>,
    of: HashMap<TenantId, Tenant>,
}

#[derive(Default)]
struct Tenant {
    /// Those that have something ready.
    plugins: VecDeque<PluginName>,
    /// It is in the line of tenants.
    lined: bool,
    running: usize,
}

/// What a flow did with its turn.
pub(super) enum Turn {
    /// It began a run, and has more or has not.
    Began { more: bool },
    /// It may not begin one now.
    Waits,
    /// It has none ready.
    Nothing,
}

impl Turns {
    pub(super) fn of_places(places: usize) -> Turns {
        Turns { places: places.max(1), ..Turns::default() }
    }

    pub(super) fn with_tenant_most(self, tenant_most: usize) -> Turns {
        Turns { tenant_most, ..self }
    }

    /// The flow has something ready. Asked of it once until it is answered [`Turn::Nothing`] or began its last.
    pub(super) fn join(&mut self, flow: &Flow) {
        let tenant = self.of.entry(flow.tenant.clone()).or_default();
        if tenant.plugins.contains(&flow.plugin) {
            return;
        }
        if !std::mem::replace(&mut tenant.lined, true) {
            self.tenants.push_back(flow.tenant.clone());
        }
        tenant.plugins.push_back(flow.plugin.clone());
    }

    /// Gives one flow its turn: whether it began a run. `take` gets the flow and whether it, by how many of its own it has
    /// under way, may begin another.
    pub(super) fn give(&mut self, mut take: impl FnMut(&Flow, &dyn Fn(usize) -> bool) -> Turn) -> bool {
        let (places, free) = (self.places, self.places.saturating_sub(self.taken));
        if free == 0 {
            return false;
        }
        let may = |running: usize, over: usize| running < free * over && (places == 1 || running + 1 < places);
        for _ in 0..self.tenants.len() {
            let Some(name) = self.tenants.pop_front() else { return false };
            let Some(tenant) = self.of.get_mut(&name) else { continue };
            let mut began = false;
            let bounded = self.tenant_most > 0 && tenant.running >= self.tenant_most;
            if !bounded && may(tenant.running, TENANT_OVER_FREE) {
                began = tenant.turn(&name, &mut |flow| take(flow, &|running| may(running, FLOW_OVER_FREE)));
            }
            tenant.lined = !tenant.plugins.is_empty();
            if tenant.lined {
                self.tenants.push_back(name);
            } else if tenant.running == 0 {
                self.of.remove(&name);
            }
            if began {
                self.taken += 1;
                return true;
            }
        }
        false
    }

    /// A run of the flow has ended.
    pub(super) fn ended(&mut self, flow: &Flow) {
        self.taken = self.taken.saturating_sub(1);
        if let Some(tenant) = self.of.get_mut(&flow.tenant) {
            tenant.running = tenant.running.saturating_sub(1);
            if tenant.running == 0 && tenant.plugins.is_empty() {
                self.of.remove(&flow.tenant);
            }
        }
    }
}

impl Tenant {
    fn turn(&mut self, name: &TenantId, take: &mut dyn FnMut(&Flow) -> Turn) -> bool {
        for _ in 0..self.plugins.len() {
            let Some(plugin) = self.plugins.pop_front() else { return false };
            let flow = Flow { tenant: name.clone(), plugin };
            match take(&flow) {
                Turn::Began { more } => {
                    self.running += 1;
                    if more {
                        self.plugins.push_back(flow.plugin);
                    }
                    return true;
                }
                Turn::Waits => self.plugins.push_back(flow.plugin),
                Turn::Nothing => {}
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(tenant: &str, plugin: &str) -> Flow {
        Flow { tenant: tenant.into(), plugin: plugin.into() }
    }

    /// Flows that always have more to do, and how many each of them has under way.
    struct Greedy {
        turns: Turns,
        running: HashMap<Flow, usize>,
    }

    impl Greedy {
        fn with(places: usize, flows: &[Flow]) -> Greedy {
            let mut turns = Turns::of_places(places);
            flows.iter().for_each(|flow| turns.join(flow));
            Greedy { turns, running: HashMap::new() }
        }

        fn begin(&mut self) -> Option<Flow> {
            let mut who = None;
            let running = &mut self.running;
            self.turns.give(|flow, may| {
                let count = running.entry(flow.clone()).or_default();
                if !may(*count) {
                    return Turn::Waits;
                }
                *count += 1;
                who = Some(flow.clone());
                Turn::Began { more: true }
            });
            who
        }

        fn fill(&mut self) -> usize {
            std::iter::from_fn(|| self.begin()).count()
        }
    }

    #[test]
    fn tenants_take_turns_and_so_do_the_plugins_of_each() {
        let flows = [flow("a", "x"), flow("a", "y"), flow("b", "x")];
        let mut greedy = Greedy::with(100, &flows);
        let order: Vec<Flow> = (0..8).map(|_| greedy.begin().unwrap()).collect();
        let [ax, ay, bx] = flows;
        assert_eq!(order, [&ax, &bx, &ay, &bx, &ax, &bx, &ay, &bx].map(Clone::clone));
    }

    #[test]
    fn a_flow_that_is_alone_leaves_a_quarter_for_who_comes_next() {
        let mut greedy = Greedy::with(48, &[flow("a", "x")]);
        assert_eq!(greedy.fill(), 36);
        greedy.turns.join(&flow("b", "x"));
        assert!(greedy.fill() > 0);
        assert!(greedy.running[&flow("b", "x")] >= 9, "{:?}", greedy.running);
    }

    #[test]
    fn however_many_hold_their_places_one_is_left_for_another_tenant() {
        for count in 1..10 {
            let flows: Vec<Flow> = (0..count).map(|no| flow("a", &format!("p{no}"))).collect();
            let mut greedy = Greedy::with(48, &flows);
            let taken = greedy.fill();
            assert!(taken <= 42, "{count} plugins of a tenant hold {taken} of 48");
            greedy.turns.join(&flow("b", "x"));
            assert_eq!(greedy.begin(), Some(flow("b", "x")));
        }
    }

    #[test]
    fn a_tenant_has_no_more_than_the_operator_allows() {
        let flows = [flow("a", "x"), flow("a", "y"), flow("b", "x")];
        let mut greedy = Greedy::with(48, &flows);
        greedy.turns = std::mem::take(&mut greedy.turns).with_tenant_most(5);
        assert_eq!(greedy.fill(), 10);
        assert_eq!(greedy.running[&flow("b", "x")], 5);
        greedy.turns.ended(&flow("b", "x"));
        assert_eq!(greedy.begin(), Some(flow("b", "x")));
    }

    #[test]
    fn the_only_place_is_taken_and_the_last_of_two_is_not() {
        assert_eq!(Greedy::with(1, &[flow("a", "x")]).fill(), 1);
        assert_eq!(Greedy::with(2, &[flow("a", "x")]).fill(), 1);
        assert_eq!(Greedy::with(2, &[flow("a", "x"), flow("b", "x")]).fill(), 2);
    }

    #[test]
    fn nothing_is_kept_of_who_has_nothing_to_do() {
        let mut turns = Turns::of_places(4);
        turns.join(&flow("a", "x"));
        assert!(turns.give(|_, _| Turn::Began { more: false }));
        assert!(!turns.give(|_, _| Turn::Began { more: false }), "it is not asked again");
        turns.ended(&flow("a", "x"));
        assert_eq!((turns.of.len(), turns.tenants.len(), turns.taken), (0, 0, 0));
        turns.join(&flow("a", "x"));
        assert!(!turns.give(|_, _| Turn::Nothing));
        assert_eq!(turns.tenants.len(), 0);
    }
}
