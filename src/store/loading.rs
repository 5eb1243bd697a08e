//! Statements that were stored before the server was started. It reads no file.

use super::record::Record;
use super::retention::Second;
use super::space::{Owners, Place};
use super::{Origin, Outcome, Store};
use crate::geo::Key;
use crate::text::location::Location;
use crate::text::record::Statement;

impl Store {
    /// Stores a statement that was stored before this server was started, if it is not over and wins. `number` is the number
    /// of its change. Statements are to be loaded in the order of their numbers; one that is not gets a later number. NEAR
    /// finds them after [`Store::finish_loading`].
    pub fn load(&mut self, statement: &Statement<'_>, line: &[u8], number: u64) -> Outcome {
        let newest = self.sequence;
        self.sequence = newest.max(number.saturating_sub(1));
        let outcome = self.store::<false>(statement, line, Origin::CLIENT);
        if outcome != Outcome::Stored {
            self.sequence = newest;
        }
        outcome
    }

    /// All statements were loaded. Puts them into the index of locations in the order of their places, in which nearly every
    /// one goes to the page of the one before: that takes a third of the time. It grows with the number of records, so this
    /// is to be called before clients are served.
    pub fn finish_loading(&mut self) {
        let Store { records, lines, space, .. } = self;
        let mut places: Vec<(u64, u32)> = Vec::with_capacity(self.used);
        for index in 0..records.len() {
            let Record { received, place, line, .. } = records[index];
            if received != Second::VACANT && place == Place::NOWHERE {
                let rest = lines.id_and_rest(line);
                let location = rest.split(|&byte| byte == b' ').nth(1).and_then(Location::parse);
                places.extend(location.map(|location| (Key::of(&location).0, index)));
            }
        }
        places.sort_unstable();
        for (key, index) in places {
            space.put_elsewhere(&mut Owners { records, lines }, Key(key), index);
        }
    }

    /// The next change has a number above `sequence`.
    pub fn continue_at(&mut self, sequence: u64) {
        self.sequence = self.sequence.max(sequence);
    }
}
