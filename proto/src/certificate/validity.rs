//! From when to when a certificate holds. All times are microseconds since 1970, UTC; certificates themselves keep whole seconds.

use super::CertificateError;
use super::name::parse;

/// Days a CA certificate holds.
pub const CA_DAYS: u32 = 3652;
/// Days a host's certificate holds; the host renews it when half of them are over.
pub const HOST_DAYS: u32 = 90;
/// Days the CMS's certificate holds; renewed at every start and when half of them are over.
pub const SERVER_DAYS: u32 = 90;

/// New certificates hold a little into the past, for hosts whose clocks are behind.
const BACKDATE_S: i64 = 3600;

const DAY_S: i64 = 86_400;
const SECOND_US: i64 = 1_000_000;

/// Last second of the year 9999, the latest a certificate can name.
const LATEST_S: i64 = 253_402_300_799;

/// From when to when a certificate holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// First moment.
    pub not_before: i64,
    /// Last moment.
    pub not_after: i64,
}

impl Validity {
    /// A validity of so many days from now, with an hour before.
    #[must_use]
    pub const fn days(now: i64, days: u32) -> Self {
        let now_s = now.div_euclid(SECOND_US);
        Self { not_before: (now_s - BACKDATE_S) * SECOND_US, not_after: (now_s + days as i64 * DAY_S) * SECOND_US }
    }

    /// The validity a certificate (DER) has.
    ///
    /// # Errors
    /// [`CertificateError::Malformed`].
    pub fn of(certificate: &[u8]) -> Result<Self, CertificateError> {
        let certificate = parse(certificate)?;
        let validity = certificate.validity();
        let micros = |time: x509_parser::time::ASN1Time| time.timestamp().saturating_mul(SECOND_US);
        Ok(Self { not_before: micros(validity.not_before), not_after: micros(validity.not_after) })
    }

    /// When half of it is over: time to renew.
    #[must_use]
    pub const fn half(self) -> i64 {
        self.not_before + (self.not_after - self.not_before) / 2
    }

    /// Whether the moment lies within.
    #[must_use]
    pub const fn contains(self, now: i64) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    pub(super) fn apply(self, params: &mut rcgen::CertificateParams) {
        // rcgen gives no other way to its date type than a calendar day.
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        let date = |micros: i64| epoch + std::time::Duration::from_secs(micros.div_euclid(SECOND_US).clamp(0, LATEST_S).unsigned_abs());
        params.not_before = date(self.not_before);
        params.not_after = date(self.not_after);
    }
}
