//! The CRF against a reference that visits every pair of pixels, and at its limits.

use super::*;
use crate::kernels::cpu::Tier;

/// Numbers that look random, 0 to 1.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1 << 24) as f32
    }
}

/// A picture of a bright disc on a dark ground, and scores that know it roughly.
struct Scene {
    rgb: Vec<u8>,
    size: (u32, u32),
    classes: usize,
    scores: Vec<f32>,
}

impl Scene {
    fn new(size: (u32, u32), classes: usize, seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let (width, height) = (size.0 as f32, size.1 as f32);
        let (mut rgb, mut scores) = (Vec::new(), Vec::new());
        for y in 0..size.1 {
            for x in 0..size.0 {
                let inside = |dx: f32| {
                    let (x, y) = ((x as f32 + dx) / width - 0.5, y as f32 / height - 0.5);
                    x * x + y * y < 0.1
                };
                let base = if inside(0.0) { 180.0 } else { 60.0 };
                rgb.extend([0; 3].map(|_: u8| (base + 30.0 * random.next()) as u8));
                // They see the disc two pixels to the left, and noise.
                let label = usize::from(inside(2.0)).min(classes - 1);
                scores.extend((0..classes).map(|class| {
                    let known = if class == label { 1.5 } else { 0.0 };
                    known + 2.0 * random.next() - 4.0
                }));
            }
        }
        Self {
            rgb,
            size,
            classes,
            scores,
        }
    }

    /// The probabilities, those of a pixel together.
    fn refined(&self, crf: &mut DenseCrf) -> Vec<f32> {
        let fill = |pixel: usize, row: &mut [f32]| {
            row.copy_from_slice(&self.scores[pixel * self.classes..][..self.classes]);
        };
        let marginals = crf.refine(&self.rgb, self.size, self.classes, fill);
        marginals.unwrap().pixels().flatten().copied().collect()
    }

    fn softmax(&self) -> Vec<f32> {
        let rows = self.scores.chunks_exact(self.classes);
        rows.flat_map(|row| {
            let sum: f64 = row.iter().map(|&s| f64::from(s).exp()).sum();
            row.iter().map(move |&s| (f64::from(s).exp() / sum) as f32)
        })
        .collect()
    }

    /// The definition: every pixel has to do with every one.
    fn reference(&self, params: &CrfParams) -> Vec<f32> {
        let count = self.rgb.len() / 3;
        let width = self.size.0 as usize;
        let position = |i: usize| [(i % width) as f64, (i / width) as f64];
        let colour = |i: usize| [0, 1, 2].map(|c| f64::from(self.rgb[3 * i + c]));
        let square =
            |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum() };
        let kernel = |alpha: f32, beta: Option<f32>| {
            let value = |i: usize, j: usize| {
                let near = square(&position(i), &position(j)) / f64::from(alpha).powi(2);
                let like = beta.map_or(0.0, |beta| {
                    square(&colour(i), &colour(j)) / f64::from(beta).powi(2)
                });
                (-(near + like) / 2.0).exp()
            };
            let rows: Vec<Vec<f64>> = (0..count)
                .map(|i| (0..count).map(|j| value(i, j)).collect())
                .collect();
            let sums: Vec<f64> = rows.iter().map(|row| row.iter().sum()).collect();
            let scaled = |i: usize, j: usize| rows[i][j] / (sums[i] * sums[j]).sqrt();
            (0..count)
                .map(|i| (0..count).map(|j| scaled(i, j)).collect())
                .collect::<Vec<Vec<f64>>>()
        };
        let kernels = [
            (
                f64::from(params.appearance_weight),
                kernel(params.theta_alpha, Some(params.theta_beta)),
            ),
            (
                f64::from(params.smoothness_weight),
                kernel(params.theta_gamma, None),
            ),
        ];
        let softmax = |row: Vec<f64>| {
            let highest = row.iter().fold(f64::MIN, |a, &b| a.max(b));
            let row: Vec<f64> = row.iter().map(|s| (s - highest).exp()).collect();
            let sum: f64 = row.iter().sum();
            row.into_iter().map(|e| e / sum).collect::<Vec<f64>>()
        };
        let scores = |i: usize| -> Vec<f64> {
            let row = &self.scores[i * self.classes..][..self.classes];
            row.iter().map(|&s| f64::from(s)).collect()
        };
        let mut q: Vec<Vec<f64>> = (0..count).map(|i| softmax(scores(i))).collect();
        for _ in 0..params.iterations {
            q = (0..count)
                .map(|i| {
                    let mut row = scores(i);
                    for (weight, kernel) in &kernels {
                        for (class, score) in row.iter_mut().enumerate() {
                            let sum: f64 = (0..count).map(|j| kernel[i][j] * q[j][class]).sum();
                            *score += weight * sum;
                        }
                    }
                    softmax(row)
                })
                .collect();
        }
        q.into_iter().flatten().map(|p| p as f32).collect()
    }
}

