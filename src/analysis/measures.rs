//! How well a score or a flag foretold what happened.

use crate::domain::model::correction::log_loss;

/// A customer's probability of an order, and whether one came.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Scored {
    pub(crate) score: f64,
    pub(crate) ordered: bool,
}

/// The share of pairs of one who ordered and one who did not that the score puts in the right order; half of it for ties. None without both
/// kinds.
///
/// Source: Hanley, McNeil (1982), by ranks (Mann, Whitney).
pub(crate) fn auc(scored: &[Scored]) -> Option<f64> {
    let mut sorted: Vec<Scored> = scored.to_vec();
    sorted.sort_by(|one, other| one.score.total_cmp(&other.score));
    let positives = sorted.iter().filter(|row| row.ordered).count();
    let negatives = sorted.len() - positives;
    if positives == 0 || negatives == 0 {
        return None;
    }
    let (mut ranks, mut before) = (0.0, 0);
    for ties in sorted.chunk_by(|one, other| one.score == other.score) {
        let middle = before as f64 + (ties.len() as f64 + 1.0) / 2.0;
        ranks += middle * ties.iter().filter(|row| row.ordered).count() as f64;
        before += ties.len();
    }
    let (positives, negatives) = (positives as f64, negatives as f64);
    Some((ranks - positives * (positives + 1.0) / 2.0) / (positives * negatives))
}

/// How many steps a curve of [`roc`] has.
pub(crate) const ROC_STEPS: usize = 20;

/// The receiver operating characteristic: the share of those who ordered whom the score puts above a threshold, where the threshold lets
/// through 0, 1/20 … 1 of those who did not. None without both kinds.
///
/// Source: Fawcett (2006), "An introduction to ROC analysis"; ties are a straight line, so the area below it is [`auc`].
pub(crate) fn roc(scored: &[Scored]) -> Option<Vec<f64>> {
    let mut sorted: Vec<Scored> = scored.to_vec();
    sorted.sort_by(|one, other| other.score.total_cmp(&one.score));
    let positives = sorted.iter().filter(|row| row.ordered).count() as f64;
    let negatives = sorted.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return None;
    }
    let (mut points, mut ordered, mut others) = (vec![(0.0, 0.0)], 0.0, 0.0);
    for ties in sorted.chunk_by(|one, other| one.score == other.score) {
        let with_order = ties.iter().filter(|row| row.ordered).count() as f64;
        ordered += with_order;
        others += ties.len() as f64 - with_order;
        points.push((others / negatives, ordered / positives));
    }
    let at = |step: usize| {
        let share = step as f64 / ROC_STEPS as f64;
        // The last point at or before it, and the first one behind it.
        let next = points.partition_point(|(of_others, _)| *of_others <= share);
        let (before, through) = points[next - 1];
        match points.get(next) {
            Some((after, reached)) => through + (reached - through) * (share - before) / (after - before),
            None => through,
        }
    };
    Some((0..=ROC_STEPS).map(at).collect())
}

/// The mean squared distance between probability and outcome (Brier, 1950).
pub(crate) fn brier(scored: &[Scored]) -> f64 {
    mean(scored, |row| {
        let distance = row.score - outcome(row);
        distance * distance
    })
}

/// The mean of −ln of the probability of what happened, probabilities within 1e−6 and 1 − 1e−6.
pub(crate) fn mean_log_loss(scored: &[Scored]) -> f64 {
    mean(scored, |row| log_loss(row.score, row.ordered))
}

/// A tenth of the customers, by probability.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Bin {
    pub(crate) customers: usize,
    /// The mean probability.
    pub(crate) predicted: f64,
    /// The share who ordered.
    pub(crate) seen: f64,
}

/// Ten bins with equally many customers, as near as can be; fewer with fewer than ten customers.
pub(crate) fn bins(scored: &[Scored]) -> Vec<Bin> {
    let mut sorted: Vec<Scored> = scored.to_vec();
    sorted.sort_by(|one, other| one.score.total_cmp(&other.score).then(one.ordered.cmp(&other.ordered)));
    let bound = |index: usize| sorted.len() * index / 10;
    let bins = (0..10).map(|index| &sorted[bound(index)..bound(index + 1)]).filter(|bin| !bin.is_empty());
    bins.map(|bin| Bin {
        customers: bin.len(),
        predicted: mean(bin, |row| row.score),
        seen: mean(bin, outcome),
    })
    .collect()
}

/// The expected calibration error: Σ share · |predicted − seen| over [`bins`].
pub(crate) fn calibration_error(bins: &[Bin]) -> f64 {
    let customers = bins.iter().map(|bin| bin.customers).sum::<usize>() as f64;
    bins.iter().map(|bin| bin.customers as f64 / customers * (bin.predicted - bin.seen).abs()).sum()
}

/// Customers who were flagged as gone, against those who were: "positive" is a customer who did not order.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Flags {
    /// Flagged, and did not order.
    pub(crate) gone: u64,
    /// Flagged, and ordered: wasted.
    pub(crate) wasted: u64,
    /// Not flagged, and did not order: missed.
    pub(crate) missed: u64,
    /// Not flagged, and ordered.
    pub(crate) kept: u64,
}

impl Flags {
    pub(crate) fn add(&mut self, flagged: bool, ordered: bool) {
        match (flagged, ordered) {
            (true, false) => self.gone += 1,
            (true, true) => self.wasted += 1,
            (false, false) => self.missed += 1,
            (false, true) => self.kept += 1,
        }
    }

    pub(crate) const fn customers(self) -> u64 {
        self.gone + self.wasted + self.missed + self.kept
    }

    pub(crate) const fn flagged(self) -> u64 {
        self.gone + self.wasted
    }

