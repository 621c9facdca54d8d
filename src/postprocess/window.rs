//! Sums over windows that slide along a row.

use std::ops::{AddAssign, SubAssign};

/// How many of `0..side` lie within `radius` of `at`.
pub(super) fn span(at: usize, radius: usize, side: usize) -> usize {
    (at + radius + 1).min(side) - at.saturating_sub(radius)
}

/// For each of a row's values how many lie within `radius` of it, itself among them, and
/// the sums of these: windows are cut at the row's ends. Time does not depend on the radius.
pub(super) fn sums<T, const N: usize>(
    row: impl ExactSizeIterator<Item = [T; N]> + Clone,
    radius: usize,
) -> impl Iterator<Item = (usize, [T; N])>
where
    T: Copy + Default + AddAssign + SubAssign,
{
    let side = row.len();
    let mut window = [T::default(); N];
    let mut entering = row.clone();
    for values in entering.by_ref().take(radius) {
        add(&mut window, values);
    }
    let mut leaving = row;
    (0..side).map(move |at| {
        if let Some(values) = entering.next() {
            add(&mut window, values);
        }
        if at > radius
            && let Some(values) = leaving.next()
        {
            for (sum, value) in window.iter_mut().zip(values) {
                *sum -= value;
            }
        }
        (span(at, radius, side), window)
    })
}

fn add<T: AddAssign, const N: usize>(window: &mut [T; N], values: [T; N]) {
    for (sum, value) in window.iter_mut().zip(values) {
        *sum += value;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_sum_is_that_of_its_window(
            row in prop::collection::vec((0u32..1000, 0u32..1000), 0..40), radius in 0usize..50,
        ) {
            let row: Vec<[u32; 2]> = row.into_iter().map(|(a, b)| [a, b]).collect();
            let found: Vec<_> = sums(row.iter().copied(), radius).collect();
            prop_assert_eq!(found.len(), row.len());
            for (at, (count, sum)) in found.into_iter().enumerate() {
                let window = &row[at.saturating_sub(radius)..(at + radius + 1).min(row.len())];
                prop_assert_eq!(count, window.len());
                let wanted = [0, 1].map(|n| window.iter().map(|values| values[n]).sum::<u32>());
                prop_assert_eq!(sum, wanted);
            }
        }
    }
}
