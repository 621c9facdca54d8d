//! atrous carries a camera frame to a decision: a frame comes in, a segmentation
//! model labels every pixel, and masks, numbers and GPIO edges come out.
//!
//! The modules follow the data: [`source`] → [`preprocess`] → [`engine`] →
//! [`postprocess`] → [`trigger`] and [`sink`], joined by [`pipeline`].
//! ARCHITECTURE.md tells the invariants that hold between them.
#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod board;
pub mod classes;
pub mod clock;
pub mod compile;
pub mod config;
pub mod devices;
pub mod engine;
pub mod eval;
pub mod frame;
pub mod gpio;
pub mod guard;
mod input_file;
pub mod kernels;
pub mod logits;
pub mod mask;
pub mod model;
pub mod output_file;
pub mod pipeline;
pub mod postprocess;
pub mod preprocess;
pub mod proc_status;
pub mod program;
pub mod quantize;
mod query;
pub mod realtime;
pub mod sink;
pub mod source;
pub mod synthetic;
pub mod trigger;
pub mod workers;
