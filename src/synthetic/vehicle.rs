//! Cars and vans, built from flat faces around a side profile.

use super::CAR;
use super::math::{Rgb, Vec3, add, cross, dot, mix3, scale, sub, tint, unit};
use super::pen::{Pen, SOLID, oval};
use super::rng::Rng;
use super::street::Item;

/// A body style.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Hatch,
    Saloon,
    Estate,
    Van,
    Bus,
}

/// Shape and colour of one vehicle.
struct Model {
    style: Style,
    length: f32,
    width: f32,
    height: f32,
    belt: f32,
    paint: Rgb,
    wheel: f32,
}

impl Model {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let style = match rng.unit() {
            x if x < 0.40 => Style::Hatch,
            x if x < 0.66 => Style::Saloon,
            x if x < 0.84 => Style::Estate,
            x if x < 0.96 => Style::Van,
            _ => Style::Bus,
        };
        let paint = rng.pick(&[
            [0.62, 0.63, 0.65],
            [0.40, 0.41, 0.43],
            [0.10, 0.10, 0.11],
            [0.80, 0.80, 0.79],
            [0.52, 0.08, 0.08],
            [0.10, 0.16, 0.36],
            [0.16, 0.28, 0.24],
            [0.22, 0.32, 0.48],
            [0.58, 0.54, 0.46],
            [0.66, 0.28, 0.10],
        ]);
        let grow = rng.range(0.95, 1.06);
        let (length, width, height, belt, wheel) = match style {
            Style::Hatch => (3.9, 1.70, 1.46, 0.92, 0.30),
            Style::Saloon => (4.5, 1.76, 1.42, 0.93, 0.31),
            Style::Estate => (4.6, 1.80, 1.62, 1.02, 0.34),
            Style::Van => (5.1, 1.95, 2.25, 1.25, 0.34),
            Style::Bus => (9.5, 2.45, 3.10, 1.20, 0.46),
        };
        let paint = match style {
            Style::Van if rng.chance(0.6) => [0.82, 0.82, 0.80],
            Style::Bus => rng.pick(&[[0.62, 0.10, 0.10], [0.14, 0.30, 0.58], [0.80, 0.72, 0.50]]),
            _ => paint,
        };
        Self {
            style,
            length: length * grow,
            width,
            height: height * grow,
            belt,
            paint,
            wheel,
        }
    }

    /// The hull seen from the side, front to the right: metres along and up. Each run of the
    /// outline at one height is a single piece. Shorter
    /// outlines repeat their last corner.
    fn hull(&self) -> [[f32; 2]; 8] {
        let (l, b) = (self.length * 0.5, self.belt);
        match self.style {
            Style::Van => [
                [-l, 0.42],
                [-l, self.height - 0.12],
                [-l + 0.12, self.height],
                [l - 1.75, self.height],
                [l - 0.95, b],
                [l - 0.12, b - 0.22],
                [l, 0.75],
                [l, 0.32],
            ],
            Style::Bus => [
                [-l, 0.45],
                [-l, self.height - 0.15],
                [-l + 0.15, self.height],
                [l - 0.35, self.height],
                [l - 0.08, b],
                [l, 0.4],
                [l, 0.4],
                [l, 0.4],
            ],
            Style::Saloon => [
                [-l + 0.06, 0.30],
                [-l, 0.62],
                [-l + 0.10, b - 0.03],
                [-l + 0.5, b],
                [l - 1.25, b],
                [l - 0.22, b - 0.17],
                [l, 0.58],
                [l - 0.03, 0.25],
            ],
            _ => [
                [-l + 0.04, 0.30],
                [-l, 0.60],
                [-l + 0.07, b],
                [l - 1.15, b],
                [l - 0.20, b - 0.16],
                [l, 0.58],
                [l - 0.03, 0.25],
                [l - 0.03, 0.25],
            ],
        }
    }

    /// The cabin: where it starts and ends at the belt and at the roof.
    fn cabin(&self) -> Option<[f32; 4]> {
        let l = self.length * 0.5;
        match self.style {
            Style::Hatch => Some([-l + 0.12, l - 1.02, -l + 0.55, l - 1.72]),
            Style::Saloon => Some([-l + 0.55, l - 1.15, -l + 1.15, l - 1.95]),
            Style::Estate => Some([-l + 0.10, l - 1.05, -l + 0.36, l - 1.75]),
            Style::Van | Style::Bus => None,
        }
    }
}

/// Places a model in camera space.
struct Place {
    origin: Vec3,
    ahead: Vec3,
    right: Vec3,
}

impl Place {
    fn at(&self, along: f32, across: f32, up: f32) -> Vec3 {
        let p = add(
            self.origin,
            add(scale(self.ahead, along), scale(self.right, across)),
        );
        [p[0], p[1] + up, p[2]]
    }
}

