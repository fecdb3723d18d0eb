//! Numbers for the names of keys, so that objects can be compared by numbers.

use hashbrown::HashMap;

use crate::seeded::Seeded;

/// Initial room for names: enough for most documents, in a table of 32 places.
const ROOM: usize = 28;

#[derive(Debug)]
pub(crate) struct Names<'a> {
    numbers: HashMap<&'a [u8], u32, Seeded>,
    names: Vec<Name<'a>>,
    /// The number that was returned last.
    last: usize,
}

#[derive(Debug)]
struct Name<'a> {
    spelled: &'a [u8],
    /// The number of the name that followed this one last time.
    next: u32,
}

impl<'a> Names<'a> {
    pub(crate) fn new() -> Self {
        let numbers = HashMap::with_capacity_and_hasher(ROOM, Seeded::default());
        Self { numbers, names: Vec::with_capacity(ROOM), last: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// The number of a name: the same for equal bytes, in the order of their first occurrence.
    pub(crate) fn number(&mut self, spelled: &'a [u8]) -> u32 {
        // Objects of one shape have their keys in the same order.
        let expected = self.names.get(self.last).map_or(0, |last| last.next);
        if self.names.get(expected as usize).is_some_and(|name| name.spelled == spelled) {
            self.last = expected as usize;
            return expected;
        }
        let number = *self.numbers.entry(spelled).or_insert(self.names.len() as u32);
        if number as usize == self.names.len() {
            self.names.push(Name { spelled, next: 0 });
        }
        if let Some(last) = self.names.get_mut(self.last) {
            last.next = number;
        }
        self.last = number as usize;
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_has_the_same_number_wherever_it_stands() {
        let mut names = Names::new();
        let numbers: Vec<u32> = ["a", "b", "a", "b", "c", "b", "a", "a", "", "c", ""]
            .iter()
            .map(|name| names.number(name.as_bytes()))
            .collect();
        assert_eq!(numbers, [0, 1, 0, 1, 2, 1, 0, 0, 3, 2, 3]);
        assert_eq!(names.len(), 4);
    }
}
