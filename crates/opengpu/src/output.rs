//! What people and scripts see: data on stdout, everything else on stderr, readable without colour.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use comfy_table::{Table, presets};
use opengpu_chain::time::show_utc;
use opengpu_core::ids::JobId;
use opengpu_core::money::Amount;
use opengpu_core::tier::DAY_SECONDS;
use serde::Serialize;

use crate::failure::{Failure, OrFail, Outcome};

/// Prints data for scripts: one JSON object, pretty enough for people.
pub(crate) fn print_json(value: &impl Serialize) -> Outcome {
    let text = serde_json::to_string_pretty(value).or_fail("cannot write JSON")?;
    print_line(&text)
}

/// Prints a command's data for scripts and hands its outcome on. A failure becomes the object's `error`: scripts get one object, with
/// the data that there is all the same.
pub(crate) fn print_json_with(value: &impl Serialize, outcome: Outcome) -> Outcome {
    let Err(failure) = outcome else {
        return print_json(value);
    };
    let mut value = serde_json::to_value(value).or_fail("cannot write JSON")?;
    value["error"] = failure.for_scripts();
    print_json(&value)?;
    Err(failure.printed())
}

/// Tells a failure: to people on stderr, and to scripts that want JSON on stdout, unless they have it already.
pub(crate) fn tell_failure(failure: &Failure, is_json: bool) {
    say(&failure.to_string());
    if is_json && !failure.is_printed() {
        // Nobody is left to tell that this cannot be printed.
        let _ = print_json(&serde_json::json!({ "error": failure.for_scripts() }));
    }
}

/// Prints a line of data on stdout.
pub(crate) fn print_line(text: &str) -> Outcome {
    print_bytes(format!("{text}\n").as_bytes())
}

/// Prints data as it is. A reader that went away (`| head`) is no error.
pub(crate) fn print_bytes(bytes: &[u8]) -> Outcome {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::error(format!("cannot print: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints a piece of a job's log: as it is into a file or pipe, without control sequences onto a terminal.
pub(crate) fn print_log(bytes: &[u8]) -> Outcome {
    if io::stdout().is_terminal() {
        print_bytes(&harmless_bytes(bytes))
    } else {
        print_bytes(bytes)
    }
}

/// Says something on stderr: progress, notes. Nobody there to hear it is no error. What strangers wrote into the text
/// (reasons, logs, names) cannot move the cursor, set the title or reach the clipboard.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", harmless(text));
}

/// Control characters, but for line breaks and tabs, become U+FFFD.
fn harmless(text: &str) -> String {
    let is_harmful = |char: char| char.is_control() && char != '\n' && char != '\t';
    text.chars()
        .map(|char| {
            if is_harmful(char) {
                char::REPLACEMENT_CHARACTER
            } else {
                char
            }
        })
        .collect()
}

/// The same for bytes of any encoding, with `?`; a carriage return stays, for progress bars.
fn harmless_bytes(bytes: &[u8]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(bytes.len());
    let mut before = 0;
    for &byte in bytes {
        let is_c0 = byte.is_ascii_control() && !matches!(byte, b'\n' | b'\t' | b'\r');
        let is_c1 = before == 0xc2 && (0x80..0xa0).contains(&byte);
        clean.push(if is_c0 || is_c1 { b'?' } else { byte });
        before = byte;
    }
    clean
}

/// Asks on the terminal; `None` when nobody can answer. The answer is one trimmed, lower-case line.
pub(crate) async fn ask(question: &str) -> Option<String> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return None;
    }
    let _ = write!(io::stderr().lock(), "{question} ");
    let line = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().read_line(&mut line).map(|_| line)
    });
    Some(line.await.ok()?.ok()?.trim().to_ascii_lowercase())
}

/// Rows in columns, without lines between them: readable by people, and by `awk`.
pub(crate) fn table<const COLUMNS: usize>(header: [&str; COLUMNS], rows: Vec<[String; COLUMNS]>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).add_rows(rows);
    if header.iter().any(|name| !name.is_empty()) {
        table.set_header(header);
    }
    let text = table.trim_fmt();
    text.lines()
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect::<Vec<_>>()
        .join("\n")
}

/// A token as texts need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenName {
    /// `USDC`.
    pub(crate) symbol: String,
    /// Digits after the point.
    pub(crate) decimals: u8,
}

