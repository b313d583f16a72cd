//! What the contracts' refusals mean, for people.

use std::sync::LazyLock;

use alloy::dyn_abi::{DynSolValue, JsonAbiExt as _};
use alloy::json_abi::{self, JsonAbi};
use alloy::primitives::Selector;
use serde::Deserialize;

use crate::error::Revert;

/// The committed artifacts whose errors we know. Bytecode is in them too; only the ABI is read here.
const ARTIFACTS: [&str; 8] = [
    include_str!("../../../contracts/abi/Cloudverse.json"),
    include_str!("../../../contracts/abi/Deployer.json"),
    include_str!("../../../contracts/abi/NodeRegistry.json"),
    include_str!("../../../contracts/abi/Incentives.json"),
    include_str!("../../../contracts/abi/JobRecovery.json"),
    include_str!("../../../contracts/abi/OpenToken.json"),
    include_str!("../../../contracts/abi/Staking.json"),
    include_str!("../../../contracts/abi/TestStablecoin.json"),
];

/// `revert("reason")`.
const ERROR_SELECTOR: Selector = Selector::new([0x08, 0xc3, 0x79, 0xa0]);
/// `assert`, overflow, bad index.
const PANIC_SELECTOR: Selector = Selector::new([0x4e, 0x48, 0x7b, 0x71]);

