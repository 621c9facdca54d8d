//! Classes that a sink was told by name.

use crate::classes::Classes;
use crate::postprocess::region::ClassSet;

/// A list of names as the user gave it, before a model is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClassNames {
    names: Vec<String>,
    /// The classes meant are all but those named.
    inverted: bool,
}

impl ClassNames {
    /// Reads `Car,Pedestrian`, or `!Car,Pedestrian` for all but those. An empty text means
    /// every class.
    ///
    /// # Errors
    /// An empty name between commas.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (names, inverted) = match text.strip_prefix('!') {
            Some(names) => (names, true),
            None => (text, false),
        };
        if names.is_empty() && !inverted {
            return Ok(Self::default());
        }
        let names: Vec<String> = names.split(',').map(|n| n.trim().to_owned()).collect();
        if names.iter().any(String::is_empty) {
            return Err(format!(
                "'{text}' has an empty class name; write names with commas, as in Car,Pedestrian"
            ));
        }
        Ok(Self { names, inverted })
    }

    /// The labels of these classes; case does not count.
    ///
    /// # Errors
    /// The name that is none of the model's, with those that are.
    pub fn resolve(&self, classes: &Classes) -> Result<ClassSet, String> {
        if self.names.is_empty() {
            return Ok((0..=255).collect());
        }
        let mut named = ClassSet::default();
        for name in &self.names {
            let label = classes.find(name).ok_or_else(|| {
                format!(
                    "the model has no class '{name}'; it has {}",
                    classes.names()
                )
            })?;
            named.insert(label);
        }
        Ok((0..=255)
            .filter(|&label| named.contains(label) != self.inverted)
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classes::Class;

    #[test]
    fn names_are_found_or_named() {
        let class = |name: &str| Class {
            name: name.into(),
            colour: [0; 3],
        };
        let classes = Classes::new(vec![class("Sky"), class("Car"), class("Road")]);
        let labels = |text: &str| {
            let set = ClassNames::parse(text)?.resolve(&classes)?;
            Ok((0..3u8).filter(|&l| set.contains(l)).collect::<Vec<_>>())
        };
        assert_eq!(labels(""), Ok(vec![0, 1, 2]));
        assert_eq!(labels("car, Road"), Ok(vec![1, 2]));
        assert_eq!(labels("!car"), Ok(vec![0, 2]));
        for (bad, word) in [("Bus", "Sky, Car, Road"), ("Car,", "empty"), ("!", "empty")] {
            let error: String = labels(bad).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
