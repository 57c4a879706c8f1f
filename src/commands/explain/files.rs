//! The explanation of a customer from files: the history is applied up to an instant, and its engine is asked.

use std::collections::BTreeMap;

use serde_json::Value;

use super::arguments::ExplainArguments;
use super::words::in_words;
use crate::commands::cli::CommonArguments;
use crate::commands::history_files::FileArguments;
use crate::commands::progress::Progress;
use crate::commands::shop_history::{Observer, ShopHistory};
use crate::domain::engine::Engine;
use crate::domain::settings::Shops;
use crate::domain::values::ids::CustomerKey;
use crate::domain::values::time::{Span, Time};
use crate::exit::{Exit, Failure};
use crate::formats::native::{Event, Subject};
use crate::observe::http::explained_json;
use crate::stream::query::Explained;
use crate::wire::encode::ProfileEncoder;
use crate::wire::hash;

/// Reads the files and gives the text to print.
///
/// # Errors
/// The files cannot be read, or hold no such customer ([`Exit::Data`]).
pub(super) fn run(common: &CommonArguments, arguments: &ExplainArguments) -> Result<String, Failure> {
    let progress = Progress::new();
    let files = FileArguments { orders: arguments.orders.clone(), others: arguments.others.clone() };
    let history = ShopHistory::read(common, &files, &progress)?;
    let (_, last) = history.span();
    let at = arguments.at.unwrap_or_else(|| last.plus(Span::from_millis(1)));
    let mut asker = Asker {
        customer: arguments.customer.as_bytes(),
        shops: &history.settings().shops,
        names: BTreeMap::new(),
        answer: None,
    };
    progress.applying(history.events());
    history.apply(history.settings().lapse.clone(), &[at], &progress, &mut asker);
    progress.end();
    let Some(answer) = asker.answer else {
        let message = format!(
            "no customer {:?} before {}; keys are compared as they stand in the records{}",
            arguments.customer,
            String::from_utf8_lossy(&crate::wire::encode::time_text(at)),
            history.refused_text()
        );
        return Err(Failure::message(Exit::Data, message));
    };
    if arguments.json {
        return Ok(format!("{answer}\n"));
    }
    let body: Value = serde_json::from_str(&answer).expect("written just before");
    Ok(format!("{}{}", in_words(&body), history.refused_text()))
}

/// Waits for the instant, and asks.
struct Asker<'a> {
    customer: &'a [u8],
    shops: &'a Shops,
    /// Ids of the customer's orders and returns by their hash.
    names: BTreeMap<u64, String>,
    answer: Option<String>,
}

impl Observer for Asker<'_> {
    fn stop(&mut self, engine: &mut Engine, at: Time) {
        let as_of = at.just_before();
        let key = CustomerKey { bytes: self.customer, hash: hash::hash(self.customer) };
        let Some(slot) = engine.find(key) else { return };
        let mut profile = Vec::new();
        ProfileEncoder::new(self.shops).encode(self.customer, &engine.profile(slot, as_of), &mut profile);
        let mut explained = Explained::new(self.customer, engine.explain(slot, as_of));
        explained.names = std::mem::take(&mut self.names);
        self.answer = explained_json(as_of.as_millis(), &profile, &explained);
    }

    fn record(&mut self, event: &Event<'_>) {
        if let Subject::Customer(customer) = &event.subject
            && customer.key.bytes == self.customer
        {
            let ids = [Some(&customer.id), event.named_order.as_ref()];
            for id in ids.into_iter().flatten() {
                self.names.insert(hash::hash(id.as_bytes()), id.clone().into_owned());
            }
        }
    }
}
