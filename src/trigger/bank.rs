//! The lines of a run.

use core::fmt;
use core::time::Duration;

use embedded_hal::digital::OutputPin;
use heapless::Vec;

use super::{Edge, Line};

/// A pin of a [`Bank`] that could not be driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault<E> {
    /// Index of the line in its bank.
    pub line: usize,
    /// What the pin said.
    pub error: E,
}

impl<E: fmt::Display> fmt::Display for Fault<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.error)
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for Fault<E> {}

/// All lines of a run, at most `N`.
///
/// Dropping a bank drives nothing: whoever owns it calls
/// [`fail_safe_all`](Self::fail_safe_all) before it lets go.
#[derive(Debug)]
pub struct Bank<P, const N: usize> {
    lines: Vec<Line<P>, N>,
}

impl<P, const N: usize> Default for Bank<P, N> {
    fn default() -> Self {
        Self { lines: Vec::new() }
    }
}

impl<P: OutputPin, const N: usize> Bank<P, N> {
    /// A bank without lines.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a line; its index is the number of lines before.
    ///
    /// # Errors
    /// Gives the line back if the bank already holds `N`.
    #[expect(clippy::result_large_err, reason = "there is no allocator to box with")]
    pub fn push(&mut self, line: Line<P>) -> Result<(), Line<P>> {
        self.lines.push(line)
    }

    /// The lines in the order of their indices.
    pub fn lines(&self) -> &[Line<P>] {
        &self.lines
    }

    /// Takes all lines out, in the order of their indices.
    pub fn take(&mut self) -> Vec<Line<P>, N> {
        core::mem::take(&mut self.lines)
    }

    /// [`Line::update`] for every line, with the fraction at its index. A line for
    /// which there is no fraction goes safe; fractions beyond the lines are ignored.
    ///
    /// `on_edge` is told index and edge of every pin that moved.
    ///
    /// # Errors
    /// The first pin that could not be driven; the others were driven all the same.
    pub fn update_all(
        &mut self,
        fractions: &[f32],
        captured: Duration,
        now: Duration,
        on_edge: impl FnMut(usize, Edge),
    ) -> Result<(), Fault<P::Error>> {
        self.for_all(on_edge, |index, line| {
            let fraction = fractions.get(index).copied().unwrap_or(f32::NAN);
            line.update(fraction, captured, now)
        })
    }

    /// [`Line::expire`] for every line.
    ///
    /// # Errors
    /// As [`update_all`](Self::update_all).
    pub fn expire_all(
        &mut self,
        now: Duration,
        on_edge: impl FnMut(usize, Edge),
    ) -> Result<(), Fault<P::Error>> {
        self.for_all(on_edge, |_, line| line.expire(now))
    }

    /// [`Line::fail_safe`] for every line.
    ///
    /// # Errors
    /// As [`update_all`](Self::update_all).
    pub fn fail_safe_all(
        &mut self,
        now: Duration,
        on_edge: impl FnMut(usize, Edge),
    ) -> Result<(), Fault<P::Error>> {
        self.for_all(on_edge, |_, line| line.fail_safe(now))
    }

    /// The earliest [`Line::next_deadline`].
    pub fn next_deadline(&self) -> Option<Duration> {
        self.lines.iter().filter_map(Line::next_deadline).min()
    }

    /// Runs `call` on every line, also after one has failed.
    fn for_all(
        &mut self,
        mut on_edge: impl FnMut(usize, Edge),
        mut call: impl FnMut(usize, &mut Line<P>) -> Result<Option<Edge>, P::Error>,
    ) -> Result<(), Fault<P::Error>> {
        let mut first = Ok(());
        for (index, line) in self.lines.iter_mut().enumerate() {
            match call(index, line) {
                Ok(Some(edge)) => on_edge(index, edge),
                Ok(None) => {}
                Err(error) if first.is_ok() => first = Err(Fault { line: index, error }),
                // Only the first is told; each is tried again at the next call.
                Err(_) => {}
            }
        }
        first
    }
}
