//! A compiled model in one file, `.atrous`: program, weights and manifest, with the
//! proof that it arrived whole.
//!
//! `docs/ARTIFACT.md` describes the format. Reading never executes or opens
//! anything beside the file given.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use thiserror::Error;

use super::{Manifest, ModelError, sha256_hex};
use crate::output_file;
use crate::program::{Constants, Op, Output, Program, ProgramError};
use container::{Contents, Fault, Metadata};
pub use golden::Golden;

mod container;
pub mod golden;
mod map;

/// File name extension of an artifact.
pub const EXTENSION: &str = "atrous";

/// Longest tool name, in bytes.
pub const MAX_TOOL: usize = 256;

/// A compiled model.
#[derive(Debug, Clone, PartialEq)]
pub struct Artifact {
    /// How to feed it and read its output: the manifest of the source.
    pub manifest: Manifest,
    /// The program, checked.
    pub program: Program,
    /// SHA-256 of the ONNX file it was compiled from, in lower-case hex.
    pub source_sha256: String,
    /// Name and version of the program that compiled it.
    pub tool: String,
    /// What it must answer to a known picture.
    pub golden: Golden,
    /// How the quantization was found, in words, where it was found by the compiler.
    pub calibration: Option<String>,
}

/// Why an artifact was rejected, or not written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// A file could not be read.
    #[error("artifact '{path}': {reason}")]
    Read {
        /// The file.
        path: String,
        /// The cause.
        reason: String,
    },
    /// A file could not be written.
    #[error("artifact '{path}': cannot be written: {reason}")]
    Write {
        /// The file.
        path: String,
        /// The cause.
        reason: String,
    },
    /// The file is something else.
    #[error("'{path}' is not a compiled model; make one with `atrous compile`")]
    Foreign {
        /// The file.
        path: String,
    },
    /// The file is incomplete or was changed.
    #[error("artifact '{path}' is damaged: {reason}; fetch it again, or compile the model again")]
    Damaged {
        /// The file.
        path: String,
        /// How that shows.
        reason: String,
    },
    /// The file is whole, but not one that this version can use.
    #[error("artifact '{path}' cannot be used: {reason}; compile the model again")]
    Invalid {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The program in it is not a valid one.
    #[error("artifact '{path}' cannot be used: {source}; compile the model again")]
    Program {
        /// The file.
        path: String,
        /// What is wrong with the program.
        source: ProgramError,
    },
    /// The manifest in it is not a valid one.
    #[error("artifact '{path}' cannot be used: {source}; compile the model again")]
    Manifest {
        /// The file.
        path: String,
        /// What is wrong with the manifest.
        source: ModelError,
    },
}

impl Artifact {
    /// Reads a file; the constants stay in the file, which is mapped into memory.
    ///
    /// The file must not be changed in place while the artifact is in use.
    /// Replacing it by another of the same name, as [`write`](Self::write) does, is
    /// safe.
    ///
    /// # Errors
    /// [`ArtifactError`], naming the file and what is wrong with it.
    pub fn read(path: &Path) -> Result<Self, ArtifactError> {
        let name = path.display().to_string();
        let map = map::map(path).map_err(|error| ArtifactError::Read {
            path: name.clone(),
            reason: read_reason(&error),
        })?;
        let map: Arc<memmap2::Mmap> = Arc::new(map);
        let contents = decode(&map, &name)?;
        let range = contents.constants.clone();
        let constants = Constants::shared(map.clone(), range).unwrap_or_default();
        Self::assemble(&map, contents, constants, &name)
    }

