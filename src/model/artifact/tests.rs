use std::path::PathBuf;

use super::*;
use crate::program::check::sample;

pub(super) const MANIFEST: &str = r#"
    format = 1
    name = "tiny"
    description = "a quote \" and a letter é"
    file = "tiny.onnx"
    sha256 = "a11ce00000000000000000000000000000000000000000000000000000000000"
    licence = "MIT"
    [input]
    width = 9
    height = 7
    layout = "nchw"
    dtype = "f32"
    mean = [123.675, 116.28, 103.53]
    std = [58.395, 57.12, 57.375]
    [output]
    kind = "logits"
    [[class]]
    name = "floor"
    colour = [1, 2, 3]
    [[class]]
    name = "wall"
    colour = [4, 5, 6]
    [[class]]
    name = "door"
    colour = [7, 8, 9]
"#;

pub(super) fn artifact() -> Artifact {
    let manifest = Manifest::parse(MANIFEST, "tiny.toml").unwrap();
    Artifact {
        source_sha256: manifest.sha256.clone(),
        manifest,
        program: sample::program(),
        tool: "atrous 0.1.0".into(),
        golden: Golden::new(u64::MAX, &[0; 63]),
        calibration: None,
    }
}

/// What reading says about an artifact that was written as it is.
fn said(change: impl FnOnce(&mut Artifact)) -> String {
    let mut artifact = artifact();
    change(&mut artifact);
    let bytes = artifact.encode().unwrap();
    Artifact::parse(&bytes, "x.atrous").unwrap_err().to_string()
}

#[test]
fn what_is_written_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.atrous");
    for calibration in [None, Some("200 pictures".to_owned())] {
        let artifact = Artifact {
            calibration,
            ..artifact()
        };
        artifact.write(&path).unwrap();
        assert_eq!(Artifact::read(&path).unwrap(), artifact);
        let bytes = fs::read(&path).unwrap();
        assert_eq!(Artifact::parse(&bytes, "x").unwrap(), artifact);
        assert_eq!(artifact.encode().unwrap(), bytes);
    }
    // Nothing else is left.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn scales_are_kept_to_the_bit() {
    let mut artifact = artifact();
    for bits in [
        0x3dcc_cccd,
        0x3727_c5ac,
        0x7e96_7699,
        0x0080_0001,
        0x4b80_0001,
    ] {
        // The resized scores share it, and nothing is computed from it.
        for id in [sample::SCORES, sample::FINE] {
            artifact.program.tensors[id.0 as usize].quant.scale = f32::from_bits(bits);
        }
        if let Op::Conv(conv) = &mut artifact.program.ops[10] {
            conv.quant.scale = f32::from_bits(bits);
        }
        let read = Artifact::parse(&artifact.encode().unwrap(), "x").unwrap();
        assert_eq!(read.program, artifact.program);
    }
}

#[test]
fn constants_of_a_mapped_file_are_aligned() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.atrous");
    artifact().write(&path).unwrap();
    let read = Artifact::read(&path).unwrap();
    assert_eq!(read.program.constants.as_ptr().addr() % 64, 0);
    // The file may be replaced while it is mapped.
    let other = Artifact {
        tool: "another".into(),
        ..artifact()
    };
    other.write(&path).unwrap();
    assert_eq!(read, artifact());
    assert_eq!(Artifact::read(&path).unwrap(), other);
}

