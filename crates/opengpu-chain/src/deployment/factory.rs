//! Where the Deployer comes from: the CREATE2 factory that is at the same address on every chain
//! (<https://github.com/Arachnid/deterministic-deployment-proxy>).

use alloy::consensus::constants::ETH_TO_WEI;
use alloy::network::TransactionBuilder as _;
use alloy::primitives::{Bytes, address, bytes, keccak256};
use alloy::providers::Provider as _;
use alloy::rpc::types::TransactionRequest;
use alloy::sol_types::SolConstructor as _;
use opengpu_core::{Address, B256, U256};

use crate::bindings::Deployer;
use crate::client::ChainClient;
use crate::error::ChainError;

/// The factory.
pub const FACTORY: Address = address!("4e59b44847b379578588920cA78FbF26c0B4956C");
/// What is there.
pub(super) static FACTORY_CODE: Bytes = bytes!(
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
);
/// Who signed its creation. Nobody has the key: the signature was made up, and the account follows from it.
pub(super) const FACTORY_SIGNER: Address = address!("3fab184622dc19b6109349b94811493bf2a45362");
/// Its creation, signed for every chain: 100,000 gas at 100 gwei.
static FACTORY_TRANSACTION: Bytes = bytes!(
    "f8a58085174876e800830186a08080b853604580600e600039806000f350fe7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf31ba02222222222222222222222222222222222222222222222222222222222222222a02222222222222222222222222222222222222222222222222222222222222222"
);
/// What every salt starts with.
const SALT_PREFIX: &str = "OpenGPU v1";

/// What the factory's creation costs, wei.
pub(super) fn factory_cost() -> U256 {
    U256::from(ETH_TO_WEI / 100)
}

fn salt(text: &str) -> B256 {
    keccak256(format!("{SALT_PREFIX}{text}"))
}

fn deployer_code(owner: Address) -> Vec<u8> {
    let arguments = Deployer::constructorCall { owner_: owner }.abi_encode();
    [Deployer::BYTECODE.as_ref(), arguments.as_slice()].concat()
}

/// The Deployer of an owner and a salt: the same on every chain.
#[must_use]
pub fn deployer_address(owner: Address, salt_text: &str) -> Address {
    FACTORY.create2(salt(salt_text), keccak256(deployer_code(owner)))
}

/// Pays the account that signed the factory's creation.
pub(super) async fn fund_signer(client: &ChainClient, nonce: u64) -> Result<(), ChainError> {
    let missing = factory_cost().saturating_sub(client.gas_balance(FACTORY_SIGNER).await?);
    let request = TransactionRequest::default()
        .with_to(FACTORY_SIGNER)
        .with_value(missing)
        .with_nonce(nonce);
    client.send(request).await.map(drop)
}

/// Sends the factory's creation.
pub(super) async fn make_factory(client: &ChainClient) -> Result<(), ChainError> {
    let refused = |reason: String| ChainError::NoFactory { reason };
    if client.transactions_of(FACTORY_SIGNER).await? > 0 {
        return Err(refused(
            "its signer's only transaction was used for something else".to_owned(),
        ));
    }
    let sent = client.provider().send_raw_transaction(&FACTORY_TRANSACTION).await;
    if let Err(error) = sent
        && let ChainError::Refused { message, .. } = client.transport(error)
        && !message.contains("already")
    {
        return Err(refused(message));
    }
    let receipt = client.wait_for(keccak256(&FACTORY_TRANSACTION)).await?;
    if receipt.status() {
        Ok(())
    } else {
        Err(refused("its creation failed in its block".to_owned()))
    }
}

/// Makes the Deployer.
pub(super) async fn make_deployer(
    client: &ChainClient,
    owner: Address,
    salt_text: &str,
    nonce: u64,
) -> Result<(), ChainError> {
    let data = [salt(salt_text).as_slice(), &deployer_code(owner)].concat();
    let request = TransactionRequest::default()
        .with_to(FACTORY)
        .with_input(data)
        .with_nonce(nonce);
    client.send(request).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factory_is_where_its_transaction_puts_it() {
        assert_eq!(FACTORY_SIGNER.create(0), FACTORY);
        let code = FACTORY_CODE.as_ref();
        assert!(FACTORY_TRANSACTION.windows(code.len()).any(|part| part == code));
    }

    #[test]
    fn owner_and_salt_make_the_address() {
        let (anna, bert) = (Address::repeat_byte(1), Address::repeat_byte(2));
        assert_eq!(deployer_address(anna, ""), deployer_address(anna, ""));
        assert_ne!(deployer_address(anna, ""), deployer_address(bert, ""));
        assert_ne!(deployer_address(anna, ""), deployer_address(anna, "second"));
    }
}
