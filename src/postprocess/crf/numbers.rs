//! Memory for many numbers.

use std::io;
use std::marker::PhantomData;

use bytemuck::Pod;
use memmap2::MmapMut;

/// Numbers in memory of their own, which begins at a page, so that no block of a row lies
/// in two cache lines. Where the system has large pages they are asked for: a picture's
/// memory is then there after a few page faults instead of thousands.
#[derive(Debug)]
pub struct Numbers<T> {
    map: Option<MmapMut>,
    len: usize,
    of: PhantomData<T>,
}

impl<T> Default for Numbers<T> {
    fn default() -> Self {
        Self {
            map: None,
            len: 0,
            of: PhantomData,
        }
    }
}

impl<T: Pod> Numbers<T> {
    /// What they are is unspecified afterwards. Memory is taken where there is not
    /// enough, and then more than that, for the next picture.
    ///
    /// # Errors
    /// The system's, where it gives no more memory; there are no numbers then.
    pub fn resize(&mut self, len: usize) -> io::Result<()> {
        let held = self.map.as_ref().map_or(0, |map| map.len());
        if held < len * size_of::<T>() {
            // The old memory goes first.
            (self.map, self.len) = (None, 0);
            let map = MmapMut::map_anon((len + len / 4) * size_of::<T>())?;
            // Where this is refused there are small pages.
            #[cfg(target_os = "linux")]
            let _ = map.advise(memmap2::Advice::HugePage);
            self.map = Some(map);
        }
        self.len = len;
        Ok(())
    }

    /// The numbers.
    pub fn get(&self) -> &[T] {
        let bytes = self.map.as_deref().unwrap_or_default();
        &bytemuck::cast_slice(bytes)[..self.len]
    }

    /// The numbers, to write.
    pub fn get_mut(&mut self) -> &mut [T] {
        let bytes = self.map.as_deref_mut().unwrap_or_default();
        &mut bytemuck::cast_slice_mut(bytes)[..self.len]
    }
}
