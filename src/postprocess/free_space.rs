//! How far the ground is free, column by column, and the way through.
//!
//! # Definitions
//!
//! A pixel is *free* if its label is in the set of drivable classes; every other pixel is
//! *blocked*, whatever it shows: a class that stands for "void" or "unknown" blocks unless
//! it is declared drivable.
//!
//! The scan begins at the lower edge of the picture, or at [`Plan::bottom`] where the
//! vehicle itself is in view. In each column the *free rows* are those from there upwards
//! to the first blocked pixel. A column that starts blocked has none; one without a
//! blocked pixel has all. What lies behind the first blocked pixel is not looked at, even
//! if it is free.
//!
//! The *contact* of a blocked column is where the lowest blocked pixel meets the ground:
//! the middle of its lower edge. With a view of the [`Ground`] it is a place in metres;
//! at the horizon or above, it is beyond, and blocks nothing. In a column that starts
//! blocked it is the place at the edge where the scan begins, though what blocks may be
//! nearer.
//!
//! *Nearest* is the least number of free rows, or the least distance ahead of a contact,
//! among the watched columns: those whose centre lies within [`Plan::columns`], and for
//! the distance in metres also those whose contact lies within [`Plan::lateral`]. It is
//! infinite where none of them is blocked (or all are beyond), and NaN, which means
//! unknown, where no column is watched.
//!
//! The *corridor* at a row is the longest stretch of neighbouring columns that are free
//! from the beginning of the scan to that row, the row included; among equally long ones
//! the nearest to the picture's middle, then the one further left. Where no column is, its
//! width is 0 and its offset unknown (NaN). Its *offset* is that of its middle from the
//! picture's, to the right; in metres that of the middle between its two ends from the
//! ground's origin. Its width in metres is the distance of its ends. A row outside the
//! scan, or beyond the horizon, has no corridor: everything is unknown there.

use serde::{Deserialize, Serialize};

use super::ground::Ground;
use super::region::ClassSet;
use crate::mask::Mask;

/// What is measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The classes that may be driven on.
    pub drivable: ClassSet,
    /// Where the scan begins, as a share of the picture's height, above 0, at most 1: rows
    /// whose centre is below it are not looked at.
    pub bottom: f64,
    /// The columns that [`FreeSpace::nearest_px`] and [`FreeSpace::nearest_m`] watch, as
    /// shares of the picture's width.
    pub columns: [f64; 2],
    /// What they watch of the ground, metres from the middle, right of it positive.
    pub lateral: Option<[f64; 2]>,
    /// Where corridors are measured.
    pub corridors: Vec<At>,
    /// The view of the ground.
    pub ground: Option<Ground>,
    /// Whether whoever writes results lists [`FreeSpace::free_rows`].
    pub profile: bool,
}

/// Where a corridor is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum At {
    /// At the row of this share of the picture's height.
    Row(f64),
    /// At the row where the ground is so many metres straight ahead.
    Metres(f64),
}

/// The corridor at one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Corridor {
    /// The row, counted from the top; `None` where it is outside the scan or beyond.
    pub row: Option<u32>,
    /// Distance ahead of its middle in metres; NaN without a view of the ground.
    pub ahead_m: f32,
    /// Width in columns.
    pub width_px: f32,
    /// Offset in columns.
    pub offset_px: f32,
    /// Width in metres.
    pub width_m: f32,
    /// Offset in metres.
    pub offset_m: f32,
}

impl Corridor {
    /// Nothing is known.
    const UNKNOWN: Self = Self {
        row: None,
        ahead_m: f32::NAN,
        width_px: f32::NAN,
        offset_px: f32::NAN,
        width_m: f32::NAN,
        offset_m: f32::NAN,
    };
}

/// What was measured in one mask; see the [module](self).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FreeSpace {
    /// One past the row that the scan begins with.
    pub bottom_row: u32,
    /// Free rows of each column; as many as `bottom_row` where nothing blocks.
    pub free_rows: Vec<u32>,
    /// Free rows up to the nearest contact.
    pub nearest_px: f32,
    /// Metres ahead of the nearest contact; NaN without a view of the ground.
    pub nearest_m: f32,
    /// The corridors, in the plan's order.
    pub corridors: Vec<Corridor>,
    /// See [`Plan::profile`].
    pub profile: bool,
}

