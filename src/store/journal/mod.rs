//! The store on disk: the changes as they come, in files that only grow, and a snapshot of everything from time to time.
//!
//! A store is in memory as a whole, so nothing is ever looked up in its files: they are written from front to back, and
//! read when the server starts. A frame is the line of a record and its number. The newest statement of a client wins when
//! the files are read, so that frames may stand there twice, or in any order.
//!
//! ```text
//! 00000007.snapshot   every record, as it was when 00000007.log was begun, or later
//! 00000007.log        the changes since then
//! 00000008.log        the changes since a further snapshot was begun,
//! 00000008.new        which replaces all of them when it is complete: 00000008.snapshot
//! ```
//!
//! A *generation* is a log and the snapshot before it; the first one needs no snapshot. [`Writer`] carries out a
//! [`Batch`] after the other on a thread of its own. It does not know what a batch is for: which changes are written, and
//! when a generation begins, is decided by the server, which has cursors in the list of changes.

pub mod disk;
mod frame;
mod names;
mod notes;
mod reading;
mod writer;

pub use frame::{Frame, Front, frames, seal};
pub use notes::{Header, Position, State};
pub use reading::{Damage, PORTION, Problem, Reader, Reading, Refused, Tails, check, read};
pub use writer::{Batch, Failure, Writer};

#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
