//! Exit codes, and the one place where an error is printed.

use std::process::ExitCode;

use atrous::compile::CompileError;
use atrous::config::ConfigError;
use atrous::model::ModelError;
use atrous::model::artifact::ArtifactError;
use atrous::pipeline::PipelineError;
use atrous::quantize::QuantizeError;
use atrous::sink::SinkError;
use atrous::source::SourceError;

use super::import::Refused;
use super::output::tell;

/// All went well.
pub const OK: u8 = 0;
/// Something failed while running.
pub const FAULT: u8 = 1;
/// A flag, path or config is wrong.
pub const USAGE: u8 = 2;
/// A camera is absent or went away.
pub const CAMERA: u8 = 3;
/// The model was rejected.
pub const MODEL: u8 = 4;
/// Something that the user required is not so.
pub const REQUIREMENT: u8 = 5;

/// A result is not the one it must be.
pub const MISMATCH: u8 = 6;

/// A verification that failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Mismatch(pub String);

/// A requirement of the user that is not met.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotMet(pub String);

/// Arguments that cannot be meant, or that do not fit what they name.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Misused(pub String);

/// Prints an error with its causes and turns a result into the exit code.
pub fn report(result: anyhow::Result<()>) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::from(OK);
    };
    if is_closed_pipe(&error) {
        return ExitCode::from(OK);
    }
    tell(format_args!("atrous: {error:#}"));
    ExitCode::from(code(&error))
}

/// Whether the reader of stdout went away, as `| head` does: no fault of ours.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<std::io::Error>();
        io.is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
            || matches!(cause.downcast_ref(), Some(SinkError::Closed { .. }))
            || matches!(
                cause.downcast_ref(),
                Some(PipelineError::Sink(SinkError::Closed { .. }))
            )
    })
}

/// The exit code of an error.
pub fn code(error: &anyhow::Error) -> u8 {
    error.chain().find_map(code_of).unwrap_or(FAULT)
}

fn code_of(cause: &(dyn std::error::Error + 'static)) -> Option<u8> {
    if let Some(ArtifactError::Write { .. }) = cause.downcast_ref() {
        return Some(FAULT);
    }
    if let Some(error) = cause.downcast_ref::<QuantizeError>() {
        return Some(match error {
            QuantizeError::NoPictures { .. } => USAGE,
            _ => MODEL,
        });
    }
    if cause.is::<ModelError>() || cause.is::<CompileError>() || cause.is::<ArtifactError>() {
        return Some(MODEL);
    }
    if let Some(refused) = cause.downcast_ref::<Refused>() {
        return Some(refused.code);
    }
    if cause.is::<NotMet>() {
        return Some(REQUIREMENT);
    }
    if cause.is::<Mismatch>() {
        return Some(MISMATCH);
    }
    if cause.is::<ConfigError>() || cause.is::<Misused>() {
        return Some(USAGE);
    }
    if let Some(PipelineError::Source(error)) = cause.downcast_ref() {
        return Some(source_code(error));
    }
    if let Some(error) = cause.downcast_ref::<SourceError>() {
        return Some(source_code(error));
    }
    matches!(cause.downcast_ref(), Some(SinkError::BadUri { .. })).then_some(USAGE)
}

fn source_code(error: &SourceError) -> u8 {
    match error {
        SourceError::BadUri { .. } | SourceError::NotFound { .. } => USAGE,
        SourceError::Lost { .. } => CAMERA,
        _ => FAULT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_follow_the_cause_through_contexts() {
        let lost = SourceError::Lost {
            uri: "/dev/video9".into(),
            reason: "gone".into(),
        };
        assert_eq!(
            code(&anyhow::Error::new(lost.clone()).context("while opening")),
            CAMERA
        );
        assert_eq!(code(&PipelineError::from(lost).into()), CAMERA);
        let model = ModelError::Graph {
            path: "a".into(),
            reason: "b".into(),
        };
        assert_eq!(code(&model.into()), MODEL);
        assert_eq!(code(&anyhow::anyhow!("other")), FAULT);
    }
}
