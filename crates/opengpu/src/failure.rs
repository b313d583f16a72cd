//! How a command fails: one line, a `hint:` with what to try next, and an exit code that scripts can tell apart.

use std::fmt;
use std::process::ExitCode;

/// Who has to act, as the process's exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Something failed that none of the others names: network down, file not readable.
    Error = 1,
    /// The command line or the config file is wrong.
    Usage = 2,
    /// The user's program failed: exit code, out of memory, cannot be started.
    Program = 3,
    /// The provider failed the job.
    Provider = 4,
    /// The money does not suffice: credits, max cost, escrow used up.
    Budget = 5,
    /// Something took longer than allowed.
    TimeOut = 6,
    /// Somebody ended it with Ctrl-C: 128 and the signal's number, as shells have it.
    Interrupted = 130,
}

impl Kind {
    /// Its name for scripts: stable.
    const fn code(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Usage => "usage",
            Self::Program => "program",
            Self::Provider => "provider",
            Self::Budget => "budget",
            Self::TimeOut => "time-out",
            Self::Interrupted => "interrupted",
        }
    }

    /// What to try when nothing closer to the cause is known.
    const fn usual_hint(self) -> &'static str {
        match self {
            Self::Error => "the message names the cause; the same command with -vv shows each request it makes",
            Self::Usage => "the same command with --help says what it takes",
            Self::Program => "the job's log says more",
            Self::Provider => "run it again; the escrow's unused part came back",
            Self::Budget => "`opengpu wallet show` says what there is",
            Self::TimeOut | Self::Interrupted => "`opengpu status` and `opengpu ps` say where things stand",
        }
    }
}

/// Why a command did not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    kind: Kind,
    message: String,
    hint: Option<String>,
    usual_hint: &'static str,
    is_printed: bool,
}

impl Failure {
    /// A failure of `kind`; `message` is one line, lower case, without a full stop.
    pub(crate) fn new(kind: Kind, message: impl fmt::Display) -> Self {
        let message = one_line(&message.to_string());
        Self {
            kind,
            message,
            hint: None,
            usual_hint: kind.usual_hint(),
            is_printed: false,
        }
    }

    /// A [`Kind::Error`].
    pub(crate) fn error(message: impl fmt::Display) -> Self {
        Self::new(Kind::Error, message)
    }

    /// A [`Kind::Usage`].
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// Adds what to try next, unless something closer to the cause did so before.
    pub(crate) fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint.get_or_insert_with(|| one_line(&hint.to_string()));
        self
    }

    /// Sets what to try when nobody adds anything closer to the cause, before or after.
    pub(crate) fn usually(self, usual_hint: &'static str) -> Self {
        Self { usual_hint, ..self }
    }

    /// What is to be tried next.
    fn what_to_try(&self) -> &str {
        self.hint.as_deref().unwrap_or(self.usual_hint)
    }

    /// For scripts: the value of `error` in what `--json` prints.
    pub(crate) fn for_scripts(&self) -> serde_json::Value {
        serde_json::json!({ "code": self.kind.code(), "message": self.message, "hint": self.what_to_try() })
    }

    /// Notes that scripts have it already, in the command's own JSON.
    pub(crate) fn printed(self) -> Self {
        Self {
            is_printed: true,
            ..self
        }
    }

    /// Whether scripts have it already.
    pub(crate) fn is_printed(&self) -> bool {
        self.is_printed
    }

    /// The exit code's meaning.
    #[cfg(test)]
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// The process's exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.kind as u8)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}\nhint: {}", self.message, self.what_to_try())
    }
}

/// Errors of libraries come with line breaks now and then; a script that reads the first line must see all of it.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What almost every call here answers.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// Says what was tried when a library's error comes up.
pub(crate) trait OrFail<T> {
    /// Turns the error into a [`Kind::Error`] `"{tried}: {error}"`.
    fn or_fail(self, tried: impl fmt::Display) -> Outcome<T>;
}

impl<T, E: std::error::Error> OrFail<T> for Result<T, E> {
    fn or_fail(self, tried: impl fmt::Display) -> Outcome<T> {
        self.map_err(|error| Failure::error(format!("{tried}: {}", with_sources(&error))))
    }
}

/// The error and, where its text does not hold them already, its causes.
pub(crate) fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_and_one_hint() {
        let failure = Failure::error("a\n  b").usually("usual");
        assert_eq!(failure.to_string(), "error: a b\nhint: usual");
        let failure = failure.hint("first").hint("second").usually("usual");
        assert_eq!(failure.to_string(), "error: a b\nhint: first");
    }

    #[test]
    fn a_failure_nobody_has_a_hint_for_still_has_one() {
        let kinds = [
            Kind::Error,
            Kind::Usage,
            Kind::Program,
            Kind::Provider,
            Kind::Budget,
            Kind::TimeOut,
            Kind::Interrupted,
        ];
        for failure in kinds.map(|kind| Failure::new(kind, "a").to_string()) {
            let hint = failure.strip_prefix("error: a\nhint: ");
            assert!(
                hint.is_some_and(|hint| !hint.is_empty() && !hint.contains('\n')),
                "{failure}"
            );
        }
    }

    #[test]
    fn scripts_get_the_same_words_and_a_code() {
        let failure = Failure::new(Kind::TimeOut, "a").hint("b");
        let expected = serde_json::json!({ "code": "time-out", "message": "a", "hint": "b" });
        assert_eq!(failure.for_scripts(), expected);
    }

    #[test]
    fn causes_are_named_once() {
        let cause = std::io::Error::other("no route");
        let error = std::io::Error::other(cause);
        assert_eq!(with_sources(&error), "no route");
    }
}
