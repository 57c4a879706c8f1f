//! One run of a map's program over one record, within a budget.
//!
//! jq is a programming language: `[repeat(1)]` never ends, and a harmless loop over a record may not either, if the record was built for
//! it. jaq asks for its table of terms at every step of an evaluation, and that is where steps are counted and the stack is
//! measured. A run that exceeds its budget is unwound from there, so that no `try` of the program catches it.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use jaq_core::data::HasLut;
use jaq_core::{Ctx, DataT, Error, Lut, Vars};
use jaq_json::Val;

use super::Meta;
use super::program::Program;
use crate::formats::native::Decoder;
use crate::wire::reason::{Reason, Refusal};

/// An order of 12 KB takes some thousand steps, a page of 250 orders less than a million.
const STEPS_MAX: u64 = 2_000_000;

/// Of the 2 MiB that a thread has. A program that calls itself for each element uses about a kilobyte a call.
const STACK_BYTES_MAX: usize = 768 << 10;

/// The data that filters see, for jaq.
pub(super) struct Kind;

impl DataT for Kind {
    type V<'a> = Val;
    type Data<'a> = &'a Run<'a>;
}

impl<'a> HasLut<'a, Kind> for &'a Run<'a> {
    #[inline]
    fn lut(&self) -> &'a Lut<Kind> {
        self.step();
        self.lut
    }
}

/// What a run knows beside its input, and what is left of its budget.
pub(super) struct Run<'a> {
    lut: &'a Lut<Kind>,
    pub(super) meta: &'a Meta<'a>,
    pub(super) decoder: &'a Decoder,
    secret: Option<&'a [u8; 32]>,
    has_hashed: Cell<bool>,
    steps_left: Cell<u64>,
    stack_base: Cell<usize>,
    /// What our own filters refused, so that a caught refusal can be told from texts of the record.
    refused: RefCell<Vec<Refusal>>,
}

/// Why a run ended early.
pub(super) enum Failed {
    Refused(Refusal),
    /// An error of jq, or one that the program raises.
    Jq {
        refusal: Refusal,
        message: String,
    },
}

enum Exceeded {
    Steps,
    Stack,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        program: &'a Program,
        meta: &'a Meta<'a>,
        decoder: &'a Decoder,
        secret: Option<&'a [u8; 32]>,
    ) -> Self {
        Self {
            lut: program.lut(),
            meta,
            decoder,
            secret,
            has_hashed: Cell::new(false),
            steps_left: Cell::new(STEPS_MAX),
            stack_base: Cell::new(0),
            refused: RefCell::default(),
        }
    }

    /// The secret, for a filter that hashes with it.
    pub(super) fn secret(&self) -> Option<&'a [u8; 32]> {
        self.has_hashed.set(true);
        self.secret
    }

    pub(super) fn has_hashed(&self) -> bool {
        self.has_hashed.get()
    }

    #[inline]
    fn step(&self) {
        self.charge(1);
        let here = 0u8;
        if self.stack_base.get().abs_diff(std::ptr::from_ref(&here).addr()) > STACK_BYTES_MAX {
            exceed(Exceeded::Stack);
        }
    }

    /// Takes work that no step of jq stands for out of the budget.
    #[inline]
    pub(super) fn charge(&self, steps: usize) {
        match self.steps_left.get().checked_sub(steps as u64) {
            Some(left) => self.steps_left.set(left),
            None => exceed(Exceeded::Steps),
        }
    }

    /// The error that a filter of ours raises.
    pub(super) fn raise(&self, refusal: Refusal) -> Error<Val> {
        let error = Error::str(&refusal.detail);
        self.refused.borrow_mut().push(refusal);
        error
    }

    /// What an error of the program means. What it quotes of the record stays out of the refusal.
    fn failed(&self, program: &Program, error: Error<Val>) -> Failed {
        let message = error.to_string();
        let value = error.into_val();
        let text = match &value {
            Val::TStr(text) => std::str::from_utf8(text).unwrap_or_default(),
            Val::Null | Val::Bool(_) | Val::Num(_) | Val::BStr(_) | Val::Arr(_) | Val::Obj(_) => "",
        };
        if let Some(refusal) = self.refused.borrow().iter().rev().find(|refusal| refusal.detail == text) {
            return Failed::Refused(refusal.clone());
        }
        let detail = if program.has_literal(text) {
            format!("the map refuses it: {text}")
        } else if message.starts_with("cannot index ") {
            "the map looks for a field or an element in what has none".to_owned()
        } else if message.starts_with("cannot use ") || message.starts_with("cannot calculate ") {
            "the map finds a value of another type than it expects".to_owned()
        } else {
            "the map fails on it, with a message that may hold data; `maps try` shows it".to_owned()
        };
        Failed::Jq { refusal: Refusal::new(Reason::Unmapped, detail), message }
    }
}

#[cold]
fn exceed(exceeded: Exceeded) -> ! {
    // Not a panic: no hook runs, and nothing is printed.
    resume_unwind(Box::new(exceeded))
}

/// Calls `each` with every output of the program, until one is refused.
pub(super) fn each_output(
    program: &Program,
    run: &Run<'_>,
    input: Val,
    variables: [Val; 2],
    each: &mut dyn FnMut(Val) -> Result<(), Failed>,
) -> Result<(), Failed> {
    let here = 0u8;
    run.stack_base.set(std::ptr::from_ref(&here).addr());
    // The run is dropped after it, and no value outlives it: nothing can be seen in a half-changed state.
    let ended = catch_unwind(AssertUnwindSafe(|| {
        let context = Ctx::<Kind>::new(run, Vars::new(variables));
        for output in program.entry().run((context, input)) {
            match output {
                Ok(output) => each(output)?,
                Err(exception) => {
                    return Err(match exception.get_err() {
                        Ok(error) => run.failed(program, error),
                        // Breaks and tail calls are caught where they belong, and `halt` is no filter of maps.
                        Err(_) => {
                            Failed::Refused(Refusal::new(Reason::Unmapped, "the map ends without a result"))
                        }
                    });
                }
            }
        }
        Ok(())
    }));
    ended.unwrap_or_else(|payload| Err(Failed::Refused(unwound(payload))))
}

fn unwound(payload: Box<dyn Any + Send>) -> Refusal {
    match payload.downcast_ref::<Exceeded>() {
        Some(Exceeded::Steps) => Refusal::new(
            Reason::TooLarge,
            format!(
                "the map needs more than {STEPS_MAX} steps for it; either the record is far larger than others, or the map does not end"
            ),
        ),
        Some(Exceeded::Stack) => Refusal::new(
            Reason::TooDeep,
            "the map calls itself too often for it; use reduce, or a call that is the last thing a filter does",
        ),
        None => resume_unwind(payload),
    }
}
