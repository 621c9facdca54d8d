//! What stands and moves on the street: an endless layout computed from the seed and the place.

use super::math::sin_turns;
use super::mood::Mood;
use super::rng::{Rng, mix, unit};
use super::view::{Bend, FAR, Mount, View};

/// Metres from one side street to the next.
pub const BLOCK: f64 = 96.0;
/// Half the width of a side street, metres.
pub const SIDE_STREET: f32 = 4.6;
/// Metres a second the camera travels.
pub const SPEED: f64 = 8.0;
/// How much a metre to the side counts against a metre ahead when things are sorted.
const SIDEWAYS: f32 = 1.5;

/// What lines one side of the street for a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum District {
    /// Fronts right at the pavement: shops and offices.
    City,
    /// Rows of houses behind small front gardens.
    Terrace,
    /// Houses apart from each other, with gardens.
    Suburb,
    /// Trees behind railings.
    Park,
}

/// A building on its plot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct House {
    pub length: f32,
    pub depth: f32,
    /// Chooses the front and the roof.
    pub facade: u64,
    /// Stands on the street among shops, not in a garden.
    pub city: bool,
}

/// What an [`Item`] is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    Building(House),
    /// `kerb` trees stand in the pavement.
    Tree {
        kerb: bool,
    },
    Bush,
    /// Metres along the street.
    Hedge(f32),
    Fence {
        length: f32,
        iron: bool,
    },
    Lamp,
    Sign,
    Signal,
    Bollard,
    /// Direction of travel: 1 away from the camera, -1 towards it.
    Vehicle(f32),
    /// A person who walks along (1, -1) or stands or crosses.
    Walker {
        along: f32,
        across: f32,
        step: f32,
    },
    Rider {
        along: f32,
        step: f32,
    },
}

/// One thing at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Item {
    /// Things with a larger key are drawn first.
    pub key: f32,
    /// Metres ahead of the camera: the centre, or the near end of what has a length.
    pub ahead: f32,
    /// Metres right of the centre line.
    pub lateral: f32,
    pub seed: u64,
    pub kind: Kind,
}

/// The choices that hold for a whole scene.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub bend: Bend,
    pub mount: Mount,
    /// 1 where traffic keeps right, -1 where it keeps left.
    pub drive: f32,
    /// Half the carriageway's width, metres.
    pub road: f32,
    /// Width of the pavements, metres.
    pub pave: f32,
    /// Distance of a traffic lane's middle from the centre line, metres.
    pub lane: f32,
    pub parking: f32,
    /// Pedestrians a metre of pavement.
    pub crowd: f32,
    pub traffic: f32,
    /// Yellow lines at the kerb.
    pub yellow: bool,
    pub solid_centre: bool,
    home: District,
}

impl Plan {
    /// The plan of a seed.
    pub fn new(seed: u64, rng: &mut Rng) -> Self {
        let home = match rng.unit() {
            x if x < 0.42 => District::City,
            x if x < 0.68 => District::Terrace,
            x if x < 0.88 => District::Suburb,
            _ => District::Park,
        };
        let parked = rng.chance(0.6);
        let road = if parked {
            rng.range(4.8, 6.0)
        } else {
            rng.range(3.2, 4.5)
        };
        let lane = if parked {
            (road - 2.0) * 0.5
        } else {
            road * 0.5
        };
        let drive = if rng.chance(0.6) { -1.0 } else { 1.0 };
        Self {
            seed,
            bend: Bend {
                seed: mix(seed, 11),
                sway: rng.range(1.0, 16.0),
            },
            mount: Mount {
                height: rng.range(1.25, 1.75),
                lateral: drive * (lane + rng.range(-0.3, 0.6)),
                yaw: rng.range(-0.15, 0.15),
                horizon: rng.range(0.45, 0.57),
                zoom: rng.range(1.05, 1.35),
            },
            drive,
            road,
            pave: rng.range(2.1, 4.0),
            lane,
            parking: if parked { rng.range(0.25, 0.65) } else { 0.0 },
            crowd: rng.range(0.02, 0.10) * if home == District::City { 1.6 } else { 0.8 },
            traffic: rng.range(0.25, 0.8),
            yellow: drive < 0.0 && rng.chance(0.5),
            solid_centre: rng.chance(0.2),
            home,
        }
    }

