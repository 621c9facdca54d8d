//! What an I/O error means for the person who chose the target.

use std::io::{self, ErrorKind};

use super::SinkError;

/// Turns an I/O error on `what` (a path or stream) into a [`SinkError`].
pub(super) fn fault(what: impl Into<String>, error: &io::Error) -> SinkError {
    let what = what.into();
    let reason = match error.kind() {
        ErrorKind::BrokenPipe => return SinkError::Closed { what },
        ErrorKind::StorageFull => {
            "no space left on the device: free some, or name a folder on another one".into()
        }
        ErrorKind::QuotaExceeded => {
            "the disk quota is used up: free some space, or name a folder elsewhere".into()
        }
        ErrorKind::PermissionDenied => {
            "permission denied: name a folder that this user may write to".into()
        }
        ErrorKind::ReadOnlyFilesystem => {
            "the file system is read-only: name a folder on one that can be written".into()
        }
        ErrorKind::NotADirectory => "a part of this path is a file, not a folder".into(),
        ErrorKind::AlreadyExists => "a file of this name is in the way of the folder".into(),
        ErrorKind::IsADirectory => "a folder of this name is in the way of the file".into(),
        ErrorKind::NotFound => "the folder is gone: was it removed or unmounted?".into(),
        _ => error.to_string(),
    };
    SinkError::Write { what, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_causes_say_what_to_do() {
        for (code, word) in [(28, "space"), (13, "permission"), (30, "read-only")] {
            let error = fault("out/a.png", &io::Error::from_raw_os_error(code)).to_string();
            assert!(
                error.contains("out/a.png") && error.contains(word),
                "{error}"
            );
        }
    }

    #[test]
    fn a_broken_pipe_is_a_quiet_end() {
        let error = fault("stdout", &io::Error::from(ErrorKind::BrokenPipe));
        assert_eq!(
            error,
            SinkError::Closed {
                what: "stdout".into()
            }
        );
    }
}
