//! Filters of jq that a record could abuse, in forms that pay for what they do: concatenation, multiplication, `range`, JSON in texts.
//! The rewriter puts calls of the first two where a program has `+` and `*`.

use jaq_core::box_iter::box_once;
use jaq_core::native::{Filter, bome, v};
use jaq_core::ops::Math;
use jaq_core::{Cv, Error, Exn, RunPtr, ValR, ValXs};
use jaq_json::{Num, Val};

use super::json;
use super::run::{Kind, Run};
use crate::wire::reason::{Reason, Refusal};

/// Names that no program can write.
pub(super) const PLUS: &str = "+";
pub(super) const TIMES: &str = "*";
pub(super) const SHALLOW: &str = "[]";

/// A value that is deeper was built by a loop; to drop it would need a stack of its own.
const DEPTH_MAX: usize = 256;

/// How many parts of a new value are looked at for its depth: a loop that nests makes chains, which are found at once.
const LOOKED_AT_MAX: usize = 1_024;

/// Bits of a whole number; ids have some sixty.
const BITS_MAX: u64 = 4_096;

/// JSON in a text of the record may be so deep.
const TEXT_DEPTH_MAX: usize = 32;

pub(super) fn funs() -> [Filter<RunPtr<Kind>>; 6] {
    [
        (PLUS, v(2), |cv| binary(cv, plus)),
        (TIMES, v(2), |cv| binary(cv, times)),
        (SHALLOW, v(0), |cv| bome(shallow(cv.0.data(), cv.1))),
        ("range", v(3), range),
        ("fromjson", v(0), |cv| bome(from_json(cv.0.data(), &cv.1))),
        ("tojson", v(0), |cv| {
            let text = cv.1.to_string();
            cv.0.data().charge(text.len() / 16);
            bome(Ok(Val::from(text)))
        }),
    ]
}

fn binary<'a>(mut cv: Cv<'a, Kind>, operate: fn(&Run<'_>, Val, Val) -> ValR<Val>) -> ValXs<'a, Val> {
    let right = cv.0.pop_var();
    let left = cv.0.pop_var();
    bome(operate(cv.0.data(), left, right))
}

fn plus(run: &Run<'_>, left: Val, right: Val) -> ValR<Val> {
    run.charge(cost(&left) + cost(&right));
    left + right
}

/// Copying 64 elements or 512 bytes takes less time than a step.
fn cost(value: &Val) -> usize {
    match value {
        Val::TStr(text) | Val::BStr(text) => text.len() / 512,
        Val::Arr(elements) => elements.len() / 64,
        Val::Obj(fields) => fields.len() / 8,
        Val::Null | Val::Bool(_) | Val::Num(_) => 0,
    }
}

fn times(run: &Run<'_>, left: Val, right: Val) -> ValR<Val> {
    let bits = |number: &Num| match number {
        Num::BigInt(integer) => integer.bits(),
        Num::Int(_) | Num::Float(_) | Num::Dec(_) => 64,
    };
    match (&left, &right) {
        (Val::Num(a), Val::Num(b)) if bits(a) + bits(b) <= BITS_MAX => left * right,
        // jq repeats a text here. In a map it is a price that is a text, times a quantity.
        (Val::TStr(_) | Val::BStr(_), Val::Num(_)) | (Val::Num(_), Val::TStr(_) | Val::BStr(_)) => {
            let detail = "a text times a number; amounts of money are multiplied by money_times";
            Err(run.raise(Refusal::new(Reason::Unmapped, detail)))
        }
        (Val::Obj(_), Val::Obj(_)) => {
            run.charge(cost(&left) + cost(&right));
            left * right
        }
        (
            Val::Null | Val::Bool(_) | Val::Num(_) | Val::BStr(_) | Val::TStr(_) | Val::Arr(_) | Val::Obj(_),
            Val::Null | Val::Bool(_) | Val::Num(_) | Val::BStr(_) | Val::TStr(_) | Val::Arr(_) | Val::Obj(_),
        ) => Err(Error::math(left, Math::Mul, right)),
    }
}

fn shallow(run: &Run<'_>, value: Val) -> ValR<Val> {
    let mut left = LOOKED_AT_MAX;
    if is_deeper(&value, DEPTH_MAX, &mut left) {
        let detail = format!("the map builds a value of more than {DEPTH_MAX} levels");
        return Err(run.raise(Refusal::new(Reason::TooDeep, detail)));
    }
    run.charge((LOOKED_AT_MAX - left) / 16);
    Ok(value)
}

fn is_deeper(value: &Val, depth_max: usize, left: &mut usize) -> bool {
    let Some(fewer) = left.checked_sub(1) else { return false };
    *left = fewer;
    let Some(inner) = depth_max.checked_sub(1) else { return true };
    match value {
        Val::Arr(elements) => elements.iter().any(|element| is_deeper(element, inner, left)),
        Val::Obj(fields) => fields.values().any(|field| is_deeper(field, inner, left)),
        Val::Null | Val::Bool(_) | Val::Num(_) | Val::BStr(_) | Val::TStr(_) => false,
    }
}

fn range<'a>(mut cv: Cv<'a, Kind>) -> ValXs<'a, Val> {
    let (by, to) = (cv.0.pop_var(), cv.0.pop_var());
    let mut from = cv.0.pop_var();
    let run: &'a Run<'a> = cv.0.data();
    let whole = |value: &Val| matches!(value, Val::Num(Num::Int(_)));
    if !(whole(&from) && whole(&by)) || by == Val::from(0isize) {
        let detail = "range counts from a whole number, in steps that are whole and not 0";
        return box_once(Err(Exn::from(run.raise(Refusal::new(Reason::Unmapped, detail)))));
    }
    let is_upward = by > Val::from(0isize);
    Box::new(std::iter::from_fn(move || {
        run.charge(1);
        let goes_on = if is_upward { from < to } else { from > to };
        if !goes_on {
            return None;
        }
        match from.clone() + by.clone() {
            Ok(next) => Some(Ok(std::mem::replace(&mut from, next))),
            Err(error) => Some(Err(Exn::from(error))),
        }
    }))
}

fn from_json(run: &Run<'_>, value: &Val) -> ValR<Val> {
    let text = match value {
        Val::TStr(text) => text,
        Val::Null | Val::Bool(_) | Val::Num(_) | Val::BStr(_) | Val::Arr(_) | Val::Obj(_) => {
            return Err(run.raise(Refusal::new(Reason::InvalidType, "fromjson reads texts")));
        }
    };
    run.charge(text.len() / 16);
    json::read_within(text, TEXT_DEPTH_MAX).map_err(|refusal| {
        let detail = format!("fromjson: {}", refusal.detail);
        run.raise(Refusal::new(refusal.reason, detail))
    })
}