    /// What lines `side` (-1 left, 1 right) in `block`.
    pub fn district(&self, block: i64, side: f32) -> District {
        let hash = mix(
            mix(self.seed, 21),
            (block as u64) << 1 | u64::from(side > 0.0),
        );
        match unit(hash) {
            x if x < 0.60 => self.home,
            x if x < 0.72 => District::City,
            x if x < 0.84 => District::Terrace,
            x if x < 0.94 => District::Suburb,
            _ => District::Park,
        }
    }

    /// Whether a side street meets the street at the start of `block`.
    pub fn junction(&self, block: i64) -> bool {
        unit(mix(mix(self.seed, 22), block as u64)) < 0.6
    }

    /// Whether people cross at the start of `block` on painted stripes.
    pub fn zebra(&self, block: i64) -> bool {
        unit(mix(mix(self.seed, 23), block as u64)) < 0.5
    }

    /// Where the middle of the stripes lies before the start of a block, metres.
    pub fn zebra_before(&self) -> f32 {
        SIDE_STREET + 3.0
    }

    /// Distance of the building line from the kerb of the pavement's back edge, metres.
    pub fn setback(&self, district: District) -> f32 {
        match district {
            District::City => 0.15,
            District::Terrace => 2.1,
            District::Suburb => 5.0,
            District::Park => 14.0,
        }
    }

    /// Distance of the pavement's back edge from the centre line, metres.
    pub fn back(&self) -> f32 {
        self.road + self.pave
    }

    /// Everything in sight at `time` seconds, in no order.
    pub fn items(&self, view: &View, time: f64, out: &mut Vec<Item>) {
        out.clear();
        let first = (view.s / BLOCK).floor() as i64;
        for block in first.saturating_sub(1)..=first.saturating_add(2) {
            for side in [-1.0, 1.0] {
                self.plots(block, side, view, out);
            }
        }
        self.lined(view, out);
        self.moving(view, time, out);
        self.crossing(view, time, out);
    }

