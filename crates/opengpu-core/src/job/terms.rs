//! The terms of an attempt and its progress, with the packing and hashing of `JobTerms.sol`.

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::SolValue;
use serde::{Deserialize, Serialize};

use super::{Ending, Usage};
use crate::ids::{BudgetId, NodeId, Sha256Digest};
use crate::money::{Amount, Price, Shares, converted_rounded_down};

/// 10^18 base units times 10^6 millionths of a millionth in a millionth.
const RATE_TO_USD_MICROS: u128 = 1_000_000_000_000_000_000_000_000;

/// Solidity's form of the two structs; only their ABI encoding is used.
mod abi {
    #![allow(missing_docs)]
    alloy_sol_types::sol! {
        struct Terms {
            address payer; address signer; address token; address operator; address payee; uint256 budget; uint256 node;
            bytes32 specDigest; uint128 escrow; uint128 computePerHour; uint128 egressPerGiB; uint256 rates; uint256 limits;
        }
        struct Progress {
            uint128 value; uint64 billedMillis; bytes32 declared; uint64 reportedAt; uint64 reportableFrom;
            address earlierOwner1; address earlierOwner2; address earlierOwner3;
        }
    }
}

/// Why packed numbers are no terms.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TermsError {
    /// Bits are set that no field owns: the word was not packed by the contract.
    #[error("packed word {0:#x} has bits outside its fields")]
    StrayBits(U256),
    /// A USD rate needs more than the 96 bits it has on chain.
    #[error("USD rate {0} does not fit 96 bits")]
    RateTooLarge(u128),
}

/// What a token was worth at match: millionths of a millionth of a USD per 10^18 base units, at most 96 bits.
/// JSON: a decimal string.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct UsdRate(pub u128);

impl Serialize for UsdRate {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for UsdRate {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Amount::deserialize(deserializer).map(|number| Self(number.0))
    }
}

/// USD rates and fee shares fixed at match; one word on chain.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rates {
    /// The job's token in USD.
    pub usd_rate: UsdRate,
    /// OPEN in USD, for make-goods and slashes.
    pub open_rate: UsdRate,
    /// Fee shares, discount and bonus.
    pub shares: Shares,
}

/// Times and levels fixed at match; one word on chain.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// Unix second of this attempt's match, on the chain's clock.
    pub matched_at: u64,
    /// Billed seconds this attempt may use.
    pub max_seconds: u32,
    /// Seconds from match to READY the bid promised.
    pub ready_within_seconds: u32,
    /// Billed seconds the bid estimated.
    pub quoted_seconds: u32,
    /// Verification level (0..3).
    pub verify_level: u8,
    /// Most attempts (1..4).
    pub max_attempts: u8,
    /// Which attempt this is, from 1.
    pub attempt: u8,
}

/// Reads `bits` bits of `word` from `shift`.
fn field(word: U256, shift: usize, bits: usize) -> u128 {
    let mask = (U256::from(1) << bits) - U256::from(1);
    u128::try_from((word >> shift) & mask).unwrap_or(u128::MAX)
}

macro_rules! small {
    ($word:expr, $shift:expr, $type:ty) => {
        <$type>::try_from(field($word, $shift, <$type>::BITS as usize)).unwrap_or(<$type>::MAX)
    };
}

impl Rates {
    /// The word `TermsRates.pack` makes.
    ///
    /// # Errors
    /// [`TermsError::RateTooLarge`] when a rate needs more than 96 bits.
    pub fn pack(self) -> Result<U256, TermsError> {
        for rate in [self.usd_rate, self.open_rate] {
            if rate.0 >> 96 != 0 {
                return Err(TermsError::RateTooLarge(rate.0));
            }
        }
        let Shares {
            stakers_bps,
            treasury_bps,
            discount_bps,
            bonus_bps,
        } = self.shares;
        Ok(U256::from(self.usd_rate.0)
            | U256::from(self.open_rate.0) << 96
            | U256::from(stakers_bps) << 192
            | U256::from(treasury_bps) << 208
            | U256::from(discount_bps) << 224
            | U256::from(bonus_bps) << 240)
    }

    /// Millionths of a USD that an amount of the job's token is worth.
    #[must_use]
    pub fn usd_micros_rounded_down(self, amount: Amount) -> u128 {
        converted_rounded_down(amount, self.usd_rate.0, RATE_TO_USD_MICROS)
    }

