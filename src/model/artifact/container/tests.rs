use safetensors::SafeTensors;

use super::*;

fn metadata() -> Metadata {
    Metadata::new(
        "tool".into(),
        "source".into(),
        ("1".into(), "mask".into()),
        None,
        "manifest".into(),
    )
}

fn file() -> Vec<u8> {
    encode(metadata(), &[1; 70], b"{}").unwrap()
}

/// A hostile file: any header, any data, a good digest.
fn sealed(header: &str, data: &[u8]) -> Vec<u8> {
    let padded = (LENGTH + header.len()).next_multiple_of(ALIGN) - LENGTH;
    let mut file = (padded as u64).to_le_bytes().to_vec();
    file.extend(header.bytes());
    file.resize(LENGTH + padded, b' ');
    file.extend(data);
    seal(file)
}

fn seal(mut file: Vec<u8>) -> Vec<u8> {
    let digest = Sha256::digest(&file);
    file.extend(digest);
    file
}

/// The header's text, without its padding, and the data without the digest.
fn parts(file: &[u8]) -> (String, Vec<u8>) {
    let length = u64::from_le_bytes(file[..LENGTH].try_into().unwrap());
    let start = LENGTH + usize::try_from(length).unwrap();
    let text = std::str::from_utf8(&file[LENGTH..start]).unwrap();
    (
        text.trim_end().to_owned(),
        file[start..file.len() - DIGEST].to_vec(),
    )
}

fn invalid(file: &[u8]) -> String {
    match decode(file) {
        Err(Fault::Invalid(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_common_reader_reads_it() {
    let file = file();
    let (_, header) = SafeTensors::read_metadata(&file).unwrap();
    let texts = header.metadata().as_ref().unwrap();
    assert_eq!(texts["format"], "atrous-program");
    assert_eq!(texts["manifest"], "manifest");
    let tensors = SafeTensors::deserialize(&file).unwrap();
    assert_eq!(tensors.tensor("constants").unwrap().data(), [1; 70]);
    assert_eq!(tensors.tensor("program").unwrap().data(), b"{}");
    assert_eq!(tensors.len(), 3);
}

#[test]
fn constants_are_aligned_whatever_the_header_s_length() {
    for len in 0..130 {
        let metadata = Metadata {
            manifest: "m".repeat(len),
            ..metadata()
        };
        let file = encode(metadata.clone(), &[1; 70], b"{}").unwrap();
        let contents = decode(&file).unwrap();
        assert_eq!(contents.constants.start % 64, 0);
        assert_eq!(file[contents.constants], [1; 70]);
        assert_eq!(&file[contents.program], b"{}");
        assert_eq!(contents.metadata, metadata);
        assert!(is_artifact(&file[..MAGIC_BYTES]));
    }
}

#[test]
fn the_digest_is_of_all_that_comes_before() {
    let (header, data) = parts(&file());
    assert_eq!(sealed(&header, &data), file());
}

#[test]
fn a_lying_header_is_refused() {
    let (header, data) = parts(&file());
    for (from, to, words) in [
        ("[0,70]", "[0,71]", "'constants' lies at 0..71"),
        ("[0,70]", "[1,70]", "'constants' lies at 1..70"),
        ("[0,70]", "[70,0]", "'constants' lies at 70..0"),
        ("[0,70]", "[0,18446744073709551615]", "'constants'"),
        ("[0,70]", "[0,18446744073709551616]", "cannot be read"),
        ("[0,70]", "[0,-1]", "cannot be read"),
        ("[70,72]", "[0,2]", "'program' lies at 0..2"),
        ("[70,72]", "[72,74]", "'program' lies at 72..74"),
        ("[72,104]", "[72,103]", "'sha256' lies at 72..103"),
        ("\"shape\":[70]", "\"shape\":[69]", "its size 69"),
        ("\"shape\":[70]", "\"shape\":[7,10]", "cannot be read"),
        ("\"shape\":[70]", "\"shape\":[]", "cannot be read"),
        ("\"dtype\":\"U8\"", "\"dtype\":\"I8\"", "\"I8\", not U8"),
        ("\"program\":", "\"constants\":", "duplicate field"),
        ("\"program\":", "\"programme\":", "unknown field"),
        ("\"tool\":\"tool\"", "\"tool\":3", "cannot be read"),
        (
            "\"tool\":\"tool\"",
            "\"tool\":\"a\",\"tool\":\"b\"",
            "duplicate field",
        ),
        (
            "\"version\":\"2\"",
            "\"version\":\"1\"",
            "version \"1\", made by \"tool\"",
        ),
    ] {
        assert!(header.contains(from), "{from}");
        let reason = invalid(&sealed(&header.replacen(from, to, 1), &data));
        assert!(reason.contains(words), "{to}: {reason}");
    }
}

#[test]
fn data_must_end_where_the_header_says() {
    let (header, data) = parts(&file());
    let longer = [&data[..], &[0]].concat();
    for data in [&longer[..], &data[..71], &[]] {
        let reason = invalid(&sealed(&header, data));
        assert!(reason.contains("tensors end at 104"), "{reason}");
    }
    let short = header.replace("[72,104]", "[72,73]").replace("[32]", "[1]");
    invalid(&sealed(&short, &data));
}

#[test]
fn a_header_of_absurd_length_is_refused() {
    let whole = file();
    let body = &whole[LENGTH..whole.len() - DIGEST];
    let lengths = [0, 1, 8, 1 << 20, (1 << 20) + 1, 1 << 62, u64::MAX];
    for length in lengths.into_iter().chain([whole.len() as u64]) {
        let hostile = [&length.to_le_bytes()[..], body].concat();
        invalid(&seal(hostile));
    }
}

#[test]
fn constants_off_the_grid_are_refused() {
    let (header, data) = parts(&file());
    let mut file = ((header.len() + 1) as u64).to_le_bytes().to_vec();
    file.extend(header.bytes());
    file.push(b' ');
    file.extend(data);
    let reason = invalid(&seal(file));
    assert!(reason.contains("no multiple of 64"), "{reason}");
}

#[test]
fn what_is_too_large_to_read_is_not_written() {
    let large = Metadata {
        manifest: "m".repeat(MAX_HEADER_BYTES),
        ..metadata()
    };
    assert!(encode(large, &[], b"{}").is_err());
    assert!(encode(metadata(), &[], &vec![b' '; MAX_PROGRAM_BYTES + 1]).is_err());
}
