//! The program as its users have it: real processes on loopback ports, told what clients say, killed,
//! stopped and started again.
//!
//! Each test's first lines say which rule of docs/protocol.md it holds. `HERD_BIN` names another
//! program to test than the one that was built with these tests.

mod ask;
mod client;
mod crowds;
mod descriptors;
mod fake_places;
mod fault_proxy;
mod faults_certificates;
mod faults_crowds;
mod faults_ends;
mod faults_input;
mod faults_links;
mod faults_partitions;
mod faults_peers;
mod faults_places;
mod flooding;
mod lab;
mod logs;
mod process;
mod replies;
mod restarts;
mod run_all;
mod secrecy;
mod signals;
mod telnet_session;
mod turn;
mod what_slowness_costs;
