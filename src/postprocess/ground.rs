//! The plane that a camera looks at, in metres.

use thiserror::Error;

/// Farther away than this counts as beyond the horizon: a pixel there is worth tens of
/// metres.
pub const MOST_METRES: f64 = 1000.0;

/// Least area of three points' triangle, as a share of the square on its longest side,
/// that is not taken for a line.
const LEAST_AREA: f64 = 1e-6;

/// Least determinant of a matrix whose largest number is 1.
const LEAST_DETERMINANT: f64 = 1e-9;

/// Why numbers are no view of the ground. Points are counted from 1.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum GroundError {
    /// A number is infinite or not a number.
    #[error("{what} holds {value}, which is no finite number")]
    NotFinite {
        /// Which numbers.
        what: &'static str,
        /// The number.
        value: f64,
    },
    /// Three points lie on one line.
    #[error(
        "points {} of {what} lie on one line; give four of which no three do",
        .points.map(|p| p.to_string()).join(", ")
    )]
    OnOneLine {
        /// Which points.
        what: &'static str,
        /// Their numbers.
        points: [usize; 3],
    },
    /// The matrix maps the picture to a line or a point.
    #[error("the matrix has no inverse, so it maps the picture to a line")]
    NoInverse,
    /// The horizon is below the picture's lower edge or between the points.
    #[error(
        "{what} is beyond the horizon of this view; the lower edge of the picture must show \
         ground, and points must be in the same order in both lists"
    )]
    Horizon {
        /// What is not on the ground.
        what: String,
    },
}

type Matrix = [[f64; 3]; 3];

/// The way between positions in the picture, as fractions of its width and height
/// (`[0, 0]` is the top left corner), and positions on the ground in metres: `[x, y]`, x
/// to the right and y ahead.
#[derive(Debug, Clone, PartialEq)]
pub struct Ground {
    to_ground: Matrix,
    to_picture: Matrix,
}

impl Ground {
    /// The view that shows four points of the ground at four places of the picture.
    ///
    /// # Errors
    /// [`GroundError`] where three points lie on one line, or the picture's lower edge or
    /// one of the points would be beyond the horizon.
    pub fn from_points(
        picture: &[[f64; 2]; 4],
        metres: &[[f64; 2]; 4],
    ) -> Result<Self, GroundError> {
        let picture_square = square_to(picture, "picture")?;
        let metres_square = square_to(metres, "metres")?;
        let ground = Self::new(product(&metres_square, &adjugate(&picture_square)))?;
        for (index, &[x, y]) in picture.iter().enumerate() {
            if third(&ground.to_ground, x, y) <= 0.0 {
                let what = format!("point {} of picture", index + 1);
                return Err(GroundError::Horizon { what });
            }
        }
        Ok(ground)
    }

    /// The view of a matrix, row by row: with `(a, b, c)` its product with
    /// `(x, y, 1)` of the picture, the ground is at `[a / c, b / c]`.
    ///
    /// # Errors
    /// [`GroundError`] where it has no inverse, or shows no ground at the picture's lower
    /// edge.
    pub fn from_matrix(rows: &[f64; 9]) -> Result<Self, GroundError> {
        finite(rows, "matrix")?;
        let (rows, _) = rows.as_chunks::<3>();
        Self::new([rows[0], rows[1], rows[2]])
    }

    fn new(matrix: Matrix) -> Result<Self, GroundError> {
        let largest = matrix
            .as_flattened()
            .iter()
            .fold(0.0, |a: f64, b| a.max(b.abs()));
        // The sign is free: what is seen at the lower edge is in front of the camera.
        let sign = third(&matrix, 0.5, 1.0);
        let scale = 1.0 / largest * if sign < 0.0 { -1.0 } else { 1.0 };
        let to_ground = matrix.map(|row| row.map(|value| value * scale));
        let determinant = determinant(&to_ground);
        if determinant.is_nan() || determinant.abs() <= LEAST_DETERMINANT {
            return Err(GroundError::NoInverse);
        }
        for (x, what) in [(0.0, "left"), (0.5, "middle"), (1.0, "right")] {
            if third(&to_ground, x, 1.0) <= 0.0 {
                let what = format!("the {what} of the picture's lower edge");
                return Err(GroundError::Horizon { what });
            }
        }
        let to_picture = adjugate(&to_ground).map(|row| row.map(|value| value / determinant));
        Ok(Self {
            to_ground,
            to_picture,
        })
    }

    /// What is at a place of the picture; `None` beyond the horizon, which includes
    /// everything more than [`MOST_METRES`] away.
    pub fn to_ground(&self, x: f64, y: f64) -> Option<[f64; 2]> {
        let [x, y] = project(&self.to_ground, x, y)?;
        (x.hypot(y) <= MOST_METRES).then_some([x, y])
    }

