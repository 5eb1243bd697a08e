//! An application server herd: a handful of equal servers that flood the newest location of every
//! client to each other, and answer what is near it.
#![forbid(unsafe_code)]

pub mod config;
pub mod http;
pub mod places;
pub mod text;