/// The outward normal of a face of a convex body around `middle`, if the camera sees the face.
fn seen(face: &[Vec3], middle: Vec3) -> Option<Vec3> {
    let n = unit(cross(sub(face[1], face[0]), sub(face[2], face[0])));
    let n = if dot(n, sub(face[0], middle)) < 0.0 {
        scale(n, -1.0)
    } else {
        n
    };
    (dot(n, face[0]) < 0.0).then_some(n)
}

/// Moves the corners of a face towards each other: `x` of its width, `low` and `high` of its
/// height; corners run lower left, lower right, upper right, upper left.
fn inset(f: &[Vec3; 4], [x0, x1]: [f32; 2], [y0, y1]: [f32; 2]) -> [Vec3; 4] {
    let at = |x: f32, y: f32| mix3(mix3(f[0], f[1], x), mix3(f[3], f[2], x), y);
    [at(x0, y0), at(x1, y0), at(x1, y1), at(x0, y1)]
}

/// The corners of the ground a vehicle covers, for its shadow, and its height.
pub fn footprint(pen_view: &super::view::View, item: &Item, along: f32) -> ([Vec3; 4], f32) {
    let model = Model::new(item.seed);
    let place = place(pen_view, item, along);
    let (l, w) = (model.length * 0.5, model.width * 0.5);
    (
        [(-l, -w), (l, -w), (l, w), (-l, w)].map(|(a, b)| place.at(a, b, 0.0)),
        model.height,
    )
}

fn place(view: &super::view::View, item: &Item, along: f32) -> Place {
    let slope = view.slope(item.ahead);
    let ahead = scale(unit([slope, 0.0, 1.0]), along);
    Place {
        origin: view.point(item.ahead, item.lateral, 0.0),
        ahead,
        right: [ahead[2], 0.0, -ahead[0]],
    }
}