    /// Where in the picture's plane a place on the ground is, perhaps outside the picture;
    /// `None` behind the camera.
    pub fn to_picture(&self, x: f64, y: f64) -> Option<[f64; 2]> {
        project(&self.to_picture, x, y)
    }
}

fn finite(values: &[f64], what: &'static str) -> Result<(), GroundError> {
    match values.iter().find(|value| !value.is_finite()) {
        Some(&value) => Err(GroundError::NotFinite { what, value }),
        None => Ok(()),
    }
}

/// The third coordinate: positive in front of the horizon.
fn third(matrix: &Matrix, x: f64, y: f64) -> f64 {
    matrix[2][0] * x + matrix[2][1] * y + matrix[2][2]
}

fn project(matrix: &Matrix, x: f64, y: f64) -> Option<[f64; 2]> {
    let w = third(matrix, x, y);
    let at = |row: &[f64; 3]| (row[0] * x + row[1] * y + row[2]) / w;
    let found = [at(&matrix[0]), at(&matrix[1])];
    (w > 0.0 && found.iter().all(|v| v.is_finite())).then_some(found)
}

/// The map from the unit square's corners, in the order (0, 0), (1, 0), (1, 1), (0, 1), to
/// four points (P. Heckbert, Fundamentals of Texture Mapping and Image Warping, 1989, §2.2.3).
fn square_to(points: &[[f64; 2]; 4], what: &'static str) -> Result<Matrix, GroundError> {
    finite(points.as_flattened(), what)?;
    for skipped in 0..4 {
        let mut three = (0..4).filter(|&i| i != skipped);
        let indices: [usize; 3] = std::array::from_fn(|_| three.next().unwrap_or_default());
        let [a, b, c] = indices.map(|i| points[i]);
        let side = |a: [f64; 2], b: [f64; 2]| [b[0] - a[0], b[1] - a[1]];
        let cross = |a: [f64; 2], b: [f64; 2]| a[0] * b[1] - a[1] * b[0];
        let sides = [side(a, b), side(b, c), side(c, a)];
        let longest = sides.iter().map(|s| s[0].hypot(s[1])).fold(0.0, f64::max);
        let area = cross(sides[0], sides[1]).abs();
        // Also where all three are one point.
        if area.is_nan() || area <= LEAST_AREA * longest * longest {
            return Err(GroundError::OnOneLine {
                what,
                points: indices.map(|i| i + 1),
            });
        }
    }
    let [[x0, y0], [x1, y1], [x2, y2], [x3, y3]] = *points;
    let (sx, sy) = (x0 - x1 + x2 - x3, y0 - y1 + y2 - y3);
    let (dx1, dy1, dx2, dy2) = (x1 - x2, y1 - y2, x3 - x2, y3 - y2);
    let divisor = dx1 * dy2 - dx2 * dy1;
    let g = (sx * dy2 - dx2 * sy) / divisor;
    let h = (dx1 * sy - sx * dy1) / divisor;
    Ok([
        [x1 - x0 + g * x1, x3 - x0 + h * x3, x0],
        [y1 - y0 + g * y1, y3 - y0 + h * y3, y0],
        [g, h, 1.0],
    ])
}

fn product(a: &Matrix, b: &Matrix) -> Matrix {
    std::array::from_fn(|row| {
        std::array::from_fn(|column| (0..3).map(|k| a[row][k] * b[k][column]).sum())
    })
}

/// The inverse times the determinant.
fn adjugate(m: &Matrix) -> Matrix {
    let minor = |r: [usize; 2], c: [usize; 2]| {
        m[r[0]][c[0]] * m[r[1]][c[1]] - m[r[0]][c[1]] * m[r[1]][c[0]]
    };
    const OTHERS: [[usize; 2]; 3] = [[1, 2], [2, 0], [0, 1]];
    std::array::from_fn(|row| std::array::from_fn(|column| minor(OTHERS[column], OTHERS[row])))
}