/// Measures masks. Its buffers are reused: while sizes repeat, nothing is allocated.
#[derive(Debug, Clone)]
pub struct Meter {
    plan: Plan,
    free: [bool; 256],
    /// The columns that are free so far.
    open: Vec<u32>,
}

impl Meter {
    /// Prepares a plan.
    pub fn new(plan: Plan) -> Self {
        Self {
            free: std::array::from_fn(|label| plan.drivable.contains(label as u8)),
            plan,
            open: Vec::new(),
        }
    }

    /// Measures a mask. `out` is wholly written.
    pub fn run(&mut self, mask: &Mask, out: &mut FreeSpace) {
        self.scan(mask, out);
        self.nearest(mask, out);
        out.profile = self.plan.profile;
        out.corridors.clear();
        let corridors = self.plan.corridors.iter();
        out.corridors.extend(
            corridors.map(|&at| corridor(&self.plan, at, mask, out.bottom_row, &out.free_rows)),
        );
    }

    /// Takes time in proportion to the free pixels, not to all.
    fn scan(&mut self, mask: &Mask, out: &mut FreeSpace) {
        let (width, height) = (mask.width, mask.height);
        // Rows whose centre, (y + 1/2) / height, is above the edge.
        let rows = (self.plan.bottom * f64::from(height) - 0.5).ceil();
        out.bottom_row = (rows.max(0.0) as u32).min(height);
        out.free_rows.clear();
        out.free_rows.resize(width as usize, 0);
        self.open.clear();
        self.open.extend(0..width);
        for y in (0..out.bottom_row).rev() {
            let row = mask.row(y);
            let rows = out.bottom_row - y;
            self.open.retain(|&column| {
                let free = self.free[usize::from(row[column as usize])];
                if free {
                    out.free_rows[column as usize] = rows;
                }
                free
            });
            if self.open.is_empty() {
                break;
            }
        }
    }

    fn nearest(&self, mask: &Mask, out: &mut FreeSpace) {
        let plan = &self.plan;
        let (width, height) = (f64::from(mask.width), f64::from(mask.height));
        let (mut watched, mut rows, mut metres) = (false, f32::INFINITY, f64::INFINITY);
        for (column, &free) in (0u32..).zip(&out.free_rows) {
            let x = (f64::from(column) + 0.5) / width;
            if !(plan.columns[0]..=plan.columns[1]).contains(&x) {
                continue;
            }
            watched = out.bottom_row > 0;
            if free == out.bottom_row {
                continue;
            }
            rows = rows.min(free as f32);
            if let Some(ground) = &plan.ground
                && let Some([right, ahead]) =
                    ground.to_ground(x, f64::from(out.bottom_row - free) / height)
                && plan
                    .lateral
                    .is_none_or(|[from, to]| (from..=to).contains(&right))
            {
                metres = metres.min(ahead);
            }
        }
        out.nearest_px = if watched { rows } else { f32::NAN };
        let known = watched && plan.ground.is_some();
        out.nearest_m = if known { metres as f32 } else { f32::NAN };
    }
}

fn corridor(plan: &Plan, at: At, mask: &Mask, bottom_row: u32, free_rows: &[u32]) -> Corridor {
    let (width, height) = (f64::from(mask.width), f64::from(mask.height));
    let share = match (at, &plan.ground) {
        (At::Row(share), _) => Some(share),
        (At::Metres(ahead), Some(ground)) => ground.to_picture(0.0, ahead).map(|[_, y]| y),
        (At::Metres(_), None) => None,
    };
    let row = share.map(|share| (share * height).floor());
    let Some(row) = row.filter(|row| (0.0..f64::from(bottom_row)).contains(row)) else {
        return Corridor::UNKNOWN;
    };
    let row = row as u32;
    let Some([left, right]) = widest(free_rows, bottom_row - row) else {
        return Corridor {
            row: Some(row),
            width_px: 0.0,
            width_m: if plan.ground.is_some() { 0.0 } else { f32::NAN },
            ..Corridor::UNKNOWN
        };
    };
    let y = (f64::from(row) + 0.5) / height;
    let end = |x: u32| plan.ground.as_ref()?.to_ground(f64::from(x) / width, y);
    let [ahead_m, width_m, offset_m] = match (end(left), end(right)) {
        (Some(a), Some(b)) => [
            (a[1] + b[1]) / 2.0,
            (a[0] - b[0]).hypot(a[1] - b[1]),
            (a[0] + b[0]) / 2.0,
        ],
        _ => [f64::NAN; 3],
    };
    Corridor {
        row: Some(row),
        ahead_m: ahead_m as f32,
        width_px: (right - left) as f32,
        offset_px: (f64::from(left + right) / 2.0 - width / 2.0) as f32,
        width_m: width_m as f32,
        offset_m: offset_m as f32,
    }
}

