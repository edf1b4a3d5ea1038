//! What can go wrong, in layers: bad bytes, a peer that broke a rule, cryptography, misuse by our own program; and the one
//! map from each to its stable code (section 8).

use core::fmt;

/// Whose fault an error is (section 5.3, key 1 of ERROR).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The client, or the program behind it.
    Client,
    /// The proxy.
    Proxy,
    /// The upstream API.
    Upstream,
    /// The path between client and proxy.
    Network,
}

impl Fault {
    /// The number on the wire.
    pub const fn number(self) -> u64 {
        match self {
            Self::Client => 0,
            Self::Proxy => 1,
            Self::Upstream => 2,
            Self::Network => 3,
        }
    }

    /// The fault with this number, if there is one.
    pub const fn from_number(number: u64) -> Option<Self> {
        Some(match number {
            0 => Self::Client,
            1 => Self::Proxy,
            2 => Self::Upstream,
            3 => Self::Network,
            _ => return None,
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Proxy => "proxy",
            Self::Upstream => "upstream",
            Self::Network => "network",
        })
    }
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $number:literal, $name:literal;)+) => {
        /// A stable error code (section 8.1). Codes never change their meaning; new ones may be added.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[doc = $doc])+ $variant,)+
            /// A code that this version does not know: go by fault and retry of the notice.
            Other(u16),
        }

        impl Code {
            /// All codes that have a name.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The number on the wire.
            pub const fn number(self) -> u16 {
                match self { $(Self::$variant => $number,)+ Self::Other(number) => number }
            }

            /// The code with this number.
            pub const fn from_number(number: u16) -> Self {
                match number { $($number => Self::$variant,)+ other => Self::Other(other) }
            }

            /// The name, as documentation, logs and `x-xllm-error` have it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ Self::Other(_) => "unknown-code" }
            }
        }
    };
}

codes! {
    /// Bytes that cannot be read.
    Malformed = 1, "malformed";
    /// A rule of the protocol was broken.
    Violation = 2, "violation";
    /// A frame type that is not in section 5.1.
    UnknownFrame = 3, "unknown-frame";
    /// A gap, a repeat, or a frame outside its exchange's life.
    Sequence = 4, "sequence";
    /// More bytes than the credit allowed.
    CreditExceeded = 5, "credit-exceeded";
    /// A head or URL over its limit.
    TooLarge = 6, "too-large";
    /// A record did not verify.
    Unauthentic = 7, "unauthentic";
    /// No exchange for the stated time.
    Idle = 8, "idle";
    /// The server is stopping.
    ShuttingDown = 9, "shutting-down";
    /// A fault in the proxy itself.
    Internal = 10, "internal";
    /// The answer to CANCEL.
    Cancelled = 32, "cancelled";
    /// Method, URL or headers cannot be sent.
    RequestInvalid = 33, "request-invalid";
    /// The URL's origin is not on the proxy's list.
    OriginNotAllowed = 34, "origin-not-allowed";
    /// Neither https nor http.
    SchemeNotAllowed = 35, "scheme-not-allowed";
    /// The name resolves to an address that the proxy may not call.
    AddressNotAllowed = 36, "address-not-allowed";
    /// Over the proxy's limit for request bodies.
    UploadTooLarge = 37, "upload-too-large";
    /// Over the limit of buffered mode.
    ResponseTooLarge = 38, "response-too-large";
    /// The upstream's head does not fit.
    HeadTooLarge = 39, "head-too-large";
    /// Over the number of exchanges in the hello.
    TooManyExchanges = 40, "too-many-exchanges";
    /// Over the client's rate.
    RateLimited = 41, "rate-limited";
    /// The proxy is out of room.
    Overloaded = 42, "overloaded";
    /// The upstream's name has no address.
    UpstreamUnresolved = 43, "upstream-unresolved";
    /// No connection to the upstream.
    UpstreamUnreachable = 44, "upstream-unreachable";
    /// The upstream's certificate or TLS failed.
    UpstreamTls = 45, "upstream-tls";
    /// No response head in time.
    UpstreamTimeout = 46, "upstream-timeout";
    /// Silent in the middle of the body for too long.
    UpstreamStalled = 47, "upstream-stalled";
    /// Closed before its answer was complete.
    UpstreamClosed = 48, "upstream-closed";
    /// Not valid HTTP.
    UpstreamProtocol = 49, "upstream-protocol";
    /// The request body ended early.
    UploadFailed = 50, "upload-failed";
    /// The proxy's rules do not allow this method, path or model.
    NotAllowed = 51, "not-allowed";
    /// The client's key was revoked, has expired or was replaced.
    KeyRevoked = 52, "key-revoked";
    /// A request with this ID was here before.
    DuplicateRequest = 53, "duplicate-request";
    /// The exchange goes on in another session.
    Superseded = 54, "superseded";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Any failure of the core. The texts are constants: they cannot hold a secret or a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Bad bytes: they cannot be read, whoever sent them.
    #[error("bytes that cannot be read: {0}")]
    Malformed(&'static str),
    /// The peer's bytes were readable and broke a rule.
    #[error("the peer broke a rule: {1}")]
    Misbehaved(Code, &'static str),
    /// Cryptography: a record or hello did not verify.
    #[error("a {0} did not verify: damaged, reordered, repeated or made with another key")]
    Unauthentic(&'static str),
    /// Our own program called the core out of order. Never caused by a peer, never on the wire.
    #[error("misuse: {0}")]
    Misuse(&'static str),
}

impl Error {
    /// The one map from errors to codes.
    pub const fn code(self) -> Code {
        match self {
            Self::Malformed(_) => Code::Malformed,
            Self::Misbehaved(code, _) => code,
            Self::Unauthentic(_) => Code::Unauthentic,
            Self::Misuse(_) => Code::Internal,
        }
    }

    pub(crate) const fn violation(what: &'static str) -> Self {
        Self::Misbehaved(Code::Violation, what)
    }

    pub(crate) const fn sequence(what: &'static str) -> Self {
        Self::Misbehaved(Code::Sequence, what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_its_number() {
        for &code in Code::ALL {
            assert_eq!(Code::from_number(code.number()), code);
        }
        assert_eq!(Code::from_number(999), Code::Other(999));
    }

    #[test]
    fn every_fault_survives_its_number_and_has_its_name() {
        let faults = [Fault::Client, Fault::Proxy, Fault::Upstream, Fault::Network];
        assert_eq!(faults.map(|fault| fault.to_string()), ["client", "proxy", "upstream", "network"]);
        assert_eq!(faults.map(|fault| Fault::from_number(fault.number())), faults.map(Some));
        assert_eq!(Fault::from_number(4), None);
    }

    #[test]
    fn an_unknown_code_and_our_own_slips_have_a_name_too() {
        assert_eq!(Code::Other(999).to_string(), "unknown-code");
        assert_eq!(Error::Misuse("a slip").code(), Code::Internal);
    }

    #[test]
    fn every_code_is_in_the_table_of_the_protocol_document() {
        let document = include_str!("../../protocol.md");
        for &code in Code::ALL {
            let row = format!("| {} | `{}` |", code.number(), code.name());
            assert!(document.contains(&row), "protocol.md lacks {row}");
        }
    }
}
