//! Artifacts that lie.

use atrous::model::artifact::Artifact;
use sha2::{Digest, Sha256};

use super::{Rng, Verdict, json, run};

/// Bytes of the header's length, and of the digest.
const LENGTH: usize = 8;
const DIGEST: usize = 32;

/// A file taken apart.
struct Parts {
    header: Vec<u8>,
    constants: Vec<u8>,
    program: Vec<u8>,
}

impl Parts {
    /// Of a file that is one, nearly.
    fn of(file: &[u8]) -> Option<Self> {
        let length = u64::from_le_bytes(*file.first_chunk::<LENGTH>()?);
        let start = usize::try_from(length).ok()?.checked_add(LENGTH)?;
        let header = file.get(LENGTH..start)?.trim_ascii_end().to_vec();
        let data = file.get(start..file.len().checked_sub(DIGEST)?)?;
        // The program is JSON, which ends the data, and begins as nothing else does.
        let is_start = |w: &[u8]| w == br#"{"width":"#;
        let at = data.windows(9).position(is_start)?;
        Some(Self {
            header,
            constants: data[..at].to_vec(),
            program: data[at..].to_vec(),
        })
    }

    /// The header with the places of the parts as they now are.
    fn mend(&mut self) {
        let Ok(mut header) = serde_json::from_slice::<serde_json::Value>(&self.header) else {
            return;
        };
        let program = self.constants.len();
        let digest = program + self.program.len();
        for (name, from, to) in [
            ("constants", 0, program),
            ("program", program, digest),
            ("sha256", digest, digest + DIGEST),
        ] {
            if let Some(entry) = header.get_mut(name) {
                entry["shape"] = serde_json::json!([to - from]);
                entry["data_offsets"] = serde_json::json!([from, to]);
            }
        }
        // Numbers by text, so that the order of the keys stays: the file is known by it.
        let text = String::from_utf8_lossy(&self.header).into_owned();
        if let Some(at) = text.rfind(r#""constants":"#) {
            let entries = ["constants", "program", "sha256"]
                .map(|name| format!("\"{name}\":{}", header[name]))
                .join(",");
            self.header = format!("{}{entries}}}", &text[..at]).into_bytes();
        }
    }

    fn join(&self, length: Option<u64>) -> Vec<u8> {
        let padded = (LENGTH + self.header.len()).next_multiple_of(64) - LENGTH;
        let mut file = length.unwrap_or(padded as u64).to_le_bytes().to_vec();
        file.extend(&self.header);
        file.resize(LENGTH + padded, b' ');
        file.extend(&self.constants);
        file.extend(&self.program);
        seal(file)
    }
}

/// The bytes with the digest that belongs to them.
pub fn seal(mut file: Vec<u8>) -> Vec<u8> {
    let digest = Sha256::digest(&file);
    file.extend(digest);
    file
}

/// Another artifact made from a good one.
pub fn mutated(good: &[u8], rng: &mut Rng) -> Vec<u8> {
    let Some(mut parts) = Parts::of(good) else {
        return good.to_vec();
    };
    if rng.one_in(8) {
        let mut file = good.to_vec();
        rng.spoil(&mut file);
        return if rng.one_in(2) {
            file.truncate(file.len().saturating_sub(DIGEST));
            seal(file)
        } else {
            file
        };
    }
    let mut length = None;
    let mut is_mended = true;
    for _ in 0..=rng.below(3) {
        match rng.below(12) {
            0..=6 => json::spoil(rng, &mut parts.program),
            7 | 8 => json::spoil(rng, &mut parts.header),
            9 => rng.spoil(&mut parts.constants),
            10 => is_mended = false,
            _ => {
                let header = parts.header.len() as i64;
                length = rng.one_in(4).then(|| rng.number(header) as u64);
            }
        }
    }
    if is_mended {
        parts.mend();
    }
    parts.join(length)
}

/// Reads an artifact, and runs what is in it.
pub fn check(file: &[u8]) -> Verdict {
    match Artifact::parse(file, "fuzz.atrous") {
        Ok(artifact) => {
            run::run(&artifact.manifest, &artifact.program);
            Verdict::Accepted
        }
        Err(error) => {
            assert!(error.to_string().len() < 1 << 16, "an endless message");
            Verdict::Refused
        }
    }
}
