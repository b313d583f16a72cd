//! What happens to a job, told as it happens.
//!
//! The life of a job is followed once, in [`follow`](super::follow); who wants to know (the terminal, the demo's clock)
//! listens as a [`Story`].

use opengpu_core::ids::{CidText, JobId, Sha256Digest};
use opengpu_core::matching::Quote;
use opengpu_core::money::{Amount, Price, cost_rounded_up};
use opengpu_core::order::Bid;
use opengpu_core::wire::{SignedVoucher, Step};

use super::bill::Bill;
use crate::output::{TokenName, print_log, say, short, show_bytes, show_millis};

/// Milliseconds of billed time between two lines of the meter: often enough to see it run, rare enough to read the log.
const METER_MILLIS: u64 = 2_000;

/// Something that happened.
#[derive(Debug)]
pub(crate) enum Happening<'a> {
    /// Image and input have their names.
    Prepared {
        /// The image's manifest.
        image: Sha256Digest,
        /// The input's CID and size.
        input: Option<(&'a CidText, u64)>,
    },
    /// The order is signed and on the bulletin.
    Ordered(JobId),
    /// A node offers.
    BidReceived(&'a Bid),
    /// A bid was chosen.
    Quoted {
        /// Which.
        bid: &'a Bid,
        /// What its seconds cost.
        quote: Quote,
        /// Whether these are what the job is expected to take, rather than the most it may.
        is_estimate: bool,
    },
    /// The escrow is locked.
    Matched {
        /// Base units.
        locked: Amount,
        /// Gas of the transaction.
        gas: u64,
    },
    /// An artifact is with the gateway.
    Uploaded(&'static str, u64),
    /// The node says how far it is.
    Step(&'a Step),
    /// Both sides have signed usage.
    VoucherSigned(&'a SignedVoucher),
    /// A proposal of the node was not signed.
    Refused(&'a str),
    /// The program wrote something.
    Log(&'a [u8]),
    /// Both sides have signed how it ended.
    Approved,
    /// The chain paid and refunded.
    Settled(&'a Bill),
    /// Anything else worth a line.
    Note(&'a str),
}

/// Who wants to know.
pub(crate) trait Story: Send {
    /// Called in the order things happen.
    fn tell(&mut self, happening: &Happening<'_>);
}

/// Where the program's own output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogTo {
    /// It is the command's data.
    Stdout,
    /// Stdout is for JSON, or the log is part of the story.
    Stderr,
}

/// What a job may come to, base units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// The cost of the seconds it is expected to take.
    Estimate(Amount),
    /// Nobody knows how long it takes: the escrow ends it.
    AtMost(Amount),
}

impl Expected {
    /// A cost above the escrow is never paid, so it is no estimate of anything, whatever the receipt's quote says that the
    /// seconds are worth.
    fn of(quote: Quote, is_estimate: bool) -> Self {
        if is_estimate && quote.estimated_cost <= quote.max_cost {
            Self::Estimate(quote.estimated_cost)
        } else {
            Self::AtMost(quote.max_cost)
        }
    }
}

/// Tells a job's story as lines on stderr.
#[derive(Debug)]
pub(crate) struct Teller {
    token: TokenName,
    log: LogTo,
    price: Price,
    /// What amounts due are compared with.
    expected: Option<Expected>,
    shown_millis: Option<u64>,
}

impl Teller {
    /// A teller that writes amounts in `token`.
    pub(crate) fn new(token: TokenName, log: LogTo) -> Self {
        Self {
            token,
            log,
            price: Price::default(),
            expected: None,
            shown_millis: None,
        }
    }

    fn cost(&self, billed_millis: u64, egress_bytes: u64) -> String {
        let cost = cost_rounded_up(self.price, billed_millis, egress_bytes).unwrap_or(Amount(u128::MAX));
        match self.expected {
            Some(Expected::Estimate(quoted)) => {
                format!("{} of {} quoted", self.token.show(cost), self.token.show(quoted))
            }
            Some(Expected::AtMost(escrow)) => {
                format!("{} of at most {}", self.token.show(cost), self.token.show(escrow))
            }
            None => self.token.show(cost),
        }
    }

    fn quoted(&mut self, bid: &Bid, quote: Quote, is_estimate: bool) -> String {
        let expected = Expected::of(quote, is_estimate);
        (self.price, self.expected) = (bid.price(), Some(expected));
        let most = self.token.show(quote.max_cost);
        match expected {
            Expected::Estimate(cost) => {
                let (time, cost) = (
                    show_millis(u64::from(quote.estimated_seconds) * 1_000),
                    self.token.show(cost),
                );
                format!(
                    "quote    node {}: {time} for {cost}; at most {most}, the rest comes back",
                    bid.node
                )
            }
            Expected::AtMost(_) => {
                let price = self.token.show(bid.compute_per_hour);
                format!(
                    "quote    node {}: {price} an hour; at most {most}, the rest comes back",
                    bid.node
                )
            }
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Preparing => say("node     fetching image and input"),
            Step::Started => say("node     program started"),
            Step::Ready => say("node     READY: the meter runs"),
            Step::Usage {
                billed_millis,
                cpu_millis,
                memory_bytes,
                egress_bytes,
            } => {
                let due = self
                    .shown_millis
                    .is_none_or(|shown| *billed_millis >= shown + METER_MILLIS);
                if due {
                    self.shown_millis = Some(*billed_millis);
                    let cost = self.cost(*billed_millis, *egress_bytes);
                    let (time, cpu) = (show_millis(*billed_millis), show_millis(*cpu_millis));
                    say(&format!(
                        "meter    {time}, {cpu} of CPU, {}: {cost}",
                        show_bytes(*memory_bytes)
                    ));
                }
            }
            Step::Paused => say("node     paused: two vouchers went unsigned; nothing is billed"),
            Step::Resumed => say("node     goes on"),
            Step::Exited {
                exit_code,
                is_out_of_memory: false,
            } => say(&format!("node     program ended with {exit_code}")),
            Step::Exited {
                is_out_of_memory: true, ..
            } => say("node     program ended: out of memory"),
            Step::Storing => say("node     storing output and log"),
            Step::Failed { reason, .. } => say(&format!("node     failed: {reason}")),
        }
    }

    fn log(&self, bytes: &[u8]) {
        match self.log {
            // A reader that went away must not end the job's story.
            LogTo::Stdout => drop(print_log(bytes)),
            LogTo::Stderr => {
                let text = String::from_utf8_lossy(bytes);
                text.lines().for_each(|line| say(&format!("log      {line}")));
            }
        }
    }
}

impl Story for Teller {
    fn tell(&mut self, happening: &Happening<'_>) {
        match happening {
            Happening::Prepared { image, input } => {
                say(&format!("image    sha256:{}", &image.to_string()[2..]));
                if let Some((cid, bytes)) = input {
                    say(&format!("input    {cid}, {}", show_bytes(*bytes)));
                }
            }
            Happening::Ordered(job) => say(&format!("order    job {} ({job})", short(*job))),
            Happening::BidReceived(bid) => {
                let price = self.token.show(bid.compute_per_hour);
                say(&format!(
                    "bid      node {}: {price} an hour, ready within {} s",
                    bid.node, bid.ready_within_seconds
                ));
            }
            Happening::Quoted {
                bid,
                quote,
                is_estimate,
            } => say(&self.quoted(bid, *quote, *is_estimate)),
            Happening::Matched { locked, gas } => {
                say(&format!(
                    "match    {} locked in escrow (gas {gas})",
                    self.token.show(*locked)
                ));
            }
            Happening::Uploaded(what, bytes) => say(&format!("upload   {what}, {}", show_bytes(*bytes))),
            Happening::Step(step) => self.step(step),
            Happening::VoucherSigned(signed) => {
                let voucher = &signed.voucher;
                let cost = self.cost(voucher.billed_millis, voucher.egress_bytes);
                say(&format!(
                    "voucher  {} signed by both: covers {}, {cost}",
                    voucher.seq,
                    show_millis(voucher.billed_millis)
                ));
            }
            Happening::Refused(reason) => say(&format!("refused  {reason}")),
            Happening::Log(bytes) => self.log(bytes),
            Happening::Approved => say("result   signed by both"),
            Happening::Settled(bill) => bill.lines(&self.token).iter().for_each(|line| say(line)),
            Happening::Note(text) => say(&format!("note     {text}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opengpu_core::ids::NodeId;
    use opengpu_core::{B256, U256};

    /// At 1.825 USDC an hour.
    fn bid(quoted_seconds: u32) -> Bid {
        Bid {
            job_id: JobId(B256::ZERO),
            node: NodeId(U256::from(1)),
            compute_per_hour: Amount(1_825_000),
            egress_per_gib: Amount(0),
            ready_within_seconds: 30,
            quoted_seconds,
            expires_at: 0,
        }
    }

    fn told(quoted_seconds: u32, is_estimate: bool) -> (String, String) {
        let token = TokenName {
            symbol: "USDC".to_owned(),
            decimals: 6,
        };
        let mut teller = Teller::new(token, LogTo::Stderr);
        let bid = bid(quoted_seconds);
        let quote = Quote::of(bid.price(), quoted_seconds, Amount(1_000_000));
        (teller.quoted(&bid, quote, is_estimate), teller.cost(36_000, 0))
    }

    #[test]
    fn an_expected_time_is_quoted_and_the_meter_runs_towards_it() {
        let (quote, meter) = told(72, true);
        assert_eq!(
            quote,
            "quote    node 1: 1 min 12 s for 0.0365 USDC; at most 1 USDC, the rest comes back"
        );
        assert_eq!(meter, "0.01825 USDC of 0.0365 USDC quoted");
    }

    #[test]
    fn without_an_expected_time_the_escrow_is_the_most_it_can_cost() {
        let (quote, meter) = told(3_600, false);
        assert_eq!(
            quote,
            "quote    node 1: 1.825 USDC an hour; at most 1 USDC, the rest comes back"
        );
        assert_eq!(meter, "0.01825 USDC of at most 1 USDC");
    }

    #[test]
    fn a_node_that_quotes_more_than_the_escrow_is_not_believed() {
        assert_eq!(told(3_600, true), told(3_600, false));
    }
}
