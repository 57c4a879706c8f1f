//! A CSV file together with its column map: which column of the file is which.

use super::column_map::{Amount, ColumnMap, DocumentRule};
use crate::domain::values::money::Currency;
use crate::formats::csv::{Column, Table, TableError, Wanted};

/// A file of order lines.
pub struct LineTable {
    pub table: Table,
    pub(super) columns: TableColumns,
}

/// The columns that mean something.
pub(super) struct TableColumns {
    pub(super) order_id: Column,
    /// What identifies a document besides its id; whether it is part of the id of the order too.
    pub(super) identity: Vec<(Column, InOrderId)>,
    pub(super) time: Vec<Column>,
    pub(super) amount: AmountColumns,
    pub(super) subtract: Vec<Column>,
    pub(super) customer_id: Vec<Column>,
    pub(super) store_id: Option<Column>,
    pub(super) sku: Option<Column>,
    pub(super) currency: Option<Column>,
    pub(super) zone: Option<Column>,
    pub(super) cancelled_at: Option<Column>,
    pub(super) refunded: Option<Column>,
    pub(super) returned_order: Option<Column>,
    /// By rule of the map; none where the rule is not about a column.
    pub(super) rules: Vec<Option<Column>>,
}

/// Whether a column is part of the id of the order: a store is not, because stores keep their orders apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum InOrderId {
    Yes,
    No,
}

/// Where the amount of a document stands.
pub(super) enum AmountColumns {
    Lines { price: Column, quantity: Option<Column> },
    Total(Column),
}

impl AmountColumns {
    /// The column that messages about the amount name.
    pub(super) const fn named(&self) -> &Column {
        match self {
            Self::Lines { price, .. } => price,
            Self::Total(total) => total,
        }
    }
}

impl LineTable {
    /// Finds the columns of the map in a file.
    ///
    /// # Errors
    /// The file is no text, or lacks a column.
    pub fn new(file: String, bytes: Vec<u8>, map: &ColumnMap) -> Result<Self, TableError> {
        let names = map.column_names();
        let table = Table::new(file, bytes, &map.csv, Wanted { columns: &names, map: &map.file })?;
        let find = |name: &String| table.column(name);
        let all = |names: &[String]| names.iter().map(find).collect();
        let optional = |name: &Option<String>| name.as_ref().map(find);
        let of_rule = |rule: &DocumentRule| match rule {
            DocumentRule::IdPrefix(_) => None,
            DocumentRule::Equals { column, .. } => Some(find(column)),
        };
        let named = &map.columns;
        let identity = map.documents.columns.iter().filter(|name| **name != named.order_id).map(|name| {
            let is_store = named.store_id.as_ref() == Some(name);
            (find(name), if is_store { InOrderId::No } else { InOrderId::Yes })
        });
        let columns = TableColumns {
            order_id: find(&named.order_id),
            identity: identity.collect(),
            time: all(&named.time),
            amount: match &named.amount {
                Amount::Lines { price, quantity } => {
                    AmountColumns::Lines { price: find(price), quantity: optional(quantity) }
                }
                Amount::Total(total) => AmountColumns::Total(find(total)),
            },
            subtract: all(&named.subtract),
            customer_id: all(&named.customer_id),
            store_id: optional(&named.store_id),
            sku: optional(&named.sku),
            currency: optional(&named.currency),
            zone: optional(&named.zone),
            cancelled_at: optional(&named.cancelled_at),
            refunded: optional(&named.refunded),
            returned_order: optional(&named.returned_order),
            rules: map.rules().map(of_rule).collect(),
        };
        Ok(Self { table, columns })
    }

    /// The first currency that a line names.
    pub fn first_currency(&self) -> Option<Currency> {
        let column = self.columns.currency.as_ref()?;
        let mut found = None;
        // Ends at the first one.
        let _: Result<(), ()> = self.table.for_each_row(|row| {
            found = Currency::from_letters(row.text(Some(column)).trim().as_bytes());
            if found.is_some() { Err(()) } else { Ok(()) }
        });
        found
    }
}
