//! Writing a file whole or not at all.

use std::fs::{self, File};
use std::io::{Result, Write};
use std::path::{Path, PathBuf};

/// Writes a whole file or, on failure, none. An old file of that name stays as it
/// is for those who have it mapped.
///
/// # Errors
/// That of the system.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = temporary_name(path);
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        // A board may lose power at any time: the name must not come before the bytes.
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().inspect_err(|_| {
        // The first failure is the one to report; there may be nothing to remove.
        let _ = fs::remove_file(&temporary);
    })
}

/// Beside the file, so that the rename stays on one file system; hidden, and
/// with the process id, so that two runs do not write into each other's.
fn temporary_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.part", std::process::id()))
}
