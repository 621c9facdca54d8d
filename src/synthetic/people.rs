//! People on foot and on bicycles, put together from limbs.

use super::math::{Rgb, Vec3, add, cos_turns, scale, sin_turns, tint, unit};
use super::pen::{Pen, SOLID, THIN, oval};
use super::rng::Rng;
use super::street::Item;
use super::{CYCLIST, PEDESTRIAN};

/// Clothes and build.
struct Person {
    height: f32,
    coat: Rgb,
    legs: Rgb,
    skin: Rgb,
    hair: Rgb,
    bag: bool,
    skirt: bool,
    broad: f32,
}

impl Person {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let coats = [
            [0.14, 0.14, 0.16],
            [0.20, 0.24, 0.34],
            [0.42, 0.14, 0.14],
            [0.48, 0.44, 0.38],
            [0.24, 0.30, 0.22],
            [0.62, 0.60, 0.56],
            [0.60, 0.34, 0.16],
            [0.30, 0.20, 0.34],
            [0.16, 0.36, 0.42],
        ];
        let child = rng.chance(0.12);
        Self {
            height: if child {
                rng.range(1.1, 1.4)
            } else {
                rng.range(1.58, 1.9)
            },
            coat: rng.pick(&coats),
            legs: rng.pick(&[
                [0.12, 0.13, 0.18],
                [0.20, 0.24, 0.34],
                [0.10, 0.10, 0.10],
                [0.36, 0.32, 0.26],
            ]),
            skin: rng.pick(&[
                [0.80, 0.60, 0.50],
                [0.72, 0.52, 0.42],
                [0.42, 0.28, 0.21],
                [0.60, 0.42, 0.32],
            ]),
            hair: rng.pick(&[
                [0.10, 0.08, 0.07],
                [0.28, 0.19, 0.12],
                [0.50, 0.38, 0.22],
                [0.40, 0.40, 0.40],
            ]),
            bag: rng.chance(0.35),
            skirt: rng.chance(0.2),
            broad: rng.range(0.9, 1.15),
        }
    }
}

/// Draws the walker of `item`. `along` and `across` give the direction, `step` the phase of the
/// stride in 0..1.
pub fn walker(pen: &mut Pen, item: &Item, along: f32, across: f32, step: f32) {
    let person = Person::new(item.seed);
    let base = pen.view.point(item.ahead, item.lateral, 0.0);
    pen.class(PEDESTRIAN, 100);
    let h = person.height;
    let k = h / 1.75;
    // Ahead of the walker, and to the walker's right.
    let facing = if along == 0.0 && across == 0.0 {
        [0.0, 0.0, -1.0]
    } else {
        [across, 0.0, along]
    };
    let right = [facing[2], 0.0, -facing[0]];
    let moving = if along == 0.0 && across == 0.0 {
        0.0
    } else {
        1.0
    };
    let at = |f: f32, r: f32, y: f32| {
        add(
            add(base, scale(facing, f * k)),
            add(scale(right, r * k), [0.0, y * k, 0.0]),
        )
    };
    let swing = sin_turns(step) * moving;
    let bob = 0.02 * cos_turns(step * 2.0) * moving;
    shade(pen, base, 0.34 * k, 0.16 * k);
    let hip = 0.88 + bob;
    let shoulder = 1.44 + bob;
    let broad = person.broad;
    // The side of the body away from the camera comes first.
    let far = if right[2] > 0.0 || (right[2] == 0.0 && right[0] > 0.0) {
        1.0
    } else {
        -1.0
    };
    for side in [far, -far] {
        let s = swing * side;
        let arm = |pen: &mut Pen| {
            let top = at(0.0, side * 0.20 * broad, shoulder - 0.04);
            let elbow = at(-s * 0.14, side * 0.26 * broad, shoulder - 0.32);
            let hand = at(-s * 0.26 + 0.06, side * 0.25 * broad, shoulder - 0.58);
            pen.limb(top, elbow, 0.062 * k, 0.054 * k, scale(person.coat, 0.88));
            pen.limb(elbow, hand, 0.052 * k, 0.040 * k, scale(person.coat, 0.88));
            let skin = tint(person.skin, pen.mood.on([0.0, 0.0, -1.0], pen.lit));
            pen.ball(hand, 0.045 * k, skin);
        };
        if side == far {
            arm(pen);
        }
        let lift = (cos_turns(step) * side).max(0.0) * moving;
        let top = at(0.0, side * 0.09 * broad, hip);
        let knee = at(s * 0.20 + 0.05 * lift, side * 0.10, 0.48 + 0.05 * lift);
        let foot = at(s * 0.34 - 0.10 * lift, side * 0.10, 0.07 + 0.12 * lift);
        pen.limb(top, knee, 0.10 * k * broad, 0.072 * k, person.legs);
        pen.limb(knee, foot, 0.070 * k, 0.050 * k, person.legs);
        let toe = add(foot, add(scale(facing, 0.15 * k), [0.0, -0.03 * k, 0.0]));
        pen.limb(foot, toe, 0.05 * k, 0.04 * k, [0.08, 0.07, 0.07]);
        if side != far {
            torso(
                pen,
                &person,
                [at(0.0, 0.0, hip - 0.08), at(0.02, 0.0, shoulder)],
                k,
            );
            arm(pen);
        }
    }
    if person.bag {
        let p = at(-0.14, -0.05, 1.2);
        let light = pen.mood.on([0.0, 0.0, -1.0], pen.lit);
        pen.oval(
            p,
            [0.15 * k, 0.0, 0.0],
            [0.0, 0.2 * k, 0.0],
            tint([0.2, 0.18, 0.2], light),
        );
    }
    head(
        pen,
        &person,
        at(0.03, 0.0, 1.60 + bob),
        at(-0.02, 0.0, 1.645 + bob),
        k,
        facing[2],
    );
}