#[test]
fn what_cannot_be_read_back_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.atrous");
    let mut broken = artifact();
    broken.program.arena_bytes = 0;
    assert!(matches!(
        broken.write(&path),
        Err(ArtifactError::Program { .. })
    ));
    // The folder is not there.
    let nowhere = folder.path().join("no/tiny.atrous");
    assert!(matches!(
        artifact().write(&nowhere),
        Err(ArtifactError::Write { .. })
    ));
    // The name is a folder's: the temporary file is removed again.
    fs::create_dir(&path).unwrap();
    assert!(matches!(
        artifact().write(&path),
        Err(ArtifactError::Write { .. })
    ));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn parts_that_do_not_belong_together_are_refused() {
    type Change = fn(&mut Artifact);
    let cases: [(Change, &str); 9] = [
        (|a| a.source_sha256 = "ab".repeat(32), "another model"),
        (|a| a.source_sha256 = "AB".repeat(32), "lower-case"),
        (|a| a.golden.mask_sha256.truncate(63), "golden mask"),
        (|a| a.tool = "t".repeat(257), "tool"),
        (
            |a| a.manifest.input.width = 10,
            "9x7, but its manifest says 10x7",
        ),
        (|a| a.manifest.format = 2, "format is 2"),
        (
            |a| {
                a.manifest.classes = crate::classes::Classes::new(
                    a.manifest.classes.iter().take(2).cloned().collect(),
                )
            },
            "3 classes apart, but its manifest names 2",
        ),
        (|a| a.program.tensors[1].channels = 9, "tensor 1 \"stem\""),
        (|a| a.program.constants = vec![].into(), "constants"),
    ];
    for (change, words) in cases {
        let error = said(change);
        assert!(
            error.contains(words) && error.contains("'x.atrous'") && error.contains("again"),
            "{error}"
        );
    }
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let bytes = artifact().encode().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.atrous");
    for len in 0..bytes.len() {
        let error = Artifact::parse(&bytes[..len], "x").unwrap_err();
        let wanted = if len > 8 {
            matches!(error, ArtifactError::Damaged { .. })
        } else {
            error == ArtifactError::Foreign { path: "x".into() }
        };
        assert!(wanted, "{len}: {error}");
    }
    for len in [0, 1, 8, 9, 64, bytes.len() - 1] {
        fs::write(&path, &bytes[..len]).unwrap();
        Artifact::read(&path).unwrap_err();
    }
    // And one that is too long.
    let longer = [&bytes[..], &[0]].concat();
    assert!(matches!(
        Artifact::parse(&longer, "x"),
        Err(ArtifactError::Damaged { .. })
    ));
}

#[test]
fn a_flipped_bit_is_an_error() {
    let bytes = artifact().encode().unwrap();
    // Steps of the golden ratio spread evenly over the file.
    let mut state = 0u64;
    for _ in 0..1000 {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let bit = usize::try_from((u128::from(state) * (bytes.len() as u128 * 8)) >> 64).unwrap();
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        Artifact::parse(&flipped, "x").unwrap_err();
    }
    // All of the header and of the digest.
    for at in (0..2048).chain(bytes.len() - 32..bytes.len()) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x10;
        Artifact::parse(&flipped, "x").unwrap_err();
    }
}

#[test]
fn what_is_no_artifact_says_so() {
    for bytes in [
        &b""[..],
        b"PK\x03\x04 something that is no model at all",
        &[0xff; 100],
    ] {
        assert_eq!(
            Artifact::parse(bytes, "x"),
            Err(ArtifactError::Foreign { path: "x".into() })
        );
    }
    let folder = tempfile::tempdir().unwrap();
    for (path, words) in [
        (folder.path().to_owned(), "is a folder"),
        (folder.path().join("none.atrous"), "no such file"),
        (PathBuf::from("/dev/null"), "not a regular file"),
    ] {
        let error = Artifact::read(&path).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let huge = folder.path().join("huge.atrous");
    let file = File::create(&huge).unwrap();
    file.set_len(crate::model::MAX_FILE_BYTES + 1).unwrap();
    let error = Artifact::read(&huge).unwrap_err().to_string();
    assert!(error.contains("at most 1024 MiB"), "{error}");
}

#[test]
fn artifacts_are_told_by_name_or_content() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.bin");
    artifact().write(&path).unwrap();
    assert!(is_artifact_path(&path));
    assert!(is_artifact_path(Path::new("no/such.ATROUS")));
    fs::write(&path, b"something else").unwrap();
    assert!(!is_artifact_path(&path));
    assert!(!is_artifact_path(folder.path()));
    assert!(!is_artifact_path(Path::new("/dev/null")));
    assert!(!is_artifact(b"12345678{\"__metadata__\":{}}"));
}

#[test]
fn a_golden_mask_is_known_again() {
    let golden = Golden::new(1, &[1, 2, 3]);
    assert!(golden.matches(&[1, 2, 3]));
    assert!(!golden.matches(&[1, 2, 4]));
}
