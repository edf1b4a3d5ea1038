//! All metrics: what each means, and what it is now. docs/operations.md has the same as a table.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{
    Metrics, Readiness,
    family::{Family, Point, Unit, by, one, seconds},
    shard::{Ending, OWN_BOUNDS, Stranger},
    sums::Sums,
};
use crate::log::Lines;

impl Metrics {
    /// All metrics, as they are now.
    pub(super) fn families(&self) -> Vec<Family> {
        let sums = Sums::new(self);
        let mut families = Vec::new();
        families.extend(of_sessions(&sums));
        families.extend(of_exchanges(&sums));
        families.extend(of_traffic(&sums));
        families.extend(of_times(&sums));
        families.extend(self.of_holds());
        families.extend(self.of_memory());
        families.extend(self.of_program());
        #[cfg(target_os = "linux")]
        families.extend(super::process::families());
        families
    }

    fn of_holds(&self) -> [Family; 2] {
        let (resumed, gone) = self.holds.returns();
        [
            Family::counter(
                "xllm_resumes",
                "xllm.resumes",
                Unit::None,
                "How often a client came back for a request whose session was cut; with result `gone` there was nothing left to go on with.",
                by("result", [("resumed", resumed), ("gone", gone)]),
            ),
            Family::gauge(
                "xllm_held",
                "xllm.held",
                Unit::Bytes,
                "What is held for clients that may come back (twice a second).",
                one(self.holds.held() as u64),
            ),
        ]
    }

    fn of_memory(&self) -> [Family; 2] {
        let (waiting, lost) = self.log.get().map_or((0, 0), |lines: &Lines| (lines.waiting() as u64, lines.lost()));
        let (sessions, whole) = self.memory.parts();
        let buffers = [("sessions", sessions as u64), ("whole", whole as u64), ("log", waiting)];
        [
            Family::gauge(
                "xllm_buffer",
                "xllm.buffer",
                Unit::Bytes,
                "Memory that waits to go on: what sessions hold of bodies (twice a second), bodies that are taken in whole, lines of the log.",
                by("kind", buffers),
            ),
            Family::counter(
                "xllm_log_lines_lost",
                "xllm.log.lines.lost",
                Unit::None,
                "Lines of the log that were dropped, because nobody read it in time.",
                one(lost),
            ),
        ]
    }

    fn of_program(&self) -> [Family; 6] {
        let load = |number: &AtomicU64| number.load(Relaxed);
        let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
        let build = vec![("version", env!("CARGO_PKG_VERSION").into()), ("profile", profile.into())];
        [
            Family::gauge(
                "xllm_build_info",
                "xllm.build.info",
                Unit::None,
                "Always 1; the labels say what runs.",
                vec![Point { labels: build, value: 1.into() }],
            ),
            Family::gauge(
                "xllm_sessions_max",
                "xllm.sessions.max",
                Unit::None,
                "Connections that may be open at once, with or without a session: limits.sessions.",
                one(load(&self.sessions_max)),
            ),
            Family::gauge(
                "xllm_session_exchanges_max",
                "xllm.session.exchanges.max",
                Unit::None,
                "Requests that may be open at once in one session: limits.exchanges.",
                one(load(&self.exchanges_max)),
            ),
            Family::gauge(
                "xllm_draining",
                "xllm.draining",
                Unit::None,
                "1 while the server takes no new sessions and lets finish what is under way, else 0.",
                one(u64::from(self.readiness() == Readiness::Draining)),
            ),
            Family::counter(
                "xllm_config_reloads",
                "xllm.config.reloads",
                Unit::None,
                "How often configuration and keys were read once more; with result `failed` the old ones stay in force.",
                by("result", [("ok", self.reloads.get()), ("failed", self.failed_reloads.get())]),
            ),
            Family::gauge(
                "xllm_config_last_reload_success_timestamp",
                "xllm.config.last_reload_success",
                Unit::Seconds,
                "When what is in force was read, since 1970: at the start or at the last good reload.",
                one(seconds(load(&self.reloaded), 1e3)),
            ),
        ]
    }
}

