//! Trees, bushes and hedges on the street.

use super::TREE;
use super::foliage::Tree;
use super::math::{scale, sub, tint};
use super::pen::{Panel, Pen, SOLID};
use super::rng::Rng;
use super::street::{Item, Kind};
use super::texture::Texture;

/// What grows in a scene.
pub struct Garden {
    pub trees: Vec<Tree>,
    pub bushes: Vec<Tree>,
    pub hedge: Texture,
}

impl Garden {
    /// The plant that stands at `item`, with its height in metres.
    pub fn plant(&self, item: &Item) -> (&Tree, f32) {
        let mut rng = Rng::new(item.seed ^ 17);
        let kinds = if item.kind == Kind::Bush {
            &self.bushes
        } else {
            &self.trees
        };
        // The last kind needs room: it grows in gardens, not at the kerb.
        let kerb = item.kind == Kind::Tree { kerb: true };
        let tree = &kinds[rng.below(kinds.len() - usize::from(kerb))];
        (tree, tree.height * rng.range(0.8, 1.2))
    }

    /// Draws a tree or a bush.
    pub fn draw(&self, pen: &mut Pen, item: &Item) {
        let (tree, height) = self.plant(item);
        let mut rng = Rng::new(item.seed ^ 19);
        let wide = height * tree.aspect * rng.range(0.9, 1.1);
        // The lowest row of a picture is clear: it goes below the ground.
        let base = pen.view.point(item.ahead, item.lateral, -0.01 * height);
        let panel = Panel {
            origin: [base[0] - wide * 0.5, base[1], base[2]],
            along: [wide, 0.0, 0.0],
            up: [0.0, height, 0.0],
            repeat: [1.0, 1.0],
            shift: 0.0,
        };
        pen.class(TREE, SOLID);
        let tone = rng.range(0.88, 1.1);
        let light = scale(
            pen.mood.on([pen.mood.to_sun[0] * 0.5, 0.5, -0.6], 1.0),
            tone,
        );
        pen.panel(&panel, &tree.sprite, light, true);
    }

    /// Draws a piece of hedge along the street.
    pub fn hedge(&self, pen: &mut Pen, item: &Item, length: f32) {
        let side = if item.lateral > 0.0 { 1.0 } else { -1.0 };
        let (tall, thick) = (1.05 + 0.5 * ((item.seed >> 9) % 8) as f32 / 8.0, 0.7);
        let view = pen.view;
        let at =
            |ahead: f32, across: f32, up: f32| view.point(ahead, item.lateral + side * across, up);
        let (near, far) = (item.ahead, item.ahead + length);
        pen.class(TREE, SOLID);
        let base = at(near, 0.0, 0.0);
        let along = sub(at(far, 0.0, 0.0), base);
        let across = sub(at(near, thick, 0.0), base);
        let up = [0.0, tall, 0.0];
        let mut face = |origin, along, up, repeat, normal| {
            let light = tint([1.0; 3], pen.mood.on(normal, pen.lit));
            pen.panel(
                &Panel {
                    origin,
                    along,
                    up,
                    repeat,
                    shift: 0.0,
                },
                &self.hedge,
                light,
                false,
            );
        };
        face(
            base,
            across,
            up,
            [thick / 2.0, tall / 2.0],
            [0.0, 0.0, -1.0],
        );
        face(
            at(near, 0.0, tall),
            along,
            across,
            [length / 2.0, thick / 2.0],
            [0.0, 1.0, 0.0],
        );
        face(
            base,
            along,
            up,
            [length / 2.0, tall / 2.0],
            [-side, 0.0, 0.0],
        );
    }
}
