//! What a session has moved, and what came of its exchanges, for who counts it. Nothing of it is on the wire.

use super::frame::Receipt;

/// What went one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// Bytes on the wire: hellos, records with their padding.
    pub wire: u64,
    /// Records, without the hellos.
    pub records: u64,
    /// Frames of every type.
    pub frames: u64,
    /// Bytes of bodies, as the frames carried them.
    pub body: u64,
}

/// What a session has moved since this was asked last ([`Connection::take_traffic`](super::Connection::take_traffic)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// From us: sealed, if not yet written.
    pub sent: Flow,
    /// From the peer: opened.
    pub received: Flow,
    /// Server: exchanges that were answered at once with ERROR, because the session had too many of them or was ending.
    pub refused: u64,
}

/// Server: what came of an exchange that is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// END was sealed: the client gets all of it unless the session is lost. Otherwise it ended with ERROR, or with its session.
    pub whole: bool,
    /// DATA frames that were sealed.
    pub frames: u64,
    /// Bytes of the request body that came.
    pub uploaded: u64,
    /// Where the time went.
    pub receipt: Receipt,
}
