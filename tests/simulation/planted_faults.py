#!/usr/bin/env python3
"""Plants deliberate mistakes in the program, one at a time, and checks that the simulator detects them.

    python3 tests/simulation/planted_faults.py            all of them; ends with `N caught, N survived`
    python3 tests/simulation/planted_faults.py -k cursor  those whose name matches a regular expression
    python3 tests/simulation/planted_faults.py -j 2       two at a time
    python3 tests/simulation/planted_faults.py --list     their names, without a run

A mistake is an exact text of one source file and its replacement. It is made in a copy of the tree, which is built and
runs SEEDS seeds (2000 by default). The first run builds the libraries of each copy. A mistake that survives shows a gap in the oracle. If a text is not found exactly
once, that is an error, so that the list follows the program.
"""
import argparse
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# (name, file, the exact text that stands there once, the mistake in its place)
FAULTS = [
    # Followers
    ("a change does not wake the followers of its client", "src/conversation/followers/mod.rs",
     "                group.recent.push(record, sequence, false);\n                wake_all(group);\n",
     "                group.recent.push(record, sequence, false);\n"),
    ("a change does not wake the areas that its client leaves", "src/conversation/followers/mod.rs",
     "        for group in [before, after]",
     "        for group in [None::<&Spot>, after]"),
    ("a follower that had no room is not served on", "src/conversation/followers/mod.rs",
     "            self.set_state(id, State::Due);\n",
     "            self.set_state(id, State::Idle);\n"),
    ("a stream is resumed at the newest change", "src/conversation/followers/mod.rs",
     "        let since = known.map_or(0, |from| from.sequence);\n",
     "        let since = known.map_or(0, |_| store.sequence());\n"),
    ("a stream is resumed at a number of another epoch", "src/conversation/followers/mod.rs",
     "from.epoch == Some(epoch) && ",
     ""),
    ("the cursor of a follower that has ended stays", "src/conversation/followers/mod.rs",
     "            store.unfollow(cursor);\n",
     ""),
    ("a walk that finds no room counts as complete", "src/conversation/followers/serving.rs",
     "                portion = Portion::Blocked;\n                break;\n",
     "                portion = Portion::Complete;\n                break;\n"),
    ("a change that stands twice among the last ones is sent twice", "src/conversation/followers/serving.rs",
     "                && (change.sequence == sequence || is_area && change.sequence > sequence)\n",
     "                && (change.sequence >= sequence || is_area)\n"),
    ("an area is not told that a client has left", "src/conversation/followers/serving.rs",
     "            Zone::Outside if self.told.remove(change.record) => {",
     "            Zone::Outside if self.told.remove(change.record) && false => {"),
    ("a stream ends before everything was sent", "src/conversation/client/following.rs",
     "        let ends = served.is_current && (",
     "        let ends = ("),
    ("a half-close ends a stream", "src/conversation/client.rs",
     "        context.transport.set_deadline(self.mark_at());\n        self.send_replies(context);\n    }\n\n    fn pause_writing",
     "        self.end_stream_soon(context);\n        self.send_replies(context);\n    }\n\n    fn pause_writing"),
    # The store on disk
    ("the log is not synced", "src/store/journal/writer.rs",
     "        if batch.syncs || batch.ends {\n            log.output.sync()",
     "        if batch.ends {\n            log.output.sync()"),
    ("a file is synced again after a sync that failed", "src/store/journal/writer.rs",
     "        if batch.syncs || batch.ends {\n            log.output.sync().map_err(",
     "        if batch.syncs || batch.ends {\n            log.output.sync().or_else(|_| log.output.sync()).map_err("),
    ("a snapshot takes the place of the logs before it is synced", "src/store/journal/writer.rs",
     "        snapshot.sync().map_err(failed(new, \"cannot be written to the disk\"))?;\n        let renamed",
     "        let renamed"),
    ("the folder is not synced after a snapshot has got its name", "src/store/journal/writer.rs",
     "        self.sync_names()?;\n        self.is_worthless = false;\n",
     "        self.is_worthless = false;\n"),
    ("a log is used before its name is on the disk", "src/store/journal/writer.rs",
     "        self.sync_names()?;\n        self.has_begun = true;\n",
     "        self.has_begun = true;\n"),
    ("positions are written before the changes that they cover", "src/herd/journal.rs",
     "        if batch.log.is_empty() && batch.begins.is_none() && !is_last {\n            return;\n        }\n        if !is_at_end(log, &server.store) {\n            return;\n        }\n",
     ""),
    ("what was written counts as synced", "src/herd/journal.rs",
     "        if syncs && !self.is_repairing() {\n",
     "        if !self.is_repairing() {\n"),
    ("a batch that has failed counts as written", "src/herd/journal.rs",
     "        if let Err(failure) = outcome {\n",
     "        if let Err(failure) = outcome && false {\n"),
    ("a disk that works again is not noticed", "src/herd/journal.rs",
     "        self.retry_at = now + self.retry_after;\n",
     "        self.retry_at = Moment::NEVER;\n"),
    ("a repair counts as complete when it begins", "src/herd/journal.rs",
     "            self.begin(batch, &mut server.store, true);\n",
     "            self.begin(batch, &mut server.store, false);\n"),
    ("what an earlier process wrote is not synced", "src/herd/journal/opening.rs",
     "reader.rest().all(|file| folder.sync_file(&file).is_ok());\n",
     "true;\n"),
    ("a link begins before the store was read", "src/conversation/inbound_peer.rs",
     "        if context.shared.course.store_read.is_some() {\n",
     "        if context.shared.course.store_read.is_some() && false {\n"),
    ("a stream begins before the store was read", "src/conversation/server.rs",
     "        if self.course.store_read.is_some() && !self.followers.is_closing() {\n",
     "        if self.course.store_read.is_some() && false {\n"),
    ("changes of clients get numbers that are still to be read", "src/store/loading.rs",
     "        let newest = newest.max(last);\n",
     "        let newest = newest.min(last);\n"),
    ("what is read beside clients stands after what they report", "src/store/loading.rs",
     "            store.list.insert_before(&mut store.records, beside.cursor.0, index);\n",
     "            store.list.push(&mut store.records, index);\n"),
    ("the ends of the files are not looked at", "src/store/journal/reading/tails.rs",
     "                    tails.newest = tails.newest.max(newest);\n",
     "                    tails.newest = tails.newest.max(newest.min(1));\n"),
    ("replies wait for the change before theirs", "src/conversation/durability.rs",
     "        self.replies_wait && sequence > self.on_disk\n",
     "        self.replies_wait && sequence > self.on_disk + 1\n"),
    ("what waits for a disk that fails is not refused", "src/conversation/durability.rs",
     " || sequence > self.on_disk && !self.fails {\n",
     " || sequence > self.on_disk {\n"),
    ("the epoch is kept after any end", "src/store/journal/reading.rs",
     "        self.state.as_ref().filter(|state| state.is_end && self.damage.is_empty())\n",
     "        self.state.as_ref()\n"),
    ("a server that was started again counts as ended in order", "src/store/journal/reading/file.rs",
     "map(|state| State { is_end: false, ..state });\n",
     "map(|state| State { ..state });\n"),
    ("damage ends the reading of a file", "src/store/journal/reading/file.rs",
     "            Front::Part | Front::Damage => {\n",
     "            Front::Part | Front::Damage if at < u64::MAX => {\n                extend(unreadable, at, 1, true);\n                return false;\n            }\n            Front::Part | Front::Damage => {\n"),
    ("positions after damage are trusted", "src/store/journal/reading/file.rs",
     "                        if unreadable.is_none() && *was_whole {\n",
     "                        if unreadable.is_none() || true {\n"),
    ("a log that was only begun stays", "src/store/journal/reading/file.rs",
     "                reading.leftovers.push(file.to_string());\n                return;\n",
     "                reading.was_read(file);\n                return;\n"),
    ("a snapshot that is cut between two records looks whole", "src/store/journal/reading/file.rs",
     "        } else if file.kind == Kind::Snapshot && !is_whole {\n",
     "        } else if file.kind == Kind::Snapshot && false && !is_whole {\n"),
    ("a log that is cut between two records looks whole", "src/store/journal/reading/file.rs",
     "before > reading.last_log_bytes {\n",
     "before > u64::MAX - reading.last_log_bytes {\n"),
    ("the checksum of a frame is not compared", "src/store/journal/frame.rs",
     "        if word(bytes, 4) != Some(checksum(bytes, length)) {\n",
     "        if false {\n"),
    ("a snapshot is complete before the log has the changes since it was begun", "src/herd/journal.rs",
     "batch.completes = is_walked && is_at_end(log, &server.store);",
     "batch.completes = is_walked;"),
    # The reactor: readiness
    ("a short read counts as the last one on every system", "src/event_loop/serving.rs",
     " && self.system.short_reads_empty();\n", ";\n"),
    ("a half-close after a short read is not read", "src/event_loop/serving.rs",
     " && !connection.short_reads_lie &&", " &&"),
    ("a connection that used its share is not listed again", "src/event_loop/serving.rs",
     "                connection.listed = false;\n                self.list(id);\n",
     "                connection.listed = false;\n"),
    ("resumed reading does not offer unconsumed input", "src/event_loop/mod.rs",
     "            || was_paused && !connection.transport.reading_is_paused();\n",
     "            || was_paused && false;\n"),
    ("the loop sleeps although a connection is ready", "src/event_loop/mod.rs",
     "            || !self.ready.is_empty()\n", ""),
    ("a writable edge is ignored", "src/event_loop/mod.rs",
     "        if writable {\n            self.mark_dirty(id);\n        }\n", ""),
    ("a partial write counts as a full socket", "src/event_loop/writing.rs",
     "                connection.writable = sent > 0;\n",
     "                connection.writable = connection.transport.pending() == 0;\n"),
    ("the loop sleeps although turn_ending reported further output", "src/event_loop/writing.rs",
     "            self.at_once |=\n", "            self.at_once &=\n"),
    ("turn_ending is called once only", "src/event_loop/mod.rs",
     "            self.connections.get_mut(id).is_some()\n        });\n", "            false\n        });\n"),
    ("accepting is not retried after a failure", "src/event_loop/accepting.rs",
     "                self.timers.set(self.clocks.now + ACCEPT_RETRY_DELAY, Timer::Accept(listener));\n", ""),
    ("accepting stops after the share of one turn", "src/event_loop/accepting.rs",
     "            for _ in 0..ACCEPTS_MAX {\n",
     "            for n in 0..ACCEPTS_MAX {\n                self.listeners[usize::from(index)].ready &= n + 1 < 3;\n"),
    # The reactor: the life of a connection
    ("a last line without LF is lost at a half-close", "src/event_loop/serving.rs",
     "            if connection.stream.was_truncated() {\n                rest.clear();\n            }\n", "            rest.clear();\n"),
    ("a closing connection lingers although output is pending", "src/event_loop/closing.rs",
     "        if connection.transport.pending() > 0 || !connection.writable {\n", "        if false {\n"),
    ("a closed connection lingers without sending the end of its output", "src/event_loop/closing.rs",
     "            self.input = Vec::new();\n            self.life = Life::Closing {\n",
     "            self.input = Vec::new();\n            self.life = Life::Lingering { until: now + UNREAD_MAX };\n"
     "            let _ = Life::Closing {\n"),
    ("a closing connection waits for its reader without limit", "src/event_loop/closing.rs",
     "const UNREAD_MAX: Duration = Duration::from_secs(30);\n",
     "const UNREAD_MAX: Duration = Duration::from_secs(30_000_000);\n"),
    ("a lingering connection waits for the peer's end without limit", "src/event_loop/closing.rs",
     "Life::Lingering { until: now + LINGER_MAX }", "Life::Lingering { until: Moment::NEVER }"),
    ("a connection that ended stays counted", "src/event_loop/closing.rs",
     "            self.uncount(connection.quota, connection.address);\n", ""),
    ("a connection that leaves the quota stays counted", "src/event_loop/mod.rs",
     "            self.uncount(counted, address);\n", "            let _ = address;\n            connection.quota = counted;\n"),
    ("an earlier deadline does not move the timer", "src/event_loop/deadlines.rs",
     "            if deadline < connection.timer_at {\n", "            if connection.timer_at == Moment::NEVER {\n"),
    ("the timer of a deadline that moved later is lost", "src/event_loop/deadlines.rs",
     "            self.timers.set(due_at, Timer::Connection(id));\n            return;\n", "            return;\n"),
    ("no timer is set after one that has fired", "src/event_loop/deadlines.rs",
     "        connection.timer_at = Moment::NEVER;\n", ""),
    ("a connection that cannot be made stays", "src/event_loop/connecting.rs",
     "            return self.kill(id, Lost::NotMade(error));\n", "            return drop(error);\n"),
    ("a hanging connection attempt has no time limit", "src/event_loop/connection.rs",
     "            Life::Connecting(attempts) => attempts.until,\n", "            Life::Connecting(_) => Moment::NEVER,\n"),
    ("a connection that fails at once reports nothing", "src/event_loop/connecting.rs",
     "                protocol.connection_lost(&mut context, Lost::NotMade(error));\n",
     "                let _ = (&mut context, &mut protocol, error);\n"),
    ("a drain does not notify the application", "src/event_loop/draining.rs",
     "            self.application.notice(self.clocks, Notice::Drained);\n", ""),
    ("a half-closed client that does not read stays for ever", "src/event_loop/closing.rs",
     "            connection.peer_ended = true;\n", ""),
    ("a lingering connection holds up a shutdown", "src/event_loop/closing.rs",
     "            && is_ending\n", "            && is_ending && false\n"),
    # The herd
    ("a lost link is not dialled again", "src/herd/mod.rs",
     "            Some(dialler::Step::WakeAt(at)) => Command::Timer { at, tag },\n",
     "            Some(dialler::Step::WakeAt(_)) => return,\n"),
    ("a superseded retry timer dials too early", "src/herd/dialler.rs",
     "        if now >= self.retry_at { self.dial() } else { None }\n", "        let _ = now;\n        self.dial()\n"),
    ("the retry delay does not grow", "src/herd/backoff.rs",
     "        self.next = (delay * 2).min(DELAY_MAX);\n", ""),
    ("the retry delay is not reset by a link that works", "src/herd/mod.rs",
     "            Signal::LinkWorks(id) => self.diallers[id.0].works(),\n", "            Signal::LinkWorks(_) => {}\n"),
    ("a neighbour that dials is not dialled back at once", "src/herd/mod.rs",
     "                let step = self.diallers[id.0].reachable(now);\n                self.dial(id, step, now);\n", "                let _ = now;\n"),
    ("a lookup of a replaced address is used", "src/herd/dialler.rs",
     "        if stale || !self.wanted {\n", "        let _ = stale;\n        if !self.wanted {\n"),
    ("a removed neighbour is dialled", "src/herd/dialler.rs",
     "        if !self.wanted || self.state != State::Down {\n", "        if self.state != State::Down {\n"),
    ("a changed address leaves the old link", "src/herd/dialler.rs",
     "            if let Some(connection) = self.connection() {\n                return Some(Step::Abort(connection));\n            }\n        }\n        self.dial()\n",
     "        }\n        self.dial()\n"),
    ("an earlier lookup of Places is used", "src/herd/places.rs",
     "        if lookup != self.lookup {\n            return;\n        }\n", "        let _ = lookup;\n"),
    ("a link to an earlier incarnation is kept", "src/herd/mod.rs",
     "            Some((link, other)) if other != epoch => self.commands.push_back(Command::Abort(link)),\n",
     "            Some((_, other)) if other != epoch => {}\n"),
    ("a full server serves further clients", "src/herd/accepting.rs",
     "Client::peers_only()",
     "Client::unidentified()"),
    ("a slow disk has all pages of the log, with few lines in each", "src/herd/log_pages.rs",
     "        if now >= self.due && log.is_written() || is_last {\n", "        if now >= self.due || is_last {\n"),
    # Conversations with clients
    ("a fast reply overtakes a slow one", "src/conversation/replies.rs",
     "            Some(Reply::Text(text)) => text.output(),\n            _ => transport.output(),\n",
     "            _ => transport.output(),\n"),
    ("a half-close cuts off pending replies", "src/conversation/client/replying.rs",
     "        if last && self.replies.is_empty() {\n", "        if last {\n"),
    ("input is discarded when reading is paused", "src/conversation/client.rs",
     "                context.transport.pause_reading();\n                break;\n",
     "                context.transport.pause_reading();\n                return data.len();\n"),
    ("the rest of an over-long line is executed", "src/conversation/client.rs",
     "                    self.discarding = Some(begun);\n", "                    let _ = begun;\n"),
    ("input after an HTTP request is executed", "src/conversation/client/commands.rs",
     "                self.standing = Standing::Finished;\n                Err(", "                Err("),
    ("an answer is given to the first waiting question", "src/conversation/replies.rs",
     "                && *own == ticket\n", "                && *own <= ticket\n"),
    ("a losing IAMAT gets the winner's line", "src/conversation/client/commands.rs",
     "        let outcome = report_iam_at(server, iam_at, received, output)?;\n",
     "        let outcome = report_iam_at(server, iam_at, received, output)?;\n        if let Some(line) = server.store.get(iam_at.id) {\n            output.truncate(start);\n            output.extend_from_slice(line);\n        }\n"),
    ("a skew is always zero", "src/conversation/reporting.rs",
     "    let statement = Statement::of(iam_at, server.identity.name.as_bytes(), received);\n",
     "    let _ = received;\n    let statement = Statement::of(iam_at, server.identity.name.as_bytes(), iam_at.time);\n"),
    ("a lost client does not withdraw its questions", "src/conversation/client/near.rs",
     "            desk.withdraw(&waiter);\n", "            let _ = desk;\n"),
    ("a telnet command that is not complete is lost", "src/conversation/telnet.rs",
     "let Some((length, effect)) = command(rest) else { return (used, false) };",
     "let Some((length, effect)) = command(rest) else { return (input.len(), false) };"),
    ("an IAC at the end of a part of a subnegotiation is lost", "src/text/telnet.rs",
     "            None => return (used, false),\n", "            None => return (used + 1, false),\n"),
    ("the bytes of a subnegotiation reach the line", "src/conversation/telnet.rs",
     "                    Effect::Subnegotiation => self.negotiating = true,\n", "                    Effect::Subnegotiation => {}\n"),
    ("telnet options are answered without limit", "src/conversation/telnet.rs",
     "if self.answers < ANSWERS_MAX => {", "if self.answers <= ANSWERS_MAX => {"),
    ("CR NUL ends lines only in the input with the telnet command", "src/conversation/client.rs",
     "        if self.telnet.was_used() {\n            lines.end_at_cr_nul();\n        }\n", ""),
    ("a byte order mark in two parts is not dropped", "src/conversation/client.rs",
     "            if BYTE_ORDER_MARK.len() > data.len() && BYTE_ORDER_MARK.starts_with(data) {\n                return 0;\n            }\n", ""),
    ("a request of a browser is known by its last field only", "src/text/command.rs",
     "                let is_request = fields(line).next().is_some_and(is_http_method)\n", "                let is_request = false\n"),
    # Clients that neither end their lines nor half-close
    ("input does not clear the time of a silence", "src/conversation/idle_times.rs",
     "        self.received = clocks;\n        self.active_at", "        self.active_at"),
    ("input does not postpone the end of a silent connection", "src/conversation/idle_times.rs",
     "        self.active_at = clocks.now;\n", ""),
    ("a line that a silence ends has the time of the end of the silence", "src/conversation/client/commands.rs",
     "idle.map_or(context.wall, |idle| idle.received().wall)", "idle.map_or(context.wall, |_| context.wall)"),
    ("a silence ends a line that is no command", "src/conversation/client/commands.rs",
     "        if is_valid {\n", "        if is_valid || true {\n"),
    ("a silent connection with a pending reply is closed", "src/conversation/client.rs",
     "        (self.line_since != Moment::NEVER, self.replies.is_empty())\n", "        (self.line_since != Moment::NEVER, true)\n"),
    ("a client that reads late is closed early", "src/conversation/idle_times.rs",
     "            self.active_at = now;\n        }\n", "        }\n"),
    ("changed limits are not used", "src/herd/mod.rs",
     "        self.server.set_limits(settings.limits);\n", ""),
    # The log
    ("the limit of refusals in the log is never reset", "src/conversation/refusals.rs",
     "            (self.second, self.logged) = (now, 0);\n", "            self.second = now;\n"),
    ("refusals that were not logged are not counted", "src/conversation/refusals.rs",
     "            self.not_logged += 1;\n", ""),
    ("an older statement is logged each time", "src/conversation/refusals.rs",
     "            return is_due;\n", "            return true;\n"),
    ("an older statement is not logged", "src/conversation/reporting.rs",
     "    if older_ns <= 0 && !is_gone ||",
     "    if older_ns != 0 && !is_gone ||"),
    ("statements that flow one way are logged again and again", "src/herd/mod.rs",
     " && known.is_newly_one_way() {", " {"),
    ("statements that flow one way are not logged", "src/herd/mod.rs",
     "        self.log_one_way(id, now);\n", ""),
    # Long statements
    ("a statement that is too long ends the link", "src/conversation/inbound_peer.rs",
     "                        link.pass_over(context, line);\n                        Ok(())\n",
     "                        link.pass_over(context, line);\n                        Err(String::new())\n"),
    ("the rest of a statement that is too long is carried out", "src/conversation/inbound_peer.rs",
     "        self.passed_over = if line.ended { 0 } else { self.passed_over + line.text.len() };\n", ""),
    ("the line after a statement that is too long is passed over, too", "src/conversation/inbound_peer.rs",
     "        self.passed_over = if line.ended { 0 } else { self.passed_over + line.text.len() };\n",
     "        self.passed_over = if line.ended && self.passed_over > 0 { 0 } else { line.text.len() };\n"),
    ("a statement that is too long is stored", "src/conversation/inbound_peer.rs",
     "        let line_max = context.shared.limits.max_line + PEER_LINE_EXTRA;\n", "        let line_max = 100_000;\n"),
    # Conversations with neighbours
    ("a HELLO in the first bytes is not offered to the peer", "src/conversation/mod.rs",
     "        let used = peer.data_received(context, rest);\n", "        let used = 0;\n        let _ = rest;\n"),
    ("the rest of the input is lost after the beginning of a HELLO", "src/conversation/mod.rs",
     "        let used = peer.data_received(context, rest);\n",
     "        peer.data_received(context, rest);\n        let used = rest.len();\n"),
    ("a new incarnation is not sent its own earlier statements", "src/conversation/neighbours.rs",
     "incarnations.iter().flatten().find(|known| known.0 == epoch)", "incarnations.iter().flatten().next()"),
    ("changes received from one incarnation count for the next", "src/conversation/neighbours.rs",
     "self.received.filter(|received| received.0 == epoch)", "self.received.filter(|_| epoch.0 != 0)"),
    ("earlier changes are not sent on a new link", "src/conversation/outbound_peer.rs",
     "server.store.follow(since)", "server.store.follow(since.max(server.store.sequence()))"),
    ("the dialling side keeps a silent link", "src/conversation/outbound_peer.rs",
     "        if context.now >= self.received_at + silence {\n",
     "        self.received_at = context.now;\n        if false {\n"),
    ("the accepting side keeps a silent link", "src/conversation/inbound_peer.rs",
     "                if context.now >= link.received_at + silence {\n",
     "                link.received_at = context.now;\n                if false {\n"),
    ("one change too many is acknowledged", "src/conversation/inbound_peer.rs",
     "        known.note_received(self.epoch, sequence);\n", "        known.note_received(self.epoch, sequence + 1);\n"),
    ("statements are sent back to the neighbour they came from", "src/conversation/outbound_peer.rs",
     "            if change.origin == self.origin {\n", "            if false {\n"),
    ("a batch does not report that changes are left", "src/conversation/outbound_peer.rs",
     "        is_behind\n    }\n", "        false\n    }\n"),
    ("an ACK that is due is postponed for ever", "src/conversation/inbound_peer.rs",
     "            if context.transport.has_room() {\n                self.acknowledge(context);\n",
     "            if false {\n                self.acknowledge(context);\n"),
    ("each MARK postpones the ACK", "src/conversation/acknowledgements.rs",
     "        self.pending_since = self.pending_since.or(Some(now));\n", "        self.pending_since = Some(now);\n"),
    ("the first MARK is not acknowledged at once", "src/conversation/acknowledgements.rs",
     "        self.acknowledged.is_none()\n", "        false\n"),
    # TLS
    ("a name is not compared when a neighbour is dialled", "src/conversation/outbound_peer.rs",
     "            && !peer.has_name(&context.shared.neighbours.get(self.neighbour).name)\n", "            && peer.certificates.is_empty()\n"),
    ("the name in HELLO is not compared with the certificate", "src/conversation/inbound_peer.rs",
     "            if !peer.has_name(&context.shared.neighbours.get(neighbour).name) {\n", "            if peer.certificates.is_empty() {\n"),
    ("a certificate is not verified again at HELLO", "src/conversation/inbound_peer.rs",
     "            keys.verify(peer).map_err(|error| error.to_string())?;\n", "            let _ = keys;\n"),
    ("a certificate is not verified again at WELCOME", "src/conversation/outbound_peer.rs",
     "            keys.verify(peer).map_err(|error| error.to_string())?;\n", "            let _ = (keys, peer);\n"),
    ("links of a removed authority stay", "src/herd/reload.rs",
     "                    self.commands.push_back(Command::Deliver { to, call });\n", "                    let _ = (to, call);\n"),
    ("every link ends when keys change", "src/herd/reload.rs",
     "                    self.commands.push_back(Command::Deliver { to, call });\n",
     "                    self.commands.push_back(Command::Abort(to));\n                    drop(call);\n"),
    ("a listener keeps its first keys", "src/herd/reload.rs",
     "            self.commands.push_back(Command::SetTls(LISTENER, Some(tls.clone())));\n",
     "            if self.server.keys.is_none() {\n                self.commands.push_back(Command::SetTls(LISTENER, Some(tls.clone())));\n            }\n"),
    ("a HELLO in plain text is let through", "src/conversation/inbound_peer.rs",
     "        (Some(_), None) => Err(\"links of this herd are TLS; is peers.tls the same in both herd files?\"),\n",
     "        (Some(_), None) => Ok(()),\n"),
    ("a HELLO without a certificate learns about the herd", "src/conversation/inbound_peer.rs",
     "        (Some(_), Some(peer)) if peer.certificates.is_empty() => Err(\"no certificate was shown\"),\n", ""),
    ("a handshake that was accepted has no time limit", "src/event_loop/handshakes.rs",
     "until: self.clocks.now + tls.handshake_max, is_made: true", "until: super::Moment::NEVER, is_made: true"),
    ("a handshake that was dialled has no time limit", "src/event_loop/connecting.rs",
     "Life::Handshaking { until: self.clocks.now + handshake_max, is_made: false };",
     "Life::Handshaking { until: [Moment::NEVER, self.clocks.now + handshake_max][0], is_made: false };"),
    ("handshakes are not limited", "src/event_loop/handshakes.rs",
     "        if self.under_way.len() >= HANDSHAKES_MAX {\n", "        if self.under_way.len() >= 100 * HANDSHAKES_MAX {\n"),
    ("a handshake that is complete stays counted", "src/event_loop/handshakes.rs",
     "                self.handshakes.remove(id);\n                if is_made {\n", "                if is_made {\n"),
    ("the first bytes of a handshake are lost", "src/event_loop/handshakes.rs",
     "        self.continue_handshake(id, received);\n", "        let _ = received;\n        self.continue_handshake(id, &[]);\n"),
    ("a line that has begun is executed at an end without close_notify", "src/event_loop/serving.rs",
     "            if connection.stream.was_truncated() {\n                rest.clear();\n            }\n", "            let _ = &mut rest;\n"),
    ("close_notify is not sent", "src/event_loop/closing.rs",
     "            connection.stream.send_close_notify();\n", ""),
    ("a dialled connection is made before its handshake", "src/event_loop/connecting.rs",
     "                if let Some(handshake_max) = attempts.handshake_max {\n",
     "                if let Some(handshake_max) = attempts.handshake_max.filter(|_| false) {\n"),
    ("plain text that a TLS session has kept is not read", "src/event_loop/tls.rs",
     "is_short: received < room && is_drained", "is_short: received < room"),
    ("a TLS session that has output is not flushed", "src/event_loop/writing.rs",
     "        if result.is_ok() && connection.writable {\n            result = connection.stream.flush();\n        }\n", ""),
    # The store
    ("older statements win", "src/store/mod.rs",
     "        Some(is_later) => is_later,\n", "        Some(is_later) => !is_later,\n"),
    ("of equal times the one received last wins", "src/text/record.rs",
     ".then_with(|| self.received_ns().cmp(&other.received_ns()))", ".then_with(|| other.received_ns().cmp(&self.received_ns()))"),
    ("a tie of all times is not broken", "src/text/record.rs",
     "            .then_with(|| self.server.cmp(other.server))\n"
     "            .then_with(|| location(self).cmp(&location(other)))\n"
     "            .then_with(|| self.time_text.cmp(other.time_text))\n", ""),
    ("a losing statement replaces the winner", "src/store/mod.rs",
     "        Some(is_later) => is_later,\n", "        Some(_) => true,\n"),
    ("a cursor claims that every change was read", "src/store/list.rs",
     "        let sequence = record.sequence.number();\n", "        let sequence = newest;\n"),
    ("a cursor starts one change too late", "src/store/list.rs",
     "records[index].sequence.number() <= since,", "records[index].sequence.number() <= since + 1,"),
    ("a cursor does not search its place", "src/store/list.rs",
     "        let is_searching = since > 0 && since != newest;\n",
     "        let is_searching = false && since != newest;\n"),
    ("a cursor that is dropped stays in the list", "src/store/list.rs",
     "            self.close_gap(records, state.node);\n", "            let _ = state;\n"),
    ("the list of changes keeps a wrong end", "src/store/list.rs",
     "        let last = std::mem::replace(&mut self.end.previous, Link::record(index));\n",
     "        let last = self.end.previous;\n"),
    ("the old slots are not searched while the table grows", "src/store/table.rs",
     "        let slots = if u64::from(hash) < self.boundary { &self.slots } else { &self.old };\n", "        let slots = &self.slots;\n"),
    ("a new client is put into the wrong slots while the table grows", "src/store/table.rs",
     "        self.slots_of(hash).put(Slot { hash, index });\n", "        self.slots.put(Slot { hash, index });\n"),
    # NEAR
    ("a move within a cell is not noted", "src/store/space.rs",
     "            page.fine[place.slot()] = Path::of(key, index).fine(page.bits());\n", ""),
    ("the client that is asked about is among the results", "src/store/search.rs",
     " || self.left_out == Some(index)", ""),
    ("equal distances are in the order of arrival", "src/store/search.rs",
     "            order.then_with(|| found.id(sources).cmp(id)).is_lt()\n",
     "            let _ = id;\n            order.is_le()\n"),
    ("a search has one result too many", "src/store/search.rs",
     "        self.found.truncate(self.bound - 1);\n", "        self.found.truncate(self.bound);\n"),
    ("a radius is read as metres", "src/store/search.rs",
     "nearby.radius_km * 1000.0", "nearby.radius_km * 1.0"),
    ("the reply to NEAR overtakes one that waits", "src/conversation/client/near.rs",
     "        let output = self.replies.output(context.transport);\n        let start = output.len();\n        server.store",
     "        let output = context.transport.output();\n        let start = output.len();\n        server.store"),
    ("a cell across 180 degrees counts as far away", "src/geo/cell.rs",
     "            west.min(TAU - east)\n", "            west\n"),
    # HTTP
    ("a request is carried out while the response to the one before it waits", "src/conversation/web/mod.rs",
     "                State::Reading if context.transport.has_room() => {}\n",
     "                State::Reading | State::Waiting(..) if context.transport.has_room() => {}\n"),
    ("the requests after one that has waited are not carried out", "src/conversation/web/mod.rs",
     "        self.respond(context, exchange, response);\n        self.resume(context);\n",
     "        self.respond(context, exchange, response);\n"),
    ("a body is read as a request once more", "src/conversation/web/receiving.rs",
     "            let used = length + body_length;\n", "            let used = length;\n"),
    ("the body of a refused request is read as a request", "src/conversation/web/receiving.rs",
     "                    self.refuse_request(context, &head, refusal);\n                    return data.len();\n",
     "                    self.respond(context, super::Exchange::of(&head), &refusal);\n                    return length;\n"),
    ("a request that a half-close has cut off is not answered", "src/conversation/web/mod.rs",
     "            State::Reading if !rest.is_empty() || self.incoming.is_some() => {\n",
     "            State::Reading if !rest.is_empty() && rest.is_empty() => {\n"),
    ("a half-close cuts off a response that waits", "src/conversation/web/mod.rs",
     "                exchange.keep_alive = false;\n            }\n            State::Finished => {}\n",
     "                exchange.keep_alive = false;\n                context.transport.close();\n            }\n            State::Finished => {}\n"),
    ("a response is written before the disk has its statement", "src/conversation/web/client.rs",
     "    if !server.durability.must_wait(sequence) {\n", "    if true {\n"),
    ("each PUT says that it was stored", "src/conversation/web/client.rs",
     "    let stored = Some(outcome == store::Outcome::Stored);\n",
     "    let stored = Some(outcome == store::Outcome::Stored || true);\n"),
    ("a HEAD gets a body", "src/conversation/web/response.rs",
     "        if !exchange.is_head {\n", "        if !exchange.is_head || true {\n"),
    ("a page of a list skips the change after the last one", "src/conversation/web/list.rs",
     "        self.last = change.sequence;\n", "        self.last = change.sequence + 1;\n"),
    ("a list says that it has a change which comes later", "src/conversation/web/list.rs",
     "let (epoch, sequence) = (context.shared.identity.epoch, context.shared.store.sequence());",
     "let (epoch, sequence) = (context.shared.identity.epoch, context.shared.store.sequence() + 1);"),
    ("a list that has no room does not go on", "src/conversation/web/mod.rs",
     "        self.list_on(context);\n        self.resume_stream(context);\n", "        self.resume_stream(context);\n"),
    ("the cursor of a list stays", "src/conversation/web/list.rs",
     "            server.store.unfollow(cursor);\n", "            let _ = cursor;\n"),
    ("an event stream that has no room does not go on", "src/conversation/web/mod.rs",
     "        self.list_on(context);\n        self.resume_stream(context);\n", "        self.list_on(context);\n"),
    ("a mark of an event stream has a number too high, so that a resumed stream skips a change", "src/conversation/web/changes.rs",
     "            write_mark(&identity.epoch.to_string(), sequence, context.transport.output());\n        }\n        if ends",
     "            write_mark(&identity.epoch.to_string(), sequence + 1, context.transport.output());\n        }\n        if ends"),
    ("the position of Last-Event-ID is that of the parameter", "src/conversation/web/changes.rs",
     "    let from = request.last_event_id.and_then(position).or(asked);\n",
     "    let from = asked.or(request.last_event_id.and_then(position));\n"),
    ("an event stream does not say that a client has left", "src/conversation/web/representation.rs",
     "        if !(self.may_read)(id) {\n", "        if !(self.may_read)(id) || true {\n"),
    ("an event that was kept is sent for another change", "src/conversation/web/representation.rs",
     "        if *sequence != change.sequence {\n", "        if *sequence == 0 {\n"),
    ("the follower of an event stream that is lost stays", "src/conversation/web/mod.rs",
     "            State::Streaming(stream) => stream.end(context),\n", "            State::Streaming(_) => {}\n"),
    ("an event stream ends before everything was sent", "src/conversation/web/changes.rs",
     "        let ends = served.is_current && (", "        let ends = ("),
    # Phones
    ("a HEAD stores the point of a phone", "src/conversation/web/phones/batch.rs",
     "    if head.method == \"HEAD\" {\n", "    if head.method == \"NONE\" {\n"),
    ("a point of a phone that loses is refused", "src/conversation/web/phones/batch.rs",
     "            false\n        }\n        Err(_) => true,\n", "            !is_stored\n        }\n        Err(_) => true,\n"),
    ("a phone is answered before the disk has its points", "src/conversation/web/phones/batch.rs",
     "        Ok(when_on_disk(context, self.answer))\n",
     "        let _ = when_on_disk;\n        Ok(Outcome::Response(self.answer))\n"),
    ("milliseconds of a phone count as seconds", "src/conversation/web/phones/time.rs",
     "const MILLISECONDS_FROM: u128 = 100_000_000_000;", "const MILLISECONDS_FROM: u128 = 100_000_000_000_000;"),
    ("the first point of a batch is dropped", "src/conversation/web/phones/overland.rs",
     "    Some(batch.locations.into_iter().chain(current)", "    Some(batch.locations.into_iter().skip(1).chain(current)"),
    ("a point whose time is wrong gets the time of receipt", "src/conversation/web/phones/point.rs",
     "            PhoneTime::Wrong => Err(NoPosition::BadTime),\n",
     "            PhoneTime::Wrong => Ok(Position { location, time: None }),\n"),
    # FORGET, and statements that end
    ("of equal times an AT wins over a GONE", "src/text/record.rs",
     ".then_with(|| other.is_gone().cmp(&self.is_gone()))", ".then_with(|| self.is_gone().cmp(&other.is_gone()))"),
    ("a GONE has the time of receipt, whatever it replaces", "src/text/record.rs",
     "        let time = received.max(replaced);\n", "        let (time, _) = (received, replaced);\n"),
    ("a GONE is not flooded", "src/conversation/outbound_peer.rs",
     "            if change.origin == self.origin {\n", "            if change.origin == self.origin || change.is_gone {\n"),
    ("a GONE of a client without a record is not stored", "src/store/mod.rs",
     "            None if self.used >= self.records_max => return Outcome::Full,\n",
     "            None if self.used >= self.records_max || is_gone => return Outcome::Full,\n"),
    ("a forgotten client is still known", "src/store/mod.rs",
     "(!self.records[index].source.is_gone() && !self.is_over(index))", "(!self.is_over(index))"),
    ("a tombstone is dropped when an AT would expire", "src/store/retention.rs",
     "        if is_gone { &self.gone } else { &self.at }\n", "        if is_gone { &self.at } else { &self.at }\n"),
    ("an expired statement is given out until its record is removed", "src/store/mod.rs",
     "source.is_gone() && !self.is_over(index)).then", "source.is_gone()).then"),
    ("an expired statement still wins", "src/store/mod.rs",
     "                    horizons.passed_second(source.is_gone(), received, || line_received_ns(known))\n                        || wins(statement, known)\n",
     "                    let _ = (horizons, received);\n                    wins(statement, known)\n"),
    ("a statement that is over is stored when it is received", "src/store/mod.rs",
     "        if self.horizons.passed(is_gone, received_ns) {\n", "        if false {\n"),
    ("records that are over are not removed", "src/herd/sweeping.rs",
     "        if !self.sweep_is_timed && self.server.store.must_sweep() {\n", "        if false {\n            let _ = now;\n"),
    ("only one pass removes records", "src/herd/sweeping.rs",
     "        self.sweep_is_timed = self.server.sweep();\n        if self.sweep_is_timed {\n", "        if self.server.sweep() {\n"),
    ("a report does not lower the oldest server time of its group", "src/store/sweep.rs",
     "        self.oldest[group].note(is_gone, received);\n", "        let _ = (is_gone, received);\n"),
    # Places
    ("a question on a reused connection that ended without a byte fails", "src/places/desk/mod.rs",
     "Outcome::Broken { nothing_received: true, .. } if is_reused =>", "Outcome::Broken { nothing_received: true, .. } if false && is_reused =>"),
    ("a question on a reused connection that was lost is not requeued", "src/places/desk/connections.rs",
     "        self.waiting.insert(id);\n", ""),
    ("a question on a connection that ended before the request waits for its time limit", "src/places/desk/connections.rs",
     "        self.answered(now, connection, Outcome::Broken { nothing_received: true, reason }, false);\n",
     "        let _ = (now, reason);\n"),
    ("an expired question stays counted as in flight", "src/places/desk/mod.rs",
     "        self.in_flight.remove(&id);\n", ""),
    ("an expired question is not answered", "src/places/desk/mod.rs",
     "            self.failed(now, id, End::TimedOut, answer);\n        } else {",
     "            let _ = (now, answer);\n            self.remove(id);\n        } else {"),
    ("the desk asks for one wake-up only", "src/places/desk/mod.rs",
     "            self.steps.extend(step);\n        }\n        self.set_alarm();\n", "            self.steps.extend(step);\n        }\n"),
    ("a connection that closes is chosen for the next question", "src/conversation/places_request.rs",
     "            context.shared.desk.connection_lost(context.now, Handle::new(context.id));\n            context.transport.close();\n",
     "            context.transport.close();\n"),
    ("an idle connection to an earlier service is reused", "src/places/desk/changing.rs",
     "        let ended = self.idle.drain(..).chain(self.unmade.drain(..));\n",
     "        let ended = self.unmade.drain(..);\n"),
    ("a connection to an earlier service is reused after its answer", "src/places/desk/mod.rs",
     "        if reusable && is_present {\n", "        let _ = is_present;\n        if reusable {\n"),
    ("an idle connection is not given to a question whose own is being made", "src/places/desk/connections.rs",
     "self.asked().find(|(_, pending)| would_take(pending))", "self.asked().find(|(_, pending)| false && would_take(pending))"),
    ("a question that is given an idle connection is not asked", "src/places/desk/connections.rs",
     "        let step = self.assign(now, id, connection);\n        self.steps.push_back(step);\n", "        let _ = self.assign(now, id, connection);\n"),
    ("only the first of equal questions is answered", "src/places/desk/mod.rs",
     "            self.waiters.insert(waiter, (id, pending.add(waiter)));\n            return Ok(Reception::Shared);\n",
     "            self.waiters.insert(waiter, (id, u64::MAX));\n            return Ok(Reception::Shared);\n"),
    ("a client that leaves takes the question of others with it", "src/places/desk/mod.rs",
     "        if pending.waiters.is_empty() {\n", "        if true {\n"),
    ("a waiting question keeps its request to an earlier service", "src/places/desk/changing.rs",
     "                pending.request = self.service.request(&pending.question);\n",
     ""),
    ("an open breaker never closes", "src/places/desk/breaker.rs",
     "now < open.until || open.trial.is_some()", "now < open.until || true"),
    ("a trial that has ended is awaited for ever", "src/places/desk/breaker.rs",
     "            open.trial = None;\n", "            let _ = id;\n"),
    ("a trial that is given up is awaited for ever", "src/places/desk/mod.rs",
     "            self.statistics.note_ended(End::Withdrawn);\n            self.remove(id);\n",
     "            let breaker = std::mem::take(&mut self.breaker);\n            self.remove(id);\n            self.breaker = breaker;\n"),
    ("a question that is put once more keeps no alarm", "src/places/desk/mod.rs",
     "            self.repetitions.insert((now + after, id));\n", "            let _ = (now + after, id);\n"),
    ("a waiting question is not answered when the breaker opens", "src/places/desk/mod.rs",
     "        ids.into_iter().for_each(|id| self.answer(id, End::BreakerOpen, answer.clone()));\n",
     "        let _ = answer;\n        ids.into_iter().for_each(|id| _ = self.waiting.remove(&id));\n"),
    ("an open breaker lets every question through when its time is over", "src/places/desk/breaker.rs",
     "now < open.until || open.trial.is_some()", "now < open.until"),
    ("the breaker never opens", "src/places/desk/breaker.rs",
     "const FAILURES_MAX: u32 = 5;", "const FAILURES_MAX: u32 = 5_000_000;"),
    ("the breaker is not open for longer after a failed trial", "src/places/desk/breaker.rs",
     "open.pause = (2 * open.pause).min(PAUSE_MAX);", "open.pause = PAUSE_MIN;"),
    ("equal questions are put each", "src/places/desk/mod.rs",
     "        if let Some(&id) = self.shared.get(&request)\n", "        if let Some(&id) = self.shared.get(&request).filter(|_| false)\n"),
    ("an answer is given again for ever", "src/places/desk/cache.rs",
     "*came + validity <= now", "*came + 1000 * validity <= now"),
    # The dialects of Places
    ("Google is asked with kilometres", "src/places/dialect/google.rs",
     "        question.radius_m()\n", "        question.radius_km()\n"),
    ("Google's key is sent in the URL", "src/places/dialect/mod.rs",
     "fields.extend(key.map(|key| (google::KEY_FIELD, key)));", "let target = format!(\"{target}?key={}\", key.unwrap_or_default());"),
    ("Photon's longitude is taken for the latitude", "src/places/dialect/photon.rs",
     "write_point(latitude, longitude)), (\"viewport\"", "write_point(longitude, latitude)), (\"viewport\""),
    ("a radius of 0 is put to every service", "src/places/dialect/mod.rs",
     "question.is_a_point() && self.dialect != Dialect::GoogleLegacy", "question.is_a_point() && false"),
    ("no results are OK", "src/places/answer.rs",
     "if results.is_empty() { \"ZERO_RESULTS\" }", "if results.is_empty() { \"OK\" }"),
    ("an attribution is repeated", "src/places/dialect/google.rs",
     "    attributions.retain(|attribution: &String| seen.insert(attribution.clone()));\n",
     "    attributions.retain(|attribution: &String| seen.insert(attribution.clone()) || true);\n"),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-k", metavar="PATTERN", default="", help="only those whose name matches this regular expression")
    parser.add_argument("-j", metavar="N", type=int, default=1, help="so many at a time, each in a tree of its own")
    parser.add_argument("--list", action="store_true", help="print their names and run nothing")
    options = parser.parse_args()
    chosen = [fault for fault in FAULTS if re.search(options.k, fault[0], re.IGNORECASE)]
    for name, file, old, _ in FAULTS:
        with open(os.path.join(ROOT, file)) as f:
            if (found := f.read().count(old)) != 1:
                sys.exit(f"{name}: expected the text once in {file}, found it {found} times: adapt the list to the program")
    if options.list:
        print(*(name for name, *_ in chosen), sep="\n")
        return 0
    trees = queue.SimpleQueue()
    for number in range(max(1, options.j)):
        trees.put(Tree(f"{TARGET}-{number}" if number else TARGET))

    def run(fault):
        name, file, old, new = fault
        tree = trees.get()
        outcome, seconds = tree.run_with(file, old, new)
        trees.put(tree)
        print(f"{outcome:34} {seconds:5.1f} s  {name}", flush=True)
        return name, outcome

    with ThreadPoolExecutor(max(1, options.j)) as pool:
        outcomes = list(pool.map(run, chosen))
    survived = [name for name, outcome in outcomes if not outcome.startswith("caught")]
    for name in survived:
        print(f"not caught: {name}")
    print(f"{len(outcomes) - len(survived)} caught, {len(survived)} survived")
    return 1 if survived else 0


class Tree:
    """A copy of the tree, in a target folder of its own. It keeps its path, so that later runs build little."""

    def __init__(self, target):
        self.path = os.path.join(target, "tree")
        self.environment = {**os.environ, "CARGO_TARGET_DIR": target, "CARGO_INCREMENTAL": "1", "FIRST": "1", "FAILURES": "1"}
        self.environment["SEEDS"] = os.environ.get("SEEDS", "2000")
        shutil.rmtree(self.path, ignore_errors=True)
        shutil.copytree(ROOT, self.path, ignore=shutil.ignore_patterns("target", ".git", "logs", "run"))

    def run_with(self, file, old, new):
        """Makes one mistake in the tree, runs the simulator, and undoes the mistake."""
        path = os.path.join(self.path, file)
        with open(path) as f:
            text = f.read()
        try:
            with open(path, "w") as f:
                f.write(text.replace(old, new))
            return self.run(file)
        finally:
            with open(path, "w") as f:
                f.write(text)

    def run(self, file):
        build = [*BUILD, "--no-run", "--message-format=json-render-diagnostics"]
        built = subprocess.run(build, cwd=self.path, env=self.environment, capture_output=True, text=True)
        if built.returncode:
            return f"DOES NOT BUILD with {file} changed:\n{built.stderr[-2000:]}", 0.0
        messages = map(json.loads, built.stdout.splitlines())
        # The build reports the program `herd`, too.
        program = [found["executable"] for found in messages if found.get("target", {}).get("name") == "simulation"][-1]
        began = time.monotonic()
        run = [program, "--exact", "many", "--ignored", "--nocapture"]
        try:
            ran = subprocess.run(
                run, cwd=self.path, env=self.environment, capture_output=True, text=True, timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return "caught (no end)", time.monotonic() - began
        seconds = time.monotonic() - began
        if ran.returncode == 0:
            return "SURVIVED", seconds
        seed = re.search(r"SEED=(\d+)", ran.stdout + ran.stderr)
        return (f"caught by seed {seed[1]}" if seed else f"DOES NOT RUN:\n{ran.stderr[-500:]}"), seconds


# A separate target folder: the libraries are built once, the program once for each mistake.
TARGET = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "planted")
# A build for a single run is faster than an optimized one, and one in many small units builds little again.
BUILD = ["cargo", "test", "--release", "--quiet", "--test", "simulation"]
for setting in ["opt-level=1", "codegen-units=256", "debug=false"]:
    BUILD += ["--config", f"profile.release.package.herd.{setting}"]
BUILD += ["--config", "profile.release.lto=false"]
# In seconds. A run takes a few minutes on a busy machine; one that takes this long hangs.
TIMEOUT_S = 900

if __name__ == "__main__":
    sys.exit(main())
