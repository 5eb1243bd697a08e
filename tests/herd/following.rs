//! Tests of who is near, and of streams of changes, between servers (docs/protocol.md, section 1).

use crate::ask::{await_everywhere, iamat};
use crate::client::Client;
use crate::lab::Lab;

const CHAIN: &[(&str, &[&str])] = &[("Left", &["Middle"]), ("Middle", &["Right"]), ("Right", &[])];

/// Receives lines up to a MARK. Returns those that are none, and the epoch and number of the MARK.
fn batch(client: &mut Client) -> (Vec<String>, String) {
    let mut lines = Vec::new();
    loop {
        let line = client.line();
        if let Some(position) = line.strip_prefix("MARK ") {
            return (lines, position.to_owned());
        }
        lines.push(line);
    }
}

/// Receives lines until this one.
fn await_line(client: &mut Client, wanted: &str) {
    while client.line() != wanted {}
}

/// A follower at one server receives what clients tell another, and that a third has one forgotten.
#[test]
fn a_follower_receives_moves_from_everywhere() {
    let lab = Lab::running(CHAIN);
    let mut follower = lab.connect("Right");
    follower.send("FOLLOW kiwi*\n");
    assert_eq!(batch(&mut follower).0, [""; 0], "an unknown client can be followed");
    let line = iamat(&lab, "Left", "kiwi");
    iamat(&lab, "Left", "plum");
    assert_eq!(batch(&mut follower).0, [line.as_str()]);
    await_everywhere(&lab, &["Middle"], "kiwi", &line);
    lab.connect("Middle").ask("FORGET kiwi");
    await_line(&mut follower, "LEFT kiwi");
    // The line that ends the stream is answered after it.
    follower.send("NEAR plum 1 1\n");
    await_line(&mut follower, "");
    assert_eq!(follower.line(), "", "kiwi was forgotten");
}

/// A follower that was cut off goes on at another connection with what it has missed, and at a server with a new store
/// from the beginning.
#[test]
fn a_stream_is_resumed_after_a_cut() {
    let mut lab = Lab::running(CHAIN);
    let (kiwi, plum) = (iamat(&lab, "Left", "kiwi"), iamat(&lab, "Left", "plum"));
    await_everywhere(&lab, &lab.names(), "plum", &plum);
    let mut follower = lab.connect("Left");
    follower.send("FOLLOW *\n");
    let (snapshot, position) = batch(&mut follower);
    assert_eq!(snapshot, [kiwi.as_str(), plum.as_str()]);
    follower.reset();
    let fig = iamat(&lab, "Right", "fig");
    await_everywhere(&lab, &lab.names(), "fig", &fig);
    let mut follower = lab.connect("Left");
    follower.send(&format!("FOLLOW * FROM {position}\n"));
    assert_eq!(batch(&mut follower).0, [fig.as_str()]);
    lab.kill("Left");
    lab.start("Left");
    await_everywhere(&lab, &["Left"], "fig", &fig);
    let mut follower = lab.connect("Left");
    follower.send(&format!("FOLLOW * FROM {position}\n\n"));
    let (mut all, _) = batch(&mut follower);
    all.sort();
    let mut wanted = [kiwi, plum, fig];
    wanted.sort();
    assert_eq!(all, wanted, "the epoch is another one");
}

/// Every server knows who is near, whichever server a client speaks to.
#[test]
fn near_is_answered_by_every_server() {
    let lab = Lab::running(CHAIN);
    let east = lab.connect("Left").ask("IAMAT east +0+179.999 5");
    let west = lab.connect("Right").ask("IAMAT west +0-179.999 5");
    for server in lab.names() {
        await_everywhere(&lab, &[server], "east", &east);
        await_everywhere(&lab, &[server], "west", &west);
        let mut client = lab.connect(server);
        assert_eq!(client.ask("NEAR east 1 5"), format!("0.222 {west}"), "across 180 degrees");
        assert_eq!(client.line(), "");
    }
}
