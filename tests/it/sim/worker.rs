//! A worker as a coroutine: it can be left alone, or ended, inside of any of its calls.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult};
use retention_signals::observe::metrics::{FatalKind, Metrics};
use retention_signals::observe::status::ServiceStatus;
use retention_signals::stream::query::QueryRouter;
use retention_signals::stream::rules::Rules;
use retention_signals::stream::worker::hub::Hub;
use retention_signals::stream::worker::{Stop, Worker as StreamWorker};

use super::broker::{Pause, SimBroker};
use super::world::World;

const STACK_BYTES: usize = 512 << 10;

/// How a worker came to its end by itself.
#[derive(Debug)]
pub struct Ended {
    pub kind: Option<FatalKind>,
    pub message: String,
}

type Run = Coroutine<(), Pause, Result<(), Stop>, DefaultStack>;

/// One process with one worker.
pub struct Worker {
    run: Run,
    pub host: usize,
    pub until: Duration,
    pub may_wake: bool,
    pub status: ServiceStatus,
    must_stop: Rc<RefCell<bool>>,
}

/// Stacks of workers that have ended, for the next ones.
#[derive(Default)]
pub struct Stacks(Vec<DefaultStack>);

impl Stacks {
    fn take(&mut self) -> DefaultStack {
        self.0.pop().unwrap_or_else(|| DefaultStack::new(STACK_BYTES).expect("memory for a stack"))
    }
}

impl Worker {
    pub fn start(
        world: &Rc<RefCell<World>>,
        host: usize,
        rules: Rules,
        metrics: &'static Metrics,
        stacks: &mut Stacks,
    ) -> Worker {
        let (status, mut pens) = ServiceStatus::new(1, Instant::now());
        let (_, mut questions) = QueryRouter::new(1);
        let (pen, questions) = (pens.pop().expect("one worker"), questions.pop().expect("one worker"));
        let hub = Hub::new(metrics, status.clone(), pen, questions, |_| {});
        let must_stop = Rc::new(RefCell::new(false));
        let (told, of_worker) = (Rc::clone(&must_stop), Rc::clone(world));
        let run = Coroutine::with_stack(stacks.take(), move |yielder, ()| {
            let broker = SimBroker::new(of_worker, Some(yielder), host);
            let mut processor = StreamWorker::new(broker, rules, hub);
            while !*told.borrow() {
                if let Err(stop) = processor.turn() {
                    processor.close();
                    return Err(stop);
                }
            }
            processor.shut_down()
        });
        let until = world.borrow().now;
        Worker { run, host, until, may_wake: false, status, must_stop }
    }

    /// As by SIGTERM.
    pub fn tell_to_stop(&self) {
        *self.must_stop.borrow_mut() = true;
    }

    /// Lets it run until it waits for something, or ends.
    pub fn resume(&mut self, now: Duration) -> Option<Ended> {
        match self.run.resume(()) {
            CoroutineResult::Yield(pause) => {
                (self.until, self.may_wake) = match pause {
                    Pause::Switch => (now, false),
                    Pause::Until(until) => (until, false),
                    Pause::UntilWoken(until) => (until, true),
                };
                None
            }
            CoroutineResult::Return(Ok(())) => Some(Ended { kind: None, message: String::new() }),
            CoroutineResult::Return(Err(stop)) => {
                Some(Ended { kind: Some(stop.kind), message: stop.message() })
            }
        }
    }

    /// The process is gone, wherever it was.
    pub fn end(mut self, stacks: &mut Stacks) {
        if !self.run.done() {
            self.run.force_unwind();
        }
        stacks.0.push(self.run.into_stack());
    }
}
