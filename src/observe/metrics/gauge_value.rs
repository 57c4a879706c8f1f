//! How a value of a partition is exported: as one gauge, as one for each value of a label, or as that for each currency.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Mutex, OnceLock},
};

use prometheus::{Gauge, GaugeVec};

use super::{
    batch::CurrencyLabel,
    label::{Label, PerLabel},
    partition::seconds,
};

/// A value that gauges of a partition show.
pub(super) trait GaugeValue {
    /// The gauges of one partition.
    type Gauges: Debug;

    /// The label names beside `partition`.
    fn keys() -> Vec<&'static str>;

    /// How many series a partition has, for the help text.
    fn series() -> String;

    /// The gauges of a partition, those of the known currencies at once.
    fn gauges(family: &GaugeVec, partition: &str, currencies: &[CurrencyLabel]) -> Self::Gauges;

    /// Shows this value.
    fn set(&self, gauges: &Self::Gauges);

    /// Takes the series of a partition out of the export.
    fn remove(family: &GaugeVec, gauges: &Self::Gauges, partition: &str);
}

/// The value of a single gauge.
pub(super) trait Number {
    fn as_f64(&self) -> f64;
}

impl Number for u64 {
    fn as_f64(&self) -> f64 {
        *self as f64
    }
}

impl Number for f64 {
    fn as_f64(&self) -> f64 {
        *self
    }
}

impl Number for bool {
    fn as_f64(&self) -> f64 {
        f64::from(u8::from(*self))
    }
}

/// An instant in milliseconds since 1970, exported in seconds; none is exported as 0.
impl Number for Option<i64> {
    fn as_f64(&self) -> f64 {
        self.map_or(0.0, seconds)
    }
}

impl<N: Number> GaugeValue for N {
    type Gauges = Gauge;

    fn keys() -> Vec<&'static str> {
        Vec::new()
    }

    fn series() -> String {
        "1 a partition".to_owned()
    }

    fn gauges(family: &GaugeVec, partition: &str, _: &[CurrencyLabel]) -> Gauge {
        family.with_label_values(&[partition])
    }

    fn set(&self, gauge: &Gauge) {
        gauge.set(self.as_f64());
    }

    fn remove(family: &GaugeVec, _: &Gauge, partition: &str) {
        remove_one(family, &[partition]);
    }
}

impl<L: Label + Debug, N: Number> GaugeValue for PerLabel<L, N> {
    type Gauges = PerLabel<L, Gauge>;

    fn keys() -> Vec<&'static str> {
        L::keys()
    }

    fn series() -> String {
        format!("{} a partition", L::COUNT)
    }

    fn gauges(family: &GaugeVec, partition: &str, _: &[CurrencyLabel]) -> PerLabel<L, Gauge> {
        PerLabel::build(|label: L| family.with_label_values(&[label.values(), vec![partition]].concat()))
    }

    fn set(&self, gauges: &PerLabel<L, Gauge>) {
        for (label, value) in self.iter() {
            gauges[label].set(value.as_f64());
        }
    }

    fn remove(family: &GaugeVec, _: &PerLabel<L, Gauge>, partition: &str) {
        L::all().for_each(|label| remove_one(family, &[label.values(), vec![partition]].concat()));
    }
}

/// The gauges of something that may be off. They appear with the first value.
#[derive(Debug)]
pub(super) struct WhereUsed<G> {
    family: GaugeVec,
    partition: String,
    gauges: OnceLock<G>,
}

impl<L: Label + Debug, N: Number> GaugeValue for Option<PerLabel<L, N>> {
    type Gauges = WhereUsed<PerLabel<L, Gauge>>;

    fn keys() -> Vec<&'static str> {
        L::keys()
    }

    fn series() -> String {
        PerLabel::<L, N>::series()
    }

    fn gauges(family: &GaugeVec, partition: &str, _: &[CurrencyLabel]) -> Self::Gauges {
        WhereUsed { family: family.clone(), partition: partition.to_owned(), gauges: OnceLock::new() }
    }

    fn set(&self, gauges: &Self::Gauges) {
        if let Some(value) = self {
            let WhereUsed { family, partition, gauges } = gauges;
            value.set(gauges.get_or_init(|| PerLabel::<L, N>::gauges(family, partition, &[])));
        }
    }

    fn remove(family: &GaugeVec, gauges: &Self::Gauges, partition: &str) {
        if let Some(gauges) = gauges.gauges.get() {
            PerLabel::<L, N>::remove(family, gauges, partition);
        }
    }
}

/// The gauges of each currency that was seen.
#[derive(Debug)]
pub(super) struct PerCurrency<L> {
    family: GaugeVec,
    partition: String,
    gauges: Mutex<BTreeMap<CurrencyLabel, PerLabel<L, Gauge>>>,
}