    /// None without a customer.
    pub(crate) fn flagged_share(self) -> Option<f64> {
        ratio(self.flagged(), self.customers())
    }

    /// The share of those flagged who did not order; none without a flag.
    pub(crate) fn precision(self) -> Option<f64> {
        ratio(self.gone, self.flagged())
    }

    /// The share of those who did not order who were flagged; none if all ordered.
    pub(crate) fn recall(self) -> Option<f64> {
        ratio(self.gone, self.gone + self.missed)
    }

    /// The harmonic mean of precision and recall.
    pub(crate) fn f1(self) -> Option<f64> {
        ratio(2 * self.gone, 2 * self.gone + self.wasted + self.missed)
    }

    pub(crate) fn cost(self, costs: Costs) -> f64 {
        costs.missed * self.missed as f64 + costs.wasted * self.wasted as f64
    }
}

/// What a customer costs who is gone and was not flagged, and one who was flagged and orders anyway, in any unit.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Costs {
    pub missed: f64,
    pub wasted: f64,
}

/// The mean of values and its standard error; the error is none with fewer than two of them.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Mean {
    pub(crate) mean: f64,
    pub(crate) error: Option<f64>,
}

impl Mean {
    /// None without values.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let count = values.len() as f64;
        if values.is_empty() {
            return None;
        }
        let mean = values.iter().sum::<f64>() / count;
        let squares = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>();
        Some(Self { mean, error: (values.len() > 1).then(|| (squares / (count - 1.0) / count).sqrt()) })
    }

    /// Whether the mean is below zero by more than two standard errors.
    pub(crate) fn is_below_zero(self) -> bool {
        self.error.is_some_and(|error| self.mean < -2.0 * error)
    }
}

fn ratio(numerator: u64, denominator: u64) -> Option<f64> {
    (denominator > 0).then(|| numerator as f64 / denominator as f64)
}

fn outcome(row: &Scored) -> f64 {
    if row.ordered { 1.0 } else { 0.0 }
}

fn mean(scored: &[Scored], value: impl Fn(&Scored) -> f64) -> f64 {
    scored.iter().map(value).sum::<f64>() / scored.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Vec<Scored> {
        let scores = [0.9, 0.8, 0.7, 0.6, 0.4, 0.4, 0.2, 0.1];
        let ordered = [1, 1, 0, 1, 0, 1, 0, 0];
        scores
            .into_iter()
            .zip(ordered)
            .map(|(score, ordered)| Scored { score, ordered: ordered == 1 })
            .collect()
    }

    /// Those below a probability are flagged.
    fn below(scored: &[Scored], threshold: f64) -> Flags {
        let mut flags = Flags::default();
        scored.iter().for_each(|row| flags.add(row.score < threshold, row.ordered));
        flags
    }

    #[test]
    fn gives_the_values_of_the_example() {
        let scored = example();
        assert_eq!(auc(&scored), Some(0.84375));
        assert!((brier(&scored) - 0.15875).abs() < 1e-12);
        assert!((mean_log_loss(&scored) - 0.474_865).abs() < 5e-7);
        let flags = below(&scored, 0.5);
        assert_eq!(flags, Flags { gone: 3, wasted: 1, missed: 1, kept: 3 });
        assert_eq!((flags.precision(), flags.recall(), flags.f1()), (Some(0.75), Some(0.75), Some(0.75)));
        assert_eq!(flags.cost(Costs { missed: 10.0, wasted: 4.0 }).to_string(), "14");
    }

    #[test]
    fn one_kind_of_customer_has_no_auc() {
        let all = [Scored { score: 0.5, ordered: true }; 3];
        assert_eq!(auc(&all), None);
        assert_eq!(below(&all, 0.1).precision(), None);
    }

    #[test]
    fn the_bins_of_a_calibrated_score_have_no_error() {
        let scored: Vec<Scored> =
            (0..100).map(|index| Scored { score: 0.5, ordered: index % 2 == 0 }).collect();
        let bins = bins(&scored);
        assert_eq!(bins.iter().map(|bin| bin.customers).collect::<Vec<_>>(), [10; 10]);
        // Ties are put in order by their outcome, so only the whole is calibrated.
        let seen = bins.iter().map(|bin| bin.seen).sum::<f64>();
        assert!((seen / 10.0 - 0.5).abs() < 1e-12);
    }

    #[test]
    fn a_difference_needs_two_standard_errors() {
        let mean = |values: &[f64]| Mean::of(values).expect("values");
        assert!(mean(&[-1.0, -1.1, -0.9]).is_below_zero());
        assert!(!mean(&[-1.0, 1.0, -1.0]).is_below_zero());
        assert!(!mean(&[-1.0]).is_below_zero());
    }

    #[test]
    fn a_roc_goes_through_its_points() {
        let scored = |rows: &[(f64, bool)]| -> Vec<Scored> {
            rows.iter().map(|(score, ordered)| Scored { score: *score, ordered: *ordered }).collect()
        };
        assert_eq!(roc(&scored(&[(0.5, true)])), None);
        // Above the first of two others lie two of three who ordered.
        let curve = roc(&scored(&[(0.9, true), (0.8, true), (0.7, false), (0.4, true), (0.1, false)]));
        let curve = curve.expect("both kinds");
        assert_eq!((curve.len(), curve[0], curve[ROC_STEPS]), (ROC_STEPS + 1, 2.0 / 3.0, 1.0));
        assert_eq!((curve[9], curve[10]), (2.0 / 3.0, 1.0));
        // One score for all is the diagonal.
        let flat = roc(&scored(&[(0.5, true), (0.5, false), (0.5, false)])).expect("both kinds");
        for (step, found) in flat.iter().enumerate() {
            assert!((found - step as f64 / ROC_STEPS as f64).abs() < 1e-12, "{flat:?}");
        }
    }
}
