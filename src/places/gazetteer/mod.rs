//! The embedded places and the answers made from them.