fn torso(pen: &mut Pen, person: &Person, [low, high]: [Vec3; 2], k: f32) {
    let (w0, w1) = (0.165 * k * person.broad, 0.215 * k * person.broad);
    let chest = add(high, [0.0, -0.10 * k, 0.0]);
    pen.limb(low, chest, w0, w1, person.coat);
    pen.limb(chest, high, w1, w1 * 0.52, person.coat);
    if person.skirt {
        let hem = add(low, [0.0, -0.38 * k, 0.0]);
        pen.limb(low, hem, w0, w0 * 1.25, scale(person.coat, 0.9));
    }
}

/// `away` is positive when the back of the head is seen.
fn head(pen: &mut Pen, person: &Person, centre: Vec3, crown: Vec3, k: f32, away: f32) {
    let light = pen.mood.on([0.0, 0.2, -0.9], pen.lit);
    let (skin, hair) = (tint(person.skin, light), tint(person.hair, light));
    let neck = add(centre, [0.0, -0.16 * k, 0.0]);
    pen.stroke(centre, neck, 0.05 * k, 0.06 * k, scale(skin, 0.8));
    let wide = [0.092 * k, 0.0, 0.0];
    let tall = [0.0, 0.122 * k, 0.0];
    pen.oval(add(crown, [0.0, 0.01, 0.0]), scale(wide, 1.08), tall, hair);
    if away < 0.5 {
        let face = add(centre, [0.0, -0.02 * k, 0.0]);
        pen.oval(face, scale(wide, 0.9), scale(tall, 0.86), skin);
        pen.oval(
            add(centre, [0.0, 0.085 * k, 0.0]),
            scale(wide, 0.95),
            [0.0, 0.05 * k, 0.0],
            hair,
        );
    }
}

/// The soft dark spot under somebody's feet.
fn shade(pen: &mut Pen, base: Vec3, wide: f32, deep: f32) {
    let spot = oval(
        [base[0], -pen.view.height, base[2]],
        [wide, 0.0, 0.0],
        [0.0, 0.0, deep],
    );
    pen.veil(
        &spot,
        [0.02, 0.02, 0.03],
        0.35 * (1.0 - pen.mood.haze(base[2])),
        None,
    );
}