fn mean_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f32>() / a.len() as f32
}

/// Kernels that reach as far as a small picture, and leave doubt.
fn gentle() -> CrfParams {
    CrfParams {
        iterations: 5,
        theta_alpha: 8.0,
        theta_beta: 25.0,
        theta_gamma: 2.0,
        appearance_weight: 2.0,
        smoothness_weight: 1.0,
        ..CrfParams::default()
    }
}

fn crf(params: CrfParams) -> DenseCrf {
    DenseCrf::new(params, Cpu::detect())
}

#[test]
fn near_the_sum_over_all_pairs() {
    // The lattice's filter is not quite a Gaussian: probabilities are off by one or two
    // thousandths in the mean, those of `pydensecrf` by the same. What the messages
    // change is a hundred times as much.
    for (params, classes) in [(gentle(), 2), (gentle(), 5), (CrfParams::default(), 3)] {
        for seed in 1..4 {
            let scene = Scene::new((28, 22), classes, seed);
            let (got, want) = (scene.refined(&mut crf(params)), scene.reference(&params));
            let off = mean_difference(&got, &want);
            let changed = mean_difference(&want, &scene.softmax());
            assert!(off < 0.003 && changed > 0.1, "{off} {changed}");
        }
    }
}

#[test]
fn labels_move_to_the_edge_of_the_picture() {
    let scene = Scene::new((60, 40), 2, 7);
    let mut crf = crf(CrfParams {
        theta_alpha: 20.0,
        ..CrfParams::default()
    });
    let fill = |pixel: usize, row: &mut [f32]| row.copy_from_slice(&scene.scores[pixel * 2..][..2]);
    let mut mask = Mask::new(60, 40);
    let marginals = crf.refine(&scene.rgb, scene.size, 2, fill).unwrap();
    marginals.labels(&mut mask);
    let rgb = scene.rgb.as_chunks::<3>().0;
    let right = |labels: &mut dyn Iterator<Item = u8>| {
        let pairs = labels.zip(rgb);
        pairs
            .filter(|(label, rgb)| (*label == 1) == (rgb[0] > 120))
            .count()
    };
    let before = scene.scores.as_chunks::<2>().0.iter();
    let before = right(&mut before.map(|s| u8::from(s[1] > s[0])));
    let after = right(&mut mask.labels.iter().copied());
    assert!(before < 2250 && after > 2390, "{before} {after}");
}

#[test]
fn every_cpu_gives_the_same_bits() {
    for classes in [1, 2, 8, 9, 16, 21, 30, 33, 256] {
        let scene = Scene::new((19, 13), classes, 3);
        let cpus = Tier::ALL
            .into_iter()
            .filter_map(|tier| Cpu::limited(tier).ok());
        let mut made = cpus.map(|cpu| scene.refined(&mut DenseCrf::new(gentle(), cpu)));
        let scalar = made.next().unwrap();
        for (index, other) in made.enumerate() {
            let same = scalar
                .iter()
                .zip(&other)
                .all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same, "{classes} classes, tier {index}");
        }
    }
}

