//! What is said: pure functions over bytes, without state, socket or clock.

pub mod command;
pub mod decimal;
pub mod fields;
pub mod greeting;
pub mod last_field;
pub mod location;
pub mod many;
pub mod record;
pub mod time;
