//! Who is there: publishers and viewers that come and go evenly over a phase.

use std::sync::Arc;

use super::prepare::Prepared;
use crate::engine::{Command, Task, Workers};
use crate::scenario::Phase;

/// Publishers and viewers of a run.
pub struct Crowd<'a> {
    workers: &'a Workers,
    prepared: &'a Prepared,
    publishers: Group,
    viewers: Group,
}

/// How many of one kind are there, and who is to go when.
#[derive(Debug, Default)]
struct Group {
    count: usize,
    /// When the last of those who are there is to go; the later ones first.
    goes_us: Vec<u64>,
}

impl<'a> Crowd<'a> {
    /// Nobody yet.
    pub fn new(workers: &'a Workers, prepared: &'a Prepared) -> Self {
        Self { workers, prepared, publishers: Group::default(), viewers: Group::default() }
    }

    /// True when a viewer is there or on its way.
    pub fn has_viewers(&self) -> bool {
        self.viewers.count > 0
    }

    /// Sends for those who come in a phase, and notes who goes.
    pub fn begin_phase(&mut self, phase: &Phase, begin_us: u64, end_us: u64) {
        let publishers = self.prepared.publishers.len();
        for (number, due_us) in self.publishers.change(publishers, phase.publishers_percent, begin_us, end_us)
        {
            let publisher = &self.prepared.publishers[number];
            let command = Command::Publish {
                number: number as u32,
                plan: Arc::clone(&publisher.plan),
                address: publisher.address.clone(),
                due_us: due_us + publisher.phase_us,
            };
            self.workers.send(Task::Publisher(number as u32), command);
        }
        let viewers = self.prepared.viewers.len();
        for (number, due_us) in self.viewers.change(viewers, phase.viewers_percent, begin_us, end_us) {
            let (group, place) = self.prepared.viewers[number];
            let plan = Arc::clone(&self.prepared.watch[group]);
            let command = Command::Watch { number: number as u32, plan, place, due_us };
            self.workers.send(Task::Viewer(number as u32), command);
        }
    }

    /// Sends away those whose time has come.
    pub fn look(&mut self, now_us: u64) {
        while let Some(number) = self.publishers.next_to_go(now_us) {
            let task = Task::Publisher(number as u32);
            self.workers.send(task, Command::End(task));
        }
        while let Some(number) = self.viewers.next_to_go(now_us) {
            let task = Task::Viewer(number as u32);
            self.workers.send(task, Command::End(task));
        }
    }
}

impl Group {
    /// Goes from the number that is there to this share of all, evenly: returns who comes and when.
    fn change(&mut self, all: usize, percent: Option<f64>, begin_us: u64, end_us: u64) -> Vec<(usize, u64)> {
        let wanted = percent.map_or(self.count, |percent| (all as f64 * percent / 100.0).round() as usize);
        let (before, change) = (self.count, self.count.abs_diff(wanted));
        let at = |step: usize| begin_us + (end_us - begin_us) * step as u64 / change as u64;
        if wanted >= before {
            self.count = wanted;
            return (0..change).map(|step| (before + step, at(step))).collect();
        }
        self.goes_us = (0..change).rev().map(|step| at(step + 1)).collect();
        Vec::new()
    }

    /// The number of one who is to go by now.
    fn next_to_go(&mut self, now_us: u64) -> Option<usize> {
        self.goes_us.pop_if(|goes_us| *goes_us <= now_us)?;
        self.count -= 1;
        Some(self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_grows_and_shrinks_evenly() {
        let mut group = Group::default();
        let came = group.change(10, Some(50.0), 1000, 2000);
        assert_eq!(came, [(0, 1000), (1, 1200), (2, 1400), (3, 1600), (4, 1800)]);
        assert_eq!(group.change(10, None, 2000, 3000), []);
        assert_eq!(group.change(10, Some(30.0), 3000, 4000), []);
        assert_eq!(group.next_to_go(3400), None);
        assert_eq!(group.next_to_go(3500), Some(4));
        assert_eq!(group.next_to_go(3900), None);
        assert_eq!((group.next_to_go(4000), group.next_to_go(9000), group.count), (Some(3), None, 3));
        assert_eq!(group.change(10, Some(40.0), 5000, 6000), [(3, 5000)]);
    }
}
