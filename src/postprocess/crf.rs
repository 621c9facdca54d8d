//! A fully connected conditional random field: labels that follow the picture's edges.
//!
//! Krähenbühl and Koltun, "Efficient Inference in Fully Connected CRFs with Gaussian
//! Edge Potentials", NIPS 2011. Every pixel is joined to every other one by two
//! kernels: the *appearance* kernel for pixels that are near and of like colour,
//! `exp(-|p - q|² / 2 θα² - |I - J|² / 2 θβ²)`, and the *smoothness* kernel for pixels
//! that are near, `exp(-|p - q|² / 2 θγ²)`. Two pixels of different classes cost a
//! kernel's weight times its value (Potts compatibility). Mean field iterations, with
//! the kernels filtered in a permutohedral lattice, give each pixel's probabilities of
//! the classes.
//!
//! A kernel is normalized symmetrically, `k(i, j) / √(Σ k(i, ·) Σ k(j, ·))`, and the
//! sums hold the pixel itself, both as in `pydensecrf`, whose marginals these are but
//! for rounding.
//!
//! The result is the same, bit for bit, on every CPU: each sum has one order, the
//! kernels' definition (see [`crate::kernels::mean_field`]), and one thread makes it.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::classes::MAX_CLASSES;
use crate::kernels::cpu::Cpu;
use crate::kernels::mean_field::BLOCK;
use crate::mask::Mask;
use crate::postprocess::upsample::best_class;
use lattice::Lattice;
use mean_field::MeanField;

mod lattice;
mod mean_field;
pub mod unary;

/// Most scores of a picture, pixels times classes rounded up to [`BLOCK`]: 256 MiB. A
/// lattice's vertices have half as many numbers at most.
const MAX_SCORES: usize = 1 << 26;

/// Bits of a lattice's coordinates: enough for positions up to `MAX_SIDE`, and for
/// colours, each divided by the least deviation that is allowed.
const APPEARANCE_BITS: [u32; 5] = [15, 15, 10, 10, 10];
/// As [`APPEARANCE_BITS`].
const SMOOTHNESS_BITS: [u32; 2] = [30, 30];

/// Standard deviations, weights and iterations; the `[crf]` table of a manifest.
///
/// The defaults are the deviations and weights of `pydensecrf`'s README and the 10
/// iterations of DeepLab (Chen et al., "Semantic Image Segmentation with Deep
/// Convolutional Nets and Fully Connected CRFs", ICLR 2015).
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct CrfParams {
    /// Mean field iterations, 0 to 100; with 0 the result is the scores' own softmax.
    pub iterations: u32,
    /// Reach of the appearance kernel in pixels (θα), 1 to 10000.
    pub theta_alpha: f32,
    /// How far colours of the appearance kernel may differ (θβ), in steps of 8-bit
    /// colour, 0.5 to 10000.
    pub theta_beta: f32,
    /// Reach of the smoothness kernel in pixels (θγ), 0.5 to 10000.
    pub theta_gamma: f32,
    /// Weight of the appearance kernel, 0 to 1000.
    pub appearance_weight: f32,
    /// Weight of the smoothness kernel, 0 to 1000.
    pub smoothness_weight: f32,
    /// The probability of a label where a model gives labels only, above 0 and below 1;
    /// the other classes share the rest.
    pub label_confidence: f32,
}

impl Default for CrfParams {
    fn default() -> Self {
        Self {
            iterations: 10,
            theta_alpha: 80.0,
            theta_beta: 13.0,
            theta_gamma: 3.0,
            appearance_weight: 10.0,
            smoothness_weight: 3.0,
            label_confidence: 0.7,
        }
    }
}

impl CrfParams {
    /// Most iterations.
    pub const MAX_ITERATIONS: u32 = 100;

    /// Whether every value is within its range.
    ///
    /// # Errors
    /// A sentence that names the key.
    pub fn check(&self) -> Result<(), String> {
        if self.iterations > Self::MAX_ITERATIONS {
            let most = Self::MAX_ITERATIONS;
            return Err(format!(
                "crf.iterations is {}, more than {most}",
                self.iterations
            ));
        }
        for (key, value, least, most) in [
            ("theta_alpha", self.theta_alpha, 1.0, 1e4),
            ("theta_beta", self.theta_beta, 0.5, 1e4),
            ("theta_gamma", self.theta_gamma, 0.5, 1e4),
            ("appearance_weight", self.appearance_weight, 0.0, 1e3),
            ("smoothness_weight", self.smoothness_weight, 0.0, 1e3),
        ] {
            if !(least..=most).contains(&value) {
                return Err(format!(
                    "crf.{key} is {value}; it must be from {least} to {most}"
                ));
            }
        }
        if !(self.label_confidence > 0.0 && self.label_confidence < 1.0) {
            return Err(format!(
                "crf.label_confidence is {}; it must be above 0 and below 1",
                self.label_confidence
            ));
        }
        Ok(())
    }
}

/// Why a picture was not refined.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CrfError {
    /// It would take too much memory.
    #[error(
        "the CRF takes pictures of at most {} pixels with {classes} classes, not {width}x{height}; \
         ask the source for a smaller size, or leave the CRF out",
        most_pixels(*classes)
    )]
    TooLarge {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Number of classes.
        classes: usize,
    },
    /// Its colours differ so much, or so few of its pixels are near each other, that a
    /// lattice would take too much memory.
    #[error(
        "the CRF's lattice of a {width}x{height} picture would take too much memory; a greater \
         crf.theta_beta, theta_alpha or theta_gamma in the model's manifest makes it smaller"
    )]
    TooDetailed {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
}

fn most_pixels(classes: usize) -> usize {
    MAX_SCORES / classes.next_multiple_of(BLOCK)
}