/// One sentence per custom error. `{name}` stands for the value of that name.
const SENTENCES: &[(&str, &str)] = &[
    ("CloudWallet_BudgetHasExpired", "budget {budget} expired at {expiresAt}"),
    ("CloudWallet_BudgetIsRevoked", "budget {budget} was revoked"),
    (
        "CloudWallet_BudgetMismatch",
        "budget {budget} is not of payer {payer} and token {token}",
    ),
    (
        "CloudWallet_BudgetPerJobTooLow",
        "budget {budget} allows {perJob} base units for one job, {asked} were asked",
    ),
    (
        "CloudWallet_BudgetTooDeep",
        "budget {parent} is at the deepest level and cannot have children",
    ),
    (
        "CloudWallet_BudgetTooLow",
        "budget {budget} has {left} base units left, {asked} were asked",
    ),
    ("CloudWallet_BudgetUnknown", "there is no budget {budget}"),
    (
        "CloudWallet_CreditsTooLow",
        "{account} has {credits} base units of credits in {token}, {asked} were asked",
    ),
    (
        "CloudWallet_FeeAboveCap",
        "a fee of {bps} basis points is above its cap of {cap}",
    ),
    ("CloudWallet_NotAllowed", "{caller} may not do this in the wallet"),
    ("CloudWallet_TokenNotListed", "token {token} is not listed"),
    (
        "CloudWallet_TransferInexact",
        "token {token} moved {moved} base units instead of {asked}: it takes fees or rebases",
    ),
    ("CloudWallet_WeekNotOver", "week {week} is not over"),
    (
        "Deployer_CreationFailed",
        "a contract's constructor failed and did not say why",
    ),
    (
        "Deployer_NotOwner",
        "{caller} is not the account that the Deployer was made for",
    ),
    ("CloudWallet_ZeroAddress", "an address is zero"),
    ("CloudWallet_ZeroAmount", "an amount is zero"),
    (
        "Cloudverse_WrongRecovery",
        "the recovery contract is wired as {given}, not as {expected}",
    ),
    (
        "JobMarket_BatchGasTooLow",
        "{left} gas is left for element {index} of the batch, {needed} are needed",
    ),
    ("Incentives_AlreadyReported", "job {jobId} was reported before"),
    (
        "Incentives_BalanceTooLow",
        "the incentives contract has {balance} base units, {amount} are owed; they stay owed until more has come",
    ),
    ("Incentives_NotAllowed", "{caller} may not do this with incentives"),
    (
        "Incentives_NotSettled",
        "job {jobId} is not settled, or did not end with these terms and progress",
    ),
    (
        "Incentives_NothingToPay",
        "nothing is to be paid to {payee} for node {node} in week {week}",
    ),
    ("Incentives_Off", "week {week} has no incentives"),
    ("Incentives_RateAboveCap", "a rate of {rate} is above its cap of {cap}"),
    ("Incentives_ReportingOpen", "jobs of week {week} can still be reported"),
    (
        "Incentives_ReportingOver",
        "jobs of week {week} can no longer be reported",
    ),
    ("Incentives_ZeroAddress", "an address is zero"),
    ("JobMarket_DeadlineNotReached", "this is possible from {deadline} on"),
    ("JobMarket_DeadlinePassed", "this was possible until {deadline}"),
    (
        "JobMarket_DisputesMissing",
        "verify level V2 needs the disputes contract, which this network does not have",
    ),
    (
        "JobMarket_DurableAboveCumulative",
        "the voucher's durable part is above its whole",
    ),
    (
        "JobMarket_EgressPriceAboveCeiling",
        "the bid's egress price {asked} is above the order's ceiling {ceiling}",
    ),
    (
        "JobMarket_EscrowAboveT0Cap",
        "an escrow of {escrow} is above {cap}, the most a node of tier T0 may take",
    ),
    ("JobMarket_Expired", "order or bid expired at {expiresAt}"),
    ("JobMarket_ExtensionUsed", "extension {digest} was used before"),
    ("JobMarket_NotAllowed", "{caller} may not do this with the job"),
    (
        "JobMarket_NotTheDeclared",
        "what is shown as declared hashes to {given}, what was declared to {declared}",
    ),
    ("JobMarket_OutOfRange", "{field} is {value}, outside {min} to {max}"),
    (
        "JobMarket_OwnerHadAttempt",
        "owner {owner} already had an attempt of this job",
    ),
    (
        "JobMarket_PriceAboveCeiling",
        "the bid's price {asked} is above the order's ceiling {ceiling}",
    ),
    (
        "JobMarket_PriceAboveListPrice",
        "the bid's price of {asked} USD millionths per hour is above the node's list price {listPrice}",
    ),
    (
        "JobMarket_ReadyTooLate",
        "the bid promises READY in {promised} s, the order allows {allowed} s",
    ),
    ("JobMarket_SignatureInvalid", "a signature is not by {expected}"),
    ("JobMarket_StateIs", "job {jobId} is {state}, which does not allow this"),
    (
        "JobMarket_TermsMismatch",
        "terms or progress given for job {jobId} are not its current ones",
    ),
    (
        "JobMarket_TierTooLow",
        "the node's tier T{tier} is below the order's T{minTier}",
    ),
    (
        "JobMarket_TotalsDiffer",
        "the submitted result's totals differ from its voucher's",
    ),
    (
        "JobMarket_UsageAboveLimit",
        "usage of {billedMillis} ms is above the {limit} ms that time or terms allow",
    ),
    (
        "JobMarket_ValueBelowCollected",
        "a value of {value} is not above the {collected} that were collected",
    ),
    (
        "JobMarket_VerifyLevelIs",
        "this is not possible at verify level V{verifyLevel}",
    ),
    (
        "JobMarket_VoucherNotNewer",
        "voucher {seq} is not newer than the declared one, {declaredSeq}",
    ),
    (
        "JobMarket_WrongJob",
        "a message is of job {given}, attempt {attempt}, not of job {expected}",
    ),
    (
        "NodeRegistry_BondTooLow",
        "node {node} has {available} base units of free bond, {asked} were asked",
    ),
    (
        "NodeRegistry_JobsOpen",
        "node {node} has {open} jobs open and cannot change hands",
    ),
    (
        "NodeRegistry_ModelInvalid",
        "`{gpuModel}` is no GPU model of 1 to 31 printable characters",
    ),
    (
        "NodeRegistry_NoUnbondRequest",
        "node {node} has no unbond request, or it has lapsed",
    ),
    ("NodeRegistry_NotAllowed", "{caller} may not do this with the node"),
    (
        "NodeRegistry_NotMatchable",
        "node {node} takes no new job (draining: {isDraining}, suspended: {isSuspended})",
    ),
    (
        "NodeRegistry_UnbondNotMature",
        "node {node}'s unbond request matures at {unbondsAt}",
    ),
    (
        "NodeRegistry_UnbondingOutOfRange",
        "an unbonding time of {given} s is outside {min} to {max} s",
    ),
    ("NodeRegistry_ZeroAddress", "an address is zero"),
    ("NodeRegistry_ZeroAmount", "an amount is zero"),
    (
        "ERC20InsufficientAllowance",
        "{spender} may move {allowance} base units, {needed} are needed",
    ),
    (
        "ERC20InsufficientBalance",
        "{sender} has {balance} base units of the token, {needed} are needed",
    ),
    ("ERC2612ExpiredSignature", "the permit expired at {deadline}"),
    ("ERC721NonexistentToken", "there is no node {tokenId}"),
    (
        "OpenToken_AllocationsSum",
        "the allocations of OPEN are {sum} base units in all, not {supply}",
    ),
    (
        "OpenToken_EmptyAllocation",
        "allocation {index} of OPEN has no receiver or no amount",
    ),
    (
        "NodeRegistry_BondUnitFloorOutOfRange",
        "a floor of {given} base units is outside {min} to {max}",
    ),
    (
        "NodeRegistry_NotPromotable",
        "node {node} is T{tier} and has earned T{earned}",
    ),
    (
        "Staking_EndNotLater",
        "the lock ends at {end}, the new end {newEnd} is not later",
    ),
    ("Staking_GasTooLow", "there is too little gas to pay every token"),
    ("Staking_Locked", "the lock ends at {end}"),
    ("Staking_NotAllowed", "{caller} may not do this with stakes"),
    ("Staking_NothingStaked", "{account} has no stake that counts"),
    ("Staking_OutOfRange", "{field} is {value}, outside {min} to {max}"),
    (
        "Staking_RevenueInexact",
        "token {token} brought {arrived} base units of the {told} told",
    ),
    (
        "Staking_RollFirst",
        "token {token} must be rolled from week {nextWeek} on first",
    ),
    ("Staking_TooLow", "{staked} base units are staked, {asked} were asked"),
    (
        "Staking_WeightWouldFall",
        "what is staked weighs {weight} and would weigh {newWeight} under so short a lock; lock for longer, or not beyond the present end",
    ),
    ("Staking_ZeroAddress", "an address is zero"),
    (
        "TestStablecoin_NotALocalNetwork",
        "the test stablecoin exists on local networks only, not on chain {chainId}",
    ),
];

