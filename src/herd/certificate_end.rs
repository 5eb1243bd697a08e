//! Warnings of the end of the server's own certificate in the log: at the start, when keys are read again, and once
//! a day.

use std::time::Duration;

use super::{Command, Herd, Tag};
use crate::clock::Clocks;
use crate::keys::Expiry;

/// The end of the server's own certificate.
#[derive(Debug, Default)]
pub(super) struct CertificateEnd {
    /// `None`: links need no certificate.
    expiry: Option<Expiry>,
    /// The daily timer runs.
    is_timed: bool,
}

impl CertificateEnd {
    /// The last day of the certificate, in UTC; `None`: there is none.
    pub(super) fn last_day(&self) -> Option<&str> {
        self.expiry.as_ref().map(|expiry| &*expiry.last_day)
    }
}

impl Herd {
    /// Warns of the end of this certificate from now on; `None`: there is none.
    pub(super) fn watch_certificate(&mut self, expiry: Option<Expiry>, clocks: Clocks) {
        self.server.certificate_ends.links = expiry.as_ref().map(|expiry| expiry.not_after);
        self.certificate_end.expiry = expiry;
        self.warn_of_certificate_end(clocks);
    }

    /// The daily timer has fired.
    pub(super) fn certificate_timer_fired(&mut self, clocks: Clocks) {
        self.certificate_end.is_timed = false;
        self.warn_of_certificate_end(clocks);
    }

    fn warn_of_certificate_end(&mut self, clocks: Clocks) {
        let Some(expiry) = &self.certificate_end.expiry else { return };
        let seconds = (clocks.wall / NANOSECONDS) as i64;
        if let Some(warning) = expiry.warning(seconds) {
            self.server.log.event(format_args!("The certificate {warning}"));
        }
        if !std::mem::replace(&mut self.certificate_end.is_timed, true) {
            self.commands.push_back(Command::Timer { at: clocks.now + DAY, tag: Tag::CertificateEnd });
        }
    }
}

const DAY: Duration = Duration::from_secs(86_400);

const NANOSECONDS: u64 = 1_000_000_000;
