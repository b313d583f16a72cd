//! The bill of a closed job, from what the chain says it moved, checked to the base unit.

use opengpu_core::job::{Ending, Settlement};
use opengpu_core::money::Amount;
use serde::Serialize;

use crate::failure::{Failure, Outcome};
use crate::output::{TokenName, show_millis};

/// What one call of the contract moved out of an escrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Parts {
    /// To the node's payee.
    pub(crate) node: Amount,
    /// To the stakers.
    pub(crate) stakers: Amount,
    /// To the treasury.
    pub(crate) treasury: Amount,
}

/// What a job paid before the call that closed it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Earlier {
    /// What each call moved.
    pub(crate) moved: Vec<Parts>,
    /// Values of the attempts before the last one, before any discount.
    pub(crate) values: Vec<Amount>,
}

impl From<&Settlement> for Parts {
    fn from(settlement: &Settlement) -> Self {
        Self {
            node: settlement.node_part,
            stakers: settlement.stakers_part,
            treasury: settlement.treasury_part,
        }
    }
}

/// Who got what, base units. JSON: decimal strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Bill {
    /// Escrow at match.
    pub(crate) locked: Amount,
    /// Node, stakers and treasury together.
    pub(crate) paid: Amount,
    /// Back to the payer's credits.
    pub(crate) refunded: Amount,
    /// Of the refunded: what the payer's stake saved.
    pub(crate) discount: Amount,
    /// Of the paid.
    pub(crate) node_share: Amount,
    /// Of the paid.
    pub(crate) stakers_share: Amount,
    /// Of the paid.
    pub(crate) treasury_share: Amount,
    /// Milliseconds paid for.
    pub(crate) billed_millis: u64,
    /// How it ended.
    pub(crate) ending: Ending,
}

impl Bill {
    /// Adds up what was moved before and by the settlement.
    ///
    /// # Errors
    /// When the chain's own numbers do not add up to the escrow: never, unless the contract or our reading of it is wrong,
    /// and then nobody may be shown a bill that hides it.
    pub(crate) fn add_up(locked: Amount, earlier: &Earlier, settlement: &Settlement) -> Outcome<Self> {
        let all: Vec<Parts> = earlier.moved.iter().copied().chain([Parts::from(settlement)]).collect();
        let sum = |part: fn(&Parts) -> Amount| {
            all.iter()
                .try_fold(Amount::ZERO, |sum, parts| sum.checked_add(part(parts)))
        };
        let sums = (
            sum(|parts| parts.node),
            sum(|parts| parts.stakers),
            sum(|parts| parts.treasury),
        );
        let (Some(node_share), Some(stakers_share), Some(treasury_share)) = sums else {
            return Err(
                Failure::error("the job's payments do not fit 128 bits").hint("keep the receipt and report this")
            );
        };
        let paid = node_share
            .checked_add(stakers_share)
            .and_then(|sum| sum.checked_add(treasury_share));
        let values = earlier.values.iter().copied().chain([settlement.value]);
        let value = values.fold(Amount::ZERO, |sum, value| Amount(sum.0.saturating_add(value.0)));
        let closes = paid.and_then(|paid| paid.checked_add(settlement.refunded)) == Some(locked);
        match paid {
            Some(paid) if closes => Ok(Self {
                locked,
                paid,
                refunded: settlement.refunded,
                discount: value.saturating_sub(paid),
                node_share,
                stakers_share,
                treasury_share,
                billed_millis: settlement.usage.billed_millis,
                ending: settlement.ending,
            }),
            _ => Err(Failure::error(format_args!(
                "the chain's numbers do not add up: node {node_share} + stakers {stakers_share} + treasury {treasury_share} \
                 + refunded {} is not the {locked} locked",
                settlement.refunded
            ))
            .hint("keep the receipt and report this")),
        }
    }

    /// For people.
    pub(crate) fn lines(&self, token: &TokenName) -> Vec<String> {
        let [locked, paid, refunded] = [self.locked, self.paid, self.refunded].map(|amount| token.show(amount));
        let [node, stakers, treasury] =
            [self.node_share, self.stakers_share, self.treasury_share].map(|amount| token.show(amount));
        let mut lines = vec![format!(
            "bill     {paid} paid for {}: node {node}, stakers {stakers}, treasury {treasury}",
            show_millis(self.billed_millis)
        )];
        if self.discount != Amount::ZERO {
            lines.push(format!(
                "discount {} saved by the payer's stake",
                token.show(self.discount)
            ));
        }
        lines.push(format!("refund   {refunded} back of {locked} locked"));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settlement(value: u128, parts: [u128; 3], refunded: u128) -> Settlement {
        let json = serde_json::json!({
            "ending": "completed", "rating": 0, "usage": {"billedMillis": 11_000, "egressBytes": 0},
            "readyAfterSeconds": 1, "quotedSeconds": 60, "value": value.to_string(), "usdRate": "0",
            "nodePart": parts[0].to_string(), "stakersPart": parts[1].to_string(), "treasuryPart": parts[2].to_string(),
            "refunded": refunded.to_string(),
            "specDigest": format!("0x{}", "00".repeat(32)), "receiptDigest": format!("0x{}", "00".repeat(32)),
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn collected_and_settled_parts_add_up_to_the_escrow() {
        let earlier = Earlier {
            moved: vec![Parts {
                node: Amount(83),
                stakers: Amount(12),
                treasury: Amount(5),
            }],
            values: Vec::new(),
        };
        let bill = Bill::add_up(Amount(1_000), &earlier, &settlement(300, [166, 24, 10], 700)).unwrap();
        assert_eq!(bill.paid, Amount(300));
        assert_eq!(
            (bill.node_share, bill.stakers_share, bill.treasury_share),
            (Amount(249), Amount(36), Amount(15))
        );
        assert_eq!((bill.refunded, bill.discount), (Amount(700), Amount(0)));
        let token = TokenName {
            symbol: "USDC".to_owned(),
            decimals: 2,
        };
        assert_eq!(bill.lines(&token).len(), 2, "no discount, no line");
    }

    #[test]
    fn a_discount_is_what_all_attempts_were_worth_less_what_was_paid() {
        let earlier = Earlier {
            moved: vec![Parts {
                node: Amount(83),
                stakers: Amount(12),
                treasury: Amount(4),
            }],
            values: vec![Amount(100)],
        };
        let bill = Bill::add_up(Amount(1_000), &earlier, &settlement(200, [166, 24, 8], 703)).unwrap();
        assert_eq!((bill.paid, bill.discount), (Amount(297), Amount(3)));
        let token = TokenName {
            symbol: "USDC".to_owned(),
            decimals: 2,
        };
        assert_eq!(bill.lines(&token)[1], "discount 0.03 USDC saved by the payer's stake");
    }

    #[test]
    fn a_base_unit_too_few_is_not_shown_as_a_bill() {
        let failure =
            Bill::add_up(Amount(1_001), &Earlier::default(), &settlement(200, [166, 24, 10], 800)).unwrap_err();
        assert!(failure.to_string().contains("do not add up"), "{failure}");
    }
}