/// Names of the job states, by their number on chain.
const STATES: [&str; 8] = [
    "not matched",
    "Matched",
    "Reported",
    "Interrupted",
    "Submitted",
    "Disputed",
    "Settled",
    "Cancelled",
];

#[derive(Deserialize)]
struct Artifact {
    abi: JsonAbi,
}

static ERRORS: LazyLock<Vec<json_abi::Error>> = LazyLock::new(|| {
    ARTIFACTS
        .iter()
        .filter_map(|text| serde_json::from_str::<Artifact>(text).ok())
        .flat_map(|artifact| artifact.abi.errors.into_values().flatten())
        .collect()
});

/// Decodes revert data.
pub(crate) fn decode(data: &[u8]) -> Revert {
    let Some((selector, values)) = data.split_first_chunk::<4>() else {
        return plain("Reverted", "the contract refused without saying why".to_owned());
    };
    match Selector::new(*selector) {
        ERROR_SELECTOR => plain("Error", reason(values)),
        PANIC_SELECTOR => plain(
            "Panic",
            format!("the contract failed with panic code {}", last_byte(values)),
        ),
        selector => ERRORS
            .iter()
            .find(|error| error.selector() == selector)
            .and_then(|error| decode_custom(error, values))
            .unwrap_or_else(|| {
                plain(
                    &selector.to_string(),
                    format!("the contract refused with the unknown error {selector}"),
                )
            }),
    }
}

fn decode_custom(error: &json_abi::Error, data: &[u8]) -> Option<Revert> {
    let decoded = error.abi_decode_input(data).ok()?;
    let values: Vec<(String, String)> = error
        .inputs
        .iter()
        .zip(&decoded)
        .map(|(input, value)| (input.name.clone(), show(&error.name, &input.name, value)))
        .collect();
    let text = match SENTENCES.iter().find(|(name, _)| *name == error.name) {
        Some((_, sentence)) => values.iter().fold((*sentence).to_owned(), |text, (name, value)| {
            text.replace(&format!("{{{name}}}"), value)
        }),
        None => {
            let list: Vec<String> = values.iter().map(|(name, value)| format!("{name} {value}")).collect();
            format!("the contract refused: {} ({})", error.name, list.join(", "))
        }
    };
    Some(Revert {
        name: error.name.clone(),
        values,
        text,
    })
}

