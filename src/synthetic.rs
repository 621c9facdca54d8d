//! A street drawn in perspective, together with the class of every pixel.
//!
//! The scene needs no camera and no files: everything is computed from a seed. It stands in for
//! a camera in demonstrations, and its exact labels train and check a model.
//!
//! Distances are metres; `ahead` runs along the street, `lateral` to the right of its centre
//! line, `up` from the road. Pictures are the same bytes on every machine: the code keeps to
//! arithmetic that IEEE 754 defines exactly and to integer hashes (see `synthetic/math.rs`).

mod building;
mod facade;
mod finish;
mod foliage;
mod furniture;
mod ground;
mod math;
mod mood;
mod noise;
mod pen;
mod people;
mod plants;
mod raster;
mod rng;
mod sky;
mod street;
mod texture;
mod vehicle;
mod view;

use building::Walls;
use facade::{Facade, Use};
use finish::Finish;
use foliage::{Growth, Tree};
use ground::{Ground, Shadows};
use math::{Rgb, Vec3, add};
use mood::Mood;
use noise::Field;
use pen::{Panel, Pen, SOLID, Textured};
use plants::Garden;
use raster::{Canvas, Pixel, Point, Scanner};
use rng::{Rng, mix};
use sky::Sky;
use street::{Item, Kind, Plan, SPEED};
use texture::Texture;
use view::View;

/// Class names in CamVid's order; a label is an index into this list.
pub const CLASSES: [&str; 11] = [
    "Sky",
    "Building",
    "Pole",
    "Road",
    "Pavement",
    "Tree",
    "SignSymbol",
    "Fence",
    "Car",
    "Pedestrian",
    "Bicyclist",
];

const SKY: u8 = 0;
const BUILDING: u8 = 1;
const POLE: u8 = 2;
const ROAD: u8 = 3;
const PAVEMENT: u8 = 4;
const TREE: u8 = 5;
const SIGN: u8 = 6;
const FENCE: u8 = 7;
const CAR: u8 = 8;
const PEDESTRIAN: u8 = 9;
const CYCLIST: u8 = 10;

/// What a scene is made from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SceneConfig {
    /// Chooses the street, its light and everything on it.
    pub seed: u64,
    /// Picture width, pixels, 16..=4096.
    pub width: u32,
    /// Picture height, pixels, 16..=4096.
    pub height: u32,
    /// Frames a second: how far apart in time two frames are. More than 0.
    pub fps: f32,
}

/// A street drawn in perspective, with the class of every pixel.
pub struct Road {
    config: SceneConfig,
    plan: Plan,
    mood: Mood,
    walls: Walls,
    garden: Garden,
    boards: Texture,
    railings: Texture,
    sky: Sky,
    ground: Ground,
    finish: Finish,
    // Memory kept from frame to frame.
    view: View,
    shadows: Shadows,
    items: Vec<Item>,
    scanner: Scanner,
    row: Vec<Pixel>,
    shape: Vec<Point>,
}

