//! Parts of a model, run one at a time: they share threads, working memory and arena.

use super::Options;
use super::loaded::Loaded;
use super::share::Team;
use crate::engine::Workers;
use crate::kernels::{AlignedBytes, Source, Target};
use crate::mask::Mask;
use crate::program::{Quant, Region};

/// Regions with their weights packed and one arena for all: running one allocates
/// nothing. What the arena holds is lost when the next one runs.
pub struct Regions {
    regions: Vec<Part>,
    arena: AlignedBytes,
    team: Team,
}

struct Part {
    loaded: Loaded,
    inputs: Vec<usize>,
    outputs: Vec<usize>,
}

impl Regions {
    /// Packs the regions' weights, allocates the largest of their arenas and starts
    /// the threads.
    ///
    /// # Errors
    /// The system's, where it gives no more threads.
    ///
    /// # Panics
    /// If a region does not pass [`Region::check`]: whoever makes one checks it.
    pub fn new(regions: &[&Region], options: Options) -> std::io::Result<Self> {
        let mut team = Team::new(Workers::new(options.threads)?);
        let arena_bytes = regions.iter().map(|region| region.body.arena_bytes);
        let arena = AlignedBytes::new(arena_bytes.max().unwrap_or(0) as usize);
        let load = |region: &&Region| {
            let index = |id: &crate::program::TensorId| id.0 as usize;
            Part {
                loaded: Loaded::new(&region.body, options.cpu, &mut team),
                inputs: region.inputs.iter().map(index).collect(),
                outputs: region.outputs.iter().map(index).collect(),
            }
        };
        Ok(Self {
            regions: regions.iter().map(load).collect(),
            arena,
            team,
        })
    }

    /// The name of each operation's kernel, region after region.
    pub fn kernels(&self) -> Vec<&'static str> {
        let regions = self.regions.iter();
        regions.flat_map(|region| region.loaded.kernels()).collect()
    }

    /// Threads, the caller's included.
    pub fn threads(&self) -> usize {
        self.team.threads()
    }

    /// Runs a region: `give` writes all of each input, `take` gets each output and what
    /// its codes mean, both with its place among the region's. Labels go to `mask`,
    /// which has the mask's size, where the region ends in them.
    ///
    /// # Errors
    /// Those of `give` and `take`.
    pub fn run<E>(
        &mut self,
        region: usize,
        mut give: impl FnMut(usize, Target<'_>, Quant) -> Result<(), E>,
        mut take: impl FnMut(usize, Source<'_>, Quant) -> Result<(), E>,
        mask: &mut Mask,
    ) -> Result<(), E> {
        let Part {
            loaded: Loaded { tensors, steps },
            inputs,
            outputs,
        } = &self.regions[region];
        let arena = self.arena.get_mut();
        for (port, &tensor) in inputs.iter().enumerate() {
            let place = tensors[tensor];
            let target = place.target(&mut arena[place.start..place.end]);
            give(port, target, place.quant)?;
        }
        for step in steps {
            step.run(&[], tensors, arena, &mut self.team, mask);
        }
        for (port, &tensor) in outputs.iter().enumerate() {
            let place = tensors[tensor];
            let codes = place.source(&arena[place.start..place.end]);
            take(port, codes, place.quant)?;
        }
        Ok(())
    }
}
