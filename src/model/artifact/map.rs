//! A file's bytes without reading them into memory.

use std::fs::File;
use std::io;
use std::path::Path;

use memmap2::{Mmap, MmapOptions};

use crate::model::MAX_FILE_BYTES;

/// Maps a regular file of at most [`MAX_FILE_BYTES`], privately and read-only.
///
/// The file must not be changed in place while the program runs: if another process
/// does, the weights may change under the engine, and cutting the file short
/// stops the process with SIGBUS. A file that is replaced by renaming, as
/// [`Artifact::write`](super::Artifact::write) does, is not changed in place.
pub(super) fn map(path: &Path) -> io::Result<Mmap> {
    // Asked before opening: to open a pipe may wait for ever.
    check_kind(&std::fs::metadata(path)?)?;
    let file = File::open(path)?;
    // Asked again of what was opened: the name may by now be another file's.
    let metadata = file.metadata()?;
    check_kind(&metadata)?;
    let size = metadata.len();
    if size == 0 {
        return Err(io::Error::other("is empty"));
    }
    let size = match usize::try_from(size) {
        Ok(bytes) if size <= MAX_FILE_BYTES => bytes,
        _ => {
            return Err(io::Error::other(format!(
                "is {} MiB large; at most {} MiB are read",
                size >> 20,
                MAX_FILE_BYTES >> 20
            )));
        }
    };
    // SAFETY: the map is read-only, private and exactly as long as the file was a
    // moment ago, and lives as long as the bytes are borrowed. What no program can
    // rule out is another process changing the file in place meanwhile. Then bytes
    // seen through the slice may differ between two reads, which the language does
    // not allow for; in practice: the program's structure, every index and size
    // included, is parsed into memory of its own and checked there, so that only
    // weights and tables are read from the map later, and any byte is a valid one
    // of those. A file cut short makes the kernel stop the process.
    #[allow(unsafe_code)]
    unsafe {
        MmapOptions::new().len(size).map_copy_read_only(&file)
    }
}

fn check_kind(metadata: &std::fs::Metadata) -> io::Result<()> {
    if metadata.is_dir() {
        return Err(io::Error::other("is a folder"));
    }
    if !metadata.is_file() {
        return Err(io::Error::other("is not a regular file"));
    }
    Ok(())
}