impl Road {
    /// Prepares the scene: paints its textures, which takes a fraction of a second.
    pub fn new(config: SceneConfig) -> Self {
        let config = SceneConfig {
            width: config.width.max(1),
            height: config.height.max(1),
            fps: if config.fps > 0.0 { config.fps } else { 1.0 },
            ..config
        };
        // The constant was chosen for what seed 1 shows.
        let seed = mix(config.seed, 25);
        let mut rng = Rng::new(seed);
        let mood = Mood::new(&mut Rng::new(mix(seed, 1)));
        let plan = Plan::new(seed, &mut Rng::new(mix(seed, 2)));
        let noise = Field::new(mix(seed, 3), 8, 5);
        let sun = if mood.to_sun[0] < 0.0 { -1.0 } else { 1.0 };
        let uses = [
            Use::Home,
            Use::Home,
            Use::Home,
            Use::Shops,
            Use::Shops,
            Use::Shops,
            Use::Office,
            Use::Office,
        ];
        let fronts = uses
            .map(|usage| Facade::new(usage, &mut rng, &noise))
            .into();
        let walls = Walls {
            fronts,
            plain: facade::plain_wall(&noise, mix(seed, 4)),
            roof: facade::roof_tiles(&noise, mix(seed, 5)),
        };
        let leaf: Rgb = rng.pick(&[
            [0.30, 0.40, 0.16],
            [0.24, 0.36, 0.17],
            [0.36, 0.42, 0.18],
            [0.27, 0.34, 0.20],
        ]);
        let autumn: Rgb = rng.pick(&[[0.56, 0.36, 0.12], [0.50, 0.42, 0.14], [0.46, 0.24, 0.10]]);
        let evergreen: Rgb = [0.17, 0.26, 0.15];
        let season = rng.unit();
        let kinds: [(Growth, Rgb); 5] = if season < 0.5 {
            [
                (Growth::Leafy, leaf),
                (Growth::Leafy, leaf),
                (Growth::Leafy, evergreen),
                (Growth::Leafy, leaf),
                (Growth::Conifer, evergreen),
            ]
        } else if season < 0.68 {
            [
                (Growth::Leafy, autumn),
                (Growth::Leafy, leaf),
                (Growth::Bare, leaf),
                (Growth::Leafy, autumn),
                (Growth::Conifer, evergreen),
            ]
        } else {
            [
                (Growth::Bare, leaf),
                (Growth::Bare, leaf),
                (Growth::Bare, leaf),
                (Growth::Leafy, evergreen),
                (Growth::Conifer, evergreen),
            ]
        };
        let trees = kinds
            .map(|(growth, leaf)| Tree::new(growth, leaf, sun, &mut rng))
            .into();
        let bushes = [leaf, evergreen]
            .map(|leaf| Tree::new(Growth::Bush, leaf, sun, &mut rng))
            .into();
        let hedge = foliage::hedge(
            if rng.chance(0.5) { leaf } else { evergreen },
            &noise,
            &mut rng,
        );
        let grass = rng.pick(&[[0.34, 0.42, 0.18], [0.40, 0.44, 0.22], [0.30, 0.37, 0.18]]);
        let built = rng.range(0.25, 0.6);
        Self {
            walls,
            garden: Garden {
                trees,
                bushes,
                hedge,
            },
            boards: facade::boards(&noise, mix(seed, 6)),
            railings: facade::railings(),
            sky: Sky::new(seed, built, &mut rng),
            ground: Ground::new(seed, grass, &mut rng),
            finish: Finish::new(seed, mood.grain),
            view: View::new(),
            shadows: Shadows::default(),
            items: Vec::new(),
            scanner: Scanner::default(),
            row: Vec::new(),
            shape: Vec::new(),
            config,
            plan,
            mood,
        }
    }

