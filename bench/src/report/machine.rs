//! The description of a run: machine, operating system, time, versions.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::process::processors;
use crate::servers::Kind;

/// The description as a Markdown table.
pub fn describe() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cpu = cpu.trim_start_matches([' ', '\t', ':']);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = memory.lines().next().and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let system = system.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut text = format!(
        "| | |\n| --- | --- |\n| machine | {} × {cpu}, {} GiB |\n| system | {}, Linux {} |\n\
         | when | {}, load average {} when it ended |\n",
        processors(),
        memory.unwrap_or(0).div_ceil(1024 * 1024),
        system.trim_matches('"'),
        kernel.trim(),
        output_of("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
        load.split(' ').take(3).collect::<Vec<_>>().join(" "),
    );
    let revision = output_of("git", &["describe", "--always"]);
    let changed = if is_changed() { ", changed since" } else { "" };
    let herd = Kind::Herd.program();
    let of_file = first_line(&herd, &["--version"]);
    text += &format!("| herd | {of_file}, bench at {revision}{changed} |\n");
    for (kind, argument) in [
        (Kind::Asyncio, "--version"),
        (Kind::Node, "--version"),
        (Kind::Java, "--version"),
        (Kind::RedisSet, "--version"),
        (Kind::Nats, "--version"),
        (Kind::Memcached, "--version"),
    ] {
        let name = kind.name().split(' ').next().unwrap_or_default();
        let version =
            if kind.is_present() { first_line(&kind.program(), &[argument]) } else { "absent".into() };
        text += &format!("| {name} | {version} |\n");
    }
    text
}

/// Whether the working tree differs from its last commit, except for the files that a run writes.
fn is_changed() -> bool {
    let written = [":(top,exclude)bench/RESULTS.md", ":(top,exclude)bench/plots"];
    let status = Command::new("git").args(["diff", "--quiet", "HEAD", "--", ":(top)"]).args(written).status();
    !status.is_ok_and(|status| status.success())
}

fn output_of(program: &str, arguments: &[&str]) -> String {
    first_line(Path::new(program), arguments)
}

/// The first line of a program's output.
fn first_line(program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let line = text.lines().next().unwrap_or("unknown version").trim().to_owned();
    line.split(" bits=").next().unwrap_or_default().to_owned()
}
