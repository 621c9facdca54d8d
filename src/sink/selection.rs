//! Which components of a mask a sink looks at: what sinks of components share.

use std::path::PathBuf;

use super::SinkError;
use super::class_names::ClassNames;
use crate::classes::Classes;
use crate::postprocess::components::Connectivity;
use crate::postprocess::region::ClassSet;
use crate::query::{self, Query, percent_decode};

/// Components of some classes, of some size.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// The classes.
    pub classes: ClassNames,
    /// Components with fewer pixels are left out.
    pub min_area: u64,
    /// Which pixels touch.
    pub connectivity: Connectivity,
}

impl Selection {
    /// Reads the options `classes`, `min_area` and `neighbours`.
    ///
    /// # Errors
    /// What is wrong and what would be right.
    pub fn of(query: &Query) -> Result<Self, String> {
        let classes = query.read("classes", "a list of names", |text| Some(text.to_owned()))?;
        let classes = ClassNames::parse(&classes.unwrap_or_default())?;
        let min_area = query.read("min_area", "a number of pixels", |text| text.parse().ok())?;
        let connectivity = query.read("neighbours", "4 or 8", |text| match text {
            "4" => Some(Connectivity::Four),
            "8" => Some(Connectivity::Eight),
            _ => None,
        })?;
        Ok(Self {
            classes,
            min_area: min_area.unwrap_or(0),
            connectivity: connectivity.unwrap_or_default(),
        })
    }

    /// The labels of the classes, looked up at the first result and kept in `known`. `uri`
    /// names the sink.
    ///
    /// # Errors
    /// [`SinkError::BadUri`] where the model has no such class.
    pub fn labels(
        &self,
        known: &mut Option<ClassSet>,
        classes: &Classes,
        uri: impl FnOnce() -> String,
    ) -> Result<ClassSet, SinkError> {
        if let Some(labels) = known {
            return Ok(*labels);
        }
        let labels = self.classes.resolve(classes);
        let labels = labels.map_err(|reason| SinkError::BadUri { uri: uri(), reason })?;
        Ok(*known.insert(labels))
    }
}

/// What follows a scheme: a path, and the options behind the question mark.
///
/// # Errors
/// A path that cannot be decoded.
pub fn path_and_options(rest: &str) -> Result<(PathBuf, Option<&str>), String> {
    let (path, options) = query::split(rest);
    Ok((PathBuf::from(percent_decode(path)?), options))
}
