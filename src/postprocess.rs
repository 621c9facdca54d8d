//! From labels or logits to what people and rules look at.

pub mod components;
pub mod coverage;
pub mod crf;
pub mod effect;
pub mod free_space;
pub mod ground;
pub mod guided;
pub mod overlay;
pub mod region;
pub mod upsample;
pub mod vote;
mod window;
