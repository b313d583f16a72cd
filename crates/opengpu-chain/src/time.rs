//! The chain's seconds, as people read them.

use chrono::DateTime;

/// `2026-11-26 14:05 UTC`. A second that no calendar has is shown as it is.
#[must_use]
pub fn show_utc(unix_second: u64) -> String {
    let second = i64::try_from(unix_second).ok();
    second
        .and_then(|second| DateTime::from_timestamp(second, 0))
        .map_or_else(
            || format!("unix second {unix_second}"),
            |time| time.format("%Y-%m-%d %H:%M UTC").to_string(),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_shown_in_utc() {
        assert_eq!(show_utc(1_795_701_900), "2026-11-26 14:05 UTC");
        assert_eq!(show_utc(0), "1970-01-01 00:00 UTC");
        assert_eq!(show_utc(u64::MAX), "unix second 18446744073709551615");
    }
}
