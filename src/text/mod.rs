//! What is said: pure functions over bytes, without state, socket or clock.

pub mod fields;