#[test]
fn every_number_of_threads_gives_the_same_bits() {
    // One picture of several tiles, and others that are no multiple of anything.
    for (size, classes) in [
        ((211, 97), 21),
        ((131, 150), 2),
        ((37, 23), 256),
        ((1, 9), 9),
    ] {
        let scene = Scene::new(size, classes, 11);
        let mut made = [1, 2, 3, 8].map(|threads| {
            let workers = Workers::new(threads).unwrap();
            let mut crf = crf(gentle()).with_workers(workers);
            let probabilities = scene.refined(&mut crf);
            let rows = probabilities.chunks_exact(classes);
            let best: Vec<u8> = rows.map(best_class).collect();
            let fill = |pixel: usize, row: &mut [f32]| {
                row.copy_from_slice(&scene.scores[pixel * classes..][..classes]);
            };
            // Once more, with a lattice that was kept.
            let mut mask = Mask::new(size.0, size.1);
            let again = crf.refine(&scene.rgb, size, classes, fill).unwrap();
            again.labels(&mut mask);
            assert!(mask.labels == best, "{size:?}, {threads} threads");
            probabilities
        });
        let (alone, others) = made.split_first_mut().unwrap();
        for (index, other) in others.iter().enumerate() {
            let mut pairs = alone.iter().zip(other);
            let same = pairs.all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same, "{size:?}, {classes} classes, case {index}");
        }
    }
}

#[test]
fn pictures_do_not_depend_on_those_before() {
    let mut used = crf(gentle());
    for (size, classes) in [((30, 20), 5), ((7, 40), 21), ((30, 20), 5), ((30, 20), 40)] {
        let scene = Scene::new(size, classes, 5);
        assert_eq!(scene.refined(&mut used), scene.refined(&mut crf(gentle())));
    }
}

#[test]
fn a_mirrored_picture_gives_a_mirrored_result() {
    // Not bit for bit: the simplices lie otherwise in it.
    let scene = Scene::new((30, 24), 4, 9);
    fn mirrored<T: Copy>(values: &[T], width: usize, each: usize) -> Vec<T> {
        let rows = values.chunks_exact(width * each);
        rows.flat_map(|row| row.chunks_exact(each).rev().flatten().copied())
            .collect()
    }
    let other = Scene {
        rgb: mirrored(&scene.rgb, 30, 3),
        scores: mirrored(&scene.scores, 30, 4),
        ..scene
    };
    let [got, back] = [&scene, &other].map(|scene| scene.refined(&mut crf(gentle())));
    let off = mean_difference(&got, &mirrored(&back, 30, 4));
    assert!(off < 0.004, "{off}");
}

#[test]
fn scores_that_are_no_numbers_harm_no_one() {
    let mut scene = Scene::new((20, 15), 3, 5);
    let clean = scene.refined(&mut crf(gentle()));
    for (pixel, scores) in [
        (40, [f32::NAN; 3]),
        (90, [f32::INFINITY, 0.0, f32::NAN]),
        (200, [f32::NEG_INFINITY, f32::MAX, f32::MIN]),
    ] {
        scene.scores[3 * pixel..][..3].copy_from_slice(&scores);
    }
    let got = scene.refined(&mut crf(gentle()));
    for (pixel, row) in got.chunks_exact(3).enumerate() {
        let sum: f32 = row.iter().sum();
        assert!((sum - 1.0).abs() < 1e-5, "{pixel}: {row:?}");
    }
    assert!(got[3 * 90] > 0.999 && got[3 * 200 + 1] > 0.999);
    assert!(mean_difference(&got, &clean) < 0.02);
}

#[test]
fn without_weights_or_iterations_it_is_the_softmax() {
    let scene = Scene::new((20, 15), 11, 2);
    let weightless = CrfParams {
        appearance_weight: 0.0,
        smoothness_weight: 0.0,
        ..gentle()
    };
    let at_once = CrfParams {
        iterations: 0,
        ..gentle()
    };
    for params in [weightless, at_once] {
        let got = scene.refined(&mut crf(params));
        for (a, b) in got.iter().zip(scene.softmax()) {
            assert!((a - b).abs() < 1e-6, "{a} {b}");
        }
    }
}

#[test]
fn what_is_equal_stays_equal() {
    let mut scene = Scene::new((20, 15), 7, 4);
    scene.scores.fill(-3.0);
    for p in scene.refined(&mut crf(CrfParams::default())) {
        assert!((p - 1.0 / 7.0).abs() < 1e-6, "{p}");
    }
    let scene = Scene::new((20, 15), 1, 4);
    let one = scene.refined(&mut crf(CrfParams::default()));
    assert!(one.iter().all(|&p| p == 1.0));
}

