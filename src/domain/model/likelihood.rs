//! How probable the orders of many customers are under parameters of [`MbgNbd`].

use super::math::{ln, ln_add_exp};
use super::mbg_nbd::MbgNbd;

/// Customers with the same history up to a cut.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Row {
    /// x: purchase days after the first one.
    pub repeat_days: u32,
    /// t_x: days from the first purchase day to the last one.
    pub span_days: u32,
    /// T: days from the first purchase day to the cut.
    pub age_days: u32,
    pub customers: u32,
}

/// Sorts rows and joins those that are equal, so that the order of customers does not matter to the last bit.
pub fn grouped(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_unstable();
    rows.dedup_by(|next, kept| {
        let is_equal = (next.repeat_days, next.span_days, next.age_days)
            == (kept.repeat_days, kept.span_days, kept.age_days);
        if is_equal {
            kept.customers += next.customers;
        }
        is_equal
    });
    rows
}

/// The log-likelihood of rows, evaluated many times. Most of the time goes into logarithms, and many customers need the same ones, so these
/// are taken once an evaluation.
pub struct Likelihood<'r> {
    rows: &'r [Row],
    by_repeat_days: Vec<OfRepeatDays>,
    /// The numbers of days that rows have, each once, rising.
    days: Vec<u32>,
    /// ln(α + days) of each of them.
    ln_of_days: Vec<f64>,
    /// Where in them each row's span and age stand.
    places: Vec<[usize; 2]>,
}

/// What is the same for all customers with x purchase days after the first one.
#[derive(Clone, Copy, Default)]
struct OfRepeatDays {
    /// Σ ln(r + i) for i < x.
    of_r: f64,
    /// Σ ln(b + i) for i ≤ x.
    of_b: f64,
    /// Σ ln(a + b + i) for i ≤ x.
    of_ab: f64,
    /// ln(b + x).
    ln_b: f64,
}

impl<'r> Likelihood<'r> {
    pub fn new(rows: &'r [Row]) -> Self {
        let longest = rows.iter().map(|row| row.repeat_days).max().unwrap_or(0);
        let mut days: Vec<u32> = rows.iter().flat_map(|row| [row.span_days, row.age_days]).collect();
        days.sort_unstable();
        days.dedup();
        let place = |wanted: u32| days.partition_point(|days| *days < wanted);
        Self {
            rows,
            by_repeat_days: vec![OfRepeatDays::default(); longest as usize + 1],
            ln_of_days: vec![0.0; days.len()],
            places: rows.iter().map(|row| [place(row.span_days), place(row.age_days)]).collect(),
            days,
        }
    }

    /// ln L. Every difference of lnΓ is a sum of logarithms, because x is whole: differences of lnΓ cancel where a and b
    /// are great, and an unbounded fit then runs away.
    pub fn of(&mut self, model: &MbgNbd) -> f64 {
        self.tabulate(model);
        let (ln_alpha, ln_a) = (ln(model.alpha_days), ln(model.a));
        let mut total = 0.0;
        for (row, [span, age]) in self.rows.iter().zip(&self.places) {
            let k = model.r + f64::from(row.repeat_days);
            let OfRepeatDays { of_r, of_b, of_ab, ln_b } = self.by_repeat_days[row.repeat_days as usize];
            let alive = -k * self.ln_of_days[*age];
            let left = ln_a - ln_b - k * self.ln_of_days[*span];
            let one = of_r + model.r * ln_alpha + of_b - of_ab + ln_add_exp(alive, left);
            total += f64::from(row.customers) * one;
        }
        total
    }

    fn tabulate(&mut self, model: &MbgNbd) {
        let ln_b = ln(model.b);
        let mut of = OfRepeatDays { of_r: 0.0, of_b: ln_b, of_ab: ln(model.a + model.b), ln_b };
        for (index, entry) in self.by_repeat_days.iter_mut().enumerate() {
            *entry = of;
            let (x, next) = (index as f64, index as f64 + 1.0);
            of.of_r += ln(model.r + x);
            of.ln_b = ln(model.b + next);
            of.of_b += of.ln_b;
            of.of_ab += ln(model.a + model.b + next);
        }
        for (ln_of_days, days) in self.ln_of_days.iter_mut().zip(&self.days) {
            *ln_of_days = ln(model.alpha_days + f64::from(*days));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_published_values() {
        let model = MbgNbd { r: 0.25, alpha_days: 4.0, a: 0.8, b: 2.5 };
        for (repeat_days, span_days, expected) in [(0, 0, -0.417_928_26), (200, 38, 100.786_9)] {
            let rows = [Row { repeat_days, span_days, age_days: 40, customers: 1 }];
            let value = Likelihood::new(&rows).of(&model);
            assert!((value - expected).abs() < 6e-5, "{value} is not {expected}");
        }
    }

    #[test]
    fn equal_customers_are_one_row() {
        let row = |repeat_days, customers| Row { repeat_days, span_days: 9, age_days: 40, customers };
        assert_eq!(grouped(vec![row(1, 2), row(0, 1), row(1, 3)]), [row(0, 1), row(1, 5)]);
    }
}
