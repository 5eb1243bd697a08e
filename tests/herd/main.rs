//! Black-box tests of the program: real server processes on loopback ports. The tests send commands to them,
//! and kill, stop and restart them.
//!
//! The doc comment of each test states the rule of docs/protocol.md or the row of docs/faults.md that it
//! checks. The environment variable `HERD_BIN` names another program to test.

mod access;
mod ask;
mod authority;
mod client;
mod cost_of_slowness;
mod crowds;
mod descriptors;
mod fake_places;
mod fault_proxy;
mod faults_certificates;
mod faults_crowds;
mod faults_dialects;
mod faults_input;
mod faults_links;
mod faults_names;
mod faults_partitions;
mod faults_peers;
mod faults_places;
mod faults_shutdown;
mod faults_tls;
mod flooding;
mod following;
mod forgetting;
mod http;
mod lab;
mod logs;
mod operators;
mod process;
mod replies;
mod restarts;
mod run_all;
mod secrecy;
mod signals;
mod store;
mod telnet_session;
mod test_lock;
mod tls_client;
mod tmpfs;
