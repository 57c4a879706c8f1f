//! Names in quotes with what always stands behind them, ready to be put into a text.

use super::text::Word;
use crate::domain::signals::kind::{SignalKind, SignalType};
use crate::domain::signals::signal::{ActiveKind, CustomerType, State};

/// By [`State`].
pub(super) const fn states(behind: &str) -> [Word; State::ALL.len()] {
    let mut words = [Word::new("", "", ""); State::ALL.len()];
    let mut index = 0;
    while index < words.len() {
        words[State::ALL[index] as usize] = Word::new("\"", State::ALL[index].name(), behind);
        index += 1;
    }
    words
}

/// A kind or null.
pub(super) fn kind_then_since(kind: Option<ActiveKind>) -> &'static Word {
    static NONE: Word = Word::new("", "null", ",\"since\":");
    static NEW: Word = Word::new("\"", ActiveKind::New.name(), "\",\"since\":");
    static ESTABLISHED: Word = Word::new("\"", ActiveKind::Established.name(), "\",\"since\":");
    match kind {
        None => &NONE,
        Some(ActiveKind::New) => &NEW,
        Some(ActiveKind::Established) => &ESTABLISHED,
    }
}

/// A customer type or null.
pub(super) fn customer_type_then_next(customer_type: Option<CustomerType>) -> &'static Word {
    static NONE: Word = Word::new("", "null", ",\"next\":");
    static ONE_TIME: Word = Word::new("\"", CustomerType::OneTime.name(), "\",\"next\":");
    static RECURRING: Word = Word::new("\"", CustomerType::Recurring.name(), "\",\"next\":");
    static REPEAT: Word = Word::new("\"", CustomerType::Repeat.name(), "\",\"next\":");
    static RETURNING: Word = Word::new("\"", CustomerType::Returning.name(), "\",\"next\":");
    match customer_type {
        None => &NONE,
        Some(CustomerType::OneTime) => &ONE_TIME,
        Some(CustomerType::Recurring) => &RECURRING,
        Some(CustomerType::Repeat) => &REPEAT,
        Some(CustomerType::Returning) => &RETURNING,
    }
}

/// The type of a signal, up to the customer id.
pub(super) fn type_then_customer(kind: &SignalKind) -> &'static Word<40> {
    static TYPES: [Word<40>; SignalType::NAMES.len()] = {
        let mut words = [Word::new("", "", ""); SignalType::NAMES.len()];
        let mut index = 0;
        while index < words.len() {
            words[index] = Word::new("", SignalType::NAMES[index], "\",\"customer_id\":\"");
            index += 1;
        }
        words
    };
    &TYPES[kind.signal_type().index()]
}

pub(super) fn bool_then_returned_orders(value: bool) -> &'static Word {
    static FALSE: Word = Word::new("", "false", ",\"returned_orders\":");
    static TRUE: Word = Word::new("", "true", ",\"returned_orders\":");
    if value { &TRUE } else { &FALSE }
}

pub(super) fn bool_then_days(value: bool) -> &'static Word<32> {
    static FALSE: Word<32> = Word::new("", "false", ",\"days_since_order\":");
    static TRUE: Word<32> = Word::new("", "true", ",\"days_since_order\":");
    if value { &TRUE } else { &FALSE }
}
