//! Models built into the binary (feature `bundled`), as artifacts.

use super::artifact::{Artifact, ArtifactError};

/// A built-in model.
struct Bundled {
    name: &'static str,
    bytes: &'static [u8],
}

#[cfg(feature = "bundled")]
const MODELS: &[Bundled] = &[
    Bundled {
        name: "road",
        bytes: include_bytes!("../../models/road/road.atrous"),
    },
    Bundled {
        name: "nuclei",
        bytes: include_bytes!("../../models/nuclei/nuclei.atrous"),
    },
];
#[cfg(not(feature = "bundled"))]
const MODELS: &[Bundled] = &[];

/// Names of the built-in models, the default first; none without the feature `bundled`.
pub fn names() -> impl ExactSizeIterator<Item = &'static str> {
    MODELS.iter().map(|model| model.name)
}

/// The file of the built-in model of that name; `None` where there is none.
pub fn file(name: &str) -> Option<&'static [u8]> {
    let model = MODELS.iter().find(|model| model.name == name)?;
    Some(model.bytes)
}

/// The built-in model of that name; `None` where there is none. Its constants stay in the
/// binary.
pub fn find(name: &str) -> Option<Result<Artifact, ArtifactError>> {
    let bytes = file(name)?;
    Some(Artifact::stored(bytes, &format!("built-in {name}")))
}
