//! Rows whose pixels repeat those of another row.

use crate::kernels::imaging::NearestColumns;

/// See [`NearestColumns`].
///
/// # Panics
/// If a row has not the planned length.
pub fn nearest(columns: &NearestColumns, from: &[u8], to: &mut [u8]) {
    assert_eq!(
        (from.len(), to.len()),
        (columns.from(), columns.columns().len())
    );
    for (to, &column) in to.iter_mut().zip(columns.columns()) {
        *to = from[column as usize];
    }
}
