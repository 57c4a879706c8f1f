//! The source records of a mapped JSON file, for the dead letters of what the engine refuses later.

use super::source::{Place, Texts};

/// Source records from which native ones were made.
#[derive(Default)]
pub(crate) struct Originals {
    texts: Texts,
    places: Vec<Place>,
}

impl Originals {
    /// The number of the next one.
    pub(super) fn next(&self) -> u32 {
        u32::try_from(self.places.len()).expect("there are fewer than memory could hold")
    }

    pub(super) fn add(&mut self, text: &[u8]) {
        self.places.push(self.texts.add(text));
    }

    pub(super) fn get(&self, number: u32) -> &[u8] {
        self.texts.get(self.places[number as usize])
    }
}