/// Draws the vehicle of `item`, which faces away from the camera when `along` is 1.
pub fn draw(pen: &mut Pen, item: &Item, along: f32) {
    let model = Model::new(item.seed);
    let p = place(pen.view, item, along);
    let (l, w) = (model.length * 0.5, model.width * 0.5);
    pen.class(CAR, SOLID);

    // What little light gets under a car fades outwards.
    for (grow, cover) in [
        (0.42, 0.10),
        (0.34, 0.12),
        (0.26, 0.15),
        (0.18, 0.20),
        (0.10, 0.26),
        (0.0, 0.5),
    ] {
        let (a, b) = (l + grow * 0.6, w + grow);
        let under = [
            p.at(-a, -b, 0.0),
            p.at(a, -b, 0.0),
            p.at(a, b, 0.0),
            p.at(-a, b, 0.0),
        ];
        pen.veil(
            &under,
            [0.02, 0.02, 0.03],
            cover * (1.0 - pen.mood.haze(item.ahead)),
            None,
        );
    }
    let tyre = [0.055, 0.055, 0.06];
    let wheels = [-l * 0.60, l * 0.62];
    // The inner sides of the wheels show under the bumpers.
    for at in wheels {
        for side in [-1.0, 1.0] {
            let (a, b) = (side * w * 0.97, side * (w - 0.22));
            let r = model.wheel;
            pen.plain(
                &[
                    p.at(at, a, 0.0),
                    p.at(at, b, 0.0),
                    p.at(at, b, r * 1.6),
                    p.at(at, a, r * 1.6),
                ],
                tyre,
            );
        }
    }
    let hull = model.hull();
    let middle = p.at(0.0, 0.0, model.belt * 0.55);
    let far_detail = item.ahead > 70.0;

    // Faces across the body, the farther first.
    let mut strips = [0, 1, 2, 3, 4, 5, 6, 7];
    let depth = |i: usize| {
        let (a, b) = (hull[i], hull[(i + 1) % hull.len()]);
        p.at((a[0] + b[0]) * 0.5, 0.0, 0.0)[2]
    };
    strips.sort_by(|&a, &b| depth(b).total_cmp(&depth(a)));
    for i in strips {
        let (a, b) = (hull[i], hull[(i + 1) % hull.len()]);
        let face = [
            p.at(a[0], -w, a[1]),
            p.at(a[0], w, a[1]),
            p.at(b[0], w, b[1]),
            p.at(b[0], -w, b[1]),
        ];
        let middle = if model.cabin().is_some() {
            middle
        } else {
            p.at(0.0, 0.0, model.height * 0.5)
        };
        if let Some(n) = seen(&face, middle) {
            body(pen, &face, model.paint, n);
            let windscreen = match model.style {
                Style::Van => i == 3,
                Style::Bus => i == 3,
                _ => false,
            };
            if windscreen {
                let (low, high) = if b[1] < a[1] {
                    (0.12, 0.96)
                } else {
                    (0.04, 0.88)
                };
                // The strip runs from roof to belt: its first corners are the upper ones.
                glass(pen, &inset(&face, [0.05, 0.95], [1.0 - high, 1.0 - low]), n);
            }
        }
    }
    for side in [-1.0, 1.0] {
        let flank = hull.map(|c| p.at(c[0], side * w, c[1]));
        let n = scale(p.right, side);
        if dot(n, flank[0]) >= 0.0 {
            continue;
        }
        body(pen, &flank, model.paint, n);
        // The lower half of the side turns away from the sky.
        let (y0, y1) = (0.27, model.belt * 0.58);
        let sill = [
            p.at(-l + 0.1, side * w, y0),
            p.at(l - 0.1, side * w, y0),
            p.at(l - 0.04, side * w, y1),
            p.at(-l + 0.02, side * w, y1),
        ];
        body(pen, &sill, scale(model.paint, 0.78), n);
        for at in wheels {
            let centre = p.at(at, side * (w + 0.005), model.wheel);
            let ring = |r: f32| oval(centre, scale(p.ahead, r), [0.0, r, 0.0]);
            let r = model.wheel;
            pen.plain(&ring(r * 1.2), scale(tyre, 0.5));
            pen.plain(&ring(r), tyre);
            if !far_detail {
                pen.face(&ring(r * 0.64), [0.46, 0.47, 0.48], n);
                pen.face(&ring(r * 0.5), [0.24, 0.24, 0.25], n);
                pen.face(&ring(r * 0.16), [0.5, 0.5, 0.5], n);
            }
        }
        if model.cabin().is_none() {
            let (y0, y1) = (model.belt + 0.08, model.height - 0.4);
            let panes: &[(f32, f32)] = match model.style {
                Style::Van => &[(0.24, 0.68)],
                _ => &[
                    (-0.95, -0.62),
                    (-0.6, -0.28),
                    (-0.26, 0.06),
                    (0.08, 0.4),
                    (0.42, 0.72),
                    (0.75, 0.93),
                ],
            };
            for &(a, b) in panes {
                let (a, b, s) = (a * l, b * l, side * (w + 0.005));
                let lean = if model.style == Style::Van { 0.30 } else { 0.0 };
                glass(
                    pen,
                    &[
                        p.at(a, s, y0),
                        p.at(b, s, y0),
                        p.at(b - lean, s, y1),
                        p.at(a, s, y1),
                    ],
                    n,
                );
            }
        } else if !far_detail {
            // Door seams and handles.
            for x in [-0.16, 0.12f32] {
                let x = x * l;
                let seam = [
                    p.at(x, side * w, 0.34),
                    p.at(x + 0.02, side * w, 0.34),
                    p.at(x + 0.02, side * w, model.belt),
                    p.at(x, side * w, model.belt),
                ];
                body(pen, &seam, scale(model.paint, 0.45), n);
            }
        }
    }
    if let Some([b0, b1, r0, r1]) = model.cabin() {
        cabin(pen, &model, &p, [b0, b1, r0, r1]);
    }
    ends(pen, &model, &p, along);
}

fn cabin(pen: &mut Pen, model: &Model, p: &Place, [b0, b1, r0, r1]: [f32; 4]) {
    let (w, wr) = (model.width * 0.5 * 0.97, model.width * 0.5 * 0.80);
    let (y0, y1) = (model.belt - 0.01, model.height);
    let middle = p.at((b0 + b1) * 0.5, 0.0, (y0 + y1) * 0.5);
    let back = [
        p.at(b0, -w, y0),
        p.at(b0, w, y0),
        p.at(r0, wr, y1),
        p.at(r0, -wr, y1),
    ];
    let front = [
        p.at(b1, -w, y0),
        p.at(b1, w, y0),
        p.at(r1, wr, y1),
        p.at(r1, -wr, y1),
    ];
    let side = |s: f32| {
        [
            p.at(b0, s * w, y0),
            p.at(b1, s * w, y0),
            p.at(r1, s * wr, y1),
            p.at(r0, s * wr, y1),
        ]
    };
    let roof = [
        p.at(r0, -wr, y1),
        p.at(r0, wr, y1),
        p.at(r1, wr, y1),
        p.at(r1, -wr, y1),
    ];
    if let Some(n) = seen(&roof, middle) {
        body(pen, &roof, model.paint, n);
    }
    for face in [back, front] {
        if let Some(n) = seen(&face, middle) {
            body(pen, &face, model.paint, n);
            glass(pen, &inset(&face, [0.06, 0.94], [0.10, 0.90]), n);
        }
    }
    for face in [side(-1.0), side(1.0)] {
        if let Some(n) = seen(&face, middle) {
            body(pen, &face, model.paint, n);
            glass(pen, &inset(&face, [0.09, 0.46], [0.08, 0.88]), n);
            glass(pen, &inset(&face, [0.50, 0.93], [0.08, 0.88]), n);
        }
    }
}

