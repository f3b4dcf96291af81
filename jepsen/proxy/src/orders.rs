//! What a route tells its connections to do.

use crate::plan::{Condition, CutOptions, Direction, NewConnections, OnHeal, Plan};

/// The plan that is in force, and how often connections were struck so far. The numbers only grow: a connection that
/// looks after a fault has come and gone still sees that there was one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Orders {
    pub(crate) plan: Plan,
    pub(crate) cut: CutOptions,
    resets: u64,
    forth_half_opens: u64,
    back_half_opens: u64,
}

/// What happens to a connection as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strike {
    Reset,
    /// Who sends in this direction loses it, and the other is not told.
    HalfOpen(Direction),
}

impl Orders {
    pub(crate) fn new(cut: CutOptions) -> Self {
        Self {
            cut,
            ..Self::default()
        }
    }

    pub(crate) fn set_plan(&mut self, plan: Plan) {
        let before = self.plan;
        self.plan = plan;
        let is_healed = self.cut.on_heal == OnHeal::Reset
            && [Direction::Forth, Direction::Back]
                .iter()
                .any(|way| is_unheard(before.condition(*way)) && !is_unheard(plan.condition(*way)));
        if is_healed || plan.has(Condition::Reset) {
            self.resets += 1;
        }
        if plan.forth == Condition::HalfOpen && before.forth != Condition::HalfOpen {
            self.forth_half_opens += 1;
        }
        if plan.back == Condition::HalfOpen && before.back != Condition::HalfOpen {
            self.back_half_opens += 1;
        }
    }

    /// What has struck the connections that were there when the orders were still `before`.
    pub(crate) fn strike_since(&self, before: &Self) -> Option<Strike> {
        if self.resets > before.resets {
            return Some(Strike::Reset);
        }
        if self.forth_half_opens > before.forth_half_opens {
            return Some(Strike::HalfOpen(Direction::Forth));
        }
        if self.back_half_opens > before.back_half_opens {
            return Some(Strike::HalfOpen(Direction::Back));
        }
        None
    }

    /// Whether whoever dials is refused.
    pub(crate) fn refuses(&self) -> bool {
        let is_cut = self.plan.has(Condition::Cut);
        let refuses_cut = is_cut && self.cut.new_connections == NewConnections::Refused;
        refuses_cut || self.plan.has(Condition::Reset)
    }

    /// Whether a connection can be made: that takes both directions.
    pub(crate) fn lets_dial(&self) -> bool {
        !self.plan.has(Condition::Cut) && !self.plan.has(Condition::Reset)
    }
}

/// Whether an end of a connection may be kept from the other one.
fn is_unheard(condition: Condition) -> bool {
    matches!(condition, Condition::Cut | Condition::HalfOpen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strike(cut: CutOptions, plans: &[Plan]) -> Option<Strike> {
        let before = Orders::new(cut);
        let mut orders = before;
        for plan in plans {
            orders.set_plan(*plan);
        }
        orders.strike_since(&before)
    }

    #[test]
    fn a_fault_that_has_gone_is_still_seen() {
        let keep = CutOptions::default();
        let reset = Plan::one_way(Direction::Back, Condition::Reset);
        assert_eq!(strike(keep, &[reset, Plan::HEALTHY]), Some(Strike::Reset));
        let half_open = Plan::one_way(Direction::Back, Condition::HalfOpen);
        assert_eq!(
            strike(keep, &[half_open, Plan::HEALTHY]),
            Some(Strike::HalfOpen(Direction::Back))
        );
    }

    #[test]
    fn a_cut_that_heals_resets_only_if_it_is_told_to() {
        let cut = Plan::one_way(Direction::Forth, Condition::Cut);
        let wider = Plan::both(Condition::Cut);
        let reset = CutOptions {
            on_heal: OnHeal::Reset,
            ..CutOptions::default()
        };
        assert_eq!(strike(reset, &[cut, wider]), None, "it has not healed");
        assert_eq!(strike(reset, &[cut, Plan::HEALTHY]), Some(Strike::Reset));
        assert_eq!(strike(CutOptions::default(), &[cut, Plan::HEALTHY]), None);
    }
}
