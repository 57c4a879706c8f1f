//! A process that kills or stops itself at a step, exactly.
//!
//! ```text
//!  RETENTION_KILL_AT=AfterOffsets:3    SIGKILL when the step is reached for the third time
//!  RETENTION_STOP_AT=AfterOffsets:3    SIGSTOP: a zombie, once it is resumed
//!  RETENTION_BOUND=40                  batches of so many records or timers: many steps to be reached
//!  RETENTION_BYTES_AHEAD=2000          batches are flushed early from so many bytes on
//! ```

use std::env;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Milestone;

/// What is to happen, and how often its step must be reached until then.
struct Plan {
    step: Milestone,
    signal: libc::c_int,
    left: AtomicU64,
}

static PLANS: LazyLock<Vec<Plan>> = LazyLock::new(|| {
    let variables = [("RETENTION_KILL_AT", libc::SIGKILL), ("RETENTION_STOP_AT", libc::SIGSTOP)];
    let plans = variables.into_iter().filter_map(|(variable, signal)| {
        let text = env::var(variable).ok()?;
        Some(parse(&text, signal).unwrap_or_else(|| panic!("{variable}={text} is no step and count")))
    });
    plans.collect()
});

/// What bounds are lowered to in this process, unless a test sets something else on its thread.
pub fn bound() -> usize {
    number("RETENTION_BOUND").unwrap_or(usize::MAX)
}

/// From how many bytes on a batch is flushed early, if the environment sets it.
pub fn early_flush_bytes() -> Option<usize> {
    number("RETENTION_BYTES_AHEAD")
}

fn number(variable: &str) -> Option<usize> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

fn parse(text: &str, signal: libc::c_int) -> Option<Plan> {
    let (name, count) = text.split_once(':')?;
    let step = Milestone::ALL.into_iter().find(|step| format!("{step:?}") == name)?;
    let left = count.parse().ok().filter(|count| *count > 0)?;
    Some(Plan { step, signal, left: AtomicU64::new(left) })
}

/// A worker has come so far. Does not return, or only once resumed, if the environment asks for that.
#[inline]
pub fn reach(step: Milestone) {
    for plan in PLANS.iter().filter(|plan| plan.step == step) {
        // Below 1 it wraps around, and the step is never reached so often again.
        if plan.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            #[expect(unsafe_code, reason = "the standard library sends no signals")]
            // SAFETY: no memory effects. Both signals hit the whole process, and this thread before the call returns.
            unsafe {
                libc::raise(plan.signal);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_names_a_step_and_a_count() {
        for step in Milestone::ALL {
            let plan = parse(&format!("{step:?}:3"), libc::SIGKILL).expect("a plan");
            assert_eq!((plan.step, plan.left.into_inner()), (step, 3));
        }
        for text in ["", "AfterSend", "AfterSend:", "AfterSend:0", "AfterSend:-1", "Somewhere:1"] {
            assert!(parse(text, libc::SIGKILL).is_none(), "{text}");
        }
    }
}