/// The longest stretch of columns with at least so many free rows: its first column and
/// one past its last.
fn widest(free_rows: &[u32], rows: u32) -> Option<[u32; 2]> {
    let columns = free_rows.len() as u32;
    let mut best: Option<[u32; 2]> = None;
    let mut start = 0;
    for stretch in free_rows.chunk_by(|&a, &b| (a >= rows) == (b >= rows)) {
        let end = start + stretch.len() as u32;
        if stretch[0] >= rows {
            // Twice the distance of its middle from the picture's.
            let from_middle = |[left, right]: [u32; 2]| (left + right).abs_diff(columns);
            let found = [start, end];
            let is_better = best.is_none_or(|best| {
                let (a, b) = (end - start, best[1] - best[0]);
                a > b || a == b && from_middle(found) < from_middle(best)
            });
            if is_better {
                best = Some(found);
            }
        }
        start = end;
    }
    best
}

/// A number of a measured mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Quantity {
    /// Distance to the nearest contact.
    Nearest,
    /// Width of the narrowest corridor.
    Width,
    /// Offset of the corridor that is farthest off, left or right.
    Offset,
}

impl Quantity {
    /// Whether it is measured where a plan has corridors.
    pub fn is_of_corridors(self) -> bool {
        match self {
            Self::Nearest => false,
            Self::Width | Self::Offset => true,
        }
    }
}

/// What it is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Rows or columns of the picture.
    Pixels,
    /// Metres on the ground.
    #[default]
    Metres,
}

/// When a quantity means danger, for a rule that wants one number from 0 to 1.
///
/// Danger is exactly 1 at `on` and past it, exactly 0 at `clear` and past it, and in
/// between in proportion. So a rule that turns on at 1 and off at 0 turns on at `on` and
/// off at `clear`. An unknown quantity is an unknown danger: NaN.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measure {
    /// What is looked at.
    pub quantity: Quantity,
    /// In which unit.
    pub unit: Unit,
    /// Where danger begins: below `clear` if small numbers are dangerous, above if large
    /// ones are.
    pub on: f32,
    /// Where it ends.
    pub clear: f32,
    /// Whether small numbers are dangerous.
    pub falling: bool,
}

impl Measure {
    /// The quantity; NaN where it is unknown.
    pub fn value(&self, space: &FreeSpace) -> f32 {
        let corridors = space.corridors.iter();
        // Of several, one that is unknown makes all unknown.
        let worst = |values: &mut dyn Iterator<Item = f32>, pick: fn(f32, f32) -> f32| {
            let pick = |a: f32, b: f32| {
                if a.is_nan() || b.is_nan() {
                    f32::NAN
                } else {
                    pick(a, b)
                }
            };
            values.reduce(pick).unwrap_or(f32::NAN)
        };
        match (self.quantity, self.unit) {
            (Quantity::Nearest, Unit::Pixels) => space.nearest_px,
            (Quantity::Nearest, Unit::Metres) => space.nearest_m,
            (Quantity::Width, Unit::Pixels) => worst(&mut corridors.map(|c| c.width_px), f32::min),
            (Quantity::Width, Unit::Metres) => worst(&mut corridors.map(|c| c.width_m), f32::min),
            (Quantity::Offset, Unit::Pixels) => {
                worst(&mut corridors.map(|c| c.offset_px.abs()), f32::max)
            }
            (Quantity::Offset, Unit::Metres) => {
                worst(&mut corridors.map(|c| c.offset_m.abs()), f32::max)
            }
        }
    }

