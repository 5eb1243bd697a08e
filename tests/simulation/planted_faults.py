#!/usr/bin/env python3
"""Plants deliberate mistakes in the program, one at a time, and sees whether the simulator finds them.

    python3 tests/simulation/planted_faults.py            all of them; ends with a table and `N caught, N survived`
    python3 tests/simulation/planted_faults.py -k cursor  those whose name matches a regular expression
    python3 tests/simulation/planted_faults.py --list

Each mistake is an exact text of one source file and what stands there instead. It is made in a copy of the tree, which
is built and run with the budget of CI (SEEDS, 2000 by default, or 60 s). A mistake that survives shows what the oracle
lacks. A text that is no longer found is an error, so that the list follows the program.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# (name, file, what stands there, what the mistake makes of it)
FAULTS = [
    # The loop: readiness
    ("a short read is taken for the last one", "src/event_loop/serving.rs",
     "                            && self.system.short_reads_empty();\n", ";\n"),
    ("an end behind a short read is not looked for", "src/event_loop/serving.rs",
     "                            && !connection.short_reads_lie\n", ""),
    ("a connection that had its share is not listed again", "src/event_loop/serving.rs",
     "                connection.listed = false;\n                self.list(id);\n",
     "                connection.listed = false;\n"),
    ("resumed reading does not offer what was left", "src/event_loop/mod.rs",
     "        if was_paused && !connection.transport.reading_is_paused() {\n            connection.offer_again = true;\n",
     "        if was_paused && !connection.transport.reading_is_paused() {\n"),
    ("a successor does not see the rest of the input", "src/event_loop/mod.rs",
     "            // It must see what its predecessor left unused.\n            connection.offer_again = true;\n", ""),
    ("the loop sleeps though somebody is ready", "src/event_loop/mod.rs",
     "            || !self.ready.is_empty()\n", ""),
    ("a writable edge is forgotten", "src/event_loop/mod.rs",
     "        if writable {\n            self.mark_dirty(id);\n        }\n", ""),
    ("a partial write is taken for a full socket", "src/event_loop/serving.rs",
     "                connection.writable = sent > 0;\n",
     "                connection.writable = connection.transport.waiting() == 0;\n"),
    ("a link that is behind waits for the next event", "src/event_loop/serving.rs",
     "            self.at_once |=\n", "            self.at_once &=\n"),
    ("accepting is not tried again after a failure", "src/event_loop/mod.rs",
     "                    self.timers.set(self.now + ACCEPT_AGAIN_AFTER, Timer::Accept);\n", ""),
    ("accepting stops after one turn's share", "src/event_loop/mod.rs",
     "        for _ in 0..ACCEPTS_MAX {\n", "        for n in 0..ACCEPTS_MAX {\n            self.accepting &= n + 1 < 3;\n"),
    # The loop: ends
    ("the end of input throws away a line without LF", "src/event_loop/serving.rs",
     "                let rest = std::mem::take(&mut connection.input);\n",
     "                let rest = std::mem::take(&mut connection.input);\n                let rest = &rest[..0];\n"),
    ("a closed connection loses what was not sent", "src/event_loop/closing.rs",
     "        if connection.transport.waiting() > 0 || !connection.writable {\n", "        if false {\n"),
    ("a closing connection waits for its reader for ever", "src/event_loop/closing.rs",
     "            connection.transport.set_deadline(now + UNREAD_MAX);\n", ""),
    ("the other side's end is awaited for ever", "src/event_loop/closing.rs",
     "        connection.transport.set_deadline(now + LINGER_MAX);\n", ""),
    ("a connection that ended still counts", "src/event_loop/closing.rs",
     "            self.uncount(connection.counting);\n", ""),
    # The loop: timers and links
    ("an earlier deadline does not move the timer", "src/event_loop/mod.rs",
     "            if deadline < connection.timer_at {\n", "            if connection.timer_at == Moment::NEVER {\n"),
    ("a later deadline is forgotten when the earlier timer rings", "src/event_loop/mod.rs",
     "        if !is_up {\n            self.set_timer(id);\n            return;\n",
     "        if !is_up {\n            return;\n"),
    ("a lost link is not dialled again", "src/event_loop/links.rs",
     "        self.timers.set(dial_at, Timer::Redial(id.0));\n", ""),
    ("a connection that cannot be made stays", "src/event_loop/links.rs",
     "            Err(_) => self.doom(id, Lost::NotMade(error)),\n", "            Err(_) => drop(error),\n"),
    ("a connect that hangs is waited for", "src/event_loop/links.rs",
     "            connection.transport.set_deadline(self.now + patience);\n",
     "            let _ = (connection, patience);\n"),
    ("a link to an earlier life is kept", "src/event_loop/links.rs",
     "            Dialled::Up(link, other) if other != epoch => self.abort(link),\n", ""),
    # Conversations
    ("a fast reply overtakes a slow one", "src/protocol/replies.rs",
     "            Some(Reply::Text(text)) => text,\n            _ => transport.output(),\n",
     "            _ => transport.output(),\n"),
    ("the end of input cuts off replies that are owed", "src/protocol/client.rs",
     "        if self.standing == Standing::Finished && self.replies.is_empty() {\n",
     "        if self.standing == Standing::Finished {\n"),
    ("a paused client's input is thrown away", "src/protocol/client.rs",
     "                context.transport.pause_reading();\n                return used;\n",
     "                context.transport.pause_reading();\n                return data.len();\n"),
    ("the rest of an over-long line is carried out", "src/protocol/client.rs",
     "                self.discarding = Some(LastField::of(rest));\n", ""),
    ("what follows an HTTP request is carried out", "src/protocol/client.rs",
     "                self.standing = Standing::Finished;\n                false\n", "                false\n"),
    ("an answer goes to whoever waits first", "src/protocol/replies.rs",
     "                && *own == ticket\n", "                && *own <= ticket\n"),
    ("an IAMAT that loses is told the winner's skew", "src/protocol/client.rs",
     "        let statement = Statement::of(iam_at, server.identity.name.as_bytes(), received);\n",
     "        let statement = Statement::of(iam_at, server.identity.name.as_bytes(), iam_at.time);\n"),
    ("a neighbour's statements are kept from it in its next life", "src/protocol/neighbours.rs",
     "lives.iter().flatten().find(|life| life.0 == epoch)", "lives.iter().flatten().next()"),
    ("what is held of one life counts for the next", "src/protocol/neighbours.rs",
     "self.held.filter(|held| held.0 == epoch)", "self.held.filter(|_| epoch.0 != 0)"),
    ("a neighbour that welcomes gets nothing old", "src/protocol/outbound_peer.rs",
     "server.store.follow(since)", "server.store.follow(since.max(server.store.sequence()))"),
    ("a dead neighbour is not noticed by who dialled it", "src/protocol/outbound_peer.rs",
     "        if context.now >= self.heard + context.server.silence {\n",
     "        self.heard = context.now;\n        if false {\n"),
    ("a dead neighbour is not noticed by whom it dialled", "src/protocol/inbound_peer.rs",
     "                if context.now >= link.heard + context.server.silence {\n",
     "                link.heard = context.now;\n                if false {\n"),
    ("the link is marked before it is told", "src/protocol/inbound_peer.rs",
     "        known.hold(link.epoch, sequence);\n", "        known.hold(link.epoch, sequence + 1);\n"),
    ("everybody is told what he told", "src/protocol/outbound_peer.rs",
     "            if change.origin != link.origin && fits {\n", "            if fits {\n"),
    # The store
    ("older statements win", "src/store/mod.rs",
     "        Some(is_later) => is_later,\n", "        Some(is_later) => !is_later,\n"),
    ("of equal times the one received last wins", "src/text/record.rs",
     ".then_with(|| self.received().cmp(&other.received()))", ".then_with(|| other.received().cmp(&self.received()))"),
    ("a tie of all times is not broken", "src/text/record.rs",
     "            .then_with(|| self.server.cmp(other.server))\n"
     "            .then_with(|| self.location.text.cmp(other.location.text))\n"
     "            .then_with(|| self.time_text.cmp(other.time_text))\n", ""),
    ("a loser replaces the winner", "src/store/mod.rs",
     "        Some(is_later) => is_later,\n", "        Some(_) => true,\n"),
    ("a cursor goes along with the record that moves", "src/store/mod.rs",
     "                state.predecessor = previous;\n", "                let _ = previous;\n"),
    ("a cursor says it has seen everything", "src/store/mod.rs",
     "CursorState { predecessor: Some(index), sequence: record.sequence.number() }",
     "CursorState { predecessor: Some(index), sequence: self.sequence }"),
    ("a cursor begins one change too late", "src/store/mod.rs",
     "&& self.records[index as usize].sequence.number() > since\n",
     "&& self.records[index as usize].sequence.number() > since + 1\n"),
    ("a list forgets its end", "src/store/list.rs",
     "            None => self.last = node.previous(),\n", "            None => {}\n"),
    # Places
    ("a kept connection that ends unheard is not replaced", "src/places/pool.rs",
     "        if was_kept && result", "        if false && was_kept && result"),
    ("a question whose time is up keeps its place", "src/places/pool.rs",
     "            State::Dialling | State::Asked { .. } => self.running -= 1,\n",
     "            State::Dialling | State::Asked { .. } => {}\n"),
    ("a question that expires is not answered", "src/event_loop/asking.rs",
     "        self.answer(waiter, self.asking.explain(&reason));\n        self.take_steps();\n    }\n\n    /// Answers every",
     "        let _ = (waiter, reason);\n        self.take_steps();\n    }\n\n    /// Answers every"),
    ("a client that leaves does not withdraw its questions", "src/protocol/client.rs",
     "            context.server.requests.push_back(Request::Withdraw(context.id));\n", ""),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-k", metavar="PATTERN", default="", help="only those whose name matches")
    parser.add_argument("--list", action="store_true", help="name them, run nothing")
    options = parser.parse_args()
    chosen = [fault for fault in FAULTS if re.search(options.k, fault[0], re.IGNORECASE)]
    for name, file, old, _ in FAULTS:
        with open(os.path.join(ROOT, file)) as f:
            if (found := f.read().count(old)) != 1:
                sys.exit(f"'{name}': the text stands {found} times in {file}, not once; the list must follow the program")
    if options.list:
        print(*(name for name, *_ in chosen), sep="\n")
        return 0
    caught = []
    with tempfile.TemporaryDirectory(prefix="planted-") as folder:
        tree = os.path.join(folder, "tree")
        ignore = shutil.ignore_patterns("target", ".git", "logs", "run")
        shutil.copytree(ROOT, tree, ignore=ignore)
        for name, file, old, new in chosen:
            outcome, seconds = run_with(tree, file, old, new)
            caught.append(outcome.startswith("caught"))
            print(f"{outcome:34} {seconds:5.1f} s  {name}", flush=True)
    print(f"{sum(caught)} caught, {len(caught) - sum(caught)} survived")
    return 0 if all(caught) else 1


def run_with(tree, file, old, new):
    """Makes one mistake in the tree, runs the simulator, and takes the mistake back."""
    path = os.path.join(tree, file)
    with open(path) as f:
        text = f.read()
    try:
        with open(path, "w") as f:
            f.write(text.replace(old, new))
        # Warnings about what the mistake left unused are its business.
        environment = {**os.environ, "CARGO_TARGET_DIR": TARGET, "CARGO_INCREMENTAL": "1", "FAILURES": "1"}
        built = subprocess.run([*BUILD, "--no-run"], cwd=tree, env=environment, capture_output=True, text=True)
        if built.returncode:
            sys.exit(f"does not build with {file} changed:\n{built.stderr[-2000:]}")
        began = time.monotonic()
        # timeout: what cargo runs would go on without cargo.
        run = ["timeout", str(TIMEOUT_S), *BUILD, "--", "--exact", "seeds"]
        ran = subprocess.run(run, cwd=tree, env=environment, capture_output=True, text=True)
        seconds = time.monotonic() - began
        if ran.returncode == TIMED_OUT:
            return "caught (it never ends)", seconds
        if ran.returncode == 0:
            return "SURVIVED", seconds
        seed = re.search(r"SEED=(\d+)", ran.stdout + ran.stderr)
        return (f"caught by seed {seed[1]}" if seed else "caught"), seconds
    finally:
        with open(path, "w") as f:
            f.write(text)


# A target folder of its own: the libraries are built once, the program once for each mistake.
TARGET = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "planted")
# What is built for one run only need not be as fast as can be.
BUILD = ["cargo", "test", "--release", "--quiet", "--test", "simulation"]
for setting in ["opt-level=1", "codegen-units=16", "debug=false"]:
    BUILD += ["--config", f"profile.release.package.herd.{setting}"]
BUILD += ["--config", "profile.release.lto=false"]
# A run takes a minute at most; one that takes longer hangs.
TIMEOUT_S = 180
TIMED_OUT = 124

if __name__ == "__main__":
    sys.exit(main())
