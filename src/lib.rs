//! An application server herd: a handful of equal servers that flood the newest location of every
//! client to each other, and answer what is near it.
//!
//! From the ground up, each module using only those above it:
//!
//! * [`text`]: lines and fields, as pure functions over bytes.
//! * [`geo`]: points on the sphere, their distances, and cells of it.
//! * [`clock`]: monotonic time.
//! * [`metrics`]: histograms, and the text that monitoring reads.
//! * [`log`]: the traffic log.
//! * [`store`]: the newest statement of each client, as a list of changes with cursors.
//! * [`http`]: HTTP/1.1 by hand.
//! * [`places`]: questions, answers, the desk that asks them, the embedded gazetteer.
//! * [`map`]: the live map, a page for browsers.
//! * [`config`]: the herd file.
//! * [`keys`]: the certificates and private keys of a herd.
//! * [`access`]: access tokens and what they allow.
//! * [`protocol`]: the contract between the event loop and the program that runs on it.
//! * [`tls`]: TLS sessions with rustls.
//! * [`conversation`]: the kinds of conversation, as state machines without sockets.
//! * [`herd`]: the decisions of a server, without a socket.
//! * [`event_loop`]: the reactor: one thread, all sockets.
//! * [`service`]: joins the two into programs.
//! * [`cli`]: the command line.
#![forbid(unsafe_code)]

pub mod access;
pub mod cli;
pub mod clock;
pub mod config;
pub mod conversation;
pub mod event_loop;
pub mod geo;
pub mod herd;
pub mod http;
pub mod keys;
pub mod log;
pub mod map;
pub mod metrics;
pub mod places;
pub mod protocol;
pub mod service;
pub mod store;
pub mod text;
pub mod tls;
