//! A program, or a part of a model, with its weights packed.

use super::place::Place;
use super::share::Team;
use super::step::Step;
use crate::kernels::cpu::Cpu;
use crate::program::Program;

/// Tensors and operations that are ready to run.
pub(super) struct Loaded {
    pub tensors: Vec<Place>,
    /// In an order in which they can run.
    pub steps: Vec<Step>,
}

impl Loaded {
    /// Packs a program's weights and grows the team's working memory to what its
    /// operations need.
    pub(super) fn new(program: &Program, cpu: Cpu, team: &mut Team) -> Self {
        let tensors: Vec<Place> = program.tensors.iter().map(Place::of).collect();
        let ops = program.ops.iter();
        let steps: Vec<Step> = ops
            .map(|op| Step::new(op, program, &tensors, cpu))
            .collect();
        let loaded = Self { tensors, steps };
        for step in &loaded.steps {
            loaded.reserve(step, program, team);
        }
        loaded
    }

    /// Grows the team's working memory to what a step on these tensors needs.
    pub(super) fn reserve(&self, step: &Step, program: &Program, team: &mut Team) {
        let width = program.width as usize;
        team.reserve(|scratch| step.reserve(&self.tensors, width, scratch));
    }

    /// The name of each operation's kernel.
    pub(super) fn kernels(&self) -> impl Iterator<Item = &'static str> {
        self.steps.iter().map(|step| step.kernel)
    }
}
