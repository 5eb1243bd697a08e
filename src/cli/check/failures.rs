//! The effect of the failure of one server on the others, in words.

use crate::config::{Graph, HerdFile};
use std::fmt::Write;

/// Lists the parts of a herd that is not connected, and each single failure that cuts off other servers.
pub(super) fn draw_failures(text: &mut String, herd: &HerdFile, graph: &Graph) {
    let parts = graph.parts();
    if parts.len() > 1 {
        let _ = writeln!(text, "\nThe herd is in {} parts with no edge between them", parts.len());
        for part in &parts {
            let _ = writeln!(text, "  {}", listed(herd, part));
        }
    }
    text.push_str("\nIf one server fails\n");
    for sentence in failures(herd, graph) {
        let _ = writeln!(text, "  {sentence}");
    }
}

/// One sentence for each server whose failure cuts off others.
fn failures(herd: &HerdFile, graph: &Graph) -> Vec<String> {
    if herd.servers.len() == 1 {
        return vec!["No other server is left.".to_owned()];
    }
    let cuts = graph.cuts();
    if cuts.is_empty() {
        return vec!["No single failure cuts off other servers.".to_owned()];
    }
    cuts.into_iter().map(|(gone, parts)| failure(herd, gone, parts)).collect()
}

fn failure(herd: &HerdFile, gone: usize, mut parts: Vec<Vec<usize>>) -> String {
    let gone = &herd.servers[gone].name;
    parts.sort_by_key(Vec::len);
    let sizes: Vec<usize> = parts.iter().map(Vec::len).collect();
    let has_rest = sizes.last() > sizes.iter().rev().nth(1);
    if has_rest {
        parts.pop();
    }
    let named = parts.iter().map(|part| listed(herd, part)).collect::<Vec<_>>().join(" | ");
    match parts.as_slice() {
        _ if !has_rest => format!("{gone}: the others split into {} parts: {named}.", parts.len()),
        [part] if part.len() == 1 => format!("{gone}: {named} is cut off from the rest."),
        _ => format!("{gone}: {named} are cut off from the rest."),
    }
}

/// `A`, `A and B`, `A, B and C`.
fn listed(herd: &HerdFile, servers: &[usize]) -> String {
    let names: Vec<&str> = servers.iter().map(|&index| herd.servers[index].name.as_str()).collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::herd_of;
    use super::*;

    #[test]
    fn each_kind_of_cut_has_its_sentence() {
        let failing = |servers: &[(&str, &[&str])], sentence: &str| {
            let herd = herd_of(servers);
            let mut text = String::new();
            draw_failures(&mut text, &herd, &Graph::of(&herd));
            assert!(text.contains(&format!("\n  {sentence}\n")), "{text}");
        };
        failing(&[("A", &["B"]), ("B", &["C"]), ("C", &[])], "B: the others split into 2 parts: A | C.");
        failing(
            &[("Hub", &["A", "B", "C", "D"]), ("A", &[]), ("B", &[]), ("C", &["D"]), ("D", &[])],
            "Hub: A | B are cut off from the rest.",
        );
        failing(
            &[("A", &["B"]), ("B", &["C"]), ("C", &["D"]), ("D", &["E"]), ("E", &["F"]), ("F", &[])],
            "C: A and B are cut off from the rest.",
        );
    }
}
