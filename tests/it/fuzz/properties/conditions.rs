//! Conditions of rules.
//!
//! ```text
//!  c │ condition on a customer          t │ condition on a trigger
//! ```

use retention_signals::domain::rules::expression::condition::Condition;
use retention_signals::domain::rules::expression::fields::{Field, FieldType, Value};
use retention_signals::domain::rules::expression::parser::{Scope, parse};
use retention_signals::domain::signals::kind::SignalType;
use retention_signals::domain::values::number::Ratio;

use super::Verdict;

/// What cannot be read is refused at a place in the text, in one line; what can is the same once it is printed and read again, and says
/// the same of any customer.
pub fn conditions(bytes: &[u8]) -> Verdict {
    let Some((first, rest)) = bytes.split_first() else { return Verdict::Refused };
    let Ok(text) = std::str::from_utf8(rest) else { return Verdict::Refused };
    let scope = match first {
        b't' => Scope::Trigger { signal: Some(SignalType::SegmentChanged), has_sku: true, tiers: &[] },
        _ => Scope::Customer { has_sku: false, tiers: &[] },
    };
    match parse(text, scope) {
        Ok(condition) => {
            let printed = condition.to_string();
            let again = parse(&printed, scope).unwrap_or_else(|error| panic!("{printed}: {error:?}"));
            assert_eq!(again, condition, "{printed}");
            assert_eq!(holds(&again), holds(&condition));
            Verdict::Accepted
        }
        Err(error) => {
            assert!((1..=text.chars().count() + 1).contains(&error.position), "{error:?}");
            assert!(!error.message.contains(char::is_control), "a message is one line: {error:?}");
            Verdict::Refused
        }
    }
}

/// Of customers of whom nothing is known, and of whom extremes are.
fn holds(condition: &Condition) -> [bool; 3] {
    let of = |numerator: i128| {
        condition.holds(|field: Field| match field.field_type() {
            FieldType::Flag => Value::Flag(numerator > 0),
            FieldType::Text => Value::Text("loyal"),
            FieldType::Number | FieldType::Days | FieldType::Money => {
                Ratio::new(numerator, i128::MAX).map_or(Value::Null, Value::Number)
            }
        })
    };
    [condition.holds(|_| Value::Null), of(i128::MAX), of(i128::MIN)]
}