#[test]
fn the_smallest_pictures_and_the_greatest_scores() {
    for size in [(1, 1), (1, 9), (9, 1), (2, 2)] {
        for classes in [1, 3, 9] {
            let mut scene = Scene::new(size, classes, 6);
            for scale in [0.0, 1.0, 1e6, -1e6] {
                scene.scores.iter_mut().for_each(|score| *score *= scale);
                let probabilities = scene.refined(&mut crf(CrfParams::default()));
                for row in probabilities.chunks_exact(classes) {
                    let sum: f32 = row.iter().sum();
                    assert!(
                        (sum - 1.0).abs() < 1e-5,
                        "{size:?} {classes} {scale}: {sum}"
                    );
                }
            }
        }
    }
}

#[test]
fn extreme_deviations_are_taken() {
    for (small, large) in [(false, true), (true, false)] {
        let pick = |least, most| if small { least } else { most };
        let params = CrfParams {
            theta_alpha: pick(1.0, 1e4),
            theta_beta: pick(0.5, 1e4),
            theta_gamma: pick(0.5, 1e4),
            ..CrfParams::default()
        };
        let scene = Scene::new((40, 30), 3, 8);
        let got = scene.refined(&mut crf(params));
        assert!(got.iter().all(|p| (0.0..=1.0).contains(p)), "{large}");
    }
}

#[test]
fn too_much_is_refused() {
    let mut crf = crf(CrfParams::default());
    let (width, height) = (8192, 1025);
    let rgb = vec![0; 3 * width as usize * height as usize];
    let error = crf.refine(&rgb, (width, height), 5, |_, _| {}).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("8192x1025") && text.contains("8388608 pixels"),
        "{text}"
    );

    // Noise, in which hardly two pixels share a vertex.
    let mut random = Random(99);
    let (width, height) = (500, 400);
    let rgb: Vec<u8> = (0..3 * width * height)
        .map(|_| (random.next() * 255.0) as u8)
        .collect();
    let params = CrfParams {
        theta_alpha: 1.0,
        theta_beta: 0.5,
        ..CrfParams::default()
    };
    let mut crf = DenseCrf::new(params, Cpu::detect());
    let error = crf.refine(&rgb, (width, height), 200, |_, row| row.fill(0.0));
    assert!(
        matches!(error, Err(CrfError::TooDetailed { .. })),
        "{error:?}"
    );
    // It can be used again.
    let scene = Scene::new((20, 15), 3, 1);
    assert_eq!(
        scene.refined(&mut crf),
        scene.refined(&mut DenseCrf::new(params, Cpu::detect()))
    );
}

#[test]
fn a_lattice_that_is_kept_is_held_to_the_limit() {
    let params = CrfParams {
        iterations: 1,
        theta_gamma: 0.5,
        ..CrfParams::default()
    };
    let mut crf = crf(params);
    let (width, height) = (500, 500);
    let rgb = vec![0; 3 * width as usize * height as usize];
    let flat = |_: usize, row: &mut [f32]| row.fill(0.0);
    crf.refine(&rgb, (width, height), 8, flat).unwrap();
    let error = crf.refine(&rgb, (width, height), 256, flat).unwrap_err();
    assert_eq!(error, CrfError::TooDetailed { width, height });
    crf.refine(&rgb, (width, height), 8, flat).unwrap();
}

#[test]
fn parameters_are_checked_by_name() {
    let good = CrfParams::default();
    assert_eq!(good.check(), Ok(()));
    for (params, key) in [
        (
            CrfParams {
                theta_alpha: 0.5,
                ..good
            },
            "theta_alpha",
        ),
        (
            CrfParams {
                theta_beta: f32::NAN,
                ..good
            },
            "theta_beta",
        ),
        (
            CrfParams {
                theta_gamma: f32::INFINITY,
                ..good
            },
            "theta_gamma",
        ),
        (
            CrfParams {
                appearance_weight: -1.0,
                ..good
            },
            "appearance_weight",
        ),
        (
            CrfParams {
                smoothness_weight: 1e4,
                ..good
            },
            "smoothness_weight",
        ),
        (
            CrfParams {
                label_confidence: 0.0,
                ..good
            },
            "label_confidence",
        ),
        (
            CrfParams {
                iterations: 101,
                ..good
            },
            "iterations",
        ),
    ] {
        assert!(params.check().unwrap_err().contains(key));
    }
}
