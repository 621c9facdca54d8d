//! Writing a file whole or not at all.

use std::fs::{self, File};
use std::io::{Result, Write};
use std::path::{Path, PathBuf};

/// A file under a temporary name, which is removed unless it is given its own.
#[derive(Debug)]
pub struct Partial {
    temporary: PathBuf,
}

impl Partial {
    /// Creates the file `.STEM.PROCESS.part` in a folder, and opens it for writing. It is in
    /// the folder that the file will be in, so that it stays on one file system.
    ///
    /// # Errors
    /// That of the system.
    pub fn create(folder: &Path, stem: &str) -> Result<(Self, File)> {
        // With the process id, so that two runs do not write into each other's.
        let temporary = folder.join(format!(".{stem}.{}.part", std::process::id()));
        let file = File::create(&temporary)?;
        Ok((Self { temporary }, file))
    }

    /// As [`create`](Self::create), for a file that is to be `path`.
    ///
    /// # Errors
    /// That of the system.
    pub fn beside(path: &Path) -> Result<(Self, File)> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Self::create(path.parent().unwrap_or(Path::new("")), &name)
    }

    /// Writes bytes that are to be the file `path`, under a temporary name beside it.
    ///
    /// # Errors
    /// That of the system.
    pub fn write(path: &Path, bytes: &[u8]) -> Result<Self> {
        let (partial, mut file) = Self::beside(path)?;
        file.write_all(bytes)?;
        // A board may lose power at any time: the name must not come before the bytes.
        file.sync_all()?;
        Ok(partial)
    }

    /// Gives the file its name in the same folder; what had it is replaced, and stays as it
    /// is for those who have it mapped.
    ///
    /// # Errors
    /// That of the system; the file is then removed.
    pub fn rename(self, to: &Path) -> Result<()> {
        // What was renamed is no longer there to be removed.
        fs::rename(&self.temporary, to)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // The failure that led here is the one to report.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Writes a whole file or, on failure, none.
///
/// # Errors
/// That of the system.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    Partial::write(path, bytes)?.rename(path)
}
