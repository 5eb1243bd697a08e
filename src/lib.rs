//! An application server herd: a handful of equal servers that flood the newest location of every
//! client to each other, and answer what is near it.
//!
//! From the ground up, each room using only those above it:
//!
//! * [`text`]: what is said, as pure functions over bytes.
//! * [`clock`]: monotonic time.
//! * [`log`]: what a server writes down.
//! * [`store`]: what is known, as a list of changes with cursors.
//! * [`config`]: the herd file.
//! * [`http`]: HTTP/1.1 by hand.
//! * [`places`]: what is near: questions, answers, the pool of questions, the embedded places.
//! * [`protocol`]: conversations, as state machines without sockets.
//! * [`event_loop`]: the world: one thread, all sockets.
//! * [`service`]: a server as a program runs it.
//! * [`cli`]: what a person types.
#![forbid(unsafe_code)]

pub mod cli;
pub mod clock;
pub mod config;
pub mod event_loop;
pub mod http;
pub mod log;
pub mod places;
pub mod protocol;
pub mod service;
pub mod store;
pub mod text;
