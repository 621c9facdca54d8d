//! The figures of each picture as comma-separated values.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::super::exit::Misused;
use atrous::output_file::Partial;

const HEADER: &str = "name,miou,pixel_accuracy,agreement,ms";

/// The figures of one picture; `None` becomes an empty field.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// The picture's name without its ending.
    pub name: &'a str,
    /// Mean IoU over the classes that occur in this picture.
    pub miou: Option<f64>,
    /// Share of its pixels whose class is right.
    pub pixel_accuracy: Option<f64>,
    /// Share of its pixels to which the other model gives the same class.
    pub agreement: Option<f64>,
    /// From the decoded picture to the mask at its size.
    pub time: Duration,
}

/// A table that is being written. It has its name once it is finished.
#[derive(Debug)]
pub struct Table {
    path: PathBuf,
    partial: Partial,
    out: BufWriter<File>,
}

impl Table {
    /// Begins a table at `path`.
    pub fn create(path: &Path) -> Result<Self> {
        // A folder, a device or a link would be replaced, and not written to.
        let other = path.symlink_metadata().is_ok_and(|found| !found.is_file());
        if path.file_name().is_none() || other {
            let text = format!(
                "--csv {}: this is no regular file; name another, in a folder",
                path.display()
            );
            return Err(Misused(text).into());
        }
        let (partial, file) = Partial::beside(path).with_context(|| cannot_write(path))?;
        let mut table = Self {
            path: path.to_owned(),
            partial,
            out: BufWriter::new(file),
        };
        table.line(format_args!("{HEADER}"))?;
        Ok(table)
    }

    /// Appends a row.
    pub fn add(&mut self, row: &Row<'_>) -> Result<()> {
        let share = |value: Option<f64>| value.map_or(String::new(), |v| format!("{v:.6}"));
        self.line(format_args!(
            "{},{},{},{},{:.3}",
            quoted(row.name),
            share(row.miou),
            share(row.pixel_accuracy),
            share(row.agreement),
            row.time.as_secs_f64() * 1e3
        ))
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) -> Result<()> {
        writeln!(self.out, "{text}").with_context(|| cannot_write(&self.path))
    }

    /// Gives the table its name; a file that has it is replaced.
    pub fn finish(self) -> Result<()> {
        let written = self
            .out
            .into_inner()
            .map_err(io::IntoInnerError::into_error);
        written
            .and_then(|_| self.partial.rename(&self.path))
            .with_context(|| cannot_write(&self.path))
    }
}

fn cannot_write(path: &Path) -> String {
    format!(
        "--csv {}: cannot write it; name a file in a folder that this user may write to",
        path.display()
    )
}

/// A field as RFC 4180 has it.
fn quoted(text: &str) -> Cow<'_, str> {
    if text.contains([',', '"', '\n', '\r']) {
        Cow::Owned(format!("\"{}\"", text.replace('"', "\"\"")))
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_its_name_once_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let files = || std::fs::read_dir(folder.path()).unwrap().count();
        let row = Row {
            name: "a,\"b\"",
            miou: Some(0.5),
            pixel_accuracy: None,
            agreement: Some(1.0),
            time: Duration::from_micros(1500),
        };
        let mut table = Table::create(&path).unwrap();
        table.add(&row).unwrap();
        assert!(!path.exists());
        drop(table);
        assert_eq!(files(), 0);
        for _ in 0..2 {
            let mut table = Table::create(&path).unwrap();
            table.add(&row).unwrap();
            table.finish().unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            let want = format!("{HEADER}\n\"a,\"\"b\"\"\",0.500000,,1.000000,1.500\n");
            assert_eq!(text, want);
            assert_eq!(files(), 1);
        }
    }
}