/// Refines scores by the picture they belong to. Its memory is reused: while the
/// picture's size and the number of classes repeat, it grows only with a picture of
/// more colours than those before.
#[derive(Debug)]
pub struct DenseCrf {
    params: CrfParams,
    /// Width and height that the smoothness lattice was built for.
    size: (u32, u32),
    appearance: Lattice<5, 6>,
    smoothness: Lattice<2, 3>,
    field: MeanField,
}

impl DenseCrf {
    /// With the best kernels that `cpu` allows; results do not depend on it.
    ///
    /// # Panics
    /// If the parameters do not pass [`CrfParams::check`].
    pub fn new(params: CrfParams, cpu: Cpu) -> Self {
        if let Err(reason) = params.check() {
            panic!("{reason}");
        }
        Self {
            params,
            size: (0, 0),
            appearance: Lattice::new(APPEARANCE_BITS),
            smoothness: Lattice::new(SMOOTHNESS_BITS),
            field: MeanField::new(cpu),
        }
    }

    /// What it was made with.
    pub fn params(&self) -> &CrfParams {
        &self.params
    }

    /// Number of vertices of the appearance and of the smoothness lattice of the last
    /// picture.
    pub fn vertices(&self) -> [usize; 2] {
        [self.appearance.vertices(), self.smoothness.vertices()]
    }

    /// Refines the scores of a picture.
    ///
    /// `rgb` holds `height * width * 3` bytes, row-major, red first. `fill` is called
    /// for each pixel in turn with a row of `classes` scores to be written: logarithms
    /// of probabilities up to a constant, finite, the best one 0 so that nothing is
    /// lost in rounding.
    ///
    /// # Errors
    /// [`CrfError`]; there are no marginals then.
    ///
    /// # Panics
    /// If `rgb` has another length, or the classes are not 1 to 256.
    pub fn refine(
        &mut self,
        rgb: &[u8],
        (width, height): (u32, u32),
        classes: usize,
        fill: impl FnMut(usize, &mut [f32]),
    ) -> Result<Marginals<'_>, CrfError> {
        assert!((1..=MAX_CLASSES).contains(&classes), "{classes} classes");
        let pixels = width as usize * height as usize;
        let (rgb, rest) = rgb.as_chunks::<3>();
        assert!(
            rgb.len() == pixels && rest.is_empty(),
            "the picture's length"
        );
        if pixels > most_pixels(classes) {
            return Err(CrfError::TooLarge {
                width,
                height,
                classes,
            });
        }
        // Two columns of rows for each.
        let most_vertices = most_pixels(classes) / 2;
        let too_detailed = |_| CrfError::TooDetailed { width, height };
        self.place_pixels(rgb, (width, height), most_vertices)
            .map_err(too_detailed)?;
        self.field.prepare(classes, pixels, fill);
        let lattices = (&self.appearance, &self.smoothness);
        self.field.run(&self.params, lattices);
        Ok(Marginals {
            classes,
            stride: classes.next_multiple_of(BLOCK),
            values: self.field.probabilities(),
        })
    }

    /// Builds the lattices.
    fn place_pixels(
        &mut self,
        rgb: &[[u8; 3]],
        (width, height): (u32, u32),
        most: usize,
    ) -> Result<(), lattice::TooManyVertices> {
        let CrfParams {
            iterations,
            theta_alpha,
            theta_beta,
            theta_gamma,
            ..
        } = self.params;
        if iterations == 0 {
            return Ok(());
        }
        let positions = move |theta: f32, scale: [f32; 2]| {
            (0..height).flat_map(move |y| {
                let y = y as f32 / theta * scale[1];
                (0..width).map(move |x| [x as f32 / theta * scale[0], y])
            })
        };
        if self.size != (width, height) {
            self.size = (0, 0);
            let scale = self.smoothness.scale();
            self.smoothness.build(positions(theta_gamma, scale), most)?;
            self.size = (width, height);
        } else if self.smoothness.vertices() > most {
            // It was built for fewer classes.
            return Err(lattice::TooManyVertices);
        }
        let scale = self.appearance.scale();
        let colours: [[f32; 256]; 3] = std::array::from_fn(|channel| {
            std::array::from_fn(|value| value as f32 / theta_beta * scale[2 + channel])
        });
        let points = positions(theta_alpha, [scale[0], scale[1]]).zip(rgb);
        let points = points.map(|([x, y], &[r, g, b])| {
            let [red, green, blue] = &colours;
            [
                x,
                y,
                red[usize::from(r)],
                green[usize::from(g)],
                blue[usize::from(b)],
            ]
        });
        self.appearance.build(points, most)
    }
}

/// The probabilities of a picture's classes.
#[derive(Debug, Clone, Copy)]
pub struct Marginals<'a> {
    classes: usize,
    stride: usize,
    values: &'a [f32],
}

impl<'a> Marginals<'a> {
    /// The probabilities of each pixel in reading order, one for each class.
    pub fn pixels(&self) -> impl Iterator<Item = &'a [f32]> + use<'a> {
        let classes = self.classes;
        self.values
            .chunks_exact(self.stride)
            .map(move |row| &row[..classes])
    }

    /// The first class of each pixel that has the highest probability, into a mask that
    /// already has the picture's size.
    ///
    /// # Panics
    /// If the mask has another size.
    pub fn labels(&self, mask: &mut Mask) {
        assert_eq!(
            mask.labels.len() * self.stride,
            self.values.len(),
            "the mask's size"
        );
        for (label, row) in mask.labels.iter_mut().zip(self.pixels()) {
            *label = best_class(row);
        }
    }
}

#[cfg(test)]
mod tests;
