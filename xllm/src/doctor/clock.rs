//! The proxy's clock beside ours.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{check::Check, relay::Greeted, span::span};

pub(super) const CLOCK: &str = "clock";

/// Clocks that are closer than this agree.
const CLOSE: Duration = Duration::from_secs(1);
/// Beyond it logs are hard to compare, and certificates may seem too new or too old.
const FAR: Duration = Duration::from_secs(30);

/// Whether the proxy's clock agrees with ours. Its hello left it half a round trip before it came.
pub(super) fn compare(greeted: &Greeted, round_trip: Option<Duration>) -> Check {
    let sent = greeted.at.checked_sub(round_trip.unwrap_or_default() / 2).unwrap_or(greeted.at);
    let theirs = UNIX_EPOCH.checked_add(Duration::from_millis(greeted.hello.unix_ms));
    judge(sent, theirs.unwrap_or(UNIX_EPOCH))
}

fn judge(ours: SystemTime, theirs: SystemTime) -> Check {
    let (apart, way) = match ours.duration_since(theirs) {
        Ok(apart) => (apart, "ahead of"),
        Err(error) => (error.duration(), "behind"),
    };
    if apart < CLOSE {
        return Check::ok(CLOCK, "agrees with the proxy's");
    }
    let detail = format!("this machine's is {} {way} the proxy's", span(apart));
    if apart < FAR {
        return Check::ok(CLOCK, detail);
    }
    Check::warning(CLOCK, detail).remedy(
        "set the one that is wrong (NTP does it); the relay works all the same,\nonly times in logs and TLS certificates depend on it",
    )
}

#[cfg(test)]
mod tests {
    use xllm_proxy::{
        client::{Client, ServerHello},
        proto::Profile,
        server::Keys,
    };

    use super::*;
    use crate::doctor::check::Status;

    fn clock_apart(ours: u64, theirs: u64) -> (Status, String) {
        let moment = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let check = judge(moment(ours), moment(theirs));
        (check.status, check.detail)
    }

    #[test]
    fn clocks_may_be_half_a_minute_apart() {
        let t = 1_800_000_000;
        assert_eq!(clock_apart(t, t), (Status::Ok, "agrees with the proxy's".into()));
        assert_eq!(clock_apart(t + 29, t), (Status::Ok, "this machine's is 29 s ahead of the proxy's".into()));
        assert_eq!(clock_apart(t + 30, t), (Status::Warning, "this machine's is 30 s ahead of the proxy's".into()));
        assert_eq!(clock_apart(t - 600, t), (Status::Warning, "this machine's is 10 min behind the proxy's".into()));
        assert_eq!(clock_apart(t, 0).0, Status::Warning);
    }

    #[test]
    fn half_a_round_trip_is_not_the_clocks_fault() {
        let (_, credential) = Keys::ephemeral("x").expect("randomness");
        let greeted = |unix_ms| Greeted {
            client: Client::builder("h:1", credential.clone()).expect("a URL").build(),
            hello: ServerHello {
                profile: Profile::Pad,
                exchanges: 100,
                credit: 1 << 20,
                buffered: 1 << 23,
                idle: 600,
                unix_ms,
                node: None,
                hold: 0,
                instance: None,
            },
            at: UNIX_EPOCH + Duration::from_secs(1000),
        };
        let status = |unix_ms, round_trip| compare(&greeted(unix_ms), round_trip).status;
        assert_eq!(status(969_000, None), Status::Warning);
        assert_eq!(status(969_000, Some(Duration::from_secs(4))), Status::Ok);
        assert_eq!(status(u64::MAX, None), Status::Warning, "a time that cannot be");
    }
}
