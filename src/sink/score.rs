//! How well a mask agrees with the truth.

use crate::mask::Mask;

/// Agreement of one mask with the truth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Share of the judged pixels whose class is right, 0..=1.
    pub pixel_accuracy: f64,
    /// Intersection over union, averaged over the classes that occur in the
    /// mask or in the truth, 0..=1.
    pub miou: f64,
}

/// Scores a mask of a model with `classes` classes. A truth label that the
/// model has no class for (such as 255) marks a pixel that is not judged.
///
/// `None` where the sizes differ or no pixel can be judged.
pub fn score(mask: &Mask, truth: &Mask, classes: usize) -> Option<Score> {
    if mask.labels.len() != truth.labels.len() || mask.width != truth.width {
        return None;
    }
    let (mut hits, mut guessed, mut actual) = ([0u64; 256], [0u64; 256], [0u64; 256]);
    for (&guess, &real) in mask.labels.iter().zip(&truth.labels) {
        if usize::from(real) < classes {
            guessed[usize::from(guess)] += 1;
            actual[usize::from(real)] += 1;
            hits[usize::from(real)] += u64::from(guess == real);
        }
    }
    let judged: u64 = actual.iter().sum();
    let unions = (0..256).map(|i| (hits[i], guessed[i] + actual[i] - hits[i]));
    let (sum, present) = unions
        .filter(|&(_, union)| union > 0)
        .fold((0.0, 0u32), |(sum, n), (hit, union)| {
            (sum + hit as f64 / union as f64, n + 1)
        });
    (judged > 0).then(|| Score {
        pixel_accuracy: hits.iter().sum::<u64>() as f64 / judged as f64,
        miou: sum / f64::from(present),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(labels: &[u8]) -> Mask {
        Mask {
            width: labels.len() as u32,
            height: 1,
            labels: labels.to_vec(),
        }
    }

    #[test]
    fn counts_by_hand() {
        // Class 0: 2 of 3; class 1: 1 of 2; class 2 never occurs.
        let score = score(&mask(&[0, 0, 0, 1]), &mask(&[0, 0, 1, 1]), 3).unwrap();
        assert_eq!(score.pixel_accuracy, 0.75);
        assert!((score.miou - (2.0 / 3.0 + 0.5) / 2.0).abs() < 1e-12);
    }

    #[test]
    fn unknown_truth_is_not_judged() {
        let score_of = |truth: &[u8]| score(&mask(&[0, 1]), &mask(truth), 2);
        assert_eq!(
            score_of(&[0, 255]),
            Some(Score {
                pixel_accuracy: 1.0,
                miou: 1.0
            })
        );
        assert_eq!(score_of(&[255, 255]), None);
        assert_eq!(score_of(&[0]), None);
    }
}
