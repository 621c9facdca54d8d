//! Which programs have a device open.

use std::fs;
use std::path::Path;

/// Programs that hold `device` open, such as `ffmpeg (process 712)`, without this
/// one. Only those that this user may look into are seen.
pub(super) fn of(device: &Path) -> Vec<String> {
    let (Ok(device), Ok(processes)) = (fs::canonicalize(device), fs::read_dir("/proc")) else {
        return Vec::new();
    };
    let own = std::process::id();
    let mut found = Vec::new();
    for process in processes.flatten() {
        let name = process.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if id != own && holds(&process.path(), &device) {
            let program = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            found.push(format!("{} (process {id})", program.trim_end()));
        }
    }
    found
}

fn holds(process: &Path, device: &Path) -> bool {
    fs::read_dir(process.join("fd")).is_ok_and(|files| {
        files
            .flatten()
            .any(|file| fs::read_link(file.path()).is_ok_and(|target| target == *device))
    })
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    #[test]
    fn finds_a_program_by_its_open_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(super::of(file.path()), [""; 0]);
        let mut child = Command::new("sleep")
            .arg("60")
            .stdin(Stdio::from(file.reopen().unwrap()))
            .spawn()
            .unwrap();
        let found = super::of(file.path());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found, [format!("sleep (process {})", child.id())]);
    }
}