    /// Reads the word `TermsRates.pack` made.
    #[must_use]
    pub fn unpack(word: U256) -> Self {
        Self {
            usd_rate: UsdRate(field(word, 0, 96)),
            open_rate: UsdRate(field(word, 96, 96)),
            shares: Shares {
                stakers_bps: small!(word, 192, u16),
                treasury_bps: small!(word, 208, u16),
                discount_bps: small!(word, 224, u16),
                bonus_bps: small!(word, 240, u16),
            },
        }
    }
}

impl Limits {
    /// The word `TermsLimits.pack` makes.
    #[must_use]
    pub fn pack(self) -> U256 {
        U256::from(self.matched_at)
            | U256::from(self.max_seconds) << 64
            | U256::from(self.ready_within_seconds) << 96
            | U256::from(self.quoted_seconds) << 128
            | U256::from(self.verify_level) << 160
            | U256::from(self.max_attempts) << 168
            | U256::from(self.attempt) << 176
    }

    /// Reads the word `TermsLimits.pack` made.
    ///
    /// # Errors
    /// [`TermsError::StrayBits`] when more is set than the seven fields.
    pub fn unpack(word: U256) -> Result<Self, TermsError> {
        if word >> 184 != U256::ZERO {
            return Err(TermsError::StrayBits(word));
        }
        Ok(Self {
            matched_at: small!(word, 0, u64),
            max_seconds: small!(word, 64, u32),
            ready_within_seconds: small!(word, 96, u32),
            quoted_seconds: small!(word, 128, u32),
            verify_level: small!(word, 160, u8),
            max_attempts: small!(word, 168, u8),
            attempt: small!(word, 176, u8),
        })
    }
}

/// All that was fixed at match, for one attempt. Emitted in full, passed back with every later call, never looked up.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Terms {
    /// Whose credits are locked.
    pub payer: Address,
    /// Key that co-signs usage for the payer.
    pub signer: Address,
    /// The token of every amount here.
    pub token: Address,
    /// Key that signs for the node, as it was at match.
    pub operator: Address,
    /// Whose credits the node's part goes to, as it was at match.
    pub payee: Address,
    /// Budget that was debited, 0 for none.
    pub budget: BudgetId,
    /// Token id in `NodeRegistry`.
    pub node: NodeId,
    /// sha2-256 of the job's spec in JCS form.
    pub spec_digest: Sha256Digest,
    /// Base units locked for this attempt: what was left of the job's escrow when it was matched, plus extensions.
    pub escrow: Amount,
    /// Base units for an hour of the whole shape.
    pub compute_per_hour: Amount,
    /// Base units for 2^30 bytes of egress.
    #[serde(rename = "egressPerGiB")]
    pub egress_per_gib: Amount,
    /// USD rates and fee shares.
    pub rates: Rates,
    /// Times and levels.
    pub limits: Limits,
}

/// What changed since the attempt was matched. All zero right after `Matched`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Progress {
    /// Cumulative value paid so far for this attempt, before the payer's discount.
    pub value: Amount,
    /// The usage that value stands for, milliseconds.
    pub billed_millis: u64,
    /// Struct hash of the voucher a standing report declares, or the digest of a submitted result; zero for none.
    pub declared: B256,
    /// Unix second of the standing report, 0 for none.
    pub reported_at: u64,
    /// No report before this second; `u64::MAX`: no report any more.
    pub reportable_from: u64,
    /// Owners of the nodes of earlier attempts, which may not match again; zero for none.
    pub earlier_owners: [Address; 3],
}

/// The 24 bytes a job's slot keeps of its terms and progress.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct JobHash(pub [u8; 24]);

impl Terms {
    /// The attempt's two prices.
    #[must_use]
    pub const fn price(&self) -> Price {
        Price {
            compute_per_hour: self.compute_per_hour,
            egress_per_gib: self.egress_per_gib,
        }
    }

    /// Which attempt these terms are of, from 1.
    #[must_use]
    pub const fn attempt(&self) -> u8 {
        self.limits.attempt
    }

    /// Unix second of this attempt's match, on the chain's clock.
    #[must_use]
    pub const fn matched_at(&self) -> u64 {
        self.limits.matched_at
    }