impl<L: Label> PerCurrency<L> {
    pub(super) fn for_each(&self, mut handle: impl FnMut(CurrencyLabel, &PerLabel<L, Gauge>)) {
        let gauges = self.gauges.lock().expect("no panic under this lock");
        gauges.iter().for_each(|(currency, gauges)| handle(*currency, gauges));
    }

    fn resolve(&self, currency: CurrencyLabel) -> PerLabel<L, Gauge> {
        PerLabel::build(|label: L| {
            let values = [label.values(), vec![currency.code(), &self.partition]].concat();
            self.family.with_label_values(&values)
        })
    }
}

/// Money in minor units, exported in units of its currency.
impl<L: Label + Debug> GaugeValue for BTreeMap<CurrencyLabel, PerLabel<L, i64>> {
    type Gauges = PerCurrency<L>;

    fn keys() -> Vec<&'static str> {
        [L::keys(), vec!["currency"]].concat()
    }

    fn series() -> String {
        format!("{} a partition and currency", L::COUNT)
    }

    fn gauges(family: &GaugeVec, partition: &str, currencies: &[CurrencyLabel]) -> PerCurrency<L> {
        let all =
            PerCurrency { family: family.clone(), partition: partition.to_owned(), gauges: Mutex::default() };
        let known = currencies.iter().map(|currency| (*currency, all.resolve(*currency))).collect();
        *all.gauges.lock().expect("no panic under this lock") = known;
        all
    }

    fn set(&self, all: &PerCurrency<L>) {
        let mut gauges = all.gauges.lock().expect("no panic under this lock");
        for (currency, values) in self {
            let gauges = gauges.entry(*currency).or_insert_with(|| all.resolve(*currency));
            for (label, minor) in values.iter() {
                gauges[label].set(currency.whole_units(*minor as f64));
            }
        }
    }

    fn remove(family: &GaugeVec, all: &PerCurrency<L>, partition: &str) {
        all.for_each(|currency, _| {
            for label in L::all() {
                remove_one(family, &[label.values(), vec![currency.code(), partition]].concat());
            }
        });
    }
}

fn remove_one(family: &GaugeVec, values: &[&str]) {
    family.remove_label_values(values).expect("created with the same label values");
}

/// Makes of a table of gauges the struct of their values, the gauges of a partition, and the families that they belong to.
macro_rules! gauge_table {
    (
        $(#[$values_doc:meta])* after_commit $values:ident {
            $($field:ident: $type:ty = $name:literal, $help:literal;)+
        }
        $(#[$summed_doc:meta])* summed_over_partitions {
            $($(#[$summed_field_doc:meta])+ $summed:ident: $summed_type:ty;)+
        }
        $(#[$other_doc:meta])* at_any_time {
            $($other:ident: $other_type:ty = $other_name:literal, $other_help:literal;)+
        }
    ) => {
        $(#[$values_doc])*
        #[derive(Debug, Clone, Default)]
        pub struct $values {
            $(#[doc = concat!($help, ".")] pub $field: $type,)+
            $($(#[$summed_field_doc])+ pub $summed: $summed_type,)+
        }

        #[derive(Debug)]
        struct Gauges {
            $($field: <$type as GaugeValue>::Gauges,)+
            $($other: <$other_type as GaugeValue>::Gauges,)+
        }

        /// The families that the partitions' gauges belong to.
        pub(super) struct PartitionFamilies {
            $($field: GaugeVec,)+
            $($other: GaugeVec,)+
        }

        impl Gauges {
            fn set(&self, values: &$values) {
                $(values.$field.set(&self.$field);)+
            }
        }

        impl PartitionFamilies {
            pub(super) fn new(registrar: &Registrar<'_>) -> prometheus::Result<Self> {
                Ok(Self {
                    $($field: registrar.partition_gauges::<$type>($name, $help)?,)+
                    $($other: registrar.partition_gauges::<$other_type>($other_name, $other_help)?,)+
                })
            }

            fn gauges(&self, partition: &str, currencies: &[CurrencyLabel]) -> Gauges {
                Gauges {
                    $($field: <$type as GaugeValue>::gauges(&self.$field, partition, currencies),)+
                    $($other: <$other_type as GaugeValue>::gauges(&self.$other, partition, currencies),)+
                }
            }

            fn remove_gauges(&self, gauges: &Gauges, partition: &str) {
                $(<$type as GaugeValue>::remove(&self.$field, &gauges.$field, partition);)+
                $(<$other_type as GaugeValue>::remove(&self.$other, &gauges.$other, partition);)+
            }
        }
    };
}

pub(super) use gauge_table;