    /// Buildings, gardens and what bounds them, for one block and side.
    fn plots(&self, block: i64, side: f32, view: &View, out: &mut Vec<Item>) {
        let district = self.district(block, side);
        let mut rng = Rng::new(mix(
            mix(self.seed, 31),
            (block as u64) << 1 | u64::from(side > 0.0),
        ));
        let start = (block as f64 * BLOCK - view.s) as f32;
        let clear = |junction: bool| {
            if junction {
                SIDE_STREET + self.pave
            } else {
                0.0
            }
        };
        let end = start + BLOCK as f32 - clear(self.junction(block.wrapping_add(1)));
        let mut at = start + clear(self.junction(block));
        let front = self.back() + self.setback(district);
        let mut put = |ahead: f32, length: f32, lateral: f32, far: f32, seed: u64, kind: Kind| {
            if ahead < FAR && ahead + length > -12.0 {
                let key = ahead + far + SIDEWAYS * (lateral - view.lateral).abs();
                out.push(Item {
                    key,
                    ahead,
                    lateral,
                    seed,
                    kind,
                });
            }
        };
        let iron = rng.chance(0.5);
        let hedged = rng.chance(0.4);
        while end - at > 5.0 {
            let seed = rng.bits();
            let (mut length, depth) = match district {
                District::City => (rng.range(8.0, 22.0), rng.range(9.0, 14.0)),
                District::Terrace => (rng.range(10.0, 24.0), rng.range(8.0, 10.0)),
                District::Suburb => (rng.range(9.0, 13.0), rng.range(8.0, 11.0)),
                District::Park => (16.0, 10.0),
            };
            let gap = match district {
                District::City if rng.chance(0.9) => 0.0,
                District::City => rng.range(2.0, 8.0),
                District::Terrace if rng.chance(0.75) => 0.0,
                District::Terrace => rng.range(1.5, 4.0),
                District::Suburb => rng.range(3.5, 9.0),
                District::Park => 0.0,
            };
            length = length.min(end - at);
            if end - at - length < 5.0 && gap == 0.0 {
                length = end - at;
            }
            let jitter = if district == District::Suburb {
                rng.range(-1.0, 2.0)
            } else {
                0.0
            };
            if district != District::Park {
                let house = House {
                    length,
                    depth,
                    facade: seed >> 7,
                    city: district == District::City,
                };
                put(
                    at,
                    length,
                    side * (front + jitter),
                    length,
                    seed,
                    Kind::Building(house),
                );
            }
            let next = at + length + gap;
            // Gardens: what grows in them and what shuts them off.
            let line = self.back() + 0.15;
            let (piece, wall) = (2.4f32, rng.unit());
            if district != District::City {
                let mut x = at;
                while x < next.min(end) - 0.5 {
                    let long = piece.min(next.min(end) - x);
                    let gate = district != District::Park && x - at > 3.0 && x - at < 5.5;
                    let kind = match district {
                        District::Park if hedged => Kind::Hedge(long),
                        District::Park => Kind::Fence {
                            length: long,
                            iron: true,
                        },
                        _ if wall < 0.35 => Kind::Hedge(long),
                        _ => Kind::Fence { length: long, iron },
                    };
                    if !gate && wall < 0.85 {
                        put(x, long, side * line, long * 0.5, seed, kind);
                    }
                    x += piece;
                }
                let deep = self.setback(district);
                let plants = match district {
                    District::Park => 7,
                    District::Suburb => 3,
                    _ => 1,
                };
                for _ in 0..plants {
                    let (x, y, s) = (rng.range(at, next), rng.unit(), rng.bits());
                    let lateral = side * (line + 1.0 + y * (deep - 1.2).max(0.4));
                    let kind = if rng.chance(0.45) && deep > 3.0 {
                        Kind::Tree { kerb: false }
                    } else {
                        Kind::Bush
                    };
                    put(x, 0.0, lateral, 0.0, s, kind);
                }
                // A second row closes the view behind open plots.
                if district != District::Terrace {
                    for k in 0..3 {
                        let x = at + (k as f32 + rng.unit()) * (next - at) / 3.0;
                        let lateral = side * (line + deep + rng.range(10.0, 16.0));
                        put(x, 0.0, lateral, 0.0, rng.bits(), Kind::Tree { kerb: false });
                    }
                }
            }
            at = next;
        }
        if self.junction(block) {
            // The mouth of the side street is closed some way back.
            for k in 0..4 {
                let lateral = side * (self.back() + 24.0 + rng.range(0.0, 9.0));
                put(
                    start - 6.0 + 4.0 * k as f32,
                    0.0,
                    lateral,
                    0.0,
                    rng.bits(),
                    Kind::Tree { kerb: false },
                );
            }
        }
    }

    /// Whether `s` lies where a side street leaves.
    fn mouth(&self, s: f64, margin: f32) -> bool {
        let block = (s / BLOCK + 0.5).floor() as i64;
        let off = (s - block as f64 * BLOCK) as f32;
        let stripes = self.zebra(block) && (off + self.zebra_before()).abs() < 3.6;
        stripes || self.junction(block) && off.abs() < SIDE_STREET + margin
    }

