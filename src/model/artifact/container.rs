//! The file itself: a safetensors container with three tensors of bytes.
//!
//! The header is written and read here rather than by the `safetensors` crate: that
//! orders the metadata at random, so that one program would give many files, and
//! takes the last of two tensors of one name without a word. The tests read what is
//! written here with that crate.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The container format this version writes and reads.
pub(super) const VERSION: u32 = 2;
/// Largest header, in bytes; a real one has a few thousand.
pub(super) const MAX_HEADER_BYTES: usize = 1 << 20;
/// Largest encoded program, in bytes; a hundred operations need some 50 000.
pub(super) const MAX_PROGRAM_BYTES: usize = 8 << 20;

/// The constants begin at a multiple of this in the file, hence in a map of it.
const ALIGN: usize = crate::program::constants::ALIGN as usize;
/// Bytes of the header's length.
const LENGTH: usize = 8;
/// Bytes of the digest that ends the file.
const DIGEST: usize = 32;
/// How every header begins.
const MAGIC: &[u8] = br#"{"__metadata__":{"format":"atrous-program","version":""#;
const FORMAT: &str = "atrous-program";

/// What the header says about the program. The container allows text only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Metadata {
    format: String,
    version: String,
    /// Who wrote the file.
    pub tool: String,
    /// SHA-256 of the model it was compiled from.
    pub source_sha256: String,
    /// The golden picture's seed in decimal.
    pub golden_seed: String,
    /// SHA-256 of the golden mask.
    pub golden_mask_sha256: String,
    /// How the quantization was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<String>,
    /// The model's manifest, TOML.
    pub manifest: String,
}

impl Metadata {
    /// Of this version; `rest` is everything but format and version.
    pub(super) fn new(
        tool: String,
        source_sha256: String,
        (golden_seed, golden_mask_sha256): (String, String),
        calibration: Option<String>,
        manifest: String,
    ) -> Self {
        Self {
            format: FORMAT.into(),
            version: VERSION.to_string(),
            tool,
            source_sha256,
            golden_seed,
            golden_mask_sha256,
            calibration,
            manifest,
        }
    }
}

/// One tensor's entry.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    dtype: String,
    shape: [usize; 1],
    data_offsets: [usize; 2],
}

impl Entry {
    fn new(start: usize, len: usize) -> Option<Self> {
        Some(Self {
            dtype: "U8".into(),
            shape: [len],
            data_offsets: [start, start.checked_add(len)?],
        })
    }

    /// The bytes it names, which must follow `start` at once.
    fn range(&self, name: &str, start: usize) -> Result<Range<usize>, String> {
        let [from, to] = self.data_offsets;
        if self.dtype != "U8" {
            return Err(format!("tensor '{name}' is {:?}, not U8", self.dtype));
        }
        if from != start || to.checked_sub(from) != Some(self.shape[0]) {
            return Err(format!(
                "tensor '{name}' lies at {from}..{to}, which does not fit its size {} and place {start}",
                self.shape[0]
            ));
        }
        Ok(from..to)
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    #[serde(rename = "__metadata__")]
    metadata: Metadata,
    constants: Entry,
    program: Entry,
    sha256: Entry,
}

/// Just enough of a header to tell its version, whatever else it holds.
#[derive(Deserialize)]
struct AnyHeader {
    #[serde(rename = "__metadata__")]
    metadata: AnyMetadata,
}

#[derive(Deserialize)]
struct AnyMetadata {
    version: String,
    #[serde(default)]
    tool: String,
}

/// What a file holds; the ranges are places in the file.
#[derive(Debug)]
pub(super) struct Contents {
    pub metadata: Metadata,
    pub constants: Range<usize>,
    pub program: Range<usize>,
}

/// Why a file is not used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is not an artifact.
    Foreign,
    /// It is one, but incomplete or changed.
    Damaged(String),
    /// It is whole, and says something that cannot be.
    Invalid(String),
}

/// Whether a file that begins with `bytes` is an artifact, of whatever version.
pub(super) fn is_artifact(bytes: &[u8]) -> bool {
    bytes
        .get(LENGTH..)
        .is_some_and(|rest| rest.starts_with(MAGIC))
}

/// Bytes needed by [`is_artifact`].
pub(super) const MAGIC_BYTES: usize = LENGTH + MAGIC.len();

