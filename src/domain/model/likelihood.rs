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

/// The log-likelihood of rows, evaluated many times.
pub struct Likelihood<'r> {
    rows: &'r [Row],
    sums: Vec<[f64; 3]>,
}

impl<'r> Likelihood<'r> {
    pub fn new(rows: &'r [Row]) -> Self {
        let longest = rows.iter().map(|row| row.repeat_days).max().unwrap_or(0);
        Self { rows, sums: vec![[0.0; 3]; longest as usize + 1] }
    }

    /// ln L. Every difference of lnΓ is a sum of logarithms, because x is whole: differences of lnΓ cancel where a and b
    /// are great, and an unbounded fit then runs away.
    pub fn of(&mut self, model: &MbgNbd) -> f64 {
        self.tabulate(model);
        let (ln_alpha, ln_a) = (ln(model.alpha_days), ln(model.a));
        let mut total = 0.0;
        for row in self.rows {
            let x = f64::from(row.repeat_days);
            let k = model.r + x;
            let [of_r, of_b, of_ab] = self.sums[row.repeat_days as usize];
            let alive = -k * ln(model.alpha_days + f64::from(row.age_days));
            let left = ln_a - ln(model.b + x) - k * ln(model.alpha_days + f64::from(row.span_days));
            let one = of_r + model.r * ln_alpha + of_b - of_ab + ln_add_exp(alive, left);
            total += f64::from(row.customers) * one;
        }
        total
    }

    /// By x: Σ ln(r + i) for i < x, Σ ln(b + i) and Σ ln(a + b + i) for i ≤ x.
    fn tabulate(&mut self, model: &MbgNbd) {
        let mut sum = [0.0, ln(model.b), ln(model.a + model.b)];
        for (index, entry) in self.sums.iter_mut().enumerate() {
            *entry = sum;
            let (x, next) = (index as f64, index as f64 + 1.0);
            sum[0] += ln(model.r + x);
            sum[1] += ln(model.b + next);
            sum[2] += ln(model.a + model.b + next);
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