    /// Things placed one a cell along both kerbs.
    fn lined(&self, view: &View, out: &mut Vec<Item>) {
        // Number, cell length, and what to put there.
        let rows: [(u64, f64); 5] = [(1, 26.0), (2, 9.0), (3, 6.4), (4, 13.0), (5, 3.0)];
        for (row, cell) in rows {
            let from = ((view.s - 8.0) / cell).floor() as i64;
            let to = ((view.s + f64::from(FAR)) / cell).floor() as i64;
            for index in from..=to {
                for side in [-1.0f32, 1.0] {
                    let hash = mix(self.seed, row << 1 | u64::from(side > 0.0));
                    let seed = mix(hash, index as u64);
                    let mut rng = Rng::new(seed);
                    let s = (index as f64 + 0.5) * cell;
                    let block = (s / BLOCK).floor() as i64;
                    let district = self.district(block, side);
                    let jitter = rng.range(-0.2, 0.2);
                    let (kind, lateral, s) = match row {
                        1 => {
                            // Lamps stand on alternate sides.
                            if (index & 1 == 0) == (side > 0.0) {
                                continue;
                            }
                            (Kind::Lamp, self.road + 0.45, s)
                        }
                        2 => {
                            let chance = match district {
                                District::City => 0.16,
                                District::Terrace => 0.14,
                                District::Suburb => 0.35,
                                District::Park => 0.5,
                            };
                            if !rng.chance(chance) {
                                continue;
                            }
                            (
                                Kind::Tree { kerb: true },
                                self.road + 0.75,
                                s + f64::from(jitter) * 6.0,
                            )
                        }
                        3 => {
                            if !rng.chance(self.parking) {
                                continue;
                            }
                            // Parked as people park: mostly with the traffic.
                            let along =
                                side * self.drive * if rng.chance(0.85) { 1.0 } else { -1.0 };
                            (Kind::Vehicle(along), self.road - 1.05 + jitter * 0.6, s)
                        }
                        4 => {
                            if !rng.chance(0.6) {
                                continue;
                            }
                            (
                                Kind::Sign,
                                self.road + 0.5 + jitter,
                                s + f64::from(jitter) * 12.0,
                            )
                        }
                        _ => {
                            // Bollards come in short lines.
                            let group = mix(hash ^ 77, (index >> 2) as u64);
                            if district != District::City || unit(group) > 0.2 {
                                continue;
                            }
                            (Kind::Bollard, self.road + 0.4, s)
                        }
                    };
                    let margin = if row == 3 { self.pave + 3.0 } else { 1.2 };
                    if self.mouth(s, margin) {
                        continue;
                    }
                    self.put(view, (s - view.s) as f32, side * lateral, seed, kind, out);
                }
            }
        }
        let first = (view.s / BLOCK).floor() as i64;
        for block in first..=first.saturating_add(2) {
            let seed = mix(mix(self.seed, 41), block as u64);
            if self.junction(block) && unit(seed) < 0.55 {
                let start = (block as f64 * BLOCK - view.s) as f32;
                for (offset, side) in [(-1.2, self.drive), (-1.0, -self.drive), (1.5, -self.drive)]
                {
                    let ahead = start + offset * SIDE_STREET - 0.6;
                    self.put(
                        view,
                        ahead,
                        side * (self.road + 0.45),
                        seed,
                        Kind::Signal,
                        out,
                    );
                }
            }
        }
    }

    fn put(
        &self,
        view: &View,
        ahead: f32,
        lateral: f32,
        seed: u64,
        kind: Kind,
        out: &mut Vec<Item>,
    ) {
        if (-6.0..FAR).contains(&ahead) {
            let key = ahead + SIDEWAYS * (lateral - view.lateral).abs();
            out.push(Item {
                key,
                ahead,
                lateral,
                seed,
                kind,
            });
        }
    }

