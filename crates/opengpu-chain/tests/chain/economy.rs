//! `opengpu-core`'s economy beside the contracts': the same random inputs to both, on a real chain.

mod arithmetic;
mod model;

use std::future::IntoFuture as _;
use std::path::Path;

use alloy::primitives::{Address, Bytes, address};
use alloy::providers::ext::AnvilApi as _;
use alloy::providers::{DynProvider, Provider as _, ProviderBuilder};
use alloy::sol;
use opengpu_chain::devnet::{Devnet, DevnetConfig};

sol! {
    #![sol(all_derives)]

    /// `contracts/test/vectors/EconomyHarness.sol`.
    #[sol(rpc)]
    contract EconomyHarness {
        struct Usage { uint64 billedMillis; uint64 egressBytes; uint128 computePerHour; uint128 egressPerGiB; }
        struct Payment { uint128 oldValue; uint128 newValue; uint256 rates; }
        struct Split { uint256 node; uint256 stakers; uint256 treasury; uint256 discount; }
        struct Share { uint256 usdMicros; uint256 cap; }
        struct Standing {
            uint256 closed; uint256 successes; uint256 fails; uint256 neutrals; uint256 counted; uint256 earnedUsdMicros; uint256 ageSeconds;
            uint256 bond; uint256 bondUnit;
        }
        struct Account {
            uint256 staked; uint256 weight; uint256 end; uint256 votes; uint8 tier; uint8 payerTier; uint256[] tokens; uint256[] credits;
        }
        struct Economy { uint256 time; uint256 totalWeight; uint256[] inWallet; uint256 inStaking; Account[] accounts; }

        function costs(Usage[] calldata usages) external pure returns (uint256[] memory values);
        function splits(Payment[] calldata payments) external pure returns (Split[] memory whole, Split[] memory moved);
        function shares(Payment[] calldata payments, uint96[] calldata usdRates, uint96[] calldata openRates) external pure returns (Share[] memory found);
        function tiers(Standing[] calldata standings) external pure returns (uint8[] memory found);
        function stakes(address staking, uint128[] calldata amounts, uint16[] calldata lockDays)
            external returns (uint256 time, bool[] memory isDone, uint256[] memory weights, uint256[] memory ends);
        function economyOf(address staking, address wallet, address[] calldata tokens, address[] calldata accounts)
            external view returns (Economy memory found);
    }
}

type Harness = EconomyHarness::EconomyHarnessInstance<DynProvider>;

/// Where the harness is put.
const HARNESS: Address = address!("00000000000000000000000000000000C10dC0de");

/// A chain that makes no block unless there is a transaction for it: time is then the test's alone.
fn quiet() -> DevnetConfig {
    DevnetConfig {
        block_seconds: 1_000_000,
        ..DevnetConfig::ephemeral().unwrap()
    }
}

async fn harness_on(devnet: &Devnet) -> Harness {
    let provider = ProviderBuilder::new()
        .disable_recommended_fillers()
        .connect_http(devnet.rpc_url().parse().unwrap())
        .erased();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contracts/test/vectors/economy_harness.hex");
    let code: Bytes = std::fs::read_to_string(path).unwrap().trim().parse().unwrap();
    provider.anvil_set_code(HARNESS, code).into_future().await.unwrap();
    Harness::new(HARNESS, provider)
}
