//! One file that a whole run writes to, and that is there only when it is whole.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::SinkError;
use super::fault::fault;
use crate::output_file::Partial;

/// A file under a temporary name, written piece by piece.
#[derive(Debug)]
pub struct Record {
    path: PathBuf,
    /// Gone once the file has its name, or a write has failed.
    open: Option<(Partial, BufWriter<File>)>,
}

impl Record {
    /// Creates the file's folder and the file, under a temporary name.
    ///
    /// # Errors
    /// [`SinkError::Write`].
    pub fn create(path: &Path) -> Result<Self, SinkError> {
        let create = || {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            Partial::beside(path)
        };
        let (partial, file) = create().map_err(|error| at(path, &error))?;
        Ok(Self {
            path: path.to_owned(),
            open: Some((partial, BufWriter::new(file))),
        })
    }

    /// Adds to the file.
    ///
    /// # Errors
    /// [`SinkError::Write`]; the file is then removed.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        let Some((_, file)) = &mut self.open else {
            return Ok(());
        };
        file.write_all(bytes).map_err(|error| {
            self.open = None;
            at(&self.path, &error)
        })
    }

    /// Adds a value as JSON.
    ///
    /// # Errors
    /// [`SinkError::Write`]; the file is then removed.
    pub fn write_json(&mut self, value: &impl Serialize) -> Result<(), SinkError> {
        let Some((_, file)) = &mut self.open else {
            return Ok(());
        };
        serde_json::to_writer(file, value).map_err(|error| {
            self.open = None;
            at(&self.path, &error.into())
        })
    }

    /// Gives the file up: it will not be there.
    pub fn abandon(&mut self) {
        self.open = None;
    }

    /// Gives the file its name; what had it is replaced. Nothing happens where a write
    /// has failed, or the second time.
    ///
    /// # Errors
    /// [`SinkError::Write`]; the file is then removed.
    pub fn finish(&mut self) -> Result<(), SinkError> {
        let Some((partial, mut file)) = self.open.take() else {
            return Ok(());
        };
        let finish = || {
            file.flush()?;
            file.get_ref().sync_all()?;
            partial.rename(&self.path)
        };
        finish().map_err(|error| at(&self.path, &error))
    }
}

fn at(path: &Path, error: &std::io::Error) -> SinkError {
    fault(path.display().to_string(), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_comes_with_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sub/a.csv");
        let mut record = Record::create(&path).unwrap();
        record.write(b"one").unwrap();
        assert!(!path.exists());
        record.finish().unwrap();
        record.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one");

        let mut record = Record::create(&path).unwrap();
        record.write(b"two").unwrap();
        record.abandon();
        record.finish().unwrap();
        drop(Record::create(&path).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_in_the_way_of_the_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "").unwrap();
        let error = Record::create(&folder.path().join("a/b.csv")).unwrap_err();
        assert!(error.to_string().contains("b.csv"), "{error}");
    }
}
