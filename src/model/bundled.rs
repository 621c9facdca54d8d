//! Models built into the binary (feature `bundled`).

#[cfg(feature = "bundled")]
use super::Manifest;
use super::{Model, ModelError};

/// Names of the built-in models.
#[cfg(feature = "bundled")]
pub const NAMES: &[&str] = &["road"];
/// Names of the built-in models: none without the feature `bundled`.
#[cfg(not(feature = "bundled"))]
pub const NAMES: &[&str] = &[];

/// The built-in model of that name; `None` where there is none.
#[cfg(feature = "bundled")]
pub fn find(name: &str) -> Option<Result<Model, ModelError>> {
    const MANIFEST: &str = include_str!("../../models/road/model.toml");
    const ONNX: &[u8] = include_bytes!("../../models/road/road.onnx");
    (name == "road").then(|| {
        let manifest = Manifest::parse(MANIFEST, "built-in road")?;
        Model::checked(manifest, ONNX.into(), "built-in road".into())
    })
}

/// The built-in model of that name; always `None` without the feature `bundled`.
#[cfg(not(feature = "bundled"))]
pub fn find(_name: &str) -> Option<Result<Model, ModelError>> {
    None
}
