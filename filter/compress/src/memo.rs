//! A content-addressed memo: a block seen before costs one hash.

/// Remembers replacements over requests, up to a number of bytes.
#[derive(Debug)]
pub struct Memo {
    capacity: usize,
}

impl Memo {
    /// A memo that holds about `capacity` bytes.
    pub fn new(capacity: usize) -> Self {
        Self { capacity }
    }

    /// The number of bytes that it may hold.
    pub fn capacity(&self) -> usize {
        self.capacity
    }
}
