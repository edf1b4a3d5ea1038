//! The sessions that are open, for those who end some of them: keys that are revoked or have expired, and the end of the server.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::{
    driver::Session,
    proto::{Code, Fault, KeyId, frame::Notice},
};

/// How long a client may take for the word that its session is cut.
pub(super) const LAST_WORD: Duration = Duration::from_secs(2);
/// How long a caller is asked to wait where the server has as many sessions as it may, milliseconds.
const AFTER: u64 = 5000;

/// The sessions that are open.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    open: HashMap<u64, Open>,
    next: u64,
}

/// An open session.
#[derive(Clone, Debug)]
pub(super) struct Open {
    pub(super) session: Session,
    pub(super) key_id: KeyId,
    /// Ends it without a word.
    pub(super) end: CancellationToken,
}

impl Open {
    /// Ends it now, with a word to its requests for which the client has some time.
    fn cut(&self, notice: &Notice) {
        self.session.cut(notice);
        let end = self.end.clone();
        tokio::spawn(async move {
            tokio::time::sleep(LAST_WORD).await;
            end.cancel();
        });
    }
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many are open.
    pub(super) fn count(&self) -> usize {
        self.lock().open.len()
    }

    /// One more, until what is given is dropped.
    ///
    /// # Errors
    /// If there are as many as there may be.
    pub(super) fn add(self: &Arc<Self>, open: Open, most: usize) -> Result<Listed, Notice> {
        let mut state = self.lock();
        if state.open.len() >= most {
            let text = "the proxy has as many sessions as it may; ask again in some seconds";
            return Err(Notice { after: Some(AFTER), ..Notice::new(Code::Overloaded, Fault::Proxy, text) });
        }
        let number = state.next;
        state.next += 1;
        state.open.insert(number, open);
        Ok(Listed { sessions: self.clone(), number })
    }

    /// Calls `each` with every one. Those who come and go meanwhile do not wait for it.
    fn each(&self, each: impl FnMut(&Open)) {
        let open: Vec<_> = self.lock().open.values().cloned().collect();
        open.iter().for_each(each);
    }

    /// Looks at all of them. Ends those whose key `why` has something against: at once, or when their requests have ended.
    pub(super) fn review(&self, mut why: impl FnMut(KeyId) -> Option<Objection>) -> Review {
        let mut review = Review { held: 0, ended: 0 };
        self.each(|open| {
            review.held += open.session.held();
            match why(open.key_id) {
                // One that is cut has some time to go, and is looked at meanwhile.
                Some(Objection::Revoked) if !open.session.is_cut() => {
                    review.ended += 1;
                    let text = "this client's key was revoked; who runs the proxy can give it a new one";
                    open.cut(&Notice::new(Code::KeyRevoked, Fault::Client, text));
                }
                Some(Objection::Expired) if !open.session.is_draining() => {
                    review.ended += 1;
                    open.session.go_away(Some(Code::KeyRevoked), "this client's key has expired or was replaced");
                }
                _ => {}
            }
        });
        review
    }

    /// Ends all that are left when the server's time to stop is over. Says how many requests that ended.
    pub(super) fn cut_all(&self) -> usize {
        let text = "the proxy stopped before the answer was complete; ask again, the answer begins anew";
        let notice = Notice { after: Some(AFTER), ..Notice::new(Code::ShuttingDown, Fault::Proxy, text) };
        let mut requests = 0;
        self.each(|open| {
            requests += open.session.open_exchanges();
            open.session.cut(&notice);
        });
        requests
    }
}

/// What a look at all sessions found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Review {
    /// Bytes of bodies that they hold.
    pub(super) held: usize,
    /// How many were ended.
    pub(super) ended: usize,
}

/// What there is against a session's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Objection {
    /// It is not known any more.
    Revoked,
    /// Its time is over.
    Expired,
}

/// A session in the list.
#[derive(Debug)]
pub(super) struct Listed {
    sessions: Arc<Sessions>,
    number: u64,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.sessions.lock().open.remove(&self.number);
    }
}
