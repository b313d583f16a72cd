//! Docker's timestamps as moments.

use crate::runtime::Moment;

/// The distance of the two clocks when the engine was connected, so that one timestamp always gives one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clocks {
    at_connect: Moment,
}

impl Clocks {
    pub(super) fn now() -> Self {
        Self {
            at_connect: Moment::now(),
        }
    }

    /// RFC 3339 in UTC, as Docker writes it (`2026-01-31T12:00:00.123456789Z`), as a moment; the year 1, which Docker
    /// writes for "never", and anything else is the start of both clocks.
    pub(super) fn moment(self, text: Option<&str>) -> Moment {
        let unix_millis = text.and_then(unix_millis).unwrap_or(0);
        let Moment {
            unix_millis: unix,
            boot_millis: boot,
        } = self.at_connect;
        let boot_millis = (boot + unix_millis.saturating_sub(unix)).saturating_sub(unix.saturating_sub(unix_millis));
        Moment {
            unix_millis,
            boot_millis,
        }
    }
}

fn unix_millis(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut time = time.splitn(3, ':').map(|part| part.parse::<i64>().ok());
    let seconds = time.next()?? * 3600 + time.next()?? * 60 + time.next()??;
    let fraction: String = fraction.chars().chain("000".chars()).take(3).collect();
    let millis = (days_from_civil(year, month, day) * 86_400 + seconds) * 1000 + fraction.parse::<i64>().ok()?;
    u64::try_from(millis).ok()
}

/// Days from 1970-01-01 of a date in the Gregorian calendar.
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_read_to_the_millisecond() {
        for (text, millis) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:34:56.789123456Z", 951_827_696_789),
            ("2026-11-23T04:10:33.5Z", 1_795_407_033_500),
        ] {
            assert_eq!(unix_millis(text), Some(millis), "{text}");
        }
        assert_eq!(unix_millis("0001-01-01T00:00:00Z"), None);
        assert_eq!(unix_millis("yesterday"), None);
    }
}
