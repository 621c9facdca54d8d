//! The `[effect]` table: an edited picture of each result.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The `[effect]` table as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct EffectConfig {
    /// `cutout`, `blur`, `grayscale` or `replace=PATH`; see [`EffectKind::parse`].
    pub kind: String,
    /// The classes that stay as they are, separated by commas; `!` before them for all
    /// classes but those.
    pub classes: String,
}

/// What becomes of the pixels outside of the classes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EffectKind {
    /// They are transparent.
    Cutout,
    /// They are blurred.
    Blur,
    /// They lose their colour.
    Grayscale,
    /// A picture from this file stands in their place.
    Replace(PathBuf),
}

impl EffectKind {
    /// Reads the table's `kind`.
    ///
    /// # Errors
    /// The kinds that there are.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            None if text == "cutout" => Ok(Self::Cutout),
            None if text == "blur" => Ok(Self::Blur),
            None if text == "grayscale" => Ok(Self::Grayscale),
            Some(("replace", path)) if !path.is_empty() => Ok(Self::Replace(path.into())),
            _ => Err(format!(
                "there is no effect '{text}'; known are cutout, blur, grayscale and \
                 replace=PICTURE"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_strictly() {
        assert_eq!(EffectKind::parse("blur"), Ok(EffectKind::Blur));
        let replace = EffectKind::parse("replace=a=b.png");
        assert_eq!(replace, Ok(EffectKind::Replace("a=b.png".into())));
        for bad in ["", "replace", "replace=", "blur=3", "Cutout"] {
            assert!(
                EffectKind::parse(bad).unwrap_err().contains("cutout"),
                "{bad}"
            );
        }
    }
}
