//! Quantities as people write them: `1.5` cores, `512MiB`, `1h30m`.

use std::fmt;
use std::str::FromStr;

use opengpu_core::Address;

/// Thousandths of a CPU core. Text: cores, at most three digits after the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CpuMillis(pub(crate) u32);

/// Bytes. Text: a whole number with `B`, `KiB`, `MiB`, `GiB`, `TiB` or `KB`, `MB`, `GB`, `TB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ByteCount(pub(crate) u64);

/// Seconds, at least one. Text: `90s`, `10m`, `1h30m`, `2d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seconds(pub(crate) u32);

/// Millionths of a USD, above 0. Text: USD with at most six digits after the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UsdMicros(pub(crate) u64);

/// What the text should have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expected(&'static str);

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}", self.0)
    }
}

impl std::error::Error for Expected {}

/// The text is neither an address in lower case nor one in mixed case with the right checksum.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address, or its checksum is wrong")]
pub(crate) struct NotAnAddress(String);

/// Reads an address in lower case, or in mixed case with a checksum that is right (EIP-55).
pub(crate) fn address(text: &str) -> Result<Address, NotAnAddress> {
    let is_mixed = text != text.to_ascii_lowercase();
    let address = if is_mixed {
        Address::parse_checksummed(text, None).ok()
    } else {
        text.parse().ok()
    };
    address.ok_or_else(|| NotAnAddress(text.to_owned()))
}

impl FromStr for CpuMillis {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        opengpu_core::money::Amount::parse_units(text, 3)
            .ok()
            .and_then(|millis| u32::try_from(millis.0).ok())
            .filter(|millis| *millis > 0)
            .map(Self)
            .ok_or(Expected("cores above 0, such as 2 or 0.5"))
    }
}

impl FromStr for UsdMicros {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        opengpu_core::money::Amount::parse_units(text, 6)
            .ok()
            .and_then(|micros| u64::try_from(micros.0).ok())
            .filter(|micros| *micros > 0)
            .map(Self)
            .ok_or(Expected("USD above 0, such as 1.25"))
    }
}

impl FromStr for ByteCount {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(split);
        let scale: u64 = match unit.trim().to_ascii_lowercase().as_str() {
            "b" => 1,
            "kib" | "k" => 1 << 10,
            "mib" | "m" => 1 << 20,
            "gib" | "g" => 1 << 30,
            "tib" | "t" => 1 << 40,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "tb" => 1_000_000_000_000,
            _ => return Err(Expected("a size with its unit, such as 512MiB or 2GiB")),
        };
        digits
            .parse::<u64>()
            .ok()
            .and_then(|count| count.checked_mul(scale))
            .filter(|bytes| *bytes > 0)
            .map(Self)
            .ok_or(Expected("a size above 0, such as 512MiB or 2GiB"))
    }
}

impl FromStr for Seconds {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        let expected = Expected("a time above 0, such as 90s, 10m or 1h30m");
        let mut total: u32 = 0;
        let mut rest = text;
        while !rest.is_empty() {
            let split = rest.find(|c: char| !c.is_ascii_digit()).ok_or(expected)?;
            let (digits, tail) = rest.split_at(split);
            let scale = match tail.chars().next() {
                Some('s') => 1,
                Some('m') => 60,
                Some('h') => 3_600,
                Some('d') => 86_400,
                _ => return Err(expected),
            };
            let part = digits.parse::<u32>().ok().and_then(|count| count.checked_mul(scale));
            total = part.and_then(|part| total.checked_add(part)).ok_or(expected)?;
            rest = &tail[1..];
        }
        if total == 0 { Err(expected) } else { Ok(Self(total)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_have_three_digits_after_the_point() {
        assert_eq!("2".parse(), Ok(CpuMillis(2_000)));
        assert_eq!("0.25".parse(), Ok(CpuMillis(250)));
        assert!("0".parse::<CpuMillis>().is_err());
        assert!("1.2345".parse::<CpuMillis>().is_err());
    }

    #[test]
    fn sizes_need_a_unit() {
        assert_eq!("512MiB".parse(), Ok(ByteCount(512 << 20)));
        assert_eq!("2g".parse(), Ok(ByteCount(2 << 30)));
        assert_eq!("3GB".parse(), Ok(ByteCount(3_000_000_000)));
        assert!("512".parse::<ByteCount>().is_err());
        assert!("99999999TiB".parse::<ByteCount>().is_err());
    }

    #[test]
    fn an_address_is_in_lower_case_or_has_the_right_checksum() {
        let right = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
        assert!(address(right).is_ok());
        assert_eq!(address(&right.to_ascii_lowercase()), address(right));
        let typo = right.replace("aAeb", "aaeb");
        for wrong in [typo.as_str(), &right[..41], "alice"] {
            let error = address(wrong).unwrap_err().to_string();
            assert!(error.contains(&format!("`{wrong}` is not an address")), "{error}");
        }
    }

    #[test]
    fn times_add_up_and_do_not_wrap() {
        assert_eq!("1h30m".parse(), Ok(Seconds(5_400)));
        assert_eq!("90s".parse(), Ok(Seconds(90)));
        for wrong in ["", "90", "0s", "1x", "99999d1s99999d", "h"] {
            assert!(wrong.parse::<Seconds>().is_err(), "{wrong}");
        }
    }
}
