//! One operation's output, split among threads.

use heapless::Vec;

use crate::engine::Workers;
use crate::kernels::Target;
use crate::kernels::scratch::Scratch;

/// Parts for each thread: some more than one, so that a thread that is held up leaves
/// its share to the others.
const PARTS_PER_THREAD: usize = 3;
/// Most parts.
const MAX_PARTS: usize = 64;
/// Fewest bytes of a part; smaller ones cost more than they bring.
const MIN_PART_BYTES: usize = 1024;

/// Threads, each with its working memory.
pub(super) struct Team {
    workers: Workers,
    scratch: std::vec::Vec<Scratch>,
}

impl Team {
    pub(super) fn new(workers: Workers) -> Self {
        let scratch = (0..workers.count()).map(|_| Scratch::default()).collect();
        Self { workers, scratch }
    }

    /// The caller's thread and no other.
    pub(super) fn alone() -> Self {
        Self::new(Workers::alone())
    }

    /// Number of threads.
    pub(super) fn threads(&self) -> usize {
        self.workers.count()
    }

    /// Has every thread's working memory grown.
    pub(super) fn reserve(&mut self, grow: impl FnMut(&mut Scratch)) {
        self.scratch.iter_mut().for_each(grow);
    }

    /// Does `work` on parts of a picture, of any pixels.
    pub(super) fn pixels(
        &mut self,
        target: Target<'_>,
        work: impl Fn(Target<'_>, &mut Scratch) + Sync,
    ) {
        self.split(target, 1, work);
    }

    /// Does `work` on parts of a picture, of whole rows.
    pub(super) fn rows(
        &mut self,
        target: Target<'_>,
        work: impl Fn(Target<'_>, &mut Scratch) + Sync,
    ) {
        let width = target.width;
        self.split(target, width, work);
    }

    fn split(
        &mut self,
        target: Target<'_>,
        unit: usize,
        work: impl Fn(Target<'_>, &mut Scratch) + Sync,
    ) {
        let threads = self.workers.count();
        let units = target.range.len() / unit;
        let bytes = target.range.len() * target.channels;
        let parts = (threads * PARTS_PER_THREAD)
            .min(MAX_PARTS)
            .min(units)
            .min(bytes / MIN_PART_BYTES);
        if threads == 1 || parts <= 1 {
            work(target, &mut self.scratch[0]);
            return;
        }
        let mut tasks: Vec<Target<'_>, MAX_PARTS> = Vec::new();
        let mut rest = target;
        for part in 0..parts - 1 {
            let count = units / parts + usize::from(part < units % parts);
            let (first, others) = rest.split_at(count * unit);
            rest = others;
            // There is room: at most `MAX_PARTS` parts.
            let _ = tasks.push(first);
        }
        let _ = tasks.push(rest);
        self.workers
            .for_each(&mut self.scratch, &mut tasks, |scratch, target| {
                work(target.reborrow(), scratch);
            });
    }
}
