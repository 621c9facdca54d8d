//! An effect that was chosen: what is done, and to all but which classes.

use super::ClassNames;
use crate::classes::Classes;
use crate::postprocess::effect::Change;
use crate::postprocess::region::ClassSet;

/// A change of the picture outside of some classes.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    /// What becomes of the rest.
    pub change: Change,
    /// The classes that stay as they are.
    pub kept: ClassNames,
}

impl Effect {
    /// The labels that stay; none where the model lacks a class, which
    /// [`check_classes`](super::check_classes) tells before a run.
    pub(super) fn kept(&self, classes: &Classes) -> ClassSet {
        self.kept.resolve(classes).unwrap_or_default()
    }
}
