//! Who may change things: sessions that were begun with the token.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::digest::Digest;
use crate::store::{self, random};

/// The cookie's name.
pub(super) const COOKIE: &str = "lumbung_session";

/// How long a session lasts, in seconds: a working day.
pub(super) const LASTS: i64 = 12 * 3600;

/// Sessions at the same time; the oldest ends when there is one more.
const MOST: usize = 64;

/// What happened to an order, told once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) good: bool,
    pub(super) text: String,
}

/// A session as one request sees it.
#[derive(Debug, Clone)]
pub(super) struct Session {
    /// What forms must bring.
    pub(super) secret: String,
    pub(super) notice: Option<Notice>,
}

struct Kept {
    ends: i64,
    secret: String,
    notice: Option<Notice>,
}

/// All sessions, by the hash of what the cookie holds: nothing here lets anybody in. They end with the program.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<Digest, Kept>>);

impl Sessions {
    /// Begins one; what comes back goes into the cookie.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub(super) fn begin(&self, now: i64) -> Result<String, store::Error> {
        let [token, secret] = [random()?, random()?].map(|bytes| Digest::from_bytes(bytes).to_string());
        let mut kept = self.lock(now);
        if kept.len() >= MOST
            && let Some(oldest) = kept.iter().min_by_key(|(_, kept)| kept.ends).map(|(key, _)| *key)
        {
            kept.remove(&oldest);
        }
        kept.insert(Digest::of(token.as_bytes()), Kept { ends: now + LASTS, secret, notice: None });
        Ok(token)
    }

    /// The session of a cookie. With `take`, its notice is not told again.
    pub(super) fn find(&self, token: &str, now: i64, take: bool) -> Option<Session> {
        let mut kept = self.lock(now);
        let kept = kept.get_mut(&Digest::of(token.as_bytes()))?;
        let notice = if take { kept.notice.take() } else { None };
        Some(Session { secret: kept.secret.clone(), notice })
    }

    /// Has something told on the session's next page.
    pub(super) fn tell(&self, token: &str, now: i64, notice: Notice) {
        if let Some(kept) = self.lock(now).get_mut(&Digest::of(token.as_bytes())) {
            kept.notice = Some(notice);
        }
    }

    /// Ends one.
    pub(super) fn end(&self, token: &str, now: i64) {
        self.lock(now).remove(&Digest::of(token.as_bytes()));
    }

    fn lock(&self, now: i64) -> MutexGuard<'_, HashMap<Digest, Kept>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, kept| kept.ends > now);
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_in_time_and_tells_once() {
        let sessions = Sessions::default();
        let token = sessions.begin(0).unwrap();
        assert!(sessions.find("other", 1, true).is_none());
        sessions.tell(&token, 1, Notice { good: true, text: "done".to_owned() });
        assert!(sessions.find(&token, 1, false).unwrap().notice.is_none());
        assert!(sessions.find(&token, 1, true).unwrap().notice.is_some());
        assert!(sessions.find(&token, 1, true).unwrap().notice.is_none());
        assert!(sessions.find(&token, LASTS, true).is_none());
    }

    #[test]
    fn there_are_never_more_than_a_few() {
        let sessions = Sessions::default();
        let tokens: Vec<_> = (0..=64).map(|at| sessions.begin(at).unwrap()).collect();
        let alive = tokens.iter().filter(|token| sessions.find(token, 100, true).is_some()).count();
        assert_eq!(alive, MOST);
        assert!(sessions.find(&tokens[0], 100, true).is_none(), "the oldest goes");
        sessions.end(&tokens[9], 100);
        assert!(sessions.find(&tokens[9], 100, true).is_none());
    }
}
