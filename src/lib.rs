//! An application server herd: a handful of equal servers that flood the newest location of every
//! client to each other, and answer what is near it.
//!
//! From the ground up, each room using only those above it: [`text`] what is said, [`clock`],
//! [`log`], [`store`] what is known, [`config`], [`http`], [`places`] what is near, [`protocol`]
//! conversations, [`event_loop`] the world.
#![forbid(unsafe_code)]

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
