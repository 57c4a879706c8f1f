//! The simplex search of Nelder and Mead: finds a minimum without derivatives, the same one in each run.
//!
//! Source: Nelder, Mead (1965), "A simplex method for function minimization", with its usual coefficients. It is written here
//! because a minimum decides about published figures: a library's next version may take other steps.

/// Steps after which a search ends in any case.
const STEPS_MAX: usize = 4_000;
/// The search ends when the values at the corners deviate so little from their mean.
const DEVIATION_MAX: f64 = 1e-12;

/// Where a search ended.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Minimum<const N: usize> {
    pub at: [f64; N],
    pub value: f64,
}

/// Searches from `start` with first steps of `step` in each direction. Points outside `bounds` are moved onto them.
pub fn minimum<const N: usize>(
    start: [f64; N],
    step: f64,
    bounds: &[(f64, f64); N],
    mut function: impl FnMut(&[f64; N]) -> f64,
) -> Minimum<N> {
    let mut corner = |mut at: [f64; N]| {
        for (coordinate, (low, high)) in at.iter_mut().zip(bounds) {
            *coordinate = coordinate.clamp(*low, *high);
        }
        Minimum { value: function(&at), at }
    };
    let mut simplex: Vec<Minimum<N>> = vec![corner(start)];
    for index in 0..N {
        let mut at = start;
        at[index] += step;
        simplex.push(corner(at));
    }
    for _ in 0..STEPS_MAX {
        // The order of equal values is that of their age, so that a search repeats.
        simplex.sort_by(|one, other| one.value.total_cmp(&other.value));
        if has_converged(&simplex) {
            break;
        }
        let worst = simplex[N];
        let centre = centroid(&simplex[..N]);
        let along = |distance: f64| -> [f64; N] {
            core::array::from_fn(|index| centre[index] + distance * (worst.at[index] - centre[index]))
        };
        let reflected = corner(along(-1.0));
        if reflected.value < simplex[0].value {
            let expanded = corner(along(-2.0));
            simplex[N] = if expanded.value < reflected.value { expanded } else { reflected };
        } else if reflected.value < simplex[N - 1].value {
            simplex[N] = reflected;
        } else {
            let contracted = corner(along(if reflected.value < worst.value { -0.5 } else { 0.5 }));
            if contracted.value < worst.value.min(reflected.value) {
                simplex[N] = contracted;
            } else {
                let best = simplex[0].at;
                for point in &mut simplex[1..] {
                    *point = corner(core::array::from_fn(|index| (best[index] + point.at[index]) / 2.0));
                }
            }
        }
    }
    simplex.sort_by(|one, other| one.value.total_cmp(&other.value));
    simplex[0]
}

/// Whether the standard deviation of the values is at most [`DEVIATION_MAX`]. Great values reach it once they are equal to the last bit.
fn has_converged<const N: usize>(simplex: &[Minimum<N>]) -> bool {
    let count = simplex.len() as f64;
    let mean = simplex.iter().map(|corner| corner.value).sum::<f64>() / count;
    let squares = simplex.iter().map(|corner| (corner.value - mean) * (corner.value - mean));
    squares.sum::<f64>() / count <= DEVIATION_MAX * DEVIATION_MAX
}

fn centroid<const N: usize>(corners: &[Minimum<N>]) -> [f64; N] {
    let count = corners.len() as f64;
    core::array::from_fn(|index| corners.iter().map(|corner| corner.at[index]).sum::<f64>() / count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_end_of_a_curved_valley() {
        let rosenbrock = |at: &[f64; 2]| {
            let (left, rise) = (1.0 - at[0], at[1] - at[0] * at[0]);
            left * left + 100.0 * rise * rise
        };
        let found = minimum([-1.2, 1.0], 0.5, &[(-5.0, 5.0); 2], rosenbrock);
        assert!((found.at[0] - 1.0).abs() < 1e-4 && (found.at[1] - 1.0).abs() < 1e-4, "{found:?}");
        assert_eq!(minimum([-1.2, 1.0], 0.5, &[(-5.0, 5.0); 2], rosenbrock), found);
    }

    #[test]
    fn stays_within_its_bounds() {
        let found = minimum([2.0, 2.0], 0.5, &[(1.0, 5.0); 2], |at| at[0] * at[0] + at[1] * at[1]);
        assert_eq!(found.at, [1.0, 1.0]);
    }
}