    /// The most milliseconds this attempt may bill by time alone.
    #[must_use]
    pub fn max_millis(&self) -> u64 {
        u64::from(self.limits.max_seconds) * 1000
    }

    /// What `hashTerms` computes: the first 24 bytes of keccak256(keccak256(terms) ‖ keccak256(progress)).
    ///
    /// # Errors
    /// [`TermsError::RateTooLarge`] when a rate cannot be on chain.
    pub fn hash_with(&self, progress: &Progress) -> Result<JobHash, TermsError> {
        let terms = abi::Terms {
            payer: self.payer,
            signer: self.signer,
            token: self.token,
            operator: self.operator,
            payee: self.payee,
            budget: self.budget.0,
            node: self.node.0,
            specDigest: self.spec_digest.0,
            escrow: self.escrow.0,
            computePerHour: self.compute_per_hour.0,
            egressPerGiB: self.egress_per_gib.0,
            rates: self.rates.pack()?,
            limits: self.limits.pack(),
        };
        let [earlier1, earlier2, earlier3] = progress.earlier_owners;
        let progress = abi::Progress {
            value: progress.value.0,
            billedMillis: progress.billed_millis,
            declared: progress.declared,
            reportedAt: progress.reported_at,
            reportableFrom: progress.reportable_from,
            earlierOwner1: earlier1,
            earlierOwner2: earlier2,
            earlierOwner3: earlier3,
        };
        let both = [keccak256(terms.abi_encode()), keccak256(progress.abi_encode())].concat();
        let mut cut = [0u8; 24];
        cut.copy_from_slice(&keccak256(both)[..24]);
        Ok(JobHash(cut))
    }
}

/// How one attempt was paid and closed, as `Interrupted` and `Settled` tell it. The three parts and `refunded` are what
/// that call moved; parts moved earlier by `collect` are in `Collected`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settlement {
    /// How it ended.
    pub ending: Ending,
    /// 0 none, 1 worst .. 5 best.
    pub rating: u8,
    /// Paid usage of the attempt.
    pub usage: Usage,
    /// Seconds from match to READY; 0 when no result says.
    pub ready_after_seconds: u32,
    /// Billed seconds the bid estimated.
    pub quoted_seconds: u32,
    /// Value of the whole attempt, before discount.
    pub value: Amount,
    /// The token in USD at match.
    pub usd_rate: UsdRate,
    /// The node's part with its bonus.
    pub node_part: Amount,
    /// The stakers' part.
    pub stakers_part: Amount,
    /// The treasury's part after discount and bonus.
    pub treasury_part: Amount,
    /// Back to the payer's credits; 0 while the job may be matched again.
    pub refunded: Amount,
    /// sha2-256 of the job's spec.
    pub spec_digest: Sha256Digest,
    /// sha2-256 of the receipt; zero when no result says.
    pub receipt_digest: Sha256Digest,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn packed_limits_read_back(
            matched_at in any::<u64>(), seconds in any::<[u32; 3]>(), levels in any::<[u8; 3]>(),
        ) {
            let limits = Limits {
                matched_at, max_seconds: seconds[0], ready_within_seconds: seconds[1], quoted_seconds: seconds[2],
                verify_level: levels[0], max_attempts: levels[1], attempt: levels[2],
            };
            prop_assert_eq!(Limits::unpack(limits.pack()), Ok(limits));
        }

        #[test]
        fn packed_rates_read_back(usd in 0u128..1 << 96, open in 0u128..1 << 96, bps in any::<[u16; 4]>()) {
            let rates = Rates {
                usd_rate: UsdRate(usd), open_rate: UsdRate(open),
                shares: Shares { stakers_bps: bps[0], treasury_bps: bps[1], discount_bps: bps[2], bonus_bps: bps[3] },
            };
            prop_assert_eq!(Rates::unpack(rates.pack().unwrap()), rates);
        }
    }

    #[test]
    fn stray_bits_and_large_rates_are_refused() {
        assert!(matches!(
            Limits::unpack(U256::from(1) << 184),
            Err(TermsError::StrayBits(_))
        ));
        let rates = Rates {
            usd_rate: UsdRate(1 << 96),
            ..Rates::unpack(U256::ZERO)
        };
        assert_eq!(rates.pack(), Err(TermsError::RateTooLarge(1 << 96)));
    }
}
