//! A queue by tenant, round robin: however many of one tenant's callers wait, each other tenant's
//! first one is served after at most one of theirs.

use std::collections::{HashMap, VecDeque};
use std::sync::PoisonError;
use std::time::Duration;

use crate::identity::TenantKey;
use crate::sync::{Condvar, Mutex, wait_timeout_while};

/// For each tenant those who wait, and whose turn it is.
#[derive(Debug)]
pub(crate) struct Lanes<T> {
    turns: VecDeque<TenantKey>,
    waiting: HashMap<TenantKey, VecDeque<T>>,
}

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        Self { turns: VecDeque::new(), waiting: HashMap::new() }
    }
}

impl<T> Lanes<T> {
    pub(crate) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.values().map(VecDeque::len).sum()
    }

    pub(crate) fn push(&mut self, lane: TenantKey, waiting: T) {
        let queue = self.waiting.entry(lane).or_default();
        if queue.is_empty() {
            self.turns.push_back(lane);
        }
        queue.push_back(waiting);
    }

    /// The first of the tenant whose turn it is.
    pub(crate) fn next(&mut self) -> Option<T> {
        self.next_where(|_, _| true).map(|(_, waiting)| waiting)
    }

    /// The first of the first tenant in turn whose first one is wanted. Others keep their turn.
    pub(crate) fn next_where(
        &mut self,
        mut wanted: impl FnMut(TenantKey, &T) -> bool,
    ) -> Option<(TenantKey, T)> {
        let position = self.turns.iter().position(|lane| {
            self.waiting.get(lane).and_then(VecDeque::front).is_some_and(|first| wanted(*lane, first))
        })?;
        let lane = self.turns.remove(position)?;
        let queue = self.waiting.get_mut(&lane)?;
        let waiting = queue.pop_front()?;
        if queue.is_empty() {
            self.waiting.remove(&lane);
        } else {
            self.turns.push_back(lane);
        }
        Some((lane, waiting))
    }

    /// Takes one out who waits no longer; none if they are not there.
    pub(crate) fn remove(&mut self, lane: TenantKey, is: impl Fn(&T) -> bool) -> Option<T> {
        let queue = self.waiting.get_mut(&lane)?;
        let position = queue.iter().position(is)?;
        let removed = queue.remove(position);
        if queue.is_empty() {
            self.waiting.remove(&lane);
            self.turns.retain(|other| *other != lane);
        }
        removed
    }
}

/// Where one who waits finds what somebody else gives.
#[derive(Debug)]
pub(crate) struct Ticket<T> {
    given: Mutex<Option<T>>,
    changed: Condvar,
}

impl<T> Default for Ticket<T> {
    fn default() -> Self {
        Self { given: Mutex::new(None), changed: Condvar::new() }
    }
}

impl<T> Ticket<T> {
    pub(crate) fn give(&self, thing: T) {
        *self.given.lock().unwrap_or_else(PoisonError::into_inner) = Some(thing);
        self.changed.notify_one();
    }

    /// Waits for as long as it takes.
    pub(crate) fn wait(&self) -> T {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match given.take() {
                Some(thing) => return thing,
                None => given = self.changed.wait(given).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Waits so long at most; none if nothing was given by then.
    pub(crate) fn wait_for(&self, time: Duration) -> Option<T> {
        wait_timeout_while(&self.changed, &self.given, time, |given| given.is_none()).take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(key: i64) -> TenantKey {
        TenantKey::from_stored(key).unwrap()
    }

    #[test]
    fn a_flood_of_one_tenant_gets_every_second_turn_beside_another() {
        let mut lanes = Lanes::default();
        for number in 0..100 {
            lanes.push(tenant(1), number);
        }
        lanes.push(tenant(2), 1_000);
        lanes.push(tenant(2), 1_001);
        let order: Vec<i32> = std::iter::from_fn(|| lanes.next()).take(5).collect();
        assert_eq!(order, [0, 1_000, 1, 1_001, 2]);
    }

    #[test]
    fn whoever_is_passed_over_keeps_the_turn() {
        let mut lanes = Lanes::default();
        for (lane, number) in [(1, 10), (2, 20), (3, 30), (2, 21)] {
            lanes.push(tenant(lane), number);
        }
        assert_eq!(lanes.next_where(|lane, _| lane == tenant(2)), Some((tenant(2), 20)));
        assert_eq!(lanes.remove(tenant(3), |number| *number == 30), Some(30));
        assert_eq!(lanes.remove(tenant(3), |number| *number == 30), None);
        assert_eq!((lanes.next(), lanes.next(), lanes.next()), (Some(10), Some(21), None));
        assert!(lanes.is_empty());
    }
}
