//! Pictures fitted into a terminal or a screen.

/// The largest size within `columns` x `rows` of the picture's proportions, at
/// least 1 x 1. `tall` is how many times taller than wide a target pixel is.
pub fn fitted(width: u32, height: u32, columns: u32, rows: u32, tall: u32) -> (u32, u32) {
    let (width, height) = (u64::from(width), u64::from(height));
    let (columns, rows) = (u64::from(columns.max(1)), u64::from(rows.max(1)));
    let tall = u64::from(tall);
    let half = |divisor: u64| divisor / 2;
    // Compares columns / width with rows * tall / height without rounding.
    let (fitted_columns, fitted_rows) = if columns * height <= rows * tall * width {
        let divisor = width * tall;
        (
            columns,
            ((columns * height + half(divisor)) / divisor).clamp(1, rows),
        )
    } else {
        (
            (((rows * tall * width) + half(height)) / height).clamp(1, columns),
            rows,
        )
    };
    // Both are bounded by u32 arguments.
    (fitted_columns as u32, fitted_rows as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proportions_are_kept() {
        assert_eq!(fitted(640, 480, 80, 100, 1), (80, 60));
        assert_eq!(fitted(640, 480, 200, 60, 1), (80, 60));
        assert_eq!(fitted(640, 480, 80, 100, 2), (80, 30));
        assert_eq!(fitted(1, 16_384, 80, 40, 1), (1, 40));
        assert_eq!(fitted(16_384, 1, 80, 40, 2), (80, 1));
        assert_eq!(fitted(5, 5, 0, 0, 1), (1, 1));
    }
}
