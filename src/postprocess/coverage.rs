//! How much of a picture each class covers.

use crate::mask::Mask;

/// Writes the share of each of `classes` classes in the whole mask, 0..=1, in
/// label order. `out` is resized.
///
/// Pixels are counted exactly; a label of `classes` or more counts as a pixel
/// of no class. A mask without pixels has shares of 0.
pub fn shares(mask: &Mask, classes: usize, out: &mut Vec<f32>) {
    let counts = count(mask);
    let total = (mask.labels.len() as f64).max(1.0);
    out.clear();
    out.extend(
        counts
            .iter()
            .take(classes)
            .map(|&count| (count as f64 / total) as f32),
    );
    out.resize(classes, 0.0);
}

/// The number of pixels of each label.
fn count(mask: &Mask) -> [u64; 256] {
    // Four tables: neighbouring pixels mostly agree, and a count that was just
    // written would have to be waited for.
    let mut tables = [[0u64; 256]; 4];
    let width = (mask.width as usize).max(1);
    let mut rows = mask.labels.chunks(width).peekable();
    while let Some(row) = rows.next() {
        // A mask that was made larger has many rows that are like the one above.
        let mut alike = 1;
        while rows.next_if_eq(&row).is_some() {
            alike += 1;
        }
        let (blocks, rest) = row.as_chunks::<BLOCK>();
        for block in blocks {
            if is_uniform(block) {
                tables[0][usize::from(block[0])] += BLOCK as u64 * alike;
                continue;
            }
            let (quads, _) = block.as_chunks::<4>();
            for quad in quads {
                for (table, &label) in tables.iter_mut().zip(quad) {
                    table[usize::from(label)] += alike;
                }
            }
        }
        for &label in rest {
            tables[0][usize::from(label)] += alike;
        }
    }
    std::array::from_fn(|label| tables.iter().map(|table| table[label]).sum())
}

/// Labels that are looked at together: most lie within one class.
pub(super) const BLOCK: usize = 16;

/// Whether all labels are the same.
#[inline]
pub(super) fn is_uniform(block: &[u8; BLOCK]) -> bool {
    let labels = u128::from_ne_bytes(*block);
    labels == labels.rotate_left(8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_empty_mask_covers_nothing() {
        let mut out = vec![1.0; 5];
        shares(&Mask::default(), 2, &mut out);
        assert_eq!(out, [0.0, 0.0]);
    }

    proptest! {
        #[test]
        fn counts_are_exact(
            runs in prop::collection::vec((0u8..6, 1usize..40), 1..20), classes in 1usize..8,
            again in prop::collection::vec(any::<bool>(), 0..6),
        ) {
            let labels: Vec<u8> = runs.iter().flat_map(|&(l, n)| vec![l; n]).collect();
            let (width, height) = (labels.len() as u32, 1 + again.len() as u32);
            // Rows below are like the first, or turned round.
            let mut labels = labels;
            for again in again {
                let row = &labels[..width as usize];
                let row: Vec<u8> = if again { row.to_vec() } else { row.iter().rev().copied().collect() };
                labels.extend(row);
            }
            let mask = Mask { width, height, labels };
            let mut out = Vec::new();
            shares(&mask, classes, &mut out);
            prop_assert_eq!(out.len(), classes);
            for (class, share) in out.iter().enumerate() {
                let count = mask.labels.iter().filter(|&&l| usize::from(l) == class).count();
                prop_assert_eq!(*share, (count as f64 / mask.labels.len() as f64) as f32);
            }
        }
    }
}
