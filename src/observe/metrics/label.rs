//! A label whose values are a closed list, and one thing for each of them.

use std::{
    marker::PhantomData,
    ops::{Index, IndexMut},
};

/// A closed set of label values, or of combinations of them.
pub trait Label: Copy + 'static {
    /// How many values there are.
    const COUNT: usize;

    /// The label names, in the order of [`Label::values`].
    fn keys() -> Vec<&'static str>;

    /// Every value once, in the order of [`Label::index`].
    fn all() -> impl Iterator<Item = Self>;

    /// The place of this value, from 0 to `COUNT - 1`.
    fn index(self) -> usize;

    /// The text of this value, one for each of the keys.
    fn values(self) -> Vec<&'static str>;
}

/// One `T` for every value of a label: counts of a batch, or the counters that they are added to.
#[derive(Debug, Clone)]
pub struct PerLabel<L, T> {
    items: Box<[T]>,
    label: PhantomData<fn(L)>,
}

impl<L: Label, T> PerLabel<L, T> {
    /// Makes the item of each value.
    pub fn build(make: impl FnMut(L) -> T) -> Self {
        Self { items: L::all().map(make).collect(), label: PhantomData }
    }

    /// Every value with its item.
    pub fn iter(&self) -> impl Iterator<Item = (L, &T)> {
        L::all().zip(&self.items)
    }
}

impl<L: Label, T: Default> Default for PerLabel<L, T> {
    fn default() -> Self {
        Self::build(|_| T::default())
    }
}

// Derived, this would ask `L` to be comparable too.
impl<L, T: PartialEq> PartialEq for PerLabel<L, T> {
    fn eq(&self, other: &Self) -> bool {
        self.items == other.items
    }
}

impl<L: Label, T> Index<L> for PerLabel<L, T> {
    type Output = T;

    fn index(&self, label: L) -> &T {
        &self.items[label.index()]
    }
}

impl<L: Label, T> IndexMut<L> for PerLabel<L, T> {
    fn index_mut(&mut self, label: L) -> &mut T {
        &mut self.items[label.index()]
    }
}

/// Makes a label of an enum with `ALL` and `name()`, whose discriminants count from 0.
macro_rules! label_of {
    ($name:ident, $key:literal) => {
        impl Label for $name {
            const COUNT: usize = Self::ALL.len();

            fn keys() -> Vec<&'static str> {
                vec![$key]
            }

            fn all() -> impl Iterator<Item = Self> {
                Self::ALL.iter().copied()
            }

            fn index(self) -> usize {
                self as usize
            }

            fn values(self) -> Vec<&'static str> {
                vec![self.name()]
            }
        }
    };
}

macro_rules! label {
    ($(#[$doc:meta])* $name:ident, $key:literal, { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The text in the label.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        label_of!($name, $key);
    };
}

macro_rules! pair {
    ($name:ident, $first:ident, $second:ident) => {
        impl Label for $name {
            const COUNT: usize = $first::COUNT * $second::COUNT;

            fn keys() -> Vec<&'static str> {
                [$first::keys(), $second::keys()].concat()
            }

            fn all() -> impl Iterator<Item = Self> {
                $first::all().flat_map(|first| $second::all().map(move |second| Self(first, second)))
            }

            fn index(self) -> usize {
                self.0.index() * $second::COUNT + self.1.index()
            }

            fn values(self) -> Vec<&'static str> {
                vec![self.0.name(), self.1.name()]
            }
        }
    };
}

pub(super) use label;
pub(super) use label_of;
pub(super) use pair;