/// The whole file.
pub(super) fn encode(
    metadata: Metadata,
    constants: &[u8],
    program: &[u8],
) -> Result<Vec<u8>, String> {
    if program.len() > MAX_PROGRAM_BYTES {
        return Err(format!(
            "the program needs {} bytes; at most {MAX_PROGRAM_BYTES} are allowed",
            program.len()
        ));
    }
    let too_large = || "the program is too large for this machine".to_owned();
    let after = constants.len();
    let digest = after.checked_add(program.len()).ok_or_else(too_large)?;
    let header = Header {
        metadata,
        constants: Entry::new(0, constants.len()).ok_or_else(too_large)?,
        program: Entry::new(after, program.len()).ok_or_else(too_large)?,
        sha256: Entry::new(digest, DIGEST).ok_or_else(too_large)?,
    };
    let mut text = serde_json::to_vec(&header).map_err(|e| e.to_string())?;
    // The format allows spaces after the header.
    let padded = (LENGTH + text.len()).next_multiple_of(ALIGN) - LENGTH;
    text.resize(padded, b' ');
    if text.len() > MAX_HEADER_BYTES {
        return Err(format!(
            "the manifest and the other texts need {} bytes; at most {MAX_HEADER_BYTES} are allowed",
            text.len()
        ));
    }
    let mut file = Vec::with_capacity(LENGTH + text.len() + digest + DIGEST);
    file.extend((text.len() as u64).to_le_bytes());
    file.extend(text);
    file.extend(constants);
    file.extend(program);
    let digest = Sha256::digest(&file);
    file.extend(digest);
    Ok(file)
}

/// Reads a whole file. Nothing is believed before the digest has proved that the
/// file is what was once written; after that it may still be a hostile one.
pub(super) fn decode(file: &[u8]) -> Result<Contents, Fault> {
    if !is_artifact(file) {
        // A file cut off within its first bytes looks like any other.
        let start = &file[file.len().min(LENGTH)..];
        return Err(if !start.is_empty() && MAGIC.starts_with(start) {
            Fault::Damaged(format!("it ends after {} bytes", file.len()))
        } else {
            Fault::Foreign
        });
    }
    let body = file.len().saturating_sub(DIGEST);
    if Sha256::digest(&file[..body])[..] != file[body..] {
        return Err(Fault::Damaged(
            "its bytes do not give the SHA-256 it ends in".into(),
        ));
    }
    let (header, start) = header(file).map_err(Fault::Invalid)?;
    let rest = file.len() - start;
    let ranges = (|| {
        let constants = header.constants.range("constants", 0)?;
        let program = header.program.range("program", constants.end)?;
        let digest = header.sha256.range("sha256", program.end)?;
        if digest.len() != DIGEST || digest.end != rest {
            return Err(format!(
                "its tensors end at {}, with {} bytes of digest, but {rest} bytes are there",
                digest.end,
                digest.len()
            ));
        }
        if program.len() > MAX_PROGRAM_BYTES {
            return Err(format!(
                "its program has {} bytes; at most {MAX_PROGRAM_BYTES} are allowed",
                program.len()
            ));
        }
        Ok((constants, program))
    })();
    let (constants, program) = ranges.map_err(Fault::Invalid)?;
    let place = |range: Range<usize>| start + range.start..start + range.end;
    Ok(Contents {
        metadata: header.metadata,
        constants: place(constants),
        program: place(program),
    })
}

/// The header, and where the data begin.
fn header(file: &[u8]) -> Result<(Header, usize), String> {
    let (length, rest) = file
        .split_first_chunk::<LENGTH>()
        .ok_or("it has no header")?;
    let length = u64::from_le_bytes(*length);
    let text = usize::try_from(length)
        .ok()
        .filter(|&length| length <= MAX_HEADER_BYTES)
        .and_then(|length| rest.get(..length))
        .ok_or_else(|| {
            format!(
                "its header says it is {length} bytes long; there are {}, and at most \
                 {MAX_HEADER_BYTES} are read",
                rest.len()
            )
        })?;
    let start = LENGTH + text.len();
    let invalid = |error: serde_json::Error| format!("its header cannot be read: {error}");
    let any: AnyHeader = serde_json::from_slice(text).map_err(invalid)?;
    if any.metadata.version != VERSION.to_string() {
        return Err(format!(
            "it has format version {:?}, made by {:?}; this version reads {VERSION}",
            any.metadata.version, any.metadata.tool
        ));
    }
    let header: Header = serde_json::from_slice(text).map_err(invalid)?;
    if !start.is_multiple_of(ALIGN) {
        return Err(format!(
            "its constants begin at byte {start}, which is no multiple of {ALIGN}"
        ));
    }
    Ok((header, start))
}

#[cfg(test)]
mod tests;
