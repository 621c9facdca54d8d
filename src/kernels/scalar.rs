//! The reference kernels, in portable Rust: the specification of every result.
//!
//! The formulas are those of the argument types in [`crate::kernels`]. Loops are
//! shaped so that the compiler can vectorize them for any processor; that changes
//! no result. Those that other modules compile for their own processors are always
//! inlined. Nothing here allocates except [`pack`] and a
//! [`Scratch`](super::scratch::Scratch) that grows.

mod argmax;
mod colour;
mod conv;
mod elementwise;
mod filter;
pub mod mean_field;
mod nearest;
mod pool;
mod resize;
mod round;
mod space;

pub use argmax::{ARGMAX, argmax};
pub use colour::colour;
pub use conv::pack;
pub use elementwise::{add, input, map, maximum, mul};
pub use filter::{filter_columns, filter_rows};
pub use nearest::nearest;
pub use pool::{average_pool, max_pool};
pub use resize::{RESIZE, resize};
pub use space::depth_to_space;
