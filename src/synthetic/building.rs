//! Buildings: a textured front, the wall and gable that face the camera, a roof.

use super::BUILDING;
use super::facade::{BAYS, Facade, Use};
use super::math::{Rgb, Vec3, add, cross, scale, sub, tint, unit};
use super::pen::{Panel, Pen, SOLID};
use super::rng::Rng;
use super::street::{House, Item};
use super::texture::Texture;

/// The textures buildings are made with.
pub struct Walls {
    pub fronts: Vec<Facade>,
    pub plain: Texture,
    pub roof: Texture,
}

/// A building's shape, the same for its picture and its shadow.
pub struct Form<'a> {
    pub front: &'a Facade,
    pub height: f32,
    /// Metres from eaves to ridge; zero for a flat roof.
    pub rise: f32,
    pub paint: Rgb,
    pub tiles: Rgb,
    pub chimneys: bool,
}

impl Walls {
    /// The form of `house` .
    pub fn form(&self, house: &House) -> Form<'_> {
        let mut rng = Rng::new(house.facade);
        // Homes stand in gardens, shops and offices on the street.
        let fitting = |f: &&Facade| (f.usage != Use::Home) == house.city;
        let count = self.fronts.iter().filter(fitting).count().max(1);
        let pick = rng.below(count);
        let front = self
            .fronts
            .iter()
            .filter(fitting)
            .nth(pick)
            .unwrap_or(&self.fronts[0]);
        let rise = if front.usage == Use::Office || rng.chance(0.15) {
            0.0
        } else {
            house.depth * rng.range(0.28, 0.42)
        };
        let paint = if front.brick {
            scale([1.0; 3], rng.range(0.82, 1.12))
        } else {
            let tone = rng.pick(&[
                [1.0, 1.0, 1.0],
                [1.04, 0.98, 0.88],
                [0.92, 0.99, 1.04],
                [1.05, 0.94, 0.90],
            ]);
            scale(tone, rng.range(0.8, 1.05))
        };
        let tiles = rng.pick(&[
            [0.42, 0.42, 0.46],
            [0.58, 0.36, 0.28],
            [0.48, 0.40, 0.36],
            [0.36, 0.36, 0.38],
        ]);
        Form {
            front,
            height: front.height * rng.range(0.92, 1.08),
            rise,
            paint,
            tiles,
            chimneys: rise > 0.0 && rng.chance(0.75),
        }
    }

    /// Draws the building of `item`.
    pub fn draw(&self, pen: &mut Pen, item: &Item, house: &House) {
        let form = self.form(house);
        let side = if item.lateral > 0.0 { 1.0 } else { -1.0 };
        pen.class(BUILDING, SOLID);
        pen.lit = 0.92;
        let view = pen.view;
        let (near, far) = (item.ahead, item.ahead + house.length);
        let back = item.lateral + side * house.depth;
        let middle = item.lateral + side * house.depth * 0.5;
        let (h, top) = (form.height, form.height + form.rise);
        let base = view.point(near, item.lateral, 0.0);
        let end = view.point(far, item.lateral, 0.0);
        let up = [0.0, h, 0.0];
        let wall = tint(form.front.wall, form.paint);
        let toward = [0.0, 0.0, -1.0];

        // The end wall and its gable.
        let across = sub(view.point(near, back, 0.0), base);
        let tall = [0.0, top, 0.0];
        let panel = Panel {
            origin: base,
            along: across,
            up: tall,
            repeat: [house.depth / 4.0, top / 4.0],
            shift: 0.0,
        };
        let light = tint(scale(wall, 1.5), pen.mood.on(toward, pen.lit));
        let ridge = view.point(near, middle, top);
        let corner = add(add(base, across), up);
        let outline = [base, add(base, across), corner, ridge, add(base, up)];
        if form.rise > 0.0 {
            pen.textured(&outline, &panel, &self.plain, light, false);
        } else {
            let square = [base, add(base, across), corner, add(base, up)];
            pen.textured(&square, &panel, &self.plain, light, false);
        }

        if form.rise > 0.0 {
            let over = 0.3;
            let eave = view.point(near - over * 0.3, item.lateral - side * over, h - 0.05);
            let far_eave = view.point(far + over * 0.3, item.lateral - side * over, h - 0.05);
            let slope = sub(view.point(near - over * 0.3, middle, top), eave);
            let roof = Panel {
                origin: eave,
                along: sub(far_eave, eave),
                up: slope,
                repeat: [house.length / 4.0, house.depth / 7.0],
                shift: 0.0,
            };
            let normal = unit(cross(roof.along, slope));
            let normal = if normal[1] < 0.0 {
                scale(normal, -1.0)
            } else {
                normal
            };
            let light = tint(scale(form.tiles, 1.45), pen.mood.on(normal, 1.0));
            pen.panel(&roof, &self.roof, light, false);
            if form.chimneys {
                for at in [near + 0.6, far - 1.4] {
                    self.chimney(pen, at, middle, top, wall);
                }
            }
        } else {
            // A parapet.
            let p = [
                view.point(near, item.lateral, h),
                view.point(far, item.lateral, h),
            ];
            let lip = [0.0, 0.35, 0.0];
            pen.face(
                &[p[0], p[1], add(p[1], lip), add(p[0], lip)],
                scale(wall, 0.9),
                [-side, 0.0, 0.0],
            );
        }

        let bays = (house.length / (form.front.width / BAYS as f32) + 0.5).max(1.0) as usize as f32;
        let along = sub(end, base);
        let normal = unit([-side * along[2], 0.0, side * along[0]]);
        let panel = Panel {
            origin: base,
            along,
            up,
            repeat: [bays / BAYS as f32, 1.0],
            // Rows of the same front start at different bays.
            shift: (item.seed % 4) as f32 / bays,
        };
        // Fronts throw light at each other across the street.
        let light = pen.mood.on(normal, pen.lit);
        pen.panel(&panel, &form.front.front, tint(form.paint, light), false);
    }

    fn chimney(&self, pen: &mut Pen, ahead: f32, lateral: f32, base: f32, wall: Rgb) {
        let p = |l: f32, y: f32| -> Vec3 { pen.view.point(ahead, lateral + l, base + y) };
        let stack = [p(-0.5, -0.8), p(0.5, -0.8), p(0.5, 1.0), p(-0.5, 1.0)];
        let cap = [p(-0.58, 1.0), p(0.58, 1.0), p(0.58, 1.12), p(-0.58, 1.12)];
        let pots = [-0.3, 0.1].map(|x| {
            [
                p(x, 1.12),
                p(x + 0.22, 1.12),
                p(x + 0.18, 1.5),
                p(x + 0.04, 1.5),
            ]
        });
        pen.face(&stack, scale(wall, 0.8), [0.0, 0.0, -1.0]);
        pen.face(&cap, scale(wall, 0.95), [0.0, 0.0, -1.0]);
        for pot in pots {
            pen.face(&pot, [0.52, 0.32, 0.24], [0.0, 0.0, -1.0]);
        }
    }
}
