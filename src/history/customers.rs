//! Whose the returns are that name an order but no customer: of the customer who placed that order.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::source::{Place, Source};
use crate::domain::settings::Shops;
use crate::domain::values::event::Record;
use crate::domain::values::ids::ShopIndex;
use crate::formats::native::{Decoder, Subject};
use crate::topic::Input;

/// An order as returns name it, and the customers who placed one of this id.
type Owners = HashMap<(ShopIndex, Box<str>), Owner>;

enum Owner {
    Unknown,
    One(Box<str>),
    /// Order ids are unique for each customer only, so no customer is found.
    Several,
}

/// Finds their customers among the orders.
pub(super) fn find(sources: &mut [Source], decoder: &Decoder) {
    let mut owners = Owners::new();
    for_each_named_order(sources, decoder, |_, _, order| {
        owners.insert(order, Owner::Unknown);
    });
    if owners.is_empty() {
        return;
    }
    let mut key = Vec::new();
    for source in sources.iter().filter(|source| source.input == Input::Orders) {
        for line in source.lines() {
            let event = source.decode(line, decoder, &mut key);
            let Subject::Customer(customer) = &event.subject else { continue };
            if matches!(customer.record, Record::Order(_))
                && let Entry::Occupied(mut owner) = owners.entry((event.shop, customer.id.as_ref().into()))
            {
                owner.get_mut().add(customer_id(customer.key.bytes, decoder.shops()));
            }
        }
    }
    let mut found = Vec::new();
    for_each_named_order(sources, decoder, |source, place, order| {
        if let Some(Owner::One(customer)) = owners.get(&order) {
            found.push((source, place, customer.clone()));
        }
    });
    for (source, place, customer) in found {
        sources[source].set_customer(place, customer);
    }
}

impl Owner {
    fn add(&mut self, customer: &str) {
        match self {
            Self::Unknown => *self = Self::One(customer.into()),
            Self::One(known) if **known == *customer => {}
            Self::One(_) | Self::Several => *self = Self::Several,
        }
    }
}

/// Calls `each` with the place of every such return and the order that it names.
fn for_each_named_order(
    sources: &[Source],
    decoder: &Decoder,
    mut each: impl FnMut(usize, Place, (ShopIndex, Box<str>)),
) {
    let mut key = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        for line in source.without_customer() {
            let event = source.decode(line, decoder, &mut key);
            if let Some(order) = &event.named_order {
                each(index, line.place, (event.shop, order.as_ref().into()));
            }
        }
    }
}

/// The part of a record key that names the customer.
fn customer_id<'k>(key: &'k [u8], shops: &Shops) -> &'k str {
    let start = match shops {
        Shops::One(_) => 0,
        Shops::ByStore(_) => key.iter().position(|byte| *byte == b'/').map_or(0, |slash| slash + 1),
    };
    std::str::from_utf8(&key[start..]).expect("it was made of ids")
}