/// Painted metal: the lower part of a face is darker, facing the road.
fn body(pen: &mut Pen, points: &[Vec3], paint: Rgb, normal: Vec3) {
    let light = pen.mood.on(normal, pen.lit);
    let colour = tint(paint, light);
    // Lacquer mirrors the sky where it faces up.
    let gloss = 0.05 + 0.10 * normal[1].max(0.0);
    let top = mix3(scale(colour, 1.12), pen.mood.skyline, gloss);
    pen.graded(points, top, scale(colour, 0.86));
}

fn glass(pen: &mut Pen, points: &[Vec3], normal: Vec3) {
    let sky = pen.mood.on([0.0, 1.0, 0.0], 0.3);
    let mirror = 0.30 + 0.3 * normal[1].max(0.0);
    let top = mix3([0.05, 0.06, 0.07], tint(sky, [0.62, 0.70, 0.78]), mirror);
    pen.graded(points, top, tint([0.09, 0.10, 0.11], sky));
}

/// Lamps, plates and bumpers at both ends.
fn ends(pen: &mut Pen, model: &Model, p: &Place, along: f32) {
    let (l, w) = (model.length * 0.5 + 0.01, model.width * 0.5);
    let night = pen.mood.night;
    let n = scale(p.ahead, -along);
    let rear = along > 0.0;
    let at = if rear { -l } else { l };
    let box_at = |x0: f32, x1: f32, y0: f32, y1: f32| {
        [
            p.at(at, x0, y0),
            p.at(at, x1, y0),
            p.at(at, x1, y1),
            p.at(at, x0, y1),
        ]
    };
    let facing = dot(p.at(at, 0.0, 0.5), p.ahead) * if rear { -1.0 } else { 1.0 } < 0.0;
    if !facing {
        return;
    }
    let y = model.belt * 0.72;
    // Bumper, in black or body colour, and the dark gap below it.
    pen.face(
        &box_at(-w * 0.98, w * 0.98, 0.34, 0.50),
        scale(model.paint, 0.8),
        n,
    );
    pen.face(
        &box_at(-w * 0.96, w * 0.96, 0.25, 0.34),
        [0.06, 0.06, 0.06],
        n,
    );
    for side in [-1.0, 1.0] {
        let (a, b) = (side * w * 0.64, side * w * 0.97);
        let (y0, y1) = if rear && model.style != Style::Saloon {
            (y - 0.06, y + 0.24)
        } else {
            (y - 0.09, y + 0.09)
        };
        let lamp = box_at(a, b, y0, y1);
        if rear {
            let red = [0.52, 0.05, 0.05];
            let colour = mix3(
                tint(red, pen.mood.on(n, 1.0)),
                [0.98, 0.16, 0.10],
                night.min(0.9),
            );
            pen.plain(&lamp, colour);
        } else {
            let colour = mix3(
                tint([0.80, 0.82, 0.84], pen.mood.on(n, 1.0)),
                [1.0, 0.98, 0.90],
                night.min(1.0),
            );
            pen.plain(&lamp, colour);
            if night > 0.5 {
                let centre = p.at(l, side * w * 0.8, y);
                for (r, cover) in [(0.45, 0.16), (0.26, 0.3)] {
                    pen.veil(
                        &oval(centre, [r, 0.0, 0.0], [0.0, r, 0.0]),
                        [1.0, 0.95, 0.8],
                        cover,
                        None,
                    );
                }
            }
        }
    }
    let plate = if rear {
        [0.82, 0.70, 0.20]
    } else {
        [0.82, 0.82, 0.80]
    };
    if !rear {
        pen.face(
            &box_at(-w * 0.5, w * 0.5, y - 0.08, y + 0.06),
            [0.08, 0.08, 0.09],
            n,
        );
    }
    pen.face(&box_at(-0.26, 0.26, 0.42, 0.53), plate, n);
    match model.style {
        Style::Van | Style::Bus if rear => {
            let (y0, y1) = (model.belt + 0.1, model.height - 0.35);
            glass(pen, &box_at(-w * 0.85, -w * 0.06, y0, y1), n);
            glass(pen, &box_at(w * 0.06, w * 0.85, y0, y1), n);
        }
        _ => {}
    }
}
