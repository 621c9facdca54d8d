//! The pieces of CUDA that its backend opens while it runs, looked for where the loader
//! and the kernel compiler look. Only names are looked up; no library is opened.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Sysfs, text};

/// A piece of CUDA.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CudaPiece {
    /// What it is for.
    pub name: &'static str,
    /// The file that shows it.
    pub file: &'static str,
    /// The package that brings it on a Jetson with JetPack 6.1 or later.
    pub package: &'static str,
    /// Whether it is there.
    pub state: PieceState,
}

/// Where a piece was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PieceState {
    /// Where it is looked for.
    Found(PathBuf),
    /// In a folder where the loader does not look: add the folder to `LD_LIBRARY_PATH`, or
    /// to a file in `/etc/ld.so.conf.d`.
    OutOfPath(PathBuf),
    /// An empty file, such as a container has until its runtime puts the real one there.
    Empty(PathBuf),
    /// Nowhere.
    Missing,
}

impl CudaPiece {
    /// Whether it can be used.
    pub fn is_found(&self) -> bool {
        matches!(self.state, PieceState::Found(_))
    }
}

/// What of the environment says where CUDA is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CudaEnvironment {
    /// `LD_LIBRARY_PATH`.
    pub loader_path: Option<OsString>,
    /// `CUDA_HOME`, or else `CUDA_PATH`.
    pub home: Option<PathBuf>,
}

impl CudaEnvironment {
    /// That of this process.
    pub fn of_process() -> Self {
        let home = ["CUDA_HOME", "CUDA_PATH"].into_iter();
        Self {
            loader_path: std::env::var_os("LD_LIBRARY_PATH"),
            home: home.filter_map(std::env::var_os).next().map(Into::into),
        }
    }
}

/// A library: what it is for, its names, the package.
const LIBRARIES: [(&str, &[&str], &str); 5] = [
    ("driver", &["libcuda.so.1", "libcuda.so"], "nvidia-l4t-cuda"),
    (
        "runtime",
        &["libcudart.so.12", "libcudart.so"],
        "cuda-cudart-12-6",
    ),
    (
        "kernel compiler",
        &["libnvrtc.so.12", "libnvrtc.so"],
        "cuda-nvrtc-12-6",
    ),
    (
        "matrix products",
        &["libcublas.so.12", "libcublas.so"],
        "libcublas-12-6",
    ),
    (
        "convolutions",
        &["libcudnn.so.9", "libcudnn.so"],
        "libcudnn9-cuda-12",
    ),
];

/// A header: what it is for, its path, the package.
const HEADERS: [(&str, &str, &str); 3] = [
    ("toolkit header", "cuda_fp16.h", "cuda-cudart-dev-12-6"),
    ("toolkit header", "math_constants.h", "cuda-cudart-dev-12-6"),
    ("C++ header", "cuda/std/cstdint", "cuda-cccl-12-6"),
];

/// Folders of libraries that packages fill, and of which they tell the loader or not.
const LIBRARY_FOLDERS: [&str; 3] = [
    "usr/local/cuda/lib64",
    "usr/lib/ARCH/nvidia",
    "usr/lib/ARCH/tegra",
];

/// Where the loader looks without being told.
const LOADER_FOLDERS: [&str; 6] = [
    "lib/ARCH",
    "usr/lib/ARCH",
    "lib64",
    "usr/lib64",
    "lib",
    "usr/lib",
];

/// Where the toolkit is, if nothing is said of it.
const TOOLKIT: &str = "/usr/local/cuda";

impl Sysfs {
    /// Every piece that the CUDA backend needs.
    pub fn cuda(&self, environment: &CudaEnvironment) -> Vec<CudaPiece> {
        let loader = self.loader_folders(environment.loader_path.as_ref());
        let others: Vec<PathBuf> = LIBRARY_FOLDERS.iter().map(|f| self.arch_path(f)).collect();
        let libraries = LIBRARIES.map(|(name, files, package)| CudaPiece {
            name,
            file: files[0],
            package,
            state: library(files, &loader, &others),
        });
        let toolkit = environment.home.as_deref().unwrap_or(Path::new(TOOLKIT));
        let includes = self.includes(toolkit);
        let headers = HEADERS.map(|(name, file, package)| CudaPiece {
            name,
            file,
            package,
            state: match includes
                .iter()
                .map(|folder| folder.join(file))
                .find(|p| p.exists())
            {
                Some(path) => PieceState::Found(path),
                None => PieceState::Missing,
            },
        });
        libraries.into_iter().chain(headers).collect()
    }

    /// The path of `folder`, in which ARCH stands for what Debian calls the processor.
    fn arch_path(&self, folder: &str) -> PathBuf {
        let arch = format!("{}-linux-gnu", std::env::consts::ARCH);
        self.path(&folder.replace("ARCH", &arch))
    }

