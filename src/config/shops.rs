//! Shops, their currencies and the rates between them.

use std::collections::BTreeMap;

use super::keys::{self, KeyForm, STORES_MAX, Setting};
use super::layers::Path;
use super::reader::Reader;
use super::suggest;
use crate::domain::settings::{Shop, Shops};
use crate::domain::values::money::{Conversion, Currency};
use crate::domain::values::number::Decimal;
use crate::domain::values::time::Zone;

/// The longest store id, as in the records.
const STORE_BYTES_MAX: usize = 512;

/// Currencies that ISO 4217 does not have, by code.
type Declared = BTreeMap<String, Currency>;

/// Reads `[shop]` or `[stores.<id>]`, whichever the form of the key asks for, `[rates]` and `[currencies]`.
pub(super) fn read(reader: &mut Reader<'_>, key_form: KeyForm) -> Option<Shops> {
    let declared = &read_currencies(reader);
    let by_store = key_form == KeyForm::StoreAndCustomer;
    let store_ids = reader.layers.names_below("stores");
    if by_store {
        refuse_shop(reader);
    } else if let Some(id) = store_ids.first() {
        let message =
            "stores are for the key store_id/customer_id; set key, or describe the one shop in [shop]";
        reader.refuse(Path::below(&["stores", id]), message.to_owned());
    }
    if !by_store {
        let settings = (&keys::SHOP_CURRENCY, &keys::SHOP_TIME_ZONE);
        let shop = read_shop(reader, &["shop"], settings, declared)?;
        let shops = convert(reader, vec![(Box::from(""), shop)], declared)?;
        return shops.into_iter().next().map(|(_, shop)| Shops::One(shop));
    }
    let path = Path::below(&["stores"]);
    if store_ids.is_empty() || store_ids.len() > STORES_MAX {
        let message = format!(
            "there are {} stores; with the key store_id/customer_id describe 1 to {STORES_MAX} in [stores.<id>]",
            store_ids.len()
        );
        reader.refuse(path, message);
        return None;
    }
    let mut stores = Vec::with_capacity(store_ids.len());
    for id in &store_ids {
        if id.is_empty() || id.len() > STORE_BYTES_MAX || id.contains('/') {
            let message = format!(
                "a store id has 1 to {STORE_BYTES_MAX} bytes and no `/`, because keys are split there"
            );
            reader.refuse(Path::below(&["stores", id]), message);
        }
        let settings = (&keys::STORES_CURRENCY, &keys::STORES_TIME_ZONE);
        if let Some(shop) = read_shop(reader, &["stores", id], settings, declared) {
            stores.push((Box::from(id.as_str()), shop));
        }
    }
    convert(reader, stores, declared).map(Shops::ByStore)
}

/// With stores, settings of `[shop]` would silently have no effect.
fn refuse_shop(reader: &mut Reader<'_>) {
    for key in [keys::SHOP_CURRENCY.key, keys::SHOP_TIME_ZONE.key] {
        let path = Path::of(key.path);
        let is_set = reader.layers.get(&path).is_some_and(|entry| entry.is_given());
        if is_set {
            let message = "has no effect with the key store_id/customer_id; move it to each [stores.<id>]";
            reader.refuse(path, message.to_owned());
        }
    }
}

/// Digits after the point of currencies that ISO 4217 does not have.
fn read_currencies(reader: &mut Reader<'_>) -> Declared {
    let mut declared = Declared::new();
    for code in reader.layers.names_below("currencies") {
        let path = Path::below(&["currencies", &code]);
        let Some(digits) = reader.below(&path, &keys::CURRENCIES) else { continue };
        if let Some(known) = Currency::from_code(code.as_bytes()) {
            let digits = known.digits();
            reader.refuse(path, format!("{code} is an ISO 4217 currency with {digits} digits; leave it out"));
        } else if let Some(currency) = Currency::declared(code.as_bytes(), digits) {
            declared.insert(code, currency);
        } else {
            reader.refuse(path, format!("{code:?} is not the code of a currency: three capital letters"));
        }
    }
    declared
}

/// The currency of figures and the time zone of a shop.
type ShopSettings<'s> = (&'s Setting<Currency>, &'s Setting<Zone>);

fn read_shop(
    reader: &mut Reader<'_>,
    section: &[&str],
    (currency, zone): ShopSettings<'_>,
    declared: &Declared,
) -> Option<Shop> {
    let path = |name| Path::below(&[section, &[name]].concat());
    let currency = reader.below_by(&path("currency"), currency, |text| parse_currency(text, declared));
    let zone = reader.below(&path("time_zone"), zone);
    Some(Shop { zone: zone?, ..Shop::in_currency(currency?) })
}

/// Gives each shop its conversions. A rate is what one unit is worth in a unit common to all.
fn convert(
    reader: &mut Reader<'_>,
    mut shops: Vec<(Box<str>, Shop)>,
    declared: &Declared,
) -> Option<Vec<(Box<str>, Shop)>> {
    let mut rates = read_rates(reader, declared);
    let mut currencies: Vec<Currency> = shops.iter().map(|(_, shop)| shop.currency).collect();
    currencies.sort_unstable();
    currencies.dedup();
    if let [currency] = currencies.as_slice() {
        rates.entry(*currency).or_insert(Decimal::whole(1));
    } else if !rates.is_empty() {
        for currency in &currencies {
            if !rates.contains_key(currency) {
                let message =
                    "is not set; the stores keep figures in several currencies, so each of them needs a rate";
                reader.refuse(Path::below(&["rates", &currency.to_string()]), message.to_owned());
            }
        }
    }
    for (_, shop) in &mut shops {
        let Some(own) = rates.get(&shop.currency) else {
            continue;
        };
        for (from, rate) in rates.iter().filter(|(from, _)| **from != shop.currency) {
            match Conversion::new(*from, *rate, shop.currency, *own) {
                Some(conversion) => shop.conversions.push(conversion),
                None => {
                    let message = format!(
                        "{rate} to {own} of {} cannot be computed exactly; use fewer digits",
                        shop.currency
                    );
                    reader.refuse(Path::below(&["rates", &from.to_string()]), message);
                }
            }
        }
    }
    Some(shops)
}

/// Sorted by currency, as the domain looks them up.
fn read_rates(reader: &mut Reader<'_>, declared: &Declared) -> BTreeMap<Currency, Decimal> {
    let mut rates = BTreeMap::new();
    for code in reader.layers.names_below("rates") {
        let path = Path::below(&["rates", &code]);
        match parse_currency(&code, declared) {
            Ok(currency) => {
                if let Some(rate) = reader.below(&path, &keys::RATES) {
                    rates.insert(currency, rate);
                }
            }
            Err(message) => reader.refuse(path, message),
        }
    }
    rates
}

fn parse_currency(text: &str, declared: &Declared) -> Result<Currency, String> {
    let known = |code: &str| declared.get(code).copied().or_else(|| Currency::from_code(code.as_bytes()));
    known(text).ok_or_else(|| {
        let capitals = text.to_uppercase();
        let hint = match suggest::nearest(&capitals, known(&capitals).map(|_| capitals.as_str())) {
            Some(near) => format!("; did you mean {near}?"),
            None if Currency::from_letters(text.as_bytes()).is_some() => {
                format!("; one that ISO 4217 does not have needs its digits: [currencies] {capitals} = 2")
            }
            None => String::new(),
        };
        format!("{text:?} is not the code of an ISO 4217 currency, such as EUR{hint}")
    })
}
