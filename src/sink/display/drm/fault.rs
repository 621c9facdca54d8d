//! What an error from a graphics card means to the user.

use std::io::{self, ErrorKind};
use std::path::Path;

/// Errno values, the same on every Linux that Rust knows.
const EACCES: i32 = 13;
const EBUSY: i32 = 16;
const EINVAL: i32 = 22;
const ENOTTY: i32 = 25;
const ENOSYS: i32 = 38;
const EOPNOTSUPP: i32 = 95;

/// Why a card at `path` could not be opened.
pub fn open(path: &Path, error: &io::Error) -> String {
    let name = path.display();
    match (error.kind(), error.raw_os_error()) {
        (ErrorKind::NotFound, _) => {
            format!("there is no {name}; `atrous devices` lists the displays there are")
        }
        (_, Some(EBUSY)) => held(path),
        (ErrorKind::PermissionDenied, _) => format!(
            "permission denied for {name}; join the group 'video' (sudo usermod -aG video \
             $USER) and log in again"
        ),
        _ => format!("{name} cannot be opened: {error}"),
    }
}

/// Why a card that is open failed at `step` of being set up.
pub fn setup(path: &Path, step: &str, error: &io::Error) -> String {
    let name = path.display();
    match error.raw_os_error() {
        // Only the master may set a mode.
        Some(EACCES | EBUSY) => held(path),
        Some(ENOTTY | ENOSYS | EOPNOTSUPP) => format!(
            "{name} drives no display: it computes only, or is no graphics card; `atrous \
             devices` lists the displays there are"
        ),
        Some(EINVAL) => format!(
            "{name}: {step} failed: the driver refuses what it is asked; `mode=` may ask for \
             a smaller size, and the kernel's log (dmesg) may tell more"
        ),
        _ => format!("{name}: {step} failed: {error}"),
    }
}

fn held(path: &Path) -> String {
    format!(
        "another program holds {name}, most likely a desktop. Stop it (sudo systemctl stop \
         display-manager) or switch to a text console (Ctrl-Alt-F3) and start the run there; \
         `sudo fuser -v {name}` tells who it is",
        name = path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_says_what_to_do() {
        let path = Path::new("/dev/dri/card9");
        let told = |say: &dyn Fn(&io::Error) -> String, code| {
            let text = say(&io::Error::from_raw_os_error(code));
            assert!(text.contains("/dev/dri/card9"), "{text}");
            text
        };
        let opening = |error: &io::Error| open(path, error);
        let setting = |error: &io::Error| setup(path, "setting the mode", error);
        assert!(told(&opening, 2).contains("atrous devices"));
        assert!(told(&opening, EACCES).contains("usermod -aG video"));
        assert!(told(&opening, EBUSY).contains("display-manager"));
        assert!(told(&setting, EACCES).contains("display-manager"));
        assert!(told(&setting, ENOTTY).contains("no graphics card"));
        assert!(told(&setting, EOPNOTSUPP).contains("no display"));
        assert!(told(&setting, EINVAL).contains("mode="));
        assert!(told(&setting, 28).contains("setting the mode"));
    }
}