impl TokenName {
    /// `0.0061 USDC`.
    pub(crate) fn show(&self, amount: Amount) -> String {
        format!("{} {}", amount.format_units(self.decimals), self.symbol)
    }

    /// Reads what a person wrote.
    pub(crate) fn parse(&self, text: &str) -> Outcome<Amount> {
        Amount::parse_units(text, self.decimals).map_err(|error| {
            Failure::usage(format_args!("{error}")).hint(format!("{} has {} digits", self.symbol, self.decimals))
        })
    }
}

/// The first digits of a job's id: enough to tell jobs apart, and a folder's name.
pub(crate) fn short(job: JobId) -> String {
    job.to_string().chars().skip(2).take(8).collect()
}

/// `11.2 s`, `3 min 20 s`, `1 h 5 min`.
pub(crate) fn show_millis(millis: u64) -> String {
    let seconds = millis / 1_000;
    match seconds {
        0..60 => format!("{seconds}.{} s", millis % 1_000 / 100),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

/// As [`show_millis`].
pub(crate) fn show_duration(duration: Duration) -> String {
    show_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// `29 d 23 h`, and less as [`show_millis`].
pub(crate) fn show_span(seconds: u64) -> String {
    if seconds < DAY_SECONDS {
        return show_millis(seconds.saturating_mul(1_000));
    }
    format!("{} d {} h", seconds / DAY_SECONDS, seconds % DAY_SECONDS / 3_600)
}

/// `2026-11-26 14:05 UTC (in 3 d 4 h)`; the time alone once it has come.
pub(crate) fn show_deadline(at: u64, now: u64) -> String {
    let time = show_utc(at);
    match at.saturating_sub(now) {
        0 => time,
        left => format!("{time} (in {})", show_span(left)),
    }
}

/// `512 MiB`; one digit after the point from 1 KiB on, none when it is 0.
pub(crate) fn show_bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let Some(index) = (0..UNITS.len()).rev().find(|index| bytes >> (10 * (index + 1)) > 0) else {
        return format!("{bytes} B");
    };
    let tenths = (u128::from(bytes) * 10) >> (10 * (index + 1));
    match (tenths / 10, tenths % 10) {
        (whole, 0) => format!("{whole} {}", UNITS[index]),
        (whole, tenth) => format!("{whole}.{tenth} {}", UNITS[index]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_well() {
        assert_eq!(show_millis(11_290), "11.2 s");
        assert_eq!(show_millis(200_000), "3 min 20 s");
        assert_eq!(show_millis(3_900_000), "1 h 5 min");
        assert_eq!(show_bytes(999), "999 B");
        assert_eq!(show_bytes(512 << 20), "512 MiB");
        assert_eq!(show_bytes(1_600), "1.5 KiB");
    }

    #[test]
    fn a_deadline_says_when_and_how_long_until_then() {
        assert_eq!(
            show_deadline(1_795_701_900, 1_795_701_900 - 273_600),
            "2026-11-26 14:05 UTC (in 3 d 4 h)"
        );
        assert_eq!(
            show_deadline(1_795_701_900, 1_795_701_900 - 60),
            "2026-11-26 14:05 UTC (in 1 min 0 s)"
        );
        assert_eq!(show_deadline(1_795_701_900, 1_795_701_900), "2026-11-26 14:05 UTC");
    }

    #[test]
    fn amounts_carry_their_token() {
        let usdc = TokenName {
            symbol: "USDC".to_owned(),
            decimals: 6,
        };
        assert_eq!(usdc.show(Amount(6_100)), "0.0061 USDC");
        assert_eq!(usdc.parse("1.5").unwrap(), Amount(1_500_000));
        assert!(
            usdc.parse("1.2345678")
                .unwrap_err()
                .to_string()
                .contains("hint: USDC has 6 digits")
        );
    }

    #[test]
    fn what_strangers_write_cannot_drive_the_terminal() {
        assert_eq!(
            harmless("paid\x1b[2J 0\r\u{9b}1m\tok\n"),
            "paid\u{fffd}[2J 0\u{fffd}\u{fffd}1m\tok\n"
        );
        assert_eq!(
            harmless_bytes(b"50%\r\x1b]52;c;\x07\xc2\x9b1mgr\xc3\xbc\xc3\x9fe\n"),
            b"50%\r?]52;c;?\xc2?1mgr\xc3\xbc\xc3\x9fe\n"
        );
    }
}
