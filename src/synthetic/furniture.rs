//! What towns put along their streets: lamps, signs, signals, bollards and fences.

use super::math::{Rgb, Vec3, add, mix3, scale, sub, tint};
use super::pen::{Panel, Pen, SOLID, THIN, oval};
use super::rng::Rng;
use super::street::Item;
use super::texture::Texture;
use super::{FENCE, POLE, SIGN};

const TOWARD: Vec3 = [0.0, 0.0, -1.0];

/// An upright post whose left and right sides catch different light.
fn post(pen: &mut Pen, foot: Vec3, height: f32, r0: f32, r1: f32, albedo: Rgb) {
    let top = add(foot, [0.0, height, 0.0]);
    pen.limb(foot, top, r0, r1, albedo);
}

/// A lamp post, its arm over the road.
pub fn lamp(pen: &mut Pen, item: &Item) {
    pen.class(POLE, THIN);
    let foot = pen.view.point(item.ahead, item.lateral, 0.0);
    // One design for the whole street would be dull, one a post would be silly: by side.
    let tall = if item.lateral > 0.0 { 7.6 } else { 6.8 };
    let iron = [0.40, 0.42, 0.43];
    post(pen, foot, 1.1, 0.13, 0.12, iron);
    post(pen, foot, tall, 0.095, 0.06, iron);
    let side = if item.lateral > 0.0 { -1.0 } else { 1.0 };
    let top = add(foot, [0.0, tall, 0.0]);
    let tip = add(top, [side * 1.5, 0.35, 0.0]);
    let light = pen.mood.on([0.0, -0.5, -0.8], 1.0);
    pen.stroke(top, tip, 0.04, 0.035, tint(iron, light));
    let head = [
        add(tip, [-0.1, 0.06, 0.0]),
        add(tip, [side * 0.6, 0.10, 0.0]),
        add(tip, [side * 0.6, -0.04, 0.0]),
        add(tip, [-0.1, -0.08, 0.0]),
    ];
    pen.plain(&head, tint([0.34, 0.35, 0.36], light));
    let glow = mix3(
        tint([0.7, 0.7, 0.66], light),
        [1.0, 0.88, 0.58],
        pen.mood.night,
    );
    let lens = [
        add(tip, [0.0, -0.04, 0.0]),
        add(tip, [side * 0.55, 0.0, 0.0]),
        add(tip, [side * 0.5, -0.10, 0.0]),
    ];
    pen.plain(&lens, glow);
    if pen.mood.night > 0.5 {
        let centre = add(tip, [side * 0.3, -0.05, 0.0]);
        for (r, cover) in [(0.9, 0.10), (0.45, 0.22)] {
            pen.veil(
                &oval(centre, [r, 0.0, 0.0], [0.0, r, 0.0]),
                [1.0, 0.86, 0.55],
                cover,
                None,
            );
        }
    }
}

/// A short post at the kerb.
pub fn bollard(pen: &mut Pen, item: &Item) {
    pen.class(POLE, THIN);
    let foot = pen.view.point(item.ahead, item.lateral, 0.0);
    post(pen, foot, 0.95, 0.085, 0.075, [0.10, 0.10, 0.11]);
    let band = add(foot, [0.0, 0.74, 0.0]);
    post(pen, band, 0.08, 0.085, 0.085, [0.75, 0.75, 0.72]);
}

