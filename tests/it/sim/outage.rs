//! What happens to schedules with snapshots only: disks that forget, hosts whose clocks are wrong by a day, and outages in which
//! the brokers clean up, or are set up anew.

use std::time::Duration;

use super::host::Host;
use super::schedule::Schedule;
use super::shop::Pace;
use super::world::TOMBSTONE_RETENTION;

/// A longer absence would be years of a fast shop.
const OUTAGES_MAX: u32 = 3;
const DAY_MS: i64 = 86_400_000;
/// Clocks of hosts differ by less than this, each to the brokers': half of what the rule of a snapshot's age leaves to two of them.
/// Or by so much that everybody sees it.
pub(super) const SKEW_MS: i64 = TOMBSTONE_RETENTION.as_millis() as i64 / 4 - 2_000;

impl Schedule<'_> {
    /// Some of what may happen where snapshots are kept.
    pub(super) fn trouble_snapshots(&mut self, index: usize) {
        match self.rng.u8(..4) {
            0 => {
                if let Some(disks) = &mut self.disks {
                    disks.spoil(&mut self.rng);
                }
            }
            1 | 2 if self.outages < OUTAGES_MAX => self.begin_outage(),
            _ => {
                // Back at once, with all that is at hand.
                let host = self.workers[index].host;
                self.outcome.crashes += 1;
                self.remove(index);
                let (now, instance) = {
                    let world = self.world.borrow();
                    (world.now, world.hosts[host].instance)
                };
                self.to_start.push((now, instance));
            }
        }
    }

    /// Every process ends, and none starts for a while.
    fn begin_outage(&mut self) {
        self.outages += 1;
        while !self.workers.is_empty() {
            self.outcome.crashes += 1;
            self.remove(self.workers.len() - 1);
        }
        let range = [1_000..30_000, 30_000..100_000, 130_000..300_000][self.rng.usize(..3)].clone();
        let span = Duration::from_millis(self.rng.u64(range));
        let mut world = self.world.borrow_mut();
        let until = world.now + span;
        world.clean_changelogs();
        world.shop.postpone(span);
        self.outage_until = Some(until);
        self.to_start = (0..self.instances)
            .map(|instance| (until + Duration::from_millis(self.rng.u64(0..3_000)), instance))
            .collect();
    }

    pub(super) fn end_outage(&mut self) {
        let mut world = self.world.borrow_mut();
        if self.outage_until.is_none_or(|until| until > world.now) {
            return;
        }
        self.outage_until = None;
        world.clean_changelogs();
        let has_more = world.shop.next_due().is_some() && !matches!(world.shop.pace, Pace::Loaded { .. });
        if has_more && self.rng.u8(..3) > 0 {
            world.start_over();
        }
    }

    pub(super) fn step_clock(&mut self, host: usize) {
        let mut world = self.world.borrow_mut();
        let is_fast = matches!(world.shop.pace, Pace::Fast { .. });
        let host: &mut Host = &mut world.hosts[host];
        if self.disks.is_none() {
            host.wall_offset_ms += [-400_000, -1_000, 1_000, 60_000][self.rng.usize(..4)];
        } else if !is_fast && self.rng.u8(..4) == 0 {
            // A day of a fast shop would be an age.
            host.wall_offset_ms = [-DAY_MS, DAY_MS][self.rng.usize(..2)];
        } else {
            let step = self.rng.i64(-SKEW_MS..=SKEW_MS);
            host.wall_offset_ms = (host.wall_offset_ms % DAY_MS + step).clamp(-SKEW_MS, SKEW_MS);
        }
    }

    /// A writer goes on, if it is one's turn.
    pub(super) fn step_writers(&mut self) {
        let Some(disks) = &mut self.disks else { return };
        if self.workers.is_empty() || !disks.is_time_to_write(&mut self.rng) {
            return;
        }
        let host = self.workers[self.rng.usize(..self.workers.len())].host;
        let world = self.world.borrow();
        if world.hosts[host].frozen_until <= world.now {
            disks.write(host, self.rng.usize(1..=8));
        }
    }

    /// A process that ends waits for its writer, but not for ever.
    pub(super) fn wait_for_writer(&mut self, host: usize) {
        let Some(disks) = &mut self.disks else { return };
        let steps_max = if self.rng.u8(..4) == 0 { self.rng.usize(..6) } else { usize::MAX };
        disks.write(host, steps_max);
    }
}
