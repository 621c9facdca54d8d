//! The files that a quantization makes.

use std::path::{Path, PathBuf};

use anyhow::Result;

use atrous::model::MANIFEST_NAME;

use super::super::exit::Misused;

/// The files that are written.
pub struct Names {
    pub onnx: PathBuf,
    pub manifest: PathBuf,
    pub artifact: PathBuf,
}

impl Names {
    /// The names that `-o` stands for, in a folder that is there.
    pub fn of(output: &Path) -> Result<Self> {
        let misused = |reason: &str| {
            let text = format!("--output {}: {reason}", output.display());
            Err(Misused(text).into())
        };
        let is_folder = output.as_os_str().as_encoded_bytes().ends_with(b"/") || output.is_dir();
        let Some(name) = output.file_name().filter(|_| !is_folder) else {
            return misused("it is a folder; name the files in it, such as FOLDER/model");
        };
        let folder = output.parent().unwrap_or(Path::new(""));
        if !folder.as_os_str().is_empty() && !folder.is_dir() {
            return misused("there is no such folder; make it first");
        }
        let known = ["onnx", "toml", "atrous"];
        let extension = Path::new(name).extension().and_then(|e| e.to_str());
        let stem = match extension {
            Some(extension) if known.contains(&extension) => output.with_extension(""),
            _ => output.to_owned(),
        };
        let with = |extension: &str| {
            let mut name = stem.clone().into_os_string();
            name.push(".");
            name.push(extension);
            PathBuf::from(name)
        };
        let [onnx, manifest, artifact] = known.map(with);
        Ok(Self {
            onnx,
            manifest,
            artifact,
        })
    }

    /// Refuses to write over the float model or its manifest.
    pub fn spare(&self, model: &str) -> Result<()> {
        let model = Path::new(model);
        let own = [
            model.to_owned(),
            model.with_extension("toml"),
            model.with_file_name(MANIFEST_NAME),
        ];
        let real = |path: &Path| path.canonicalize().ok();
        for target in [&self.onnx, &self.manifest] {
            if real(target)
                .is_some_and(|target| own.iter().any(|own| real(own) == Some(target.clone())))
            {
                let text = format!(
                    "'{}' belongs to the float model and is not written over; choose another \
                     --output",
                    target.display()
                );
                return Err(Misused(text).into());
            }
        }
        Ok(())
    }
}