    /// Reads a file's bytes; the constants are copied. `path` is for messages.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn parse(bytes: &[u8], path: &str) -> Result<Self, ArtifactError> {
        let contents = decode(bytes, path)?;
        let constants = bytes[contents.constants.clone()].to_vec().into();
        Self::assemble(bytes, contents, constants, path)
    }

    /// As [`parse`](Self::parse), for bytes that stay: the constants are not copied.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn stored(bytes: &'static [u8], path: &str) -> Result<Self, ArtifactError> {
        let contents = decode(bytes, path)?;
        let range = contents.constants.clone();
        let constants = Constants::shared(Arc::new(bytes), range).unwrap_or_default();
        Self::assemble(bytes, contents, constants, path)
    }

    /// Writes the file, under a temporary name first: on failure there is none.
    ///
    /// One artifact gives the same bytes each time. What would not be read back as
    /// it is, is not written.
    ///
    /// # Errors
    /// [`ArtifactError::Write`], or what [`read`](Self::read) would say.
    pub fn write(&self, path: &Path) -> Result<(), ArtifactError> {
        let name = path.display().to_string();
        let fail = |reason: String| ArtifactError::Write {
            path: name.clone(),
            reason,
        };
        let bytes = self.to_bytes(&name)?;
        if Self::parse(&bytes, &name)? != *self {
            return Err(fail("it would not be read back as it is".into()));
        }
        output_file::replace(path, &bytes).map_err(|error| fail(error.to_string()))
    }

    /// The file's bytes, for [`parse`](Self::parse). `path` is for messages.
    ///
    /// # Errors
    /// [`ArtifactError::Write`] where it is too large for the format.
    pub fn to_bytes(&self, path: &str) -> Result<Vec<u8>, ArtifactError> {
        self.encode().map_err(|reason| ArtifactError::Write {
            path: path.to_owned(),
            reason,
        })
    }

    fn encode(&self) -> Result<Vec<u8>, String> {
        let manifest = toml::to_string(&self.manifest).map_err(|e| e.to_string())?;
        let program = serde_json::to_vec(&self.program).map_err(|e| e.to_string())?;
        let golden = (
            self.golden.seed.to_string(),
            self.golden.mask_sha256.clone(),
        );
        let metadata = Metadata::new(
            self.tool.clone(),
            self.source_sha256.clone(),
            golden,
            self.calibration.clone(),
            manifest,
        );
        container::encode(metadata, &self.program.constants, &program)
    }

    fn assemble(
        file: &[u8],
        contents: Contents,
        constants: Constants,
        path: &str,
    ) -> Result<Self, ArtifactError> {
        let invalid = |reason: String| ArtifactError::Invalid {
            path: path.to_owned(),
            reason,
        };
        let metadata = contents.metadata;
        let manifest = Manifest::parse(&metadata.manifest, path).map_err(|source| {
            ArtifactError::Manifest {
                path: path.to_owned(),
                source,
            }
        })?;
        let mut program: Program = serde_json::from_slice(&file[contents.program])
            .map_err(|error| invalid(format!("its program cannot be read: {error}")))?;
        program.constants = constants;
        program.check().map_err(|source| ArtifactError::Program {
            path: path.to_owned(),
            source,
        })?;
        let seed = (metadata.golden_seed.parse())
            .map_err(|_| invalid("its golden seed is not a number".into()))?;
        let artifact = Self {
            manifest,
            program,
            source_sha256: metadata.source_sha256,
            tool: metadata.tool,
            golden: Golden {
                seed,
                mask_sha256: metadata.golden_mask_sha256,
            },
            calibration: metadata.calibration,
        };
        artifact.check().map_err(invalid)?;
        Ok(artifact)
    }

    /// Whether its parts belong together.
    fn check(&self) -> Result<(), String> {
        for (what, hex) in [
            ("source", &self.source_sha256),
            ("golden mask", &self.golden.mask_sha256),
        ] {
            let digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
            if hex.len() != 64 || !hex.bytes().all(digit) {
                return Err(format!(
                    "the SHA-256 of its {what} is not 64 lower-case hex digits"
                ));
            }
        }
        if !self
            .manifest
            .sha256
            .eq_ignore_ascii_case(&self.source_sha256)
        {
            return Err("its manifest was written for another model than its source".into());
        }
        if self.tool.len() > MAX_TOOL {
            return Err(format!(
                "the name of its tool is longer than {MAX_TOOL} bytes"
            ));
        }
        let (manifest, program) = (&self.manifest, &self.program);
        let (input, wanted) = (
            (program.width, program.height),
            (manifest.input.width, manifest.input.height),
        );
        if input != wanted {
            return Err(format!(
                "its program takes pictures of {}x{}, but its manifest says {}x{}",
                input.0, input.1, wanted.0, wanted.1
            ));
        }
        let scores = match (program.output, program.ops.last()) {
            (Output::Logits { scores, .. }, _) => Some(scores),
            (Output::Labels { .. }, Some(Op::Argmax { input, .. })) => Some(*input),
            (Output::Labels { .. } | Output::Codes, _) => None,
        };
        let scores = scores.and_then(|id| program.tensors.get(id.0 as usize));
        let classes = scores.map_or(0, |tensor| tensor.channels as usize);
        // Fewer are fine: a graph that ends in labels does not say how many it
        // knows, and a manifest derived from it names as many as there can be.
        if classes == 0 || classes > manifest.classes.len() {
            return Err(format!(
                "its program tells {classes} classes apart, but its manifest names {}",
                manifest.classes.len()
            ));
        }
        Ok(())
    }
}

impl Golden {
    /// What a program that answers `mask` to the picture of `seed` is held to.
    pub fn new(seed: u64, mask: &[u8]) -> Self {
        Self {
            seed,
            mask_sha256: sha256_hex(mask),
        }
    }

    /// Whether `mask` is the answer.
    pub fn matches(&self, mask: &[u8]) -> bool {
        sha256_hex(mask) == self.mask_sha256
    }
}

/// Whether a file's bytes are an artifact's, of whatever version.
pub fn is_artifact(bytes: &[u8]) -> bool {
    container::is_artifact(bytes)
}

/// Whether a path is an artifact's: by its extension, or else by how the file
/// begins.
pub fn is_artifact_path(path: &Path) -> bool {
    let named = path
        .extension()
        .is_some_and(|e| e.eq_ignore_ascii_case(EXTENSION));
    named || begins_as_artifact(path).unwrap_or(false)
}

fn begins_as_artifact(path: &Path) -> io::Result<bool> {
    // To open a pipe may wait for ever.
    if !fs::metadata(path)?.is_file() {
        return Ok(false);
    }
    let mut start = Vec::new();
    let mut limited = File::open(path)?.take(container::MAGIC_BYTES as u64);
    limited.read_to_end(&mut start)?;
    Ok(is_artifact(&start))
}

fn decode(bytes: &[u8], path: &str) -> Result<Contents, ArtifactError> {
    let path = path.to_owned();
    container::decode(bytes).map_err(|fault| match fault {
        Fault::Foreign => ArtifactError::Foreign { path },
        Fault::Damaged(reason) => ArtifactError::Damaged { path, reason },
        Fault::Invalid(reason) => ArtifactError::Invalid { path, reason },
    })
}

fn read_reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file; make one with `atrous compile`".into(),
        io::ErrorKind::PermissionDenied => "no permission to read it".into(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
