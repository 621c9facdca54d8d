//! Masks made visible.

use crate::classes::Classes;
use crate::mask::Mask;

/// Writes each pixel's class colour: `height * width * 3` bytes, row-major, red
/// first. `out` is resized.
pub fn colour_mask(mask: &Mask, classes: &Classes, out: &mut Vec<u8>) {
    let palette: [[u8; 3]; 256] = std::array::from_fn(|label| classes.colour(label as u8));
    out.resize(mask.labels.len() * 3, 0);
    let (pixels, _) = out.as_chunks_mut::<3>();
    for (pixel, &label) in pixels.iter_mut().zip(&mask.labels) {
        *pixel = palette[usize::from(label)];
    }
}

/// Blends class colours over a picture: `height * width * 3` bytes, row-major,
/// red first. `out` is resized.
///
/// With `a` = `alpha`, each value is `floor(((255 - a) * rgb + a * colour + 127)
/// / 255)`: 0 leaves the picture, 255 the class colour. A pixel whose right or
/// lower neighbour has another class is an edge, drawn with half the transparency
/// (`a` = `alpha + (255 - alpha) / 2`); with an `alpha` of 0 there are no edges.
///
/// # Panics
/// If `rgb` does not have three bytes for each pixel of the mask.
pub fn overlay(rgb: &[u8], mask: &Mask, classes: &Classes, alpha: u8, out: &mut Vec<u8>) {
    assert_eq!(
        rgb.len(),
        mask.labels.len() * 3,
        "the picture's size is not the mask's"
    );
    out.resize(rgb.len(), 0);
    if alpha == 0 {
        out.copy_from_slice(rgb);
        return;
    }
    let inside = Blend::new(classes, alpha);
    let edge = Blend::new(classes, alpha + (255 - alpha) / 2);
    let width = mask.width as usize;
    let (source, _) = rgb.as_chunks::<3>();
    let (target, _) = out.as_chunks_mut::<3>();
    for y in 0..mask.height {
        let row = mask.row(y);
        // The last row and column are their own neighbours.
        let below = mask.row((y + 1).min(mask.height - 1));
        let right = row.iter().skip(1).chain(row.last());
        let start = y as usize * width;
        let pixels = target[start..][..width]
            .iter_mut()
            .zip(&source[start..][..width]);
        for (((out, rgb), (&label, below)), right) in pixels.zip(row.iter().zip(below)).zip(right) {
            let blend = if label == *below && label == *right {
                &inside
            } else {
                &edge
            };
            *out = blend.apply(*rgb, label);
        }
    }
}

/// Blending at one strength.
struct Blend {
    /// The picture's weight, of 255.
    picture: u32,
    /// For each label, its colour times its weight, with the rounding half.
    colours: [[u32; 3]; 256],
}

impl Blend {
    fn new(classes: &Classes, alpha: u8) -> Self {
        let weigh = |value: u8| u32::from(alpha) * u32::from(value) + 127;
        Self {
            picture: 255 - u32::from(alpha),
            colours: std::array::from_fn(|label| classes.colour(label as u8).map(weigh)),
        }
    }

    #[inline(always)]
    fn apply(&self, rgb: [u8; 3], label: u8) -> [u8; 3] {
        let colour = &self.colours[usize::from(label)];
        std::array::from_fn(|i| ((self.picture * u32::from(rgb[i]) + colour[i]) / 255) as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classes::Class;

    fn classes() -> Classes {
        let class = |name: &str, colour| Class {
            name: name.to_owned(),
            colour,
        };
        Classes::new(vec![
            class("floor", [0, 200, 10]),
            class("wall", [255, 0, 90]),
        ])
    }

    fn mask(width: u32, height: u32, labels: &[u8]) -> Mask {
        Mask {
            width,
            height,
            labels: labels.to_vec(),
        }
    }

    #[test]
    fn unknown_labels_are_black() {
        let mut out = vec![1; 40];
        colour_mask(&mask(3, 1, &[0, 1, 9]), &classes(), &mut out);
        assert_eq!(out, [0, 200, 10, 255, 0, 90, 0, 0, 0]);
    }

    #[test]
    fn the_ends_of_alpha_are_picture_and_colour() {
        let rgb: Vec<u8> = (0..12).map(|i| i * 20).collect();
        let mask = mask(2, 2, &[0, 1, 1, 1]);
        let (mut out, mut colours) = (Vec::new(), Vec::new());
        overlay(&rgb, &mask, &classes(), 0, &mut out);
        assert_eq!(out, rgb);
        overlay(&rgb, &mask, &classes(), 255, &mut out);
        colour_mask(&mask, &classes(), &mut colours);
        assert_eq!(out, colours);
    }

    #[test]
    fn edges_stand_out() {
        let mut out = Vec::new();
        overlay(&[100; 9], &mask(3, 1, &[0, 0, 1]), &classes(), 51, &mut out);
        // A fifth of the colour inside, three fifths at the edge.
        assert_eq!(out, [80, 120, 82, 40, 160, 46, 131, 80, 98]);
    }

    #[test]
    fn blending_rounds_to_the_nearest() {
        for alpha in [1u8, 77, 128, 254] {
            let blend = Blend::new(&classes(), alpha);
            for value in 0..=255u8 {
                let got = blend.apply([value; 3], 1);
                for (got, colour) in got.iter().zip([255u8, 0, 90]) {
                    let a = f64::from(alpha) / 255.0;
                    let want = (1.0 - a) * f64::from(value) + a * f64::from(colour);
                    assert!((f64::from(*got) - want).abs() <= 0.5, "{alpha} {value}");
                }
            }
        }
    }

    #[test]
    fn an_empty_mask_gives_nothing() {
        let mut out = vec![1];
        overlay(&[], &Mask::default(), &classes(), 9, &mut out);
        assert!(out.is_empty());
    }
}
