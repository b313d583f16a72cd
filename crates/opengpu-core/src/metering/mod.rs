//! What a node may bill and what a signer may co-sign: the rules of the meter (protocol, section 3), pure, used by both.
//!
//! The node calls [`propose`] at READY and then every interval, and stops the job when [`limit_reached`] says so. The
//! signer calls [`check_voucher`] and [`check_result`] with its own [`SignerView`]. Every `now` is Unix milliseconds on the
//! *chain's* clock as the caller best knows it (its own clock, moved by what the newest block shows on a network whose
//! time was advanced).

mod check;
mod propose;
#[cfg(test)]
mod tests;

pub use check::{
    CLOCK_TOLERANCE_MILLIS, ResultRefused, SLACK_MILLIS, STOP_GRACE_MILLIS, SignerView, VoucherRefused, check_result,
    check_voucher, ready_at,
};
pub use propose::{Limit, LimitKind, Measured, limit, limit_reached, propose};
