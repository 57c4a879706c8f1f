//! The simulated broker for scenarios without workers: time passes inside of the calls.

use std::cell::RefCell;
use std::rc::Rc;

use anyhow::Result;
use fastrand::Rng;

use super::broker::SimBroker;
use super::host::Host;
use super::shop::{Pace, Shop};
use super::suite::Ground;
use super::world::{Chaos, World};

/// See the module.
pub struct SimGround {
    world: Rc<RefCell<World>>,
}

impl SimGround {
    pub fn new() -> SimGround {
        let chaos =
            Chaos { switch: 0, fail: 0, slow: 0, faults_left: 0, laziness: 1, stingy: 0, fetch_max: 5 };
        let world = World::new(Rng::with_seed(3), chaos, Shop::empty(2, Pace::Live, 1));
        SimGround { world: Rc::new(RefCell::new(world)) }
    }
}

impl Ground for SimGround {
    type Port = SimBroker<'static>;

    fn open(&mut self, slot: usize) -> Result<SimBroker<'static>> {
        let host = {
            let mut world = self.world.borrow_mut();
            let now = world.now;
            world.hosts.push(Host::new(format!("shop-{slot}-0"), slot, now, 0));
            world.hosts.len() - 1
        };
        Ok(SimBroker::new(Rc::clone(&self.world), None, host))
    }
}
