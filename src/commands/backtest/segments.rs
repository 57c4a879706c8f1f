//! What flags are worth segment by segment: a policy that is right on average may be wrong about the best customers.

use crate::analysis::cut::{CustomerAtCut, Cut};
use crate::analysis::measures::Flags;
use crate::commands::backtest::policies::is_flagged;
use crate::commands::backtest::result::{SegmentFlags, SegmentResult};
use crate::domain::lapse::LapsePolicies;
use crate::domain::segments::cuts::{CUSTOMERS_MIN, CutPoints, RfmHistograms, RfmValues};
use crate::domain::segments::names::Segment;

/// The segments of a cut's customers, in their order, by the cut points of each store's customers at that cut.
pub(super) fn segments(cut: &Cut) -> Vec<Segment> {
    let stores = cut.customers.iter().map(|customer| usize::from(customer.shop.0) + 1).max().unwrap_or(0);
    let mut histograms = vec![RfmHistograms::default(); stores];
    for customer in &cut.customers {
        histograms[usize::from(customer.shop.0)].add(&values(customer, cut));
    }
    let cuts: Vec<CutPoints> = histograms.iter().map(|store| CutPoints::of(store, CUSTOMERS_MIN)).collect();
    let segment =
        |customer: &CustomerAtCut| cuts[usize::from(customer.shop.0)].segment(&values(customer, cut));
    cut.customers.iter().map(segment).collect()
}

fn values(customer: &CustomerAtCut, cut: &Cut) -> RfmValues {
    RfmValues {
        silence: cut.at.since(customer.history.last_order_at),
        kept: customer.values.orders,
        kept_net: customer.values.net,
    }
}

/// The flags of a policy by segment, of all cuts together; segments without a customer are left out.
pub(super) fn by_segment<'c>(
    cuts: impl Iterator<Item = (&'c Cut, &'c [Segment], &'c LapsePolicies)>,
) -> Vec<SegmentResult> {
    let mut flags = [[Flags::default(); 2]; Segment::ALL.len()];
    for (cut, segments, policies) in cuts {
        for (customer, segment) in cut.customers.iter().zip(segments) {
            let flagged = is_flagged(policies, customer, cut.at);
            for (flags, flagged) in flags[*segment as usize].iter_mut().zip(flagged) {
                flags.add(flagged, customer.after.placed);
            }
        }
    }
    let of = |flags: &Flags| SegmentFlags {
        flagged_share: flags.flagged_share(),
        precision: flags.precision(),
        recall: flags.recall(),
    };
    let result = |(segment, [at_risk, lapsed]): (Segment, &[Flags; 2])| SegmentResult {
        segment: segment.name(),
        customers: at_risk.customers(),
        at_risk: of(at_risk),
        lapsed: of(lapsed),
    };
    let all = Segment::ALL.into_iter().zip(&flags);
    all.map(result).filter(|result| result.customers > 0).collect()
}