fn determinant(m: &Matrix) -> f64 {
    let adjugate = adjugate(m);
    (0..3).map(|k| m[0][k] * adjugate[k][0]).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A camera 1.5 m over the ground that looks ahead, level: the horizon is at half the
    /// picture's height, and what is `d` metres ahead at `0.5 + 1.5 / d`.
    fn level() -> Ground {
        let row = |d: f64| 0.5 + 1.5 / d;
        let column = |x: f64, d: f64| 0.5 + x / d;
        let metres = [[-1.0, 4.0], [1.0, 4.0], [1.0, 12.0], [-1.0, 12.0]];
        let picture = metres.map(|[x, d]| [column(x, d), row(d)]);
        Ground::from_points(&picture, &metres).unwrap()
    }

    fn near(a: [f64; 2], b: [f64; 2]) {
        assert!((a[0] - b[0]).hypot(a[1] - b[1]) < 1e-6, "{a:?} {b:?}");
    }

    #[test]
    fn a_level_camera() {
        let ground = level();
        near(ground.to_ground(0.5, 1.0).unwrap(), [0.0, 3.0]);
        near(ground.to_ground(0.75, 0.65).unwrap(), [2.5, 10.0]);
        near(
            ground.to_picture(-2.0, 6.0).unwrap(),
            [0.5 - 2.0 / 6.0, 0.75],
        );
        // The horizon, above it, and just below it.
        assert_eq!(ground.to_ground(0.5, 0.5), None);
        assert_eq!(ground.to_ground(0.5, 0.2), None);
        assert_eq!(ground.to_ground(0.5, 0.501), None);
        assert_eq!(ground.to_picture(0.0, -1.0), None);
    }

    #[test]
    fn a_matrix_and_its_multiples_are_one_view() {
        let matrix = [1.5, 0.0, -0.75, 0.0, 0.0, 1.5, 0.0, 1.0, -0.5];
        let ground = Ground::from_matrix(&matrix).unwrap();
        near(
            ground.to_ground(0.75, 0.65).unwrap(),
            level().to_ground(0.75, 0.65).unwrap(),
        );
        let other = Ground::from_matrix(&matrix.map(|v| v * -3.0)).unwrap();
        near(
            other.to_ground(0.75, 0.65).unwrap(),
            ground.to_ground(0.75, 0.65).unwrap(),
        );
    }

    #[test]
    fn degenerate_views_are_refused() {
        let square = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]];
        let line = [[0.0, 0.0], [0.5, 0.5], [1.0, 1.0], [0.0, 1.0]];
        let error = Ground::from_points(&line, &square).unwrap_err();
        assert_eq!(
            error,
            GroundError::OnOneLine {
                what: "picture",
                points: [1, 2, 3]
            }
        );
        assert!(error.to_string().contains("1, 2, 3"), "{error}");
        let twice = [[0.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]];
        assert!(Ground::from_points(&square, &twice).is_err());
        let nan = [[f64::NAN, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]];
        assert!(matches!(
            Ground::from_points(&nan, &square),
            Err(GroundError::NotFinite {
                what: "picture",
                ..
            })
        ));
        for matrix in [
            [0.0; 9],
            [1.0, 2.0, 3.0, 2.0, 4.0, 6.0, 0.0, 0.0, 1.0],
            [1e300, 0.0, 0.0, 0.0, 1e-300, 0.0, 0.0, 0.0, 1.0],
        ] {
            assert_eq!(Ground::from_matrix(&matrix), Err(GroundError::NoInverse));
        }
        // The horizon at the lower edge, and across it.
        for matrix in [
            [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, -1.0],
            [1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, -0.4],
        ] {
            assert!(
                matches!(
                    Ground::from_matrix(&matrix),
                    Err(GroundError::Horizon { .. })
                ),
                "{matrix:?}"
            );
        }
        // Two points swapped: a plane folded over.
        let picture = [[0.2, 0.9], [0.8, 0.9], [0.6, 0.6], [0.4, 0.6]];
        let metres = [[-1.0, 3.0], [1.0, 3.0], [-1.0, 9.0], [1.0, 9.0]];
        assert!(matches!(
            Ground::from_points(&picture, &metres),
            Err(GroundError::Horizon { .. })
        ));
    }

    proptest! {
        #[test]
        fn points_are_where_they_were_said_to_be(
            height in 0.5f64..3.0, horizon in -0.5f64..0.6, near_by in 3.5f64..6.0, far in 7.0f64..40.0,
        ) {
            let at = |x: f64, d: f64| [0.5 + x / d, horizon + height / d];
            let metres = [[-1.0, near_by], [1.2, near_by], [1.0, far], [-0.7, far]];
            let picture = metres.map(|[x, d]| at(x, d));
            // Some of these horizons and heights put the lower edge in the sky.
            if let Ok(ground) = Ground::from_points(&picture, &metres) {
                for ([x, y], [u, v]) in metres.into_iter().zip(picture) {
                    near(ground.to_ground(u, v).unwrap(), [x, y]);
                    near(ground.to_picture(x, y).unwrap(), [u, v]);
                }
            } else {
                prop_assert!(horizon >= 1.0, "{horizon}");
            }
        }

        #[test]
        fn no_numbers_panic(rows in prop::array::uniform9(prop_oneof![any::<f64>(), -2f64..2.0])) {
            if let Ok(ground) = Ground::from_matrix(&rows) {
                let found = ground.to_ground(0.5, 1.0);
                prop_assert!(found.is_none_or(|p| p.iter().all(|v| v.is_finite())));
            }
        }
    }
}
