//! Room for one more connection: the one that has been silent for longest makes it.
//!
//! A client that connects and sends nothing would otherwise keep others out until its time is over, and with enough of them
//! a probe would get no answer from a service that is well.

use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// While a request is being answered.
const BUSY: u64 = u64::MAX;

/// Every open connection.
pub(super) struct Connections {
    room: Arc<Semaphore>,
    open: Arc<Mutex<Vec<Arc<Activity>>>>,
}

/// What one connection does.
pub(super) struct Activity {
    origin: Instant,
    /// Microseconds from the origin to when it was opened or last answered; [`BUSY`] in between.
    silent_since: AtomicU64,
    taken: Notify,
}

/// A connection's place, until it is dropped.
pub(super) struct Place {
    activity: Arc<Activity>,
    open: Arc<Mutex<Vec<Arc<Activity>>>>,
    _permit: OwnedSemaphorePermit,
}

impl Connections {
    pub(super) fn new(max: usize) -> Self {
        Self { room: Arc::new(Semaphore::new(max)), open: Arc::default() }
    }

    /// A place; where there is none, the connection that has been silent for longest loses its own. Waits only while every one is
    /// busy.
    pub(super) async fn make_room(&self) -> Place {
        if self.room.available_permits() == 0 {
            let open = lock(&self.open);
            let silent = open.iter().filter(|connection| connection.silent_since() != BUSY);
            if let Some(longest) = silent.min_by_key(|connection| connection.silent_since()) {
                longest.taken.notify_one();
            }
        }
        let permit = Arc::clone(&self.room).acquire_owned().await.expect("the semaphore is never closed");
        let mut open = lock(&self.open);
        let origin = open.first().map_or_else(Instant::now, |first| first.origin);
        let activity = Activity { origin, silent_since: AtomicU64::new(0), taken: Notify::new() };
        activity.set_silent();
        let activity = Arc::new(activity);
        open.push(Arc::clone(&activity));
        Place { activity, open: Arc::clone(&self.open), _permit: permit }
    }
}

impl Activity {
    fn silent_since(&self) -> u64 {
        self.silent_since.load(Ordering::Relaxed)
    }

    fn set_silent(&self) {
        let since = u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(BUSY - 1);
        self.silent_since.store(since, Ordering::Relaxed);
    }
}

impl Place {
    pub(super) fn activity(&self) -> Arc<Activity> {
        Arc::clone(&self.activity)
    }

    /// Done when another connection needs the place.
    pub(super) async fn taken(&self) {
        self.activity.taken.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.open).retain(|connection| !Arc::ptr_eq(connection, &self.activity));
    }
}

/// A connection is not silent while it waits for its answer.
pub(super) async fn mark_busy(
    State(activity): State<Arc<Activity>>,
    request: Request,
    next: Next,
) -> Response {
    activity.silent_since.store(BUSY, Ordering::Relaxed);
    let response = next.run(request).await;
    activity.set_silent();
    response
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panic under this lock")
}
