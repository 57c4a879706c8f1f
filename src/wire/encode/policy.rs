//! The lapse policy that a signal names.

use super::fields::{FieldType, Shape, record};
use super::text::Text;
use crate::domain::lapse::PolicyId;
use crate::wire::hash;

record! {
    /// The lapse policy in force.
    Policy(policy: PolicyId) {
        /// The lapse policy in force.
        "name": PolicyName = policy.name;
        /// A hash of the policy's settings: 16 lower-case hexadecimal digits that change with any of them.
        "version": PolicyVersion = policy.version;
    }
}

/// The name of a policy.
pub(super) struct PolicyName;

impl FieldType for PolicyName {
    type Value<'v> = &'v str;
    const SHAPE: Shape = Shape::Names(&["fixed", "cadence", "model"]);

    fn put<'o>(text: Text<'o>, name: &str, _: u8) -> Text<'o> {
        text.put(b"\"").slice(name.as_bytes()).put(b"\"")
    }
}

/// The version of a policy.
pub(super) struct PolicyVersion;

impl FieldType for PolicyVersion {
    type Value<'v> = u64;
    const SHAPE: Shape = Shape::Pattern("^[0-9a-f]{16}$");

    fn put<'o>(text: Text<'o>, version: u64, _: u8) -> Text<'o> {
        text.put(b"\"").put(&hash::hex_16(version)).put(b"\"")
    }
}
