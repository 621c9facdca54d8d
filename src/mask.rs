//! The class of every pixel of a picture.

/// Class indices, row-major without padding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mask {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// `height * width` class indices, 0..=255.
    pub labels: Vec<u8>,
}

impl Mask {
    /// A mask of this size with every pixel in class 0.
    pub fn new(width: u32, height: u32) -> Self {
        let mut mask = Self::default();
        mask.resize(width, height);
        mask
    }

    /// Changes the size and keeps the allocation. The labels are unspecified
    /// afterwards: the caller overwrites them all.
    pub fn resize(&mut self, width: u32, height: u32) {
        self.width = width;
        self.height = height;
        self.labels.resize(width as usize * height as usize, 0);
    }

    /// One row of labels, `width` long.
    ///
    /// # Panics
    /// If `y` is not below the height.
    pub fn row(&self, y: u32) -> &[u8] {
        let width = self.width as usize;
        &self.labels[y as usize * width..][..width]
    }

    /// One row of labels, to write.
    ///
    /// # Panics
    /// If `y` is not below the height.
    pub fn row_mut(&mut self, y: u32) -> &mut [u8] {
        let width = self.width as usize;
        &mut self.labels[y as usize * width..][..width]
    }
}
