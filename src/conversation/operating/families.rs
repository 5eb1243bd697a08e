//! The metrics of a server. docs/operating.md has the same names.

use crate::metrics::{Family, Kind};

macro_rules! families {
    ($($constant:ident = $kind:ident $name:literal: $help:literal;)*) => {
        $(pub(super) const $constant: Family = Family { name: $name, kind: Kind::$kind, help: $help };)*

        /// All metrics, in the order of the text.
        pub const FAMILIES: &[Family] = &[$($constant),*];
    };
}

families! {
    SERVER_INFO = Info "herd_server_info": "The server: its herd, its name and its version.";
    READY = Gauge "herd_ready": "Whether /readyz answers 200.";
    COMMANDS = Counter "herd_commands_total": "Commands of clients, by verb and outcome.";
    REFUSALS = Counter "herd_refusals_total": "Replies that begin with a question mark, by reason.";
    REPLY_SECONDS = Histogram "herd_reply_seconds":
        "Time from the start of the turn that reads a command to the end of the turn that sends its reply.";
    TURN_SECONDS = Histogram "herd_turn_seconds": "Time that the loop works between two waits.";
    CLIENTS = Gauge "herd_clients": "Clients with a location.";
    RECORDS = Gauge "herd_records": "Clients with a location, and forgotten ones that are remembered.";
    CHANGES = Counter "herd_changes_total": "Statements that were stored, by source.";
    SEQUENCE = Gauge "herd_sequence": "Number of the newest change.";
    NEIGHBOUR_STATEMENTS = Counter "herd_neighbour_statements_total":
        "Statements that neighbours have sent, by outcome.";
    PASSED_OVER = Counter "herd_statements_passed_over_total":
        "Statements that are too long for a link and were not sent or not taken.";
    EXPIRED = Counter "herd_clients_expired_total": "Clients whose locations have expired and were removed.";
    ACCEPTED = Counter "herd_connections_accepted_total": "Connections that were accepted, by listener.";
    REJECTED = Counter "herd_connections_refused_total": "Connections that were closed by this server, by reason.";
    OPEN = Gauge "herd_connections_open": "Open connections, by the other side.";
    HTTP_RESPONSES = Counter "herd_http_responses_total": "Responses over HTTP, by class of status.";
    PHONE_MESSAGES = Counter "herd_phone_messages_total": "Messages of phones, by what became of them.";
    ACCEPT_ERRORS = Counter "herd_accept_errors_total":
        "Times that accepting began to fail, mostly for lack of file descriptors.";
    HANDSHAKES_FAILED = Counter "herd_tls_handshakes_failed_total": "TLS handshakes that have failed, by side.";
    CERTIFICATE_END = Gauge "herd_certificate_expiry_timestamp_seconds":
        "End of the certificate for links, in seconds since 1970; only with peers.tls.";
    RECEIVED_BYTES = Counter "herd_received_bytes_total": "Bytes read, without what TLS adds, by the other side.";
    SENT_BYTES = Counter "herd_sent_bytes_total": "Bytes written, without what TLS adds, by the other side.";
    UNREAD_ANSWER_BYTES = Gauge "herd_unread_answer_bytes":
        "Bytes of answers of Places and of searches that their clients have not read.";
    LINK_UP = Gauge "herd_link_up": "Whether the link to, or from, a neighbour is up.";
    UNACKNOWLEDGED = Gauge "herd_link_unacknowledged_changes":
        "Changes that a neighbour has not acknowledged.";
    ROUND_TRIP_SECONDS = Gauge "herd_link_round_trip_seconds":
        "Time from the last MARK to its acknowledgement, which a neighbour may delay by 20 ms.";
    FOLLOWERS = Gauge "herd_followers": "Connections that follow clients.";
    FOLLOWER_LINES = Counter "herd_follower_lines_total": "Changes that were sent to followers.";
    SEARCHES = Gauge "herd_searches": "Searches of NEAR that wait or go on.";
    PLACES_QUESTIONS = Counter "herd_places_questions_total":
        "Questions to Places, by what became of them at once.";
    PLACES_ANSWERS = Counter "herd_places_answers_total": "Accepted questions to Places, by their end.";
    PLACES_SECONDS = Histogram "herd_places_seconds":
        "Time from the acceptance of a question to Places to its answer or failure.";
    PLACES_PENDING = Gauge "herd_places_pending": "Questions to Places that have no answer yet.";
    PLACES_BREAKER = Gauge "herd_places_breaker_open": "Whether the breaker keeps questions from Places.";
    LOG_LINES = Counter "herd_log_lines_total": "Lines of the log, by whether they were written or lost.";
    LOG_ERRORS = Counter "herd_log_errors_total": "Attempts to write or to reopen the log that have failed.";
    STORE_BATCHES = Counter "herd_store_batches_total": "Batches that were written to the store on disk.";
    STORE_BYTES = Counter "herd_store_written_bytes_total": "Bytes of changes and snapshots in these batches.";
    STORE_ERRORS = Counter "herd_store_errors_total": "Batches that could not be written.";
    STORE_SECONDS = Histogram "herd_store_batch_seconds": "Time that a batch takes on its thread, syncs included.";
    STORE_UNSYNCED = Gauge "herd_store_unsynced_changes": "Changes that are not on the disk yet; only with store.dir.";
    STORE_LAST = Gauge "herd_store_last_write_timestamp_seconds":
        "When the last batch was written, in seconds since 1970; only with store.dir.";
    PROCESS_CPU = Counter "process_cpu_seconds_total": "Processor time of all threads of the process.";
    PROCESS_RESIDENT = Gauge "process_resident_memory_bytes": "Memory that the process uses.";
    PROCESS_VIRTUAL = Gauge "process_virtual_memory_bytes": "Address space of the process.";
    PROCESS_OPEN_FDS = Gauge "process_open_fds": "Open file descriptors.";
    PROCESS_MAX_FDS = Gauge "process_max_fds": "Limit of open file descriptors.";
    PROCESS_START = Gauge "process_start_time_seconds": "When the server was started, in seconds since 1970.";
    PROCESS_THREADS = Gauge "process_threads": "Threads of the process.";
}
