//! From the values of a label file, or the classes of a model, to the classes that are
//! scored.

use thiserror::Error;

/// What a value stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Class(u8),
    Ignored,
    Unknown,
}

/// What each of the 256 values of a mask stands for: a class, nothing that counts, or
/// nothing that is known. All values are looked up at once: what 3 is sent to does not
/// depend on where 4 goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelMap {
    meanings: [Meaning; 256],
}

/// A mask holds a value that stands for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("value {value} ({pixels} pixels) is no class")]
pub struct UnknownValue {
    /// The least such value.
    pub value: u8,
    /// Pixels that have it.
    pub pixels: u64,
}

impl LabelMap {
    /// Every value below `classes` is the class of that number; the others are unknown.
    pub fn identity(classes: usize) -> Self {
        let meanings = std::array::from_fn(|value| match u8::try_from(value) {
            Ok(class) if value < classes => Meaning::Class(class),
            _ => Meaning::Unknown,
        });
        Self { meanings }
    }

    /// Makes `value` stand for `class`.
    pub fn send(&mut self, value: u8, class: u8) {
        self.meanings[usize::from(value)] = Meaning::Class(class);
    }

    /// Makes pixels of this value count nowhere.
    pub fn ignore(&mut self, value: u8) {
        self.meanings[usize::from(value)] = Meaning::Ignored;
    }

    /// Turns values into classes, and tells which pixels are judged. `judged` is resized;
    /// what is not judged gets class 0.
    ///
    /// # Errors
    /// [`UnknownValue`]; the labels are then as they were.
    pub fn apply(&self, labels: &mut [u8], judged: &mut Vec<bool>) -> Result<(), UnknownValue> {
        self.check(labels)?;
        judged.clear();
        judged.extend(labels.iter().map(|&value| {
            let meaning = self.meanings[usize::from(value)];
            matches!(meaning, Meaning::Class(_))
        }));
        self.translate(labels);
        Ok(())
    }

    /// Turns values into classes.
    ///
    /// # Errors
    /// [`UnknownValue`], also for a value that is ignored; the labels are then as they
    /// were.
    pub fn rename(&self, labels: &mut [u8]) -> Result<(), UnknownValue> {
        let strict = Self {
            meanings: self.meanings.map(|meaning| match meaning {
                Meaning::Ignored => Meaning::Unknown,
                known => known,
            }),
        };
        strict.check(labels)?;
        strict.translate(labels);
        Ok(())
    }

    fn check(&self, labels: &[u8]) -> Result<(), UnknownValue> {
        let mut seen = [false; 256];
        for &value in labels {
            seen[usize::from(value)] = true;
        }
        let unknown = (0..=u8::MAX).find(|&value| {
            let value = usize::from(value);
            seen[value] && self.meanings[value] == Meaning::Unknown
        });
        match unknown {
            None => Ok(()),
            Some(value) => Err(UnknownValue {
                value,
                pixels: labels.iter().filter(|&&label| label == value).count() as u64,
            }),
        }
    }

    fn translate(&self, labels: &mut [u8]) {
        let classes = self.meanings.map(|meaning| match meaning {
            Meaning::Class(class) => class,
            Meaning::Ignored | Meaning::Unknown => 0,
        });
        for label in labels {
            *label = classes[usize::from(*label)];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_mapped_all_at_once() {
        let mut map = LabelMap::identity(3);
        map.send(0, 1);
        map.send(1, 0);
        map.send(40, 2);
        map.ignore(255);
        let (mut labels, mut judged) = ([0, 1, 2, 40, 255], vec![true; 99]);
        map.apply(&mut labels, &mut judged).unwrap();
        assert_eq!(labels, [1, 0, 2, 2, 0]);
        assert_eq!(judged, [true, true, true, true, false]);
    }

    #[test]
    fn a_class_can_be_ignored() {
        let mut map = LabelMap::identity(2);
        map.ignore(1);
        let (mut labels, mut judged) = ([0, 1], Vec::new());
        map.apply(&mut labels, &mut judged).unwrap();
        assert_eq!(judged, [true, false]);
    }

    #[test]
    fn what_is_unknown_is_counted_and_nothing_changed() {
        let mut map = LabelMap::identity(2);
        map.send(1, 0);
        let (mut labels, mut judged) = ([1, 9, 7, 9, 7], Vec::new());
        let error = map.apply(&mut labels, &mut judged).unwrap_err();
        assert_eq!(
            error,
            UnknownValue {
                value: 7,
                pixels: 2
            }
        );
        assert_eq!(labels, [1, 9, 7, 9, 7]);
        assert!(judged.is_empty());
    }

    #[test]
    fn a_prediction_is_never_ignored() {
        let mut map = LabelMap::identity(256);
        let mut labels = [255, 0];
        map.rename(&mut labels).unwrap();
        assert_eq!(labels, [255, 0]);
        map.ignore(255);
        assert_eq!(map.rename(&mut labels).unwrap_err().value, 255);
    }
}