    /// Draws frame `index` (its time is `index / fps` seconds) into `rgb` (height * width * 3
    /// bytes, row-major, no padding) and `labels` (height * width bytes, an index into
    /// [`CLASSES`]). Both are resized, and their memory is used again by the next call.
    ///
    /// The frame depends on `index` alone, not on frames drawn before. Indices repeat after
    /// 2^32 frames.
    pub fn render(&mut self, index: u64, rgb: &mut Vec<u8>, labels: &mut Vec<u8>) {
        let size = (self.config.width as usize, self.config.height as usize);
        rgb.resize(size.0 * size.1 * 3, 0);
        labels.resize(size.0 * size.1, 0);
        let time = (index & 0xffff_ffff) as f64 / f64::from(self.config.fps);
        self.view.place(
            size,
            &self.plan.mount,
            &self.plan.bend,
            time * SPEED + 40.0,
            time,
        );
        self.plan.items(&self.view, time, &mut self.items);
        // The key orders; seed and place settle ties the same way every time.
        self.items.sort_unstable_by(|a, b| {
            b.key
                .total_cmp(&a.key)
                .then(a.seed.cmp(&b.seed))
                .then(a.ahead.total_cmp(&b.ahead))
        });

        let mut canvas = Canvas::new(size, rgb, labels, &mut self.scanner, &mut self.row);
        self.shadows.clear(size.0 * size.1);
        if self.mood.casts() {
            let cast = Caster {
                view: &self.view,
                mood: &self.mood,
                walls: &self.walls,
                garden: &self.garden,
            };
            for item in &self.items {
                cast.item(item, size, &mut self.shadows);
            }
        }
        self.sky.draw(&self.view, &self.mood, time, &mut canvas);
        self.ground.draw(
            &self.plan,
            &self.view,
            &self.mood,
            &self.shadows.mask,
            &mut canvas,
        );
        let mut pen = Pen {
            view: &self.view,
            mood: &self.mood,
            canvas: &mut canvas,
            shape: &mut self.shape,
            label: None,
            lit: 1.0,
            threshold: SOLID,
        };
        for item in &self.items {
            pen.lit = 1.0 - shadow_at(&self.view, &self.shadows.mask, size, item);
            match item.kind {
                Kind::Building(ref house) => self.walls.draw(&mut pen, item, house),
                Kind::Tree { .. } | Kind::Bush => self.garden.draw(&mut pen, item),
                Kind::Hedge(length) => self.garden.hedge(&mut pen, item, length),
                Kind::Fence { length, iron } => {
                    let texture = if iron { &self.railings } else { &self.boards };
                    furniture::fence(&mut pen, item, length, texture, iron);
                }
                Kind::Lamp => furniture::lamp(&mut pen, item),
                Kind::Sign => furniture::sign(&mut pen, item),
                Kind::Signal => furniture::signal(&mut pen, item, time),
                Kind::Bollard => furniture::bollard(&mut pen, item),
                Kind::Vehicle(along) => vehicle::draw(&mut pen, item, along),
                Kind::Walker {
                    along,
                    across,
                    step,
                } => people::walker(&mut pen, item, along, across, step),
                Kind::Rider { along, step } => people::rider(&mut pen, item, along, step),
            }
        }
        self.finish.apply(rgb, size, self.mood.exposure, index);
    }
}

/// How deep in shadow the ground under `item` lies, 0..1.
fn shadow_at(view: &View, mask: &[u8], (width, height): (usize, usize), item: &Item) -> f32 {
    let foot = view.point(item.ahead.max(1.0), item.lateral, 0.0);
    let [x, y] = view.project(foot);
    let x = (x.max(0.0) as usize).min(width - 1);
    let y = (y.max(0.0) as usize).min(height - 1);
    f32::from(mask[y * width + x]) / 255.0
}

/// Throws the shadows of things on the ground.
struct Caster<'a> {
    view: &'a View,
    mood: &'a Mood,
    walls: &'a Walls,
    garden: &'a Garden,
}

