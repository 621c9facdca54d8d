//! A file that has its name only once it is whole.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// A file under a temporary name, which is removed unless it is given its own.
#[derive(Debug)]
pub struct Partial {
    temporary: PathBuf,
}

impl Partial {
    /// Creates the file `.STEM.PROCESS.part` in a folder, and opens it for writing.
    ///
    /// # Errors
    /// That of the system.
    pub fn create(folder: &Path, stem: &str) -> io::Result<(Self, File)> {
        // With the process id, so that two runs do not write into each other's.
        let temporary = folder.join(format!(".{stem}.{}.part", std::process::id()));
        let file = File::create(&temporary)?;
        Ok((Self { temporary }, file))
    }

    /// Gives the file its name in the same folder; what had it is replaced.
    ///
    /// # Errors
    /// That of the system; the file is then removed.
    pub fn rename(self, to: &Path) -> io::Result<()> {
        // What was renamed is no longer there to be removed.
        fs::rename(&self.temporary, to)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.temporary);
    }
}
