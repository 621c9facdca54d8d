//! Whether tract's CUDA backend is part of this build, and whether it can run here.

use std::path::PathBuf;

#[cfg(feature = "cuda")]
use tract_onnx::tract_core::runtime::runtime_for_name;

/// Whether this build has the backend.
pub const IS_BUILT: bool = cfg!(feature = "cuda");

/// Asks the backend whether driver and libraries are there. It opens them to find out.
///
/// # Errors
/// What is missing, in its own words.
#[cfg(feature = "cuda")]
pub fn check() -> Result<(), String> {
    use super::super::tract::{contained, flat};
    contained(|| match runtime_for_name("cuda") {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err("the backend is not linked".to_owned()),
        Err(error) => Err(flat(&error)),
    })
}

/// As it is in a build with the backend.
///
/// # Errors
/// Always: this build has none.
#[cfg(not(feature = "cuda"))]
pub fn check() -> Result<(), String> {
    Err("this build has no CUDA; build it with `cargo build --release --features cuda`".to_owned())
}

/// The CUDA level the build was made for, such as (12, 6): a driver must have it or a
/// later one.
pub fn level() -> Option<(u32, u32)> {
    #[cfg(feature = "cuda")]
    {
        let level = u32::try_from(tract_cuda::utils::REQUIRED_CUDA_API).ok()?;
        Some((level / 1000, level % 1000 / 10))
    }
    #[cfg(not(feature = "cuda"))]
    None
}

/// Where compiled kernels are kept.
pub fn cache() -> Option<PathBuf> {
    #[cfg(feature = "cuda")]
    {
        Some(tract_cuda::kernels::cubin_dir().to_owned())
    }
    #[cfg(not(feature = "cuda"))]
    None
}