    /// Danger, 0..=1 or NaN.
    pub fn danger(&self, space: &FreeSpace) -> f32 {
        /// The largest number below 1.
        const ALMOST: f32 = 1.0 - f32::EPSILON / 2.0;
        let sign = if self.falling { 1.0 } else { -1.0 };
        // All three so that small numbers are dangerous.
        let [value, on, clear] = [self.value(space), self.on, self.clear].map(|v| v * sign);
        if value.is_nan() {
            f32::NAN
        } else if value <= on {
            1.0
        } else if value >= clear {
            0.0
        } else {
            ((clear - value) / (clear - on)).clamp(f32::MIN_POSITIVE, ALMOST)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plan(drivable: &[u8]) -> Plan {
        Plan {
            drivable: drivable.iter().copied().collect(),
            bottom: 1.0,
            columns: [0.0, 1.0],
            lateral: None,
            corridors: Vec::new(),
            ground: None,
            profile: false,
        }
    }

    fn measure(plan: Plan, rows: &[&[u8]]) -> FreeSpace {
        let mask = Mask {
            width: rows[0].len() as u32,
            height: rows.len() as u32,
            labels: rows.concat(),
        };
        let mut out = FreeSpace::default();
        let mut meter = Meter::new(plan);
        meter.run(&mask, &mut out);
        let first = out.clone();
        meter.run(&mask, &mut out);
        assert_eq!(format!("{first:?}"), format!("{out:?}"));
        out
    }

    /// Classes 1 and 2 are ground. The third column starts blocked, the fourth is free
    /// all the way, the last has free ground behind what blocks.
    const ROWS: [&[u8]; 4] = [
        &[0, 0, 1, 1, 1],
        &[0, 1, 1, 2, 9],
        &[2, 1, 1, 1, 1],
        &[1, 1, 0, 1, 2],
    ];

    #[test]
    fn columns_are_free_up_to_the_first_blocked_pixel() {
        let space = measure(plan(&[1, 2]), &ROWS);
        assert_eq!(space.free_rows, [2, 3, 0, 4, 2]);
        assert_eq!(space.nearest_px, 0.0);
        assert!(space.nearest_m.is_nan());
        // Without what starts blocked, then only what is never blocked, then nothing.
        for (columns, nearest) in [([0.0, 0.4], 2.0), ([0.6, 0.8], f32::INFINITY)] {
            let space = measure(
                Plan {
                    columns,
                    ..plan(&[1, 2])
                },
                &ROWS,
            );
            assert_eq!(space.nearest_px, nearest);
        }
        let columns = [0.41, 0.42];
        assert!(
            measure(
                Plan {
                    columns,
                    ..plan(&[1, 2])
                },
                &ROWS
            )
            .nearest_px
            .is_nan()
        );
    }

    #[test]
    fn the_scan_begins_where_the_plan_says() {
        let bottom = 0.75;
        let space = measure(
            Plan {
                bottom,
                ..plan(&[1, 2])
            },
            &ROWS,
        );
        assert_eq!((space.bottom_row, space.nearest_px), (3, 1.0));
        assert_eq!(space.free_rows, [1, 2, 3, 3, 1]);
        let space = measure(
            Plan {
                bottom: 1e-9,
                ..plan(&[1])
            },
            &ROWS,
        );
        assert_eq!(space.bottom_row, 0);
        assert!(space.nearest_px.is_nan());
    }

    #[test]
    fn corridors_are_the_widest_and_of_these_the_middle_one() {
        let corridors = vec![
            At::Row(0.9),
            At::Row(0.6),
            At::Row(0.0),
            At::Row(1.0),
            At::Metres(3.0),
        ];
        let space = measure(
            Plan {
                corridors,
                ..plan(&[1, 2])
            },
            &ROWS,
        );
        let c = &space.corridors;
        // Columns 0 and 1, and 3 and 4, at the lower rows: equally near to the middle.
        assert_eq!(
            (c[0].row, c[0].width_px, c[0].offset_px),
            (Some(3), 2.0, -1.5)
        );
        assert_eq!(
            (c[1].row, c[1].width_px, c[1].offset_px),
            (Some(2), 2.0, -1.5)
        );
        assert_eq!(
            (c[2].row, c[2].width_px, c[2].offset_px),
            (Some(0), 1.0, 1.0)
        );
        for unknown in &c[3..] {
            assert!(unknown.row.is_none() && unknown.width_px.is_nan());
        }
        // No way through: a width, and no offset.
        let corridors = vec![At::Row(0.0)];
        let space = measure(
            Plan {
                corridors,
                ..plan(&[7])
            },
            &ROWS,
        );
        let c = space.corridors[0];
        assert_eq!((c.row, c.width_px), (Some(0), 0.0));
        assert!(c.offset_px.is_nan() && c.width_m.is_nan());
    }

    /// 1.5 m over the ground, level: row share `0.5 + 1.5 / d` is `d` metres ahead.
    fn level() -> Ground {
        Ground::from_matrix(&[1.5, 0.0, -0.75, 0.0, 0.0, 1.5, 0.0, 1.0, -0.5]).unwrap()
    }

    #[test]
    fn metres_are_those_of_the_contact() {
        // 100 rows: what blocks row 79 touches the ground at share 0.8, 5 m ahead.
        let mut rows = vec![vec![1u8; 4]; 100];
        rows[79][1] = 0;
        rows[89][3] = 0;
        // Above the horizon, where nothing blocks.
        rows[40][2] = 0;
        let rows: Vec<&[u8]> = rows.iter().map(Vec::as_slice).collect();
        let with = |columns, lateral| {
            let plan = Plan {
                ground: Some(level()),
                columns,
                lateral,
                corridors: vec![At::Metres(5.0), At::Metres(1.0)],
                ..plan(&[1])
            };
            measure(plan, &rows)
        };
        let near = |a: f32, b: f32| assert!((a - b).abs() < 1e-4, "{a} {b}");
        near(with([0.0, 1.0], None).nearest_m, 1.5 / 0.4);
        near(with([0.0, 0.5], None).nearest_m, 5.0);
        assert_eq!(with([0.5, 0.75], None).nearest_m, f32::INFINITY);
        assert_eq!(with([0.5, 0.75], None).nearest_px, 59.0);
        // The nearer contact is 1.4 m to the right, the other 0.6 m to the left.
        near(with([0.0, 1.0], Some([-1.0, 1.0])).nearest_m, 5.0);
        let space = with([0.0, 1.0], None);
        let c = space.corridors[0];
        assert_eq!(c.row, Some(80));
        // Columns 0 to 2 of 4 at 1.5 / 0.305 m.
        let ahead = 1.5 / 0.305;
        near(c.ahead_m, ahead);
        near(c.width_m, 0.75 * ahead);
        near(c.offset_m, -0.125 * ahead);
        // Below the picture.
        assert_eq!(space.corridors[1].row, None);
    }

    #[test]
    fn danger_is_exact_at_its_thresholds() {
        let space = |nearest_m: f32| FreeSpace {
            nearest_m,
            ..FreeSpace::default()
        };
        let measure = Measure {
            quantity: Quantity::Nearest,
            unit: Unit::Metres,
            on: 1.5,
            clear: 1.8,
            falling: true,
        };
        let danger = |value: f32| measure.danger(&space(value));
        assert_eq!(danger(0.0), 1.0);
        assert_eq!(danger(1.5), 1.0);
        assert_eq!(danger(1.8), 0.0);
        assert_eq!(danger(f32::INFINITY), 0.0);
        for value in [1.5f32.next_up(), 1.6, 1.8f32.next_down()] {
            assert!(danger(value) > 0.0 && danger(value) < 1.0, "{value}");
        }
        assert!(danger(f32::NAN).is_nan());
        // No hysteresis.
        let same = Measure {
            clear: 1.5,
            ..measure
        };
        assert_eq!(same.danger(&space(1.5)), 1.0);
        assert_eq!(same.danger(&space(1.5f32.next_up())), 0.0);
        let rising = Measure {
            on: 1.5,
            clear: 1.0,
            falling: false,
            ..measure
        };
        assert_eq!(rising.danger(&space(1.5)), 1.0);
        assert_eq!(rising.danger(&space(1.0)), 0.0);
        assert!((rising.danger(&space(1.25)) - 0.5).abs() < 1e-6);
    }

    #[test]
    fn the_worst_corridor_counts_and_an_unknown_one_hides_all() {
        let corridor = |width_px, offset_px| Corridor {
            row: Some(0),
            width_px,
            offset_px,
            ..Corridor::UNKNOWN
        };
        let mut space = FreeSpace {
            corridors: vec![corridor(5.0, -3.0), corridor(4.0, 2.0)],
            ..FreeSpace::default()
        };
        let measure = |quantity| Measure {
            quantity,
            unit: Unit::Pixels,
            on: 1.0,
            clear: 2.0,
            falling: true,
        };
        assert_eq!(measure(Quantity::Width).value(&space), 4.0);
        assert_eq!(measure(Quantity::Offset).value(&space), 3.0);
        space.corridors.push(corridor(0.0, f32::NAN));
        assert_eq!(measure(Quantity::Width).value(&space), 0.0);
        assert!(measure(Quantity::Offset).value(&space).is_nan());
        space.corridors.clear();
        assert!(measure(Quantity::Width).value(&space).is_nan());
    }

    proptest! {
        #[test]
        fn as_the_definitions_say(
            width in 1u32..20, height in 1u32..20,
            // Three pixels of four are free.
            labels in prop::collection::vec(0u8..4, 400),
            bottom in 0.01f64..=1.0, columns in (0f64..1.0, 0f64..1.0), share in 0f64..1.0,
        ) {
            let labels = labels[..(width * height) as usize].to_vec();
            let mask = Mask { width, height, labels };
            let columns = [columns.0.min(columns.1), columns.0.max(columns.1)];
            let plan = Plan {
                bottom,
                columns,
                corridors: vec![At::Row(share)],
                ground: Some(level()),
                ..plan(&[0, 1, 2])
            };
            let mut out = FreeSpace::default();
            Meter::new(plan).run(&mask, &mut out);

            let is_free = |x: u32, y: u32| mask.row(y)[x as usize] < 3;
            let looked_at = |y: &u32| (f64::from(*y) + 0.5) / f64::from(height) < bottom;
            let rows = (0..height).filter(looked_at).count() as u32;
            prop_assert_eq!(out.bottom_row, rows);
            let free = |x: u32| (0..rows).rev().take_while(|&y| is_free(x, y)).count() as u32;
            let expected: Vec<u32> = (0..width).map(free).collect();
            prop_assert_eq!(&out.free_rows, &expected);

            let centre = |x: u32| (f64::from(x) + 0.5) / f64::from(width);
            let watched: Vec<u32> = (0..width)
                .filter(|&x| centre(x) >= columns[0] && centre(x) <= columns[1])
                .collect();
            if watched.is_empty() || rows == 0 {
                prop_assert!(out.nearest_px.is_nan() && out.nearest_m.is_nan());
            } else {
                let blocked = || watched.iter().filter(|&&x| free(x) < rows);
                let px = blocked().map(|&x| free(x) as f32).fold(f32::INFINITY, f32::min);
                prop_assert_eq!(out.nearest_px, px);
                let m = blocked().filter_map(|&x| {
                    let y = f64::from(rows - free(x)) / f64::from(height);
                    (y > 0.5 && 1.5 / (y - 0.5) < 1000.0).then(|| (1.5 / (y - 0.5)) as f32)
                });
                let m = m.fold(f32::INFINITY, f32::min);
                prop_assert!(m == out.nearest_m || (m - out.nearest_m).abs() < 1e-3 * m);
            }

            let row = (share * f64::from(height)) as u32;
            let c = out.corridors[0];
            prop_assert_eq!(c.row, (row < rows).then_some(row));
            if row < rows {
                let open = |x: u32| (row..rows).all(|y| is_free(x, y));
                let mut best = (0, f32::INFINITY, f32::NAN);
                for left in 0..width {
                    for right in left + 1..=width {
                        if (left..right).all(open) {
                            let offset = (left + right) as f32 / 2.0 - width as f32 / 2.0;
                            let better = right - left > best.0
                                || right - left == best.0 && offset.abs() < best.1;
                            if better {
                                best = (right - left, offset.abs(), offset);
                            }
                        }
                    }
                }
                prop_assert_eq!(c.width_px, best.0 as f32);
                prop_assert!(c.offset_px == best.2 || c.offset_px.is_nan() && best.2.is_nan());
            }
        }
    }
}
