//! What the contracts' refusals mean, for people.

mod sentence;

use std::sync::LazyLock;

use alloy::dyn_abi::{DynSolValue, JsonAbiExt as _};
use alloy::json_abi::{self, JsonAbi};
use alloy::primitives::{Address, Selector};
use serde::Deserialize;

use crate::error::Revert;
use crate::network::Network;
use sentence::{Tokens, fill};

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

/// One sentence per custom error. `{name}` stands for the value of that name, `{name:unit}` for the value in that unit.
const SENTENCES: &[(&str, &str)] = &[
    (
        "CloudWallet_BudgetHasExpired",
        "budget {budget} expired at {expiresAt:time}",
    ),
    ("CloudWallet_BudgetIsRevoked", "budget {budget} was revoked"),
    (
        "CloudWallet_BudgetMismatch",
        "budget {budget} is not of payer {payer} and token {token}",
    ),
    (
        "CloudWallet_BudgetPerJobTooLow",
        "budget {budget} allows {perJob:token} for one job, {asked:token} were asked",
    ),
    (
        "CloudWallet_BudgetTooDeep",
        "budget {parent} is at the deepest level and cannot have children",
    ),
    (
        "CloudWallet_BudgetTooLow",
        "budget {budget} has {left:token} left, {asked:token} were asked",
    ),
    ("CloudWallet_BudgetUnknown", "there is no budget {budget}"),
    (
        "CloudWallet_CreditsTooLow",
        "{account} has {credits:token} in credits, {asked:token} were asked",
    ),
    (
        "CloudWallet_FeeAboveCap",
        "a fee of {bps} basis points is above its cap of {cap}",
    ),
    ("CloudWallet_NotAllowed", "{caller} may not do this in the wallet"),
    ("CloudWallet_TokenNotListed", "token {token} is not listed"),
    (
        "CloudWallet_TransferInexact",
        "{moved:token} moved instead of {asked:token}: the token takes fees or rebases",
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
        "the incentives contract has {balance:OPEN}, {amount:OPEN} are owed; they stay owed until more has come",
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
    (
        "Incentives_RateAboveCap",
        "a rate of {rate:OPEN} is above its cap of {cap:OPEN}",
    ),
    ("Incentives_ReportingOpen", "jobs of week {week} can still be reported"),
    (
        "Incentives_ReportingOver",
        "jobs of week {week} can no longer be reported",
    ),
    ("Incentives_ZeroAddress", "an address is zero"),
    (
        "JobMarket_DeadlineNotReached",
        "this is possible from {deadline:time} on",
    ),
    ("JobMarket_DeadlinePassed", "this was possible until {deadline:time}"),
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
        "the bid's egress price, {asked:token} per GiB, is above the order's ceiling, {ceiling:token}",
    ),
    (
        "JobMarket_EscrowAboveT0Cap",
        "an escrow of {escrow:token} is above {cap:token}, the most a node of tier T0 may take",
    ),
    ("JobMarket_Expired", "order or bid expired at {expiresAt:time}"),
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
        "the bid's price, {asked:token} an hour, is above the order's ceiling, {ceiling:token}",
    ),
    (
        "JobMarket_PriceAboveListPrice",
        "the bid's price, {asked:USD} an hour, is above the node's list price, {listPrice:USD}",
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
        "a value of {value:token} is not above the {collected:token} that were collected",
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
        "node {node} has {available:OPEN} of free bond, {asked:OPEN} were asked",
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
        "node {node}'s unbond request matures at {unbondsAt:time}",
    ),
    (
        "NodeRegistry_UnbondingOutOfRange",
        "an unbonding time of {given} s is outside {min} to {max} s",
    ),
    ("NodeRegistry_ZeroAddress", "an address is zero"),
    ("NodeRegistry_ZeroAmount", "an amount is zero"),
    (
        "ERC20InsufficientAllowance",
        "{spender} may move {allowance:token}, {needed:token} are needed",
    ),
    (
        "ERC20InsufficientBalance",
        "{sender} has {balance:token}, {needed:token} are needed",
    ),
    ("ERC2612ExpiredSignature", "the permit expired at {deadline:time}"),
    ("ERC721NonexistentToken", "there is no node {tokenId}"),
    (
        "OpenToken_AllocationsSum",
        "the allocations are {sum:OPEN} in all, not {supply:OPEN}",
    ),
    (
        "OpenToken_EmptyAllocation",
        "allocation {index} of OPEN has no receiver or no amount",
    ),
    (
        "NodeRegistry_BondUnitFloorOutOfRange",
        "a floor of {given:OPEN} is outside {min:OPEN} to {max:OPEN}",
    ),
    (
        "NodeRegistry_NotPromotable",
        "node {node} is T{tier} and has earned T{earned}",
    ),
    (
        "Staking_EndNotLater",
        "the lock ends at {end:time}, the new end, {newEnd:time}, is not later",
    ),
    ("Staking_GasTooLow", "there is too little gas to pay every token"),
    ("Staking_Locked", "the lock ends at {end:time}"),
    ("Staking_NotAllowed", "{caller} may not do this with stakes"),
    ("Staking_NothingStaked", "{account} has no stake that counts"),
    ("Staking_OutOfRange", "{field} is {value}, outside {min} to {max}"),
    (
        "Staking_RevenueInexact",
        "{arrived:token} arrived of the {told:token} told",
    ),
    (
        "Staking_RollFirst",
        "token {token} must be rolled from week {nextWeek} on first",
    ),
    ("Staking_TooLow", "{staked:OPEN} are staked, {asked:OPEN} were asked"),
    (
        "Staking_WeightWouldFall",
        "what is staked weighs {weight:weight} and would weigh {newWeight:weight} under so short a lock; lock for longer, or not beyond the present end",
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

/// Decodes revert data. Amounts are written in the tokens of `network`, where one is known.
pub(crate) fn decode(data: &[u8], network: Option<&Network>) -> Revert {
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
            .and_then(|error| decode_custom(error, values, network))
            .unwrap_or_else(|| {
                plain(
                    &selector.to_string(),
                    format!("the contract refused with the unknown error {selector}"),
                )
            }),
    }
}

