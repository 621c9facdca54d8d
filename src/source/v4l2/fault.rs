//! What an error from the camera's driver means to the user.

use std::io;
use std::path::Path;

use super::holders;
use crate::source::SourceError;

/// Errno values, the same on every Linux that Rust knows.
const ENXIO: i32 = 6;
const EBUSY: i32 = 16;
const ENODEV: i32 = 19;
const ENOTTY: i32 = 25;
const ENOSPC: i32 = 28;

/// The reason for a camera that went away while it was in use.
pub(super) const GONE: &str =
    "the camera went away: it was unplugged, or its driver was unloaded; plug it in again";

/// Whether the device behind the file no longer exists.
pub(super) fn is_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(ENODEV)
}

/// Why a camera that streamed, or was about to, is closed.
pub(super) fn stream(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(ENOSPC) => "the USB bus has no bandwidth left for it; ask for format=mjpeg, a \
             smaller size or a lower fps, or use a port on another bus"
            .to_owned(),
        Some(EBUSY) => "busy: another program streams from it; stop that first".to_owned(),
        _ => format!(
            "restarting its stream does not help: {error}; the kernel's log (dmesg) may tell \
             why, and so may plugging it in again"
        ),
    }
}

/// The error for a camera at `path` that failed at `step` of being set up.
pub(super) fn setup(path: &Path, step: &str, error: &io::Error) -> SourceError {
    explain(path, step, error, || holders::of(path))
}

fn explain(
    path: &Path,
    step: &str,
    error: &io::Error,
    holders: impl FnOnce() -> Vec<String>,
) -> SourceError {
    let uri = path.display().to_string();
    let open = |reason| SourceError::Open {
        uri: uri.clone(),
        reason,
    };
    match (error.kind(), error.raw_os_error()) {
        (io::ErrorKind::NotFound, _) | (_, Some(ENODEV | ENXIO)) => SourceError::Lost {
            reason: "there is no such camera; `atrous devices` lists those there are".to_owned(),
            uri,
        },
        (io::ErrorKind::PermissionDenied, _) => open(
            "permission denied; join the group 'video' (sudo usermod -aG video $USER) and log \
             in again"
                .to_owned(),
        ),
        (_, Some(EBUSY)) => open(match holders() {
            users if users.is_empty() => {
                format!("busy: another program uses it; `fuser -v {uri}` as root tells which")
            }
            users => format!("busy: it is used by {}; stop that first", users.join(", ")),
        }),
        (_, Some(ENOTTY)) => {
            open("not a video device; `atrous devices` lists the cameras there are".to_owned())
        }
        _ => open(format!("{step} failed: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(errno: i32, users: &[&str]) -> SourceError {
        let error = io::Error::from_raw_os_error(errno);
        let users = users.iter().map(|user| (*user).to_owned()).collect();
        explain(
            Path::new("/dev/video9"),
            "setting its format",
            &error,
            || users,
        )
    }

    #[test]
    fn stream_faults_say_what_to_do() {
        for (errno, part) in [(ENOSPC, "format=mjpeg"), (EBUSY, "busy"), (5, "dmesg")] {
            let reason = stream(&io::Error::from_raw_os_error(errno));
            assert!(reason.contains(part), "{reason}");
        }
        assert!(is_gone(&io::Error::from_raw_os_error(ENODEV)));
        assert!(!is_gone(&io::Error::from_raw_os_error(5)));
    }

    #[test]
    fn every_error_says_what_to_do() {
        for errno in [2, ENODEV, ENXIO] {
            let error = explained(errno, &[]);
            assert!(matches!(error, SourceError::Lost { .. }), "{error}");
            assert!(error.to_string().contains("atrous devices"), "{error}");
        }
        for (errno, users, part) in [
            (13, &[][..], "usermod -aG video"),
            (1, &[], "usermod -aG video"),
            (EBUSY, &[], "fuser -v /dev/video9"),
            (EBUSY, &["ffmpeg (process 7)"], "used by ffmpeg (process 7)"),
            (ENOTTY, &[], "not a video device"),
            (22, &[], "setting its format failed"),
        ] {
            let error = explained(errno, users);
            assert!(matches!(error, SourceError::Open { .. }), "{error}");
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}
