//! Every constant of the wire, with its reason (section 9).

use core::time::Duration;

/// Prologue of the handshake: protocol name and version (section 3.1).
pub const PROLOGUE: &[u8] = b"xllm-proxy/1";

/// Size of either hello on the wire, bytes. Fixed, so that it tells nothing (section 3.2).
pub const HELLO: usize = 256;

/// Payload of a hello: what is left beside an X25519 public key and a tag (section 3.2).
pub const HELLO_PAYLOAD: usize = HELLO - 32 - TAG;

/// Bytes of an AES-GCM tag.
pub const TAG: usize = 16;

/// Bytes of a record's length field.
pub const LENGTH: usize = 2;

/// Largest plaintext of a record, bytes: what a receiver holds before it knows it to be genuine (section 4.4).
pub const RECORD_PLAINTEXT: usize = 16_384;

/// Records under one key, as a power of two (section 4.2).
pub const EPOCH_BITS: u32 = 20;

/// Records in a session: far below any exhaustion of nonces (section 4.2).
pub const SESSION_RECORDS: u64 = 1 << 48;

/// Largest encoded head, bytes: fits a record with room for its frame header (section 5.3).
pub const HEAD: usize = 16_000;

/// Longest URL, bytes: what servers on the web accept (section 5.3).
pub const URL: usize = 8_192;

/// Most fields in a header list: bounds the work for a head (section 1.4).
pub const HEADER_FIELDS: usize = 256;

/// Deepest nesting of CBOR: bounds the stack (section 1.3).
pub const CBOR_DEPTH: usize = 8;

/// Largest exchange number: the largest 4-byte varint (section 5.2).
pub const EXCHANGE: u32 = (1 << 30) - 1;

/// What a DATA or BODY frame costs beside its bytes, so that credit bounds memory (section 5.5).
pub const FRAME_COST: usize = 64;

/// Smallest initial credit: one full frame (section 5.5).
pub const CREDIT_MIN: u64 = (RECORD_PLAINTEXT + FRAME_COST) as u64;

/// Largest credit: no sum overflows (section 5.5).
pub const CREDIT_MAX: u64 = 1 << 30;

/// Longest text of an ERROR or GOAWAY, bytes: a sentence (section 5.3).
pub const ERROR_TEXT: usize = 512;

/// Longest node name, bytes (section 3.4).
pub const NODE_NAME: usize = 64;

/// Most exchanges that a hello may offer (section 3.4).
pub const EXCHANGES_MAX: u64 = 65_536;

/// PINGs kept for answering (section 5.7).
pub const PINGS: usize = 16;

/// How long an unauthenticated peer may hold a socket (section 3.7).
pub const HELLO_TIME: Duration = Duration::from_secs(10);

/// Silence after which a client sends a PING: below common NAT time-outs. Half of it while a request is under way (section 5.7).
pub const CLIENT_KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Silence after which a server sends a PING (section 5.7).
pub const SERVER_KEEP_ALIVE: Duration = Duration::from_secs(45);

/// How long a cut exchange is held (section 7.1).
pub const HOLD: Duration = Duration::from_mins(1);

/// What is kept of a response until it is known to have arrived, or has a session again, as cost (section 7.4).
pub const KEEP: usize = 8 << 20;

/// How long after a frame that may have to be sent again a PING asks at the latest whether it has arrived (section 7.4). It bounds what
/// is kept of a slow stream.
pub const ARRIVAL_TIME: Duration = Duration::from_secs(2);

/// Cost of such frames after which it asks at once. It bounds what is kept of a fast one.
pub const ARRIVAL_COST: usize = 512 * 1024;

/// What a session has sealed of bodies, as cost, and may have to send again, beyond which it seals no more before the peer has answered a
/// PING (section 7.4): the memory that a peer which answers none can take. It bounds a session's speed to so much in a round trip.
pub const UNARRIVED: usize = 4 << 20;

/// Body bytes from which a piece shares the memory it was read into instead of being copied: a read buffer holds about two
/// records, so a piece that is kept keeps at most a few times its size alive. Not on the wire.
pub const SHARE_MIN: usize = RECORD_PLAINTEXT / 2;

/// Body bytes that an exchange may have queued and not yet sealed; above it, its program waits. Not on the wire: it bounds
/// memory where the peer has given more credit than the path carries.
pub const SEND_QUEUE: usize = 64 * 1024;

/// Bytes sealed by one call of `poll_transmit`, about: enough for a full-speed socket, small enough to stay in the cache.
pub const TRANSMIT_BATCH: usize = 64 * 1024;