impl Caster<'_> {
    fn item(&self, item: &Item, size: (usize, usize), out: &mut Shadows) {
        let view = self.view;
        let (x, z) = street::shadow_reach(self.mood);
        let at = |p: Vec3, height: f32| add(p, [x * height, 0.0, z * height]);
        let foot = view.point(item.ahead, item.lateral, 0.0);
        let mut upright = |a: Vec3, b: Vec3, height: f32, depth: u32| {
            out.add(view, size, &[a, b, at(b, height), at(a, height)], depth);
        };
        match item.kind {
            Kind::Building(house) => {
                let form = self.walls.form(&house);
                let side = if item.lateral > 0.0 { 1.0 } else { -1.0 };
                // Neighbours stand wall to wall: no light may fall between them.
                let foot = view.point(item.ahead - 0.3, item.lateral, 0.0);
                let far = view.point(item.ahead + house.length + 0.3, item.lateral, 0.0);
                let deep = [side * house.depth, 0.0, 0.0];
                let half = [side * house.depth * 0.5, 0.0, 0.0];
                upright(foot, far, form.height, 255);
                upright(foot, add(foot, deep), form.height, 255);
                upright(far, add(far, deep), form.height, 255);
                upright(
                    add(foot, half),
                    add(far, half),
                    form.height + form.rise,
                    255,
                );
                let (a, b) = (at(foot, form.height), at(far, form.height));
                out.add(view, size, &[a, b, add(b, deep), add(a, deep)], 255);
            }
            Kind::Tree { .. } | Kind::Bush => {
                let (tree, height) = self.garden.plant(item);
                // The picture of the tree, turned to face the sun and laid on the ground.
                let wide = height * tree.aspect;
                let down = math::unit([x, 0.0, z]);
                let along = [-down[2] * wide, 0.0, down[0] * wide];
                let panel = Panel {
                    origin: math::sub(foot, math::scale(along, 0.5)),
                    along,
                    up: [x * height, 0.0, z * height],
                    repeat: [1.0, 1.0],
                    shift: 0.0,
                };
                let paint = Textured::new(view, self.mood, &panel, &tree.sprite, [1.0; 3], true);
                if let Some(paint) = paint {
                    out.add_cut_out(view, size, &panel, &paint, 215);
                }
            }
            Kind::Hedge(length) | Kind::Fence { length, .. } => {
                let far = view.point(item.ahead + length, item.lateral, 0.0);
                let depth = if matches!(item.kind, Kind::Fence { iron: true, .. }) {
                    90
                } else {
                    255
                };
                upright(foot, far, 1.25, depth);
            }
            Kind::Vehicle(along) => {
                let (base, height) = vehicle::footprint(view, item, along);
                out.add(view, size, &base, 255);
                for i in 0..4 {
                    let (a, b) = (base[i], base[(i + 1) % 4]);
                    out.add(
                        view,
                        size,
                        &[a, b, at(b, height * 0.75), at(a, height * 0.75)],
                        255,
                    );
                }
                let roof = base.map(|p| at(p, height * 0.75));
                out.add(view, size, &roof, 255);
            }
            Kind::Walker { .. } | Kind::Rider { .. } => {
                let r = [0.2, 0.0, 0.0];
                upright(math::sub(foot, r), add(foot, r), 1.6, 235);
                let d = [0.0, 0.0, 0.2];
                upright(math::sub(foot, d), add(foot, d), 1.6, 235);
            }
            Kind::Lamp | Kind::Sign | Kind::Signal | Kind::Bollard => {
                let (r, height) = match item.kind {
                    Kind::Lamp => (0.06, 7.0),
                    Kind::Bollard => (0.08, 0.95),
                    _ => (0.06, 2.6),
                };
                let (r, d) = ([r, 0.0, 0.0], [0.0, 0.0, r]);
                upright(math::sub(foot, r), add(foot, r), height, 220);
                upright(math::sub(foot, d), add(foot, d), height, 220);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn road(seed: u64, width: u32, height: u32) -> Road {
        Road::new(SceneConfig {
            seed,
            width,
            height,
            fps: 15.0,
        })
    }

    /// FNV-1a, so that the pinned values need no other code.
    fn hash(bytes: &[u8]) -> u64 {
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }

    #[test]
    fn frames_are_the_same_bytes_on_every_machine() {
        let (mut rgb, mut labels) = (Vec::new(), Vec::new());
        road(1, 96, 72).render(7, &mut rgb, &mut labels);
        assert_eq!((rgb.len(), labels.len()), (96 * 72 * 3, 96 * 72));
        let (picture, classes) = (hash(&rgb), hash(&labels));
        let expected = (0x03d8_240b_d431_df09, 0xa0bf_d5ae_7e07_191e);
        assert_eq!((picture, classes), expected, "{picture:#x} {classes:#x}");
    }

    #[test]
    fn a_frame_does_not_depend_on_frames_before_it() {
        let (mut rgb, mut labels) = (Vec::new(), Vec::new());
        road(4, 80, 60).render(5, &mut rgb, &mut labels);
        let (mut again, mut classes) = (vec![9; 7], vec![9; 100_000]);
        let mut other = road(4, 80, 60);
        other.render(900, &mut again, &mut classes);
        other.render(5, &mut again, &mut classes);
        assert!(rgb == again && labels == classes);
    }

    #[test]
    fn the_first_minute_of_the_default_seed_shows_every_class() {
        let mut road = road(1, 320, 240);
        let (mut rgb, mut labels) = (Vec::new(), Vec::new());
        let mut count = [0usize; CLASSES.len()];
        for index in (0..900).step_by(60) {
            road.render(index, &mut rgb, &mut labels);
            for &label in &labels {
                count[usize::from(label)] += 1;
            }
        }
        for (name, count) in CLASSES.iter().zip(count) {
            assert!(count > 300, "{name}: {count} pixels");
        }
    }

    #[test]
    fn streets_look_like_streets() {
        let (mut rgb, mut labels) = (Vec::new(), Vec::new());
        let mut share = [0.0f32; CLASSES.len()];
        let seeds = 12;
        for seed in 0..seeds {
            road(seed, 160, 120).render(seed * 37, &mut rgb, &mut labels);
            for &label in &labels {
                share[usize::from(label)] += 100.0 / (160.0 * 120.0 * seeds as f32);
            }
        }
        let expect = |class: u8, low: f32, high: f32| {
            let share = share[usize::from(class)];
            assert!(
                (low..high).contains(&share),
                "{}: {share} %",
                CLASSES[usize::from(class)]
            );
        };
        expect(SKY, 8.0, 32.0);
        expect(BUILDING, 10.0, 38.0);
        expect(POLE, 0.3, 3.0);
        expect(ROAD, 22.0, 42.0);
        expect(PAVEMENT, 2.0, 9.0);
        expect(TREE, 3.0, 22.0);
        expect(CAR, 2.0, 16.0);
        expect(PEDESTRIAN, 0.1, 3.0);
    }

    #[test]
    fn any_size_and_any_moment_can_be_drawn() {
        let (mut rgb, mut labels) = (Vec::new(), Vec::new());
        for (width, height) in [(16, 16), (17, 33), (16, 512), (640, 16), (1, 1), (101, 77)] {
            for (seed, index) in [(0, 0), (5, 12_345), (u64::MAX, u64::MAX)] {
                road(seed, width, height).render(index, &mut rgb, &mut labels);
                assert_eq!(rgb.len(), (width * height * 3) as usize);
                assert!(
                    labels
                        .iter()
                        .all(|&label| usize::from(label) < CLASSES.len())
                );
            }
        }
    }

    #[test]
    fn odd_frame_rates_are_survived() {
        let (mut rgb, mut labels) = (Vec::new(), Vec::new());
        for fps in [0.0, -1.0, f32::NAN, 1e-30, 1e30, f32::INFINITY] {
            let config = SceneConfig {
                seed: 2,
                width: 32,
                height: 24,
                fps,
            };
            Road::new(config).render(77, &mut rgb, &mut labels);
            assert!(labels.contains(&ROAD));
        }
    }

    #[test]
    fn what_stands_stays_where_it_is() {
        let road = road(3, 64, 48);
        let places = |index: u64| {
            let time = index as f64 / 15.0;
            let (mut view, mut items) = (View::new(), Vec::new());
            view.place(
                (64, 48),
                &road.plan.mount,
                &road.plan.bend,
                time * SPEED,
                time,
            );
            road.plan.items(&view, time, &mut items);
            let mut found = Vec::new();
            for item in items {
                if matches!(item.kind, Kind::Lamp | Kind::Building(_))
                    && item.ahead > 10.0
                    && item.ahead < 150.0
                {
                    found.push((item.seed, f64::from(item.ahead) + view.s, item.lateral));
                }
            }
            found
        };
        let (before, after) = (places(0), places(15));
        let mut common = 0;
        for (seed, s, lateral) in &before {
            for other in after
                .iter()
                .filter(|other| other.0 == *seed && other.2 == *lateral)
            {
                common += 1;
                assert!((other.1 - s).abs() < 0.01);
            }
        }
        assert!(common > 5, "{common} in common");
    }
}