    /// A path of the machine below the root.
    fn rooted(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The folders in which the loader looks, first the environment's.
    fn loader_folders(&self, loader_path: Option<&OsString>) -> Vec<PathBuf> {
        let named = loader_path.map(std::env::split_paths).into_iter().flatten();
        let named = named.filter(|folder| folder.is_absolute());
        let mut folders: Vec<PathBuf> = named.map(|folder| self.rooted(&folder)).collect();
        let mut files = vec![self.path("etc/ld.so.conf")];
        let more = self.entries("etc/ld.so.conf.d", |name| name.ends_with(".conf"));
        files.extend(more.into_iter().map(|(_, path)| path));
        for lines in files.iter().filter_map(|file| text(file)) {
            let lines = lines.lines().map(str::trim);
            let listed = lines.filter(|line| line.starts_with('/'));
            folders.extend(listed.map(|folder| self.rooted(Path::new(folder))));
        }
        folders.extend(LOADER_FOLDERS.iter().map(|folder| self.arch_path(folder)));
        folders
    }

    /// The folders of headers that the kernel compiler is given.
    fn includes(&self, toolkit: &Path) -> Vec<PathBuf> {
        let toolkit = self.rooted(toolkit);
        let mut roots = vec![toolkit.join("include")];
        let targets = std::fs::read_dir(toolkit.join("targets"));
        let targets = targets.into_iter().flatten().flatten();
        roots.extend(targets.map(|target| target.path().join("include")));
        let below = |root: &PathBuf| {
            [
                root.clone(),
                root.join("cccl"),
                root.join("libcudacxx/include"),
            ]
        };
        roots.iter().flat_map(below).collect()
    }
}

/// Where the first of `files` is.
fn library(files: &[&str], loader: &[PathBuf], others: &[PathBuf]) -> PieceState {
    let find = |folders: &[PathBuf]| {
        let paths = files
            .iter()
            .flat_map(|file| folders.iter().map(move |f| f.join(file)));
        let there: Vec<(PathBuf, u64)> = paths
            .filter_map(|path| Some((path.clone(), path.metadata().ok()?.len())))
            .collect();
        let full = there.iter().find(|(_, length)| *length > 0);
        full.or(there.first()).cloned()
    };
    match (find(loader), find(others)) {
        (Some((path, 1..)), _) => PieceState::Found(path),
        (_, Some((path, 1..))) => PieceState::OutOfPath(path),
        (Some((path, 0)), _) | (None, Some((path, 0))) => PieceState::Empty(path),
        (None, None) => PieceState::Missing,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::tree;
    use super::*;

    fn states(sysfs: &Sysfs, environment: &CudaEnvironment) -> Vec<(&'static str, PieceState)> {
        let pieces = sysfs.cuda(environment).into_iter();
        pieces.map(|piece| (piece.file, piece.state)).collect()
    }

    fn state(sysfs: &Sysfs, environment: &CudaEnvironment, file: &str) -> PieceState {
        let mut states = states(sysfs, environment).into_iter();
        states.find(|(name, _)| *name == file).unwrap().1
    }

    #[test]
    fn without_cuda_every_piece_is_missing_and_has_a_package() {
        let (_folder, sysfs) = tree(&[("etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n")]);
        let pieces = sysfs.cuda(&CudaEnvironment::default());
        assert_eq!(pieces.len(), LIBRARIES.len() + HEADERS.len());
        for piece in pieces {
            assert_eq!(piece.state, PieceState::Missing, "{}", piece.file);
            assert!(!piece.is_found() && !piece.package.is_empty());
        }
    }

    #[test]
    fn libraries_are_found_where_the_loader_looks() {
        let (_folder, sysfs) = tree(&[
            ("etc/ld.so.conf.d/nvidia-tegra.conf", "# GPU\n/opt/gpu\n"),
            ("opt/gpu/libcuda.so.1", "x"),
            ("usr/lib/libcudart.so", "x"),
            ("home/me/libnvrtc.so.12", "x"),
            ("usr/local/cuda/lib64/libcublas.so.12", "x"),
            ("usr/lib64/libcudnn.so.9", ""),
        ]);
        let none = CudaEnvironment::default();
        let at = |path: &str| sysfs.root.join(path);
        let of = |file: &str| state(&sysfs, &none, file);
        assert_eq!(
            of("libcuda.so.1"),
            PieceState::Found(at("opt/gpu/libcuda.so.1"))
        );
        assert_eq!(
            of("libcudart.so.12"),
            PieceState::Found(at("usr/lib/libcudart.so"))
        );
        assert_eq!(of("libnvrtc.so.12"), PieceState::Missing);
        let cublas = at("usr/local/cuda/lib64/libcublas.so.12");
        assert_eq!(of("libcublas.so.12"), PieceState::OutOfPath(cublas.clone()));
        assert_eq!(
            of("libcudnn.so.9"),
            PieceState::Empty(at("usr/lib64/libcudnn.so.9"))
        );
        let path = CudaEnvironment {
            loader_path: Some("relative:/home/me::/usr/local/cuda/lib64".into()),
            home: None,
        };
        let of = |file: &str| state(&sysfs, &path, file);
        assert_eq!(
            of("libnvrtc.so.12"),
            PieceState::Found(at("home/me/libnvrtc.so.12"))
        );
        assert_eq!(of("libcublas.so.12"), PieceState::Found(cublas));
    }

    #[test]
    fn headers_are_found_in_every_layout_of_the_toolkit() {
        let (_folder, sysfs) = tree(&[
            ("usr/local/cuda/include/cuda_fp16.h", "x"),
            (
                "usr/local/cuda/targets/aarch64-linux/include/math_constants.h",
                "x",
            ),
            ("opt/cuda/include/cccl/cuda/std/cstdint", "x"),
        ]);
        let none = CudaEnvironment::default();
        let of = |environment: &CudaEnvironment| -> Vec<bool> {
            let pieces = sysfs.cuda(environment);
            let headers = &pieces[LIBRARIES.len()..];
            headers.iter().map(CudaPiece::is_found).collect()
        };
        assert_eq!(of(&none), [true, true, false]);
        let elsewhere = CudaEnvironment {
            loader_path: None,
            home: Some("/opt/cuda".into()),
        };
        assert_eq!(of(&elsewhere), [false, false, true]);
    }
}
