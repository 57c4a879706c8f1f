//! How a count of a batch is exported: as one counter, or as one for each value of a label.

use prometheus::IntCounter;

use super::{
    label::{Label, PerLabel},
    registrar::Registrar,
};

/// A count that is added to counters once its batch is committed.
pub(super) trait CounterValue {
    /// What it is added to.
    type Counters;

    fn register(registrar: &Registrar<'_>, name: &str, help: &str) -> prometheus::Result<Self::Counters>;

    fn add_to(&self, counters: &Self::Counters);
}

impl CounterValue for u64 {
    type Counters = IntCounter;

    fn register(registrar: &Registrar<'_>, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        registrar.counter(name, &format!("{help} (1 series)."))
    }

    fn add_to(&self, counter: &IntCounter) {
        counter.inc_by(*self);
    }
}

impl<L: Label> CounterValue for PerLabel<L, u64> {
    type Counters = PerLabel<L, IntCounter>;

    fn register(
        registrar: &Registrar<'_>,
        name: &str,
        help: &str,
    ) -> prometheus::Result<PerLabel<L, IntCounter>> {
        registrar.counters(name, &format!("{help} ({} series).", L::COUNT))
    }

    fn add_to(&self, counters: &PerLabel<L, IntCounter>) {
        for (label, count) in self.iter() {
            counters[label].inc_by(*count);
        }
    }
}

/// Makes of a table of counts the struct that a batch fills, and the counters that it is added to.
macro_rules! counter_table {
    (
        $(#[$doc:meta])* $counts:ident => $(#[$counters_doc:meta])* $counters:ident {
            $($field:ident: $type:ty = $name:literal, $help:literal;)+
        }
        beside {
            $($(#[$other_doc:meta])+ $other:ident: $other_type:ty;)+
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default)]
        pub struct $counts {
            $(#[doc = concat!($help, ".")] pub $field: $type,)+
            $($(#[$other_doc])+ pub $other: $other_type,)+
        }

        $(#[$counters_doc])*
        pub(super) struct $counters {
            $(pub(super) $field: <$type as CounterValue>::Counters,)+
        }

        impl $counters {
            pub(super) fn new(registrar: &Registrar<'_>) -> prometheus::Result<Self> {
                Ok(Self { $($field: <$type as CounterValue>::register(registrar, $name, $help)?,)+ })
            }

            pub(super) fn add(&self, counts: &$counts) {
                $(counts.$field.add_to(&self.$field);)+
            }
        }
    };
}

pub(super) use counter_table;
