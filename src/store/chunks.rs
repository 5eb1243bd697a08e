//! A vector in chunks of a fixed size. Growing allocates one more chunk and moves no element, where a `Vec`
//! would copy all of them.

use std::ops::{Index, IndexMut};

/// Elements by their index.
#[derive(Debug)]
pub(super) struct Chunks<T, const CHUNK: usize = RECORDS_OF_CHUNK> {
    chunks: Vec<Box<[T; CHUNK]>>,
    length: usize,
}

impl<T: Copy, const CHUNK: usize> Chunks<T, CHUNK> {
    pub(super) fn new() -> Chunks<T, CHUNK> {
        Chunks { chunks: Vec::new(), length: 0 }
    }

    /// The number of elements.
    pub(super) fn len(&self) -> u32 {
        self.length as u32
    }

    /// Appends an element and returns its index.
    pub(super) fn push(&mut self, element: T) -> u32 {
        if self.length == self.chunks.len() * CHUNK {
            self.chunks.push(chunk_of(element));
        }
        self.chunks[self.length / CHUNK][self.length % CHUNK] = element;
        self.length += 1;
        self.length as u32 - 1
    }
}

impl<T, const CHUNK: usize> Index<u32> for Chunks<T, CHUNK> {
    type Output = T;

    fn index(&self, index: u32) -> &T {
        &self.chunks[index as usize / CHUNK][index as usize % CHUNK]
    }
}

impl<T, const CHUNK: usize> IndexMut<u32> for Chunks<T, CHUNK> {
    fn index_mut(&mut self, index: u32) -> &mut T {
        &mut self.chunks[index as usize / CHUNK][index as usize % CHUNK]
    }
}

/// A chunk of equal elements, made on the heap: it is too large for the stack.
pub(super) fn chunk_of<T: Copy, const LENGTH: usize>(element: T) -> Box<[T; LENGTH]> {
    match vec![element; LENGTH].into_boxed_slice().try_into() {
        Ok(chunk) => chunk,
        Err(_) => unreachable!("the slice has LENGTH elements"),
    }
}

/// Records of a chunk. The vector of chunks has a pointer for each: it takes 2 KiB for a million records,
/// and copying it when it grows takes no time worth bounding.
const RECORDS_OF_CHUNK: usize = if cfg!(test) { 4 } else { 4096 };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_by_their_index() {
        let mut chunks: Chunks<_> = Chunks::new();
        for element in 0..100_u32 {
            assert_eq!(chunks.push(element), element);
        }
        chunks[50] += 1000;
        assert!((0..100).all(|index| chunks[index] == if index == 50 { 1050 } else { index }));
    }

    #[test]
    fn growing_moves_no_element() {
        let mut chunks: Chunks<_> = Chunks::new();
        chunks.push(0);
        let first: *const i32 = &raw const chunks[0];
        for element in 1..1000 {
            chunks.push(element);
        }
        assert_eq!(first, &raw const chunks[0]);
    }
}
