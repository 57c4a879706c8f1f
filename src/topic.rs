//! Topics by their roles, and partitions: one vocabulary for every layer. A role that is added here is read, merged, sealed,
//! counted and configured like the others.

use std::fmt;
use std::ops::{Index, IndexMut};

/// Declares the roles in their order, with the names that settings and labels use, and a table with one value for each role.
macro_rules! roles {
    ($(#[$doc:meta])* $role:ident, $(#[$table_doc:meta])* $table:ident, { $($(#[$variant_doc:meta])* $variant:ident = $name:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum $role {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $role {
            /// How many there are.
            pub const COUNT: usize = [$(Self::$variant),+].len();
            pub const ALL: [Self; Self::COUNT] = [$(Self::$variant),+];

            /// The name in settings and labels.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// The place in [`Self::ALL`].
            pub const fn index(self) -> usize {
                self as usize
            }
        }

        $(#[$table_doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
        pub struct $table<T>(pub [T; $role::COUNT]);

        impl<T> $table<T> {
            pub fn from_fn(value: impl FnMut($role) -> T) -> Self {
                Self($role::ALL.map(value))
            }

            pub fn iter(&self) -> impl Iterator<Item = ($role, &T)> {
                $role::ALL.into_iter().zip(&self.0)
            }
        }

        impl<T> Index<$role> for $table<T> {
            type Output = T;

            fn index(&self, role: $role) -> &T {
                &self.0[role.index()]
            }
        }

        impl<T> IndexMut<$role> for $table<T> {
            fn index_mut(&mut self, role: $role) -> &mut T {
                &mut self.0[role.index()]
            }
        }
    };
}

roles!(
    /// A topic or file that is read. The order is that of ties in the merge: an order before the return of it.
    Input,
    /// One value for each [`Input`].
    PerInput, {
        /// Orders and their cancellations.
        Orders = "orders",
        /// Returns and refunds.
        Returns = "returns",
        /// Requests to forget a customer.
        Erasures = "erasures",
    }
);

roles!(
    /// A topic that is written.
    Output,
    /// One value for each [`Output`].
    PerOutput, {
        /// What happened to customers.
        Signals = "signals",
        /// The profile of each customer.
        Customers = "customers",
        /// Input that could not be used.
        DeadLetters = "dead_letters",
        /// The state of each customer, and the seals: only ever written with a partition, and read again by a restore.
        Changelog = "changelog",
        /// What partitions have counted of a day; only with `metrics.shares`.
        Shares = "shares",
        /// The figures of whole days, made of shares; only with `metrics.shares`.
        ShopMetrics = "shop_metrics",
    }
);

impl Output {
    /// Those that every service writes.
    pub const ALWAYS: [Self; 4] = [Self::Signals, Self::Customers, Self::DeadLetters, Self::Changelog];
    /// Those of the daily count, with one partition each.
    pub const OF_SHARES: [Self; 2] = [Self::Shares, Self::ShopMetrics];
}

/// The only partition of a topic of [`Output::OF_SHARES`].
pub const OF_SHARES: Partition = Partition(0);

impl<T> PerInput<T> {
    /// As [`Self::from_fn`], up to the first error.
    pub fn try_from_fn<E>(value: impl FnMut(Input) -> Result<T, E>) -> Result<Self, E> {
        let values = Input::ALL.into_iter().map(value).collect::<Result<Vec<T>, E>>()?;
        Ok(Self(values.try_into().ok().expect("one value for each input")))
    }
}

impl<T: Clone> PerInput<T> {
    /// Values that lie one after the other, all inputs of a first thing, then all of the next.
    pub fn chunks(values: &[T]) -> impl Iterator<Item = Self> {
        values.chunks_exact(Input::COUNT).map(Self::from_slice)
    }

    /// One value for each input, in their order.
    pub fn from_slice(values: &[T]) -> Self {
        Self::from_fn(|input| values[input.index()].clone())
    }
}

/// Any topic of the service.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Topic {
    Input(Input),
    Output(Output),
    /// Records that all partitions need; only where it is configured.
    Registry,
}

impl Topic {
    /// All that every service has.
    pub fn all() -> impl Iterator<Item = Self> {
        Input::ALL.map(Self::Input).into_iter().chain(Output::ALWAYS.map(Self::Output))
    }

    /// The topics that must have equally many partitions: a customer's records and state lie in partitions of one number.
    pub fn co_partitioned() -> impl Iterator<Item = Self> {
        Input::ALL.map(Self::Input).into_iter().chain([Self::Output(Output::Changelog)])
    }
}

/// A partition number: the same one of every input, of the changelog and of the state.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Partition(pub u32);

/// Partitions as a log line shows them: `0,1,2`.
pub fn listed(partitions: &[Partition]) -> String {
    let numbers: Vec<String> = partitions.iter().map(Partition::to_string).collect();
    numbers.join(",")
}

impl fmt::Display for Partition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}