fn of_sessions(sums: &Sums) -> [Family; 5] {
    let strangers = Stranger::ALL.map(|kind| (kind.label(), sums.of(|shard| shard.strangers[kind as usize].get())));
    let endings = Ending::ALL.map(|reason| (reason.label(), sums.of(|shard| shard.ended[reason as usize].get())));
    [
        Family::gauge(
            "xllm_connections_unauthenticated",
            "xllm.connections.unauthenticated",
            Unit::None,
            "Open connections whose peer has not proved a key (yet).",
            one(sums.of(|shard| shard.unauthenticated.get())),
        ),
        Family::counter(
            "xllm_handshake_failures",
            "xllm.handshake.failures",
            Unit::None,
            "Connections that came to no session: hello-garbage (not a client of this proxy), unknown-key, unproved (a wrong or \
             replaced key), timeout, lost (closed before a whole hello, as health checks and port scans do).",
            by("kind", strangers),
        ),
        Family::gauge(
            "xllm_sessions_open",
            "xllm.sessions.open",
            Unit::None,
            "Sessions whose client has proved its key.",
            one(sums.of(|shard| shard.sessions.get())),
        ),
        Family::counter(
            "xllm_sessions_opened",
            "xllm.sessions.opened",
            Unit::None,
            "Sessions that were opened.",
            one(sums.of(|shard| shard.opened.get())),
        ),
        Family::counter(
            "xllm_sessions_ended",
            "xllm.sessions.ended",
            Unit::None,
            "Sessions that ended: done (in order), lost (with requests under way), timeout (no sign of life), fault (the client \
             broke the protocol, or its bytes were damaged), refused (the client says so of our bytes), cut (by the server).",
            by("reason", endings),
        ),
    ]
}

fn of_exchanges(sums: &Sums) -> [Family; 5] {
    [
        Family::gauge(
            "xllm_exchanges_open",
            "xllm.exchanges.open",
            Unit::None,
            "Requests under way.",
            one(sums.of(|shard| shard.exchanges.get())),
        ),
        Family::counter(
            "xllm_exchanges",
            "xllm.exchanges",
            Unit::None,
            "Requests that are over, by how (complete, cancelled, or an error code of the protocol) and by the upstream's host: one \
             that may be called, the first 64 of them; `other` is the rest.",
            sums.outcomes(),
        ),
        Family::counter(
            "xllm_exchanges_refused",
            "xllm.exchanges.refused",
            Unit::None,
            "Requests that were answered at once with an error, because their session had too many of them or was ending. They are \
             in no other metric.",
            one(sums.of(|shard| shard.refused.get())),
        ),
        Family::counter(
            "xllm_client_exchanges",
            "xllm.client.exchanges",
            Unit::None,
            "Requests by client, counted when they begin; the first 256 clients, `other` is the rest.",
            sums.client_exchanges(),
        ),
        Family::counter(
            "xllm_client",
            "xllm.client",
            Unit::Bytes,
            "Bytes of bodies by client; the first 256 clients, `other` is the rest.",
            sums.client_bytes(),
        ),
    ]
}

fn of_traffic(sums: &Sums) -> [Family; 4] {
    [
        Family::counter(
            "xllm_wire",
            "xllm.wire",
            Unit::Bytes,
            "Bytes between clients and proxy: hellos, and records with their padding.",
            sums.ways(|flow| flow.wire.get()),
        ),
        Family::counter(
            "xllm_body",
            "xllm.body",
            Unit::Bytes,
            "Bytes of request and response bodies between clients and proxy.",
            sums.ways(|flow| flow.body.get()),
        ),
        Family::counter(
            "xllm_frames",
            "xllm.frames",
            Unit::None,
            "Frames of all types between clients and proxy.",
            sums.ways(|flow| flow.frames.get()),
        ),
        Family::counter(
            "xllm_records",
            "xllm.records",
            Unit::None,
            "Sealed records between clients and proxy. Frames a record: how much goes together.",
            sums.ways(|flow| flow.records.get()),
        ),
    ]
}

fn of_times(sums: &Sums) -> [Family; 4] {
    [
        Family::times(
            "gen_ai_client_operation_time_to_first_chunk",
            "gen_ai.client.operation.time_to_first_chunk",
            "Time from the REQUEST to the first piece of its answer, of answers that are streamed (server-sent events, or without \
             a length).",
            sums.host_times(|host| host.first.read()),
        ),
        Family::times(
            "gen_ai_client_operation_time_per_output_chunk",
            "gen_ai.client.operation.time_per_output_chunk",
            "Time from each piece of such an answer to the next. A piece is what the upstream wrote at once: mostly a token.",
            sums.host_times(|host| host.between.read()),
        ),
        Family::times(
            "xllm_added",
            "xllm.added",
            "The longest time that a piece of an answer waited inside the proxy, from when it was read from the upstream until it \
             was sealed; one for each request, at its end. A client that reads slowly makes it long.",
            sums.times(&OWN_BOUNDS, |shard| shard.added.read()),
        ),
        Family::times(
            "xllm_cancel",
            "xllm.cancel",
            "Time from reading a client's CANCEL until the call of the upstream was dropped.",
            sums.times(&OWN_BOUNDS, |shard| shard.cancel.read()),
        ),
    ]
}
