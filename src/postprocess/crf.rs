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
//! The result is the same, bit for bit, on every CPU and for every number of threads: each
//! sum has one order, the kernels' definition (see [`crate::kernels::mean_field`]).

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::classes::MAX_CLASSES;
use crate::kernels::cpu::Cpu;
use crate::kernels::mean_field::BLOCK;
use crate::mask::Mask;
use crate::postprocess::upsample::best_class;
use crate::workers::Workers;
use lattice::{Lattice, LatticeError};
use mean_field::MeanField;
use tasks::{for_each, part};

mod lattice;
mod mean_field;
mod numbers;
mod tasks;
pub mod unary;

/// Most scores of a picture, pixels times classes rounded up to [`BLOCK`]: 256 MiB. A
/// lattice's vertices have half as many numbers at most.
const MAX_SCORES: usize = 1 << 26;

/// Bits of a lattice's coordinates: enough for positions up to `MAX_SIDE`, and for
/// colours, each divided by the least deviation that is allowed.
const APPEARANCE_BITS: [u32; 5] = [15, 15, 10, 10, 10];
/// As [`APPEARANCE_BITS`].
const SMOOTHNESS_BITS: [u32; 2] = [30, 30];

/// Fewest labels of a part that one thread finds.
const LEAST_LABELS: usize = 1 << 10;

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
    /// The system gives no more memory.
    #[error(
        "there is no memory for the CRF of a {width}x{height} picture with {classes} classes \
         ({reason}); ask the source for a smaller size, or leave the CRF out"
    )]
    Memory {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Number of classes.
        classes: usize,
        /// What the system says.
        reason: String,
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
    workers: Workers,
    /// Coordinates of the columns and of the rows for the lattice that is built.
    grid: [Vec<f32>; 2],
    /// Width and height that the smoothness lattice was built for.
    size: (u32, u32),
    appearance: Lattice<5, 6>,
    smoothness: Lattice<2, 3>,
    field: MeanField,
}

impl DenseCrf {
    /// With the best kernels that `cpu` allows, which results do not depend on, and one
    /// thread.
    ///
    /// # Panics
    /// If the parameters do not pass [`CrfParams::check`].
    pub fn new(params: CrfParams, cpu: Cpu) -> Self {
        if let Err(reason) = params.check() {
            panic!("{reason}");
        }
        Self {
            params,
            workers: Workers::alone(),
            grid: Default::default(),
            size: (0, 0),
            appearance: Lattice::new(APPEARANCE_BITS),
            smoothness: Lattice::new(SMOOTHNESS_BITS),
            field: MeanField::new(cpu),
        }
    }

    /// With these threads; results do not depend on their number.
    pub fn with_workers(mut self, workers: Workers) -> Self {
        self.workers = workers;
        self
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
    /// once for each pixel, by any thread, with a row of `classes` scores to be written:
    /// logarithms of probabilities up to a constant, finite, the best one 0 so that
    /// nothing is lost in rounding.
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
        fill: impl Fn(usize, &mut [f32]) + Sync,
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
        let refined = self
            .place_pixels(rgb, (width, height), most_vertices)
            .and_then(|()| Ok(self.infer(classes, pixels, fill)?));
        refined.map_err(|error| match error {
            LatticeError::TooManyVertices => CrfError::TooDetailed { width, height },
            LatticeError::Memory(reason) => CrfError::Memory {
                width,
                height,
                classes,
                reason: reason.to_string(),
            },
        })?;
        Ok(Marginals {
            classes,
            stride: classes.next_multiple_of(BLOCK),
            values: self.field.probabilities(),
            workers: &mut self.workers,
        })
    }

    /// Builds the lattices.
    fn place_pixels(
        &mut self,
        rgb: &[[u8; 3]],
        (width, height): (u32, u32),
        most: usize,
    ) -> Result<(), LatticeError> {
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
        let size = (width as usize, height as usize);
        if self.size != (width, height) {
            self.size = (0, 0);
            self.lay_grid(theta_gamma, self.smoothness.scale(), size);
            let [columns, rows] = &self.grid;
            let point = |column: usize, row: usize| [columns[column], rows[row]];
            let workers = &mut self.workers;
            self.smoothness.build(workers, size, most, point)?;
            self.size = (width, height);
        } else if self.smoothness.vertices() > most {
            // It was built for fewer classes.
            return Err(LatticeError::TooManyVertices);
        }
        let scale = self.appearance.scale();
        self.lay_grid(theta_alpha, [scale[0], scale[1]], size);
        let [columns, rows] = &self.grid;
        let [red, green, blue]: &[[f32; 256]; 3] = &std::array::from_fn(|channel| {
            std::array::from_fn(|value| value as f32 / theta_beta * scale[2 + channel])
        });
        let point = |column: usize, row: usize| {
            let [r, g, b] = rgb[row * size.0 + column].map(usize::from);
            [columns[column], rows[row], red[r], green[g], blue[b]]
        };
        let workers = &mut self.workers;
        self.appearance.build(workers, size, most, point)
    }

    /// Coordinates of a picture's columns and rows: in units of `theta`, and scaled.
    fn lay_grid(&mut self, theta: f32, scale: [f32; 2], size: (usize, usize)) {
        for (axis, (count, scale)) in
            (self.grid.iter_mut()).zip([size.0, size.1].into_iter().zip(scale))
        {
            axis.clear();
            axis.extend((0..count).map(|pixel| pixel as f32 / theta * scale));
        }
    }

    /// From scores to probabilities, by way of the lattices.
    fn infer(
        &mut self,
        classes: usize,
        pixels: usize,
        fill: impl Fn(usize, &mut [f32]) + Sync,
    ) -> std::io::Result<()> {
        let workers = &mut self.workers;
        self.field.prepare(workers, classes, pixels, fill)?;
        let lattices = (&self.appearance, &self.smoothness);
        self.field.run(workers, &self.params, lattices)
    }
}

/// The probabilities of a picture's classes.
#[derive(Debug)]
pub struct Marginals<'a> {
    classes: usize,
    stride: usize,
    values: &'a [f32],
    workers: &'a mut Workers,
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
    pub fn labels(self, mask: &mut Mask) {
        assert_eq!(
            mask.labels.len() * self.stride,
            self.values.len(),
            "the mask's size"
        );
        let Self {
            classes, stride, ..
        } = self;
        let part = part(self.workers, mask.labels.len(), LEAST_LABELS);
        let rows = self.values.chunks(part * stride);
        let parts = mask.labels.chunks_mut(part).zip(rows);
        for_each(self.workers, parts, |(labels, rows)| {
            for (label, row) in labels.iter_mut().zip(rows.chunks_exact(stride)) {
                *label = best_class(&row[..classes]);
            }
        });
    }
}

#[cfg(test)]
mod tests;