/// A road sign: a disc, a triangle, a board.
pub fn sign(pen: &mut Pen, item: &Item) {
    let mut rng = Rng::new(item.seed ^ 9);
    let foot = pen.view.point(item.ahead, item.lateral, 0.0);
    let high = rng.range(2.1, 2.6);
    pen.class(POLE, THIN);
    post(pen, foot, high + 0.3, 0.055, 0.055, [0.44, 0.45, 0.46]);
    pen.class(SIGN, SOLID);
    let light = pen.mood.on([0.0, 0.1, -0.95], 1.0);
    let lit = |c: Rgb| tint(c, scale(light, 1.05));
    let centre = add(foot, [0.0, high, -0.05]);
    let at = |x: f32, y: f32| add(centre, [x, y, -0.01]);
    let disc = |r: f32| oval(centre, [r, 0.0, 0.0], [0.0, r, 0.0]);
    let (white, red, blue, black) = (
        [0.88, 0.88, 0.86],
        [0.72, 0.08, 0.08],
        [0.10, 0.24, 0.62],
        [0.08, 0.08, 0.08],
    );
    match rng.below(7) {
        0 | 1 => {
            pen.plain(&disc(0.36), lit(red));
            pen.plain(&disc(0.27), lit(white));
            for x in [-0.11, 0.05] {
                pen.plain(
                    &[
                        at(x, -0.13),
                        at(x + 0.07, -0.13),
                        at(x + 0.07, 0.13),
                        at(x, 0.13),
                    ],
                    lit(black),
                );
            }
        }
        2 => {
            pen.plain(&disc(0.34), lit(blue));
            pen.plain(
                &[
                    at(-0.04, -0.2),
                    at(0.04, -0.2),
                    at(0.04, 0.08),
                    at(-0.04, 0.08),
                ],
                lit(white),
            );
            pen.plain(
                &[at(-0.15, 0.05), at(0.15, 0.05), at(0.0, 0.22)],
                lit(white),
            );
        }
        3 => {
            pen.plain(
                &[at(-0.44, -0.34), at(0.44, -0.34), at(0.0, 0.42)],
                lit(red),
            );
            pen.plain(
                &[at(-0.27, -0.24), at(0.27, -0.24), at(0.0, 0.22)],
                lit(white),
            );
            pen.plain(
                &[
                    at(-0.03, -0.18),
                    at(0.03, -0.18),
                    at(0.03, 0.06),
                    at(-0.03, 0.06),
                ],
                lit(black),
            );
        }
        4 => {
            let (w, h) = (rng.range(0.6, 1.0), rng.range(0.35, 0.6));
            let ground = rng.pick(&[[0.06, 0.30, 0.18], blue, white]);
            let ink = if ground == white { black } else { white };
            pen.plain(&[at(-w, -h), at(w, -h), at(w, h), at(-w, h)], lit(ink));
            let (v, k) = (w - 0.05, h - 0.05);
            pen.plain(&[at(-v, -k), at(v, -k), at(v, k), at(-v, k)], lit(ground));
            for row in 0..3 {
                let y = h * (0.5 - 0.45 * row as f32);
                let end = w * rng.range(0.0, 0.75);
                pen.plain(
                    &[
                        at(-w * 0.75, y),
                        at(end, y),
                        at(end, y + h * 0.18),
                        at(-w * 0.75, y + h * 0.18),
                    ],
                    lit(ink),
                );
            }
        }
        5 => {
            // A bus stop's flag.
            let c = rng.pick(&[[0.72, 0.10, 0.10], [0.10, 0.40, 0.60], [0.85, 0.65, 0.10]]);
            pen.plain(
                &[
                    at(0.04, -0.35),
                    at(0.55, -0.35),
                    at(0.55, 0.35),
                    at(0.04, 0.35),
                ],
                lit(c),
            );
            pen.plain(
                &[
                    at(0.12, -0.22),
                    at(0.47, -0.22),
                    at(0.47, 0.1),
                    at(0.12, 0.1),
                ],
                lit(white),
            );
        }
        _ => {
            pen.plain(
                &[
                    at(-0.3, -0.42),
                    at(0.3, -0.42),
                    at(0.3, 0.42),
                    at(-0.3, 0.42),
                ],
                lit(blue),
            );
            pen.plain(
                &[
                    at(-0.22, -0.34),
                    at(0.22, -0.34),
                    at(0.22, 0.1),
                    at(-0.22, 0.1),
                ],
                lit(white),
            );
        }
    }
}

/// Traffic lights; `time` switches them.
pub fn signal(pen: &mut Pen, item: &Item, time: f64) {
    let foot = pen.view.point(item.ahead, item.lateral, 0.0);
    pen.class(POLE, THIN);
    post(pen, foot, 2.4, 0.06, 0.055, [0.30, 0.31, 0.32]);
    pen.class(SIGN, SOLID);
    let light = pen.mood.on(TOWARD, 1.0);
    let at = |x: f32, y: f32| add(foot, [x, y, -0.08]);
    pen.plain(
        &[
            at(-0.27, 2.05),
            at(0.27, 2.05),
            at(0.27, 3.35),
            at(-0.27, 3.35),
        ],
        tint([0.55, 0.55, 0.54], light),
    );
    pen.plain(
        &[
            at(-0.23, 2.09),
            at(0.23, 2.09),
            at(0.23, 3.31),
            at(-0.23, 3.31),
        ],
        tint([0.05, 0.05, 0.05], light),
    );
    let turns = time / 40.0 + (item.seed % 97) as f64 / 97.0;
    let phase = (turns - turns.floor()) as f32;
    let on = if phase < 0.62 {
        2
    } else if phase < 0.68 {
        1
    } else {
        0
    };
    for (i, colour) in [[1.0, 0.16, 0.10], [1.0, 0.68, 0.12], [0.20, 1.0, 0.55]]
        .into_iter()
        .enumerate()
    {
        let centre = at(0.0, 3.08 - 0.38 * i as f32);
        let shine = if i == on {
            colour
        } else {
            scale(tint(colour, light), 0.18)
        };
        pen.oval(centre, [0.13, 0.0, 0.0], [0.0, 0.13, 0.0], shine);
        if i == on {
            let halo = oval(centre, [0.3, 0.0, 0.0], [0.0, 0.3, 0.0]);
            pen.veil(&halo, colour, 0.14 + 0.12 * pen.mood.night, None);
        }
    }
}

/// A piece of fence along the street.
pub fn fence(pen: &mut Pen, item: &Item, length: f32, texture: &Texture, iron: bool) {
    let base = pen.view.point(item.ahead, item.lateral, 0.0);
    let end = pen.view.point(item.ahead + length, item.lateral, 0.0);
    let tall = if iron { 1.25 } else { 1.45 };
    let panel = Panel {
        origin: base,
        along: sub(end, base),
        up: [0.0, tall, 0.0],
        repeat: [length / 2.0, 1.0],
        shift: 0.0,
    };
    let side = if item.lateral > 0.0 { -1.0 } else { 1.0 };
    let light = pen.mood.on([side, 0.0, 0.0], pen.lit);
    if iron {
        // Railings count as a fence with their gaps.
        pen.veil(&panel.corners(), [0.0; 3], 0.01, Some(FENCE));
        pen.label = None;
        pen.panel(&panel, texture, light, true);
    } else {
        pen.class(FENCE, SOLID);
        let mut rng = Rng::new(item.seed ^ 3);
        let wood = rng.pick(&[
            [0.62, 0.46, 0.32],
            [0.50, 0.42, 0.34],
            [0.44, 0.34, 0.26],
            [0.86, 0.85, 0.82],
        ]);
        pen.panel(&panel, texture, scale(tint(wood, light), 1.4), false);
    }
}