/// The refusal of a call that is about `token`: an error that names none itself means that one.
pub(crate) fn in_token(revert: Revert, token: Address, network: &Network) -> Revert {
    let tokens = Tokens {
        network: Some(network),
        meant: Some(token),
    };
    match sentence_of(&revert.name) {
        Some(sentence) => Revert {
            text: fill(sentence, &revert.values, tokens),
            ..revert
        },
        None => revert,
    }
}

fn sentence_of(error: &str) -> Option<&'static str> {
    let found = SENTENCES.iter().find(|(name, _)| *name == error);
    found.map(|(_, sentence)| *sentence)
}

fn decode_custom(error: &json_abi::Error, data: &[u8], network: Option<&Network>) -> Option<Revert> {
    let decoded = error.abi_decode_input(data).ok()?;
    let values: Vec<(String, String)> = error
        .inputs
        .iter()
        .zip(&decoded)
        .map(|(input, value)| (input.name.clone(), show(&error.name, &input.name, value)))
        .collect();
    let text = match sentence_of(&error.name) {
        Some(sentence) => fill(sentence, &values, Tokens { network, meant: None }),
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
    use alloy::primitives::U256;
    use alloy::sol_types::SolError as _;
    use opengpu_core::ids::ChainId;

    use crate::bindings::{Cloudverse, Staking};
    use crate::network::{Contracts, TokenInfo};

    const USDC: Address = Address::repeat_byte(2);

    fn network() -> Network {
        let token = |symbol: &str, address, decimals| TokenInfo {
            symbol: symbol.to_owned(),
            address,
            decimals,
        };
        let open = Address::repeat_byte(3);
        Network {
            name: "local".to_owned(),
            rpc_url: "http://127.0.0.1:8545".to_owned(),
            chain_id: ChainId::LOCAL,
            contracts: Contracts {
                cloudverse: Address::repeat_byte(8),
                node_registry: Address::repeat_byte(9),
                open_token: open,
                tokens: vec![token("OPEN", open, 18), token("USDC", USDC, 6)],
                staking: None,
                incentives: None,
                deployer: None,
            },
            deployed_at_block: 0,
        }
    }

    #[test]
    fn amounts_are_in_the_token_the_error_names() {
        let data = Cloudverse::CloudWallet_CreditsTooLow {
            account: Address::repeat_byte(1),
            token: USDC,
            credits: U256::from(500_000),
            asked: U256::from(7_000_000),
        }
        .abi_encode();
        let revert = decode(&data, Some(&network()));
        assert_eq!(revert.name, "CloudWallet_CreditsTooLow");
        assert_eq!(
            (revert.value("credits"), revert.value("asked")),
            (Some("500000"), Some("7000000"))
        );
        assert!(
            revert.text.ends_with(" has 0.5 USDC in credits, 7 USDC were asked"),
            "{revert}"
        );
        let unknown = decode(&data, None);
        let expected = format!(" has 500000 base units of {USDC} in credits, 7000000 base units of {USDC} were asked");
        assert!(unknown.text.ends_with(&expected), "{unknown}");
    }

    #[test]
    fn an_error_that_names_no_token_means_the_one_of_the_call() {
        let data = Cloudverse::CloudWallet_BudgetTooLow {
            budget: U256::from(4),
            left: U256::from(500_000),
            asked: U256::from(1_000_000),
        }
        .abi_encode();
        let revert = decode(&data, Some(&network()));
        assert_eq!(
            revert.text,
            "budget 4 has 500000 base units left, 1000000 base units were asked"
        );
        let revert = in_token(revert, USDC, &network());
        assert_eq!(revert.text, "budget 4 has 0.5 USDC left, 1 USDC were asked");
    }

    #[test]
    fn locks_are_in_open_and_end_at_a_time_of_day() {
        let low = Staking::Staking_TooLow {
            staked: U256::from(5),
            asked: U256::from(10_u128.pow(18)),
        };
        let low = decode(&low.abi_encode(), Some(&network()));
        assert_eq!(low.text, "0.000000000000000005 OPEN are staked, 1 OPEN were asked");
        let locked = Staking::Staking_Locked {
            end: U256::from(1_795_701_900),
        };
        let locked = decode(&locked.abi_encode(), None);
        assert_eq!(locked.text, "the lock ends at 2026-11-26 14:05 UTC");
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
                let place = part.split('}').next().unwrap();
                let (name, unit) = place.split_once(':').unwrap_or((place, ""));
                assert!(
                    ["", "time", "OPEN", "USD", "weight", "token"].contains(&unit),
                    "{place}"
                );
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
            decode(&Reason::from("too late").abi_encode(), None).text,
            "the contract refused: too late"
        );
        assert_eq!(
            decode(&Panic::from(0x11u64).abi_encode(), None).text,
            "the contract failed with panic code 0x11"
        );
        assert_eq!(decode(&[1, 2, 3, 4], None).name, "0x01020304");
        assert_eq!(decode(&[], None).name, "Reverted");
    }
}
