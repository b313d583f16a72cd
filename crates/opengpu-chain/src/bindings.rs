//! What the contracts look like, generated from the committed artifacts in `contracts/abi`. Nothing outside this crate sees these types:
//! `convert` turns them into core's.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::too_many_arguments,
    clippy::pub_underscore_fields
)]

alloy::sol!(
    #[sol(rpc)]
    #[derive(Debug, PartialEq, Eq)]
    Cloudverse,
    "../../contracts/abi/Cloudverse.json"
);
alloy::sol!(
    #[sol(rpc)]
    #[derive(Debug, PartialEq, Eq)]
    Deployer,
    "../../contracts/abi/Deployer.json"
);
alloy::sol!(
    #[sol(rpc)]
    #[derive(Debug, PartialEq, Eq)]
    NodeRegistry,
    "../../contracts/abi/NodeRegistry.json"
);
alloy::sol!(
    #[sol(rpc)]
    Incentives,
    "../../contracts/abi/Incentives.json"
);
alloy::sol!(JobRecovery, "../../contracts/abi/JobRecovery.json");
alloy::sol!(
    #[sol(rpc)]
    OpenToken,
    "../../contracts/abi/OpenToken.json"
);
alloy::sol!(
    #[sol(rpc)]
    #[derive(Debug)]
    Staking,
    "../../contracts/abi/Staking.json"
);
alloy::sol!(
    #[sol(rpc)]
    TestStablecoin,
    "../../contracts/abi/TestStablecoin.json"
);
alloy::sol! {
    /// A wallet that is a contract (ERC-1271).
    #[sol(rpc)]
    interface ContractWallet {
        function isValidSignature(bytes32 hash, bytes signature) external view returns (bytes4);
    }
    /// What an ERC-2612 token wants signed.
    struct Permit { address owner; address spender; uint256 value; uint256 nonce; uint256 deadline; }
}
