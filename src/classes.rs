//! Names and colours of the classes a model tells apart.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// Most classes a model may have: a label is one byte.
pub const MAX_CLASSES: usize = 256;

/// One class.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// The name by which rules and reports call it.
    pub name: String,
    /// Red, green, blue in masks and overlays.
    pub colour: [u8; 3],
}

/// The classes of a model, in the order of its output channels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Classes(Vec<Class>);

impl Classes {
    /// Wraps a list; index in the list is the label.
    pub fn new(classes: Vec<Class>) -> Self {
        Self(classes)
    }

    /// Number of classes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no class at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The classes in label order.
    pub fn iter(&self) -> std::slice::Iter<'_, Class> {
        self.0.iter()
    }

    /// The label of the class of that name; case does not count.
    pub fn find(&self, name: &str) -> Option<u8> {
        let at = self
            .0
            .iter()
            .position(|c| c.name.eq_ignore_ascii_case(name));
        at.and_then(|i| u8::try_from(i).ok())
    }

    /// Whether both have the same names in the same order; colours do not count.
    pub fn have_names_of(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().zip(other.iter()).all(|(a, b)| a.name == b.name)
    }

    /// The name for a label, or `"?"` where the model has no such class.
    pub fn name(&self, label: u8) -> &str {
        self.0.get(usize::from(label)).map_or("?", |c| &c.name)
    }

    /// The name for a label; its number where the model has no such class.
    pub fn name_or_number(&self, label: usize) -> Cow<'_, str> {
        match self.0.get(label) {
            Some(class) => Cow::Borrowed(&class.name),
            None => Cow::Owned(label.to_string()),
        }
    }

    /// The colour for a label; black where the model has no such class.
    pub fn colour(&self, label: u8) -> [u8; 3] {
        self.0.get(usize::from(label)).map_or([0; 3], |c| c.colour)
    }

    /// All names, comma separated, for messages.
    pub fn names(&self) -> String {
        let names: Vec<&str> = self.0.iter().map(|c| c.name.as_str()).collect();
        names.join(", ")
    }
}