    /// Traffic and walkers: cells that move along with a common speed, so that every one keeps
    /// its identity for as long as it is in sight.
    fn moving(&self, view: &View, time: f64, out: &mut Vec<Item>) {
        struct Stream {
            id: u64,
            speed: f64,
            cell: f64,
            chance: f32,
        }
        let walk = self.crowd * 10.0;
        let streams = [
            Stream {
                id: 51,
                speed: SPEED,
                cell: 22.0,
                chance: self.traffic,
            },
            Stream {
                id: 52,
                speed: -7.0,
                cell: 19.0,
                chance: self.traffic,
            },
            Stream {
                id: 53,
                speed: 4.2,
                cell: 44.0,
                chance: 0.5,
            },
            Stream {
                id: 54,
                speed: -4.6,
                cell: 60.0,
                chance: 0.4,
            },
            Stream {
                id: 55,
                speed: 1.25,
                cell: 5.0,
                chance: walk * 0.5,
            },
            Stream {
                id: 56,
                speed: -1.35,
                cell: 5.0,
                chance: walk * 0.5,
            },
            Stream {
                id: 57,
                speed: 1.3,
                cell: 5.0,
                chance: walk * 0.5,
            },
            Stream {
                id: 58,
                speed: -1.2,
                cell: 5.0,
                chance: walk * 0.5,
            },
            Stream {
                id: 59,
                speed: 0.0,
                cell: 7.0,
                chance: walk * 0.35,
            },
        ];
        for stream in streams {
            let origin = view.s - stream.speed * time;
            let from = ((origin - 8.0) / stream.cell).floor() as i64;
            let to = ((origin + f64::from(FAR)) / stream.cell).floor() as i64;
            for index in from..=to {
                let seed = mix(mix(self.seed, stream.id), index as u64);
                let mut rng = Rng::new(seed);
                if !rng.chance(stream.chance) {
                    continue;
                }
                let (place, phase) = (f64::from(rng.range(-0.3, 0.3)), rng.unit());
                let turns = time / f64::from(rng.range(9.0, 17.0));
                let swing = sin_turns((turns - turns.floor()) as f32 + phase);
                let own = (index as f64 + 0.5 + place) * stream.cell;
                let ahead = (own - origin) as f32 + swing * 0.8;
                // A pace of 0.7 m, or a turn of the cranks in 4 m.
                let gone = (own + stream.speed * time) / if stream.id < 55 { 4.0 } else { 1.4 };
                let step = (gone - gone.floor()) as f32;
                let along = if stream.speed < 0.0 { -1.0 } else { 1.0 };
                let keep = if self.parking > 0.0 {
                    self.road - 2.3
                } else {
                    self.road - 0.6
                };
                let (kind, lateral) = match stream.id {
                    51 | 52 => {
                        let own_lane = along * self.drive * self.lane;
                        if along > 0.0 && ahead < 10.0 {
                            continue;
                        }
                        (Kind::Vehicle(along), own_lane + rng.range(-0.2, 0.2))
                    }
                    53 | 54 => (Kind::Rider { along, step }, along * self.drive * keep),
                    55..=58 => {
                        let side = if stream.id < 57 { 1.0 } else { -1.0 };
                        let lane = rng.range(0.9, (self.pave - 0.35).max(1.0));
                        (
                            Kind::Walker {
                                along,
                                across: 0.0,
                                step,
                            },
                            side * (self.road + lane),
                        )
                    }
                    _ => {
                        let side = if rng.chance(0.5) { 1.0 } else { -1.0 };
                        let lane = rng.range(0.6, (self.pave - 0.3).max(0.8));
                        (
                            Kind::Walker {
                                along: 0.0,
                                across: 0.0,
                                step: 0.0,
                            },
                            side * (self.road + lane),
                        )
                    }
                };
                if stream.speed == 0.0 && self.mouth(own, 0.0) {
                    continue;
                }
                self.put(view, ahead, lateral, seed, kind, out);
            }
        }
    }

    /// People on the stripes: each starts so as to be across before the camera arrives.
    fn crossing(&self, view: &View, time: f64, out: &mut Vec<Item>) {
        let first = (view.s / BLOCK).floor() as i64;
        for block in first..=first.saturating_add(2) {
            if !self.zebra(block) {
                continue;
            }
            let s = block as f64 * BLOCK - f64::from(self.zebra_before());
            for k in 0..3 {
                let seed = mix(mix(self.seed, 61 + k), block as u64);
                let mut rng = Rng::new(seed);
                if !rng.chance(0.45) {
                    continue;
                }
                let pace = rng.range(1.25, 1.7);
                let edge = self.road + 0.9;
                let arrival = s / SPEED;
                let start =
                    arrival - 2.4 - f64::from(2.0 * edge / pace) - f64::from(rng.range(0.0, 6.0));
                let gone = ((time - start).clamp(-1.0, 60.0) as f32 * pace).clamp(0.0, 2.0 * edge);
                let side = if rng.chance(0.5) { 1.0 } else { -1.0 };
                let walking = gone > 0.0 && gone < 2.0 * edge;
                let across = if walking { side } else { 0.0 };
                let turns = gone / 1.4;
                let kind = Kind::Walker {
                    along: 0.0,
                    across,
                    step: turns - (turns as i32) as f32,
                };
                let ahead = (s - view.s) as f32 + rng.range(-1.0, 1.0);
                self.put(view, ahead, side * (gone - edge), seed, kind, out);
            }
        }
    }
}

/// The sideways length of a shadow for each metre of height, along the street and across it.
pub fn shadow_reach(mood: &Mood) -> (f32, f32) {
    (
        -mood.to_sun[0] / mood.to_sun[1],
        -mood.to_sun[2] / mood.to_sun[1],
    )
}
