//! Reading a file that a user named, whole and bounded.

use std::fs::{File, metadata};
use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;

/// Reads a regular file (or a link to one) of at most `limit` bytes.
///
/// # Errors
/// That of the system; [`ErrorKind::IsADirectory`] and [`ErrorKind::InvalidInput`] for
/// what is not a regular file; [`ErrorKind::FileTooLarge`].
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    // Asked before the file is opened: opening a FIFO waits for a writer.
    let kind = metadata(path)?;
    if kind.is_dir() {
        return Err(Error::new(ErrorKind::IsADirectory, "is a folder"));
    }
    if !kind.is_file() {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            "is not a regular file; copy its content into one",
        ));
    }
    let mut bytes = Vec::new();
    // The length is no bound: the file may grow, and some systems give none.
    let size = File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if size as u64 > limit {
        return Err(Error::new(ErrorKind::FileTooLarge, too_large(limit)));
    }
    Ok(bytes)
}

fn too_large(limit: u64) -> String {
    let (size, unit) = match limit {
        0x10_0000.. => (limit >> 20, "MiB"),
        0x400.. => (limit >> 10, "KiB"),
        _ => (limit, "bytes"),
    };
    format!("is larger than {size} {unit}, the most that is read")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_the_last_size_that_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, [7; 64]).unwrap();
        assert_eq!(read(&path, 64).unwrap(), [7; 64]);
        let error = read(&path, 63).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
        assert!(error.to_string().contains("63 bytes"), "{error}");
        assert!(too_large(1 << 20).contains("1 MiB"));
        assert!(too_large(1 << 16).contains("64 KiB"));
    }

    #[test]
    fn links_are_followed_and_folders_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("a"), folder.path().join("b"));
        std::fs::write(&path, "text").unwrap();
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(&path, &link).unwrap();
            assert_eq!(read(&link, 9).unwrap(), b"text");
        }
        let error = read(folder.path(), 9).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::IsADirectory);
        let missing = read(&folder.path().join("c"), 9).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_has_no_end_is_refused_and_not_waited_for() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};

        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        for path in [fifo.as_path(), Path::new("/dev/zero")] {
            let error = read(path, 9).unwrap_err();
            assert!(
                error.to_string().contains("is not a regular file"),
                "{error}"
            );
        }
    }
}