fn show(error: &str, name: &str, value: &DynSolValue) -> String {
    match value {
        DynSolValue::Uint(number, _) if error == "JobMarket_StateIs" && name == "state" => usize::try_from(*number)
            .ok()
            .and_then(|code| STATES.get(code))
            .map_or_else(|| number.to_string(), |state| (*state).to_owned()),
        DynSolValue::Uint(number, _) => number.to_string(),
        DynSolValue::Int(number, _) => number.to_string(),
        DynSolValue::Bool(flag) => if *flag { "yes" } else { "no" }.to_owned(),
        DynSolValue::Address(address) => address.to_string(),
        DynSolValue::String(text) => text.clone(),
        // Names of fields travel as left-aligned text.
        DynSolValue::FixedBytes(word, 32) if name == "field" => String::from_utf8_lossy(word.as_slice())
            .trim_end_matches('\0')
            .to_owned(),
        DynSolValue::FixedBytes(word, size) => alloy::hex::encode_prefixed(&word[..*size]),
        other => format!("{other:?}"),
    }
}

fn plain(name: &str, text: String) -> Revert {
    Revert {
        name: name.to_owned(),
        values: Vec::new(),
        text,
    }
}

fn reason(data: &[u8]) -> String {
    use alloy::sol_types::SolValue as _;
    String::abi_decode(data).map_or_else(
        |_| "the contract refused without a readable reason".to_owned(),
        |reason| format!("the contract refused: {reason}"),
    )
}

fn last_byte(data: &[u8]) -> String {
    data.get(31)
        .map_or_else(|| "?".to_owned(), |code| format!("0x{code:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy::primitives::{Address, U256};
    use alloy::sol_types::SolError as _;

    use crate::bindings::Cloudverse;

    #[test]
    fn credits_too_low_names_both_amounts() {
        let data = Cloudverse::CloudWallet_CreditsTooLow {
            account: Address::repeat_byte(1),
            token: Address::repeat_byte(2),
            credits: U256::from(5),
            asked: U256::from(7),
        }
        .abi_encode();
        let revert = decode(&data);
        assert_eq!(revert.name, "CloudWallet_CreditsTooLow");
        assert_eq!((revert.value("credits"), revert.value("asked")), (Some("5"), Some("7")));
        assert!(
            revert.text.contains("has 5 base units of credits") && revert.text.ends_with("7 were asked"),
            "{revert}"
        );
    }

    #[test]
    fn every_error_of_ours_has_a_sentence_that_uses_only_its_values() {
        let ours = ["CloudWallet_", "JobMarket_", "NodeRegistry_", "TestStablecoin_"];
        let mut seen = 0;
        for error in ERRORS
            .iter()
            .filter(|error| ours.iter().any(|prefix| error.name.starts_with(prefix)))
        {
            seen += 1;
            let (_, sentence) = SENTENCES
                .iter()
                .find(|(name, _)| *name == error.name)
                .unwrap_or_else(|| panic!("{} has no sentence", error.name));
            for part in sentence.split('{').skip(1) {
                let name = part.split('}').next().unwrap();
                assert!(
                    error.inputs.iter().any(|input| input.name == name),
                    "{}: {{{name}}}",
                    error.name
                );
            }
        }
        assert!(seen > 40, "{seen}");
    }

    #[test]
    fn no_sentence_is_of_an_error_that_does_not_exist() {
        for (name, _) in SENTENCES {
            assert!(ERRORS.iter().any(|error| error.name == *name), "{name}");
        }
    }

    #[test]
    fn reasons_panics_and_unknown_errors_are_told_apart() {
        use alloy::sol_types::{Panic, Revert as Reason};
        assert_eq!(
            decode(&Reason::from("too late").abi_encode()).text,
            "the contract refused: too late"
        );
        assert_eq!(
            decode(&Panic::from(0x11u64).abi_encode()).text,
            "the contract failed with panic code 0x11"
        );
        assert_eq!(decode(&[1, 2, 3, 4]).name, "0x01020304");
        assert_eq!(decode(&[]).name, "Reverted");
    }
}