/// Draws the cyclist of `item`, riding away (1) or towards the camera (-1); `step` is the phase
/// of the cranks in 0..1.
pub fn rider(pen: &mut Pen, item: &Item, along: f32, step: f32) {
    let person = Person::new(item.seed);
    let base = pen.view.point(item.ahead, item.lateral, 0.0);
    let facing = unit([pen.view.slope(item.ahead) * along, 0.0, along]);
    let right = [facing[2], 0.0, -facing[0]];
    pen.class(CYCLIST, THIN);
    let at = |f: f32, r: f32, y: f32| {
        add(
            add(base, scale(facing, f)),
            add(scale(right, r), [0.0, y, 0.0]),
        )
    };
    shade(pen, base, 0.3, 0.8);
    let frame = {
        let mut rng = Rng::new(item.seed ^ 5);
        let albedo = rng.pick(&[
            [0.10, 0.10, 0.12],
            [0.50, 0.10, 0.10],
            [0.12, 0.20, 0.44],
            [0.5, 0.5, 0.5],
        ]);
        tint(albedo, pen.mood.on([0.0, 0.0, -1.0], pen.lit))
    };
    let rubber = [0.06, 0.06, 0.065];
    let wheel = |pen: &mut Pen, f: f32| {
        let centre = at(f, 0.0, 0.34);
        let disc = oval(centre, scale(facing, 0.34), [0.0, 0.34, 0.0]);
        // Spokes: the wheel is the rider's class throughout, though the street shows through.
        pen.veil(&disc, [0.25, 0.25, 0.26], 0.25, Some(CYCLIST));
        for (i, &a) in disc.iter().enumerate() {
            let b = disc[(i + 1) % disc.len()];
            pen.stroke(a, b, 0.028, 0.028, rubber);
        }
    };
    let (first, last) = if along > 0.0 {
        (0.52, -0.52)
    } else {
        (-0.52, 0.52)
    };
    wheel(pen, first);
    let (crank, saddle, bar) = (
        at(-0.06, 0.0, 0.30),
        at(-0.24, 0.0, 0.92),
        at(0.40, 0.0, 0.96),
    );
    let far = if right[2] > 0.0 || (right[2] == 0.0 && right[0] > 0.0) {
        1.0
    } else {
        -1.0
    };
    let leg = |pen: &mut Pen, side: f32| {
        let turn = step + if side > 0.0 { 0.0 } else { 0.5 };
        let pedal = at(
            -0.06 + 0.17 * cos_turns(turn),
            side * 0.12,
            0.30 + 0.17 * sin_turns(turn),
        );
        let knee = at(
            0.22 + 0.06 * cos_turns(turn),
            side * 0.13,
            0.74 + 0.10 * sin_turns(turn),
        );
        let hip = at(-0.22, side * 0.10, 0.98);
        pen.limb(hip, knee, 0.095, 0.07, person.legs);
        pen.limb(knee, pedal, 0.068, 0.05, person.legs);
        pen.limb(
            pedal,
            add(pedal, scale(facing, 0.14)),
            0.05,
            0.04,
            [0.07, 0.07, 0.07],
        );
    };
    let arm = |pen: &mut Pen, side: f32| {
        let shoulder = at(0.10, side * 0.20, 1.44);
        let elbow = at(0.24, side * 0.27, 1.19);
        let hand = at(0.40, side * 0.24, 1.0);
        pen.limb(shoulder, elbow, 0.062, 0.054, scale(person.coat, 0.9));
        pen.limb(elbow, hand, 0.052, 0.042, scale(person.coat, 0.9));
    };
    leg(pen, far);
    for (a, b) in [
        (at(-0.52, 0.0, 0.34), crank),
        (crank, saddle),
        (at(-0.52, 0.0, 0.34), saddle),
        (crank, at(0.36, 0.0, 0.80)),
        (saddle, at(0.36, 0.0, 0.86)),
        (at(0.52, 0.0, 0.34), bar),
    ] {
        pen.stroke(a, b, 0.022, 0.022, frame);
    }
    wheel(pen, last);
    pen.stroke(
        at(0.40, -0.26, 1.0),
        at(0.40, 0.26, 1.0),
        0.02,
        0.02,
        rubber,
    );
    pen.threshold = SOLID;
    let upper = |pen: &mut Pen| {
        torso(
            pen,
            &person,
            [at(-0.22, 0.0, 0.92), at(0.10, 0.0, 1.48)],
            1.0,
        );
    };
    if along > 0.0 {
        arm(pen, far);
        arm(pen, -far);
        head(
            pen,
            &person,
            at(0.18, 0.0, 1.64),
            at(0.15, 0.0, 1.685),
            1.0,
            along,
        );
        upper(pen);
    } else {
        upper(pen);
        arm(pen, far);
        arm(pen, -far);
        head(
            pen,
            &person,
            at(0.18, 0.0, 1.64),
            at(0.15, 0.0, 1.685),
            1.0,
            along,
        );
    }
    leg(pen, -far);
    // Half of all riders wear a helmet.
    if item.seed & 1 == 0 {
        let colour = tint([0.75, 0.75, 0.78], pen.mood.on([0.0, 0.6, -0.8], pen.lit));
        pen.oval(
            at(0.15, 0.0, 1.75),
            [0.11, 0.0, 0.0],
            [0.0, 0.07, 0.0],
            colour,
        );
    }
}
