//! A screen that takes no pictures for a while.

use std::time::{Duration, Instant};

/// How long a screen that failed is left alone.
const PAUSE: Duration = Duration::from_secs(1);

/// When to try again, and what to say: each change once, not each picture.
#[derive(Debug, Default)]
pub struct Outage {
    /// While it lasts, when to try again.
    next: Option<Instant>,
}

impl Outage {
    /// Whether it is no use to try now.
    pub fn lasts(&self, now: Instant) -> bool {
        self.next.is_some_and(|next| now < next)
    }

    /// Takes note of how showing a picture went. Gives what to tell where that is news.
    pub fn note(&mut self, shown: Result<(), String>, now: Instant) -> Option<String> {
        match (shown, self.next.is_some()) {
            (Ok(()), false) => None,
            (Ok(()), true) => {
                self.next = None;
                Some("it takes pictures again".to_owned())
            }
            (Err(reason), before) => {
                self.next = Some(now + PAUSE);
                (!before).then(|| {
                    format!("{reason}; the run goes on, and the display is tried every second")
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_once_and_its_end_once() {
        let (mut outage, start) = (Outage::default(), Instant::now());
        let failed = || Err("gone".to_owned());
        assert_eq!(outage.note(Ok(()), start), None);
        assert!(outage.note(failed(), start).unwrap().starts_with("gone; "));
        assert!(outage.lasts(start + PAUSE / 2));
        assert!(!outage.lasts(start + PAUSE));
        assert_eq!(outage.note(failed(), start + PAUSE), None);
        assert!(outage.lasts(start + PAUSE + PAUSE / 2));
        assert!(outage.note(Ok(()), start + 2 * PAUSE).is_some());
        assert!(!outage.lasts(start + 2 * PAUSE));
        assert_eq!(outage.note(Ok(()), start + 2 * PAUSE), None);
    }
}
