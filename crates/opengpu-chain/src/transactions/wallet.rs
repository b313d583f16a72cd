//! Deposits and withdrawals.

use alloy::primitives::{FixedBytes, U256, keccak256};
use alloy::sol_types::SolStruct as _;
use opengpu_core::money::Amount;
use opengpu_core::{Address, B256};

use super::Sent;
use crate::bindings::{Permit, TestStablecoin};
use crate::client::ChainClient;
use crate::error::ChainError;

/// A permit is used within seconds; an hour forgives a chain whose clock is ahead.
const PERMIT_SECONDS: u64 = 3_600;

impl ChainClient {
    /// Turns the sender's tokens into its credits, in one transaction where the token has ERC-2612 permits or the allowance is there
    /// already, else in two.
    ///
    /// # Errors
    /// [`ChainError::Reverted`]: `CloudWallet_TokenNotListed`, `ERC20InsufficientBalance`, …
    pub async fn deposit(&self, token: Address, amount: Amount) -> Result<Sent, ChainError> {
        let sender = self.sender()?.key.address();
        if self
            .allowance(sender, self.network().contracts.cloudverse, token)
            .await?
            < amount
            && let Some(permit) = self.permit(token, amount).await?
        {
            let request = self
                .cloudverse()
                .depositWithPermit(
                    token,
                    U256::from(amount.0),
                    permit.deadline,
                    permit.v,
                    permit.r,
                    permit.s,
                )
                .into_transaction_request();
            return self.send(request).await.map_err(self.about_token(token));
        }
        self.deposit_with_allowance(token, amount).await
    }

    /// Turns the sender's tokens into its credits by `approve` (unless enough is allowed) and `deposit`.
    ///
    /// # Errors
    /// As [`ChainClient::deposit`].
    pub async fn deposit_with_allowance(&self, token: Address, amount: Amount) -> Result<Sent, ChainError> {
        self.allow(token, self.network().contracts.cloudverse, amount).await?;
        self.send(
            self.cloudverse()
                .deposit(token, U256::from(amount.0))
                .into_transaction_request(),
        )
        .await
        .map_err(self.about_token(token))
    }

    /// Turns the sender's tokens into credits of `account`.
    ///
    /// # Errors
    /// As [`ChainClient::deposit`].
    pub async fn deposit_for(&self, account: Address, token: Address, amount: Amount) -> Result<Sent, ChainError> {
        self.allow(token, self.network().contracts.cloudverse, amount).await?;
        self.send(
            self.cloudverse()
                .depositFor(account, token, U256::from(amount.0))
                .into_transaction_request(),
        )
        .await
        .map_err(self.about_token(token))
    }

    /// Turns the sender's credits into tokens of `to`.
    ///
    /// # Errors
    /// [`ChainError::Reverted`]: `CloudWallet_CreditsTooLow`.
    pub async fn withdraw(&self, token: Address, amount: Amount, to: Address) -> Result<Sent, ChainError> {
        self.send(
            self.cloudverse()
                .withdraw(token, U256::from(amount.0), to)
                .into_transaction_request(),
        )
        .await
    }

    /// Sends tokens held outside the wallet.
    ///
    /// # Errors
    /// [`ChainError::Reverted`]: `ERC20InsufficientBalance`.
    pub async fn transfer_token(&self, token: Address, to: Address, amount: Amount) -> Result<Sent, ChainError> {
        self.send(
            self.erc20(token)
                .transfer(to, U256::from(amount.0))
                .into_transaction_request(),
        )
        .await
        .map_err(self.about_token(token))
    }

    /// Mints test stablecoins; anyone may, on a local chain only.
    ///
    /// # Errors
    /// [`ChainError::Reverted`] when `token` is not the test stablecoin.
    pub async fn mint_test_stablecoin(&self, token: Address, to: Address, amount: Amount) -> Result<Sent, ChainError> {
        let stablecoin = TestStablecoin::new(token, self.provider().clone());
        self.send(stablecoin.mint(to, U256::from(amount.0)).into_transaction_request())
            .await
    }

    /// Lets `spender` take `amount` of the sender's tokens, unless it may already.
    pub(crate) async fn allow(&self, token: Address, spender: Address, amount: Amount) -> Result<(), ChainError> {
        let sender = self.sender()?.key.address();
        if self.allowance(sender, spender, token).await? < amount {
            self.send(
                self.erc20(token)
                    .approve(spender, U256::from(amount.0))
                    .into_transaction_request(),
            )
            .await?;
        }
        Ok(())
    }

    /// An ERC-2612 permit for `Cloudverse`, `None` when the token has none.
    async fn permit(&self, token: Address, amount: Amount) -> Result<Option<SignedPermit>, ChainError> {
        let key = &self.sender()?.key;
        let erc20 = self.erc20(token);
        let nonce = erc20
            .nonces(key.address())
            .call()
            .await
            .map_err(|error| self.call_error(error));
        let separator = erc20
            .DOMAIN_SEPARATOR()
            .call()
            .await
            .map_err(|error| self.call_error(error));
        let (nonce, separator) = match (nonce, separator) {
            (Ok(nonce), Ok(separator)) => (nonce, separator),
            (Err(error), _) | (_, Err(error)) if error.is_retryable() => return Err(error),
            _ => return Ok(None),
        };
        let deadline = U256::from(self.now().await? + PERMIT_SECONDS);
        let permit = Permit {
            owner: key.address(),
            spender: self.network().contracts.cloudverse,
            value: U256::from(amount.0),
            nonce,
            deadline,
        };
        let digest = keccak256(
            [
                &[0x19, 0x01],
                separator.as_slice(),
                permit.eip712_hash_struct().as_slice(),
            ]
            .concat(),
        );
        let [r, s] = split(key.sign(digest).0);
        let v = 27 + (s[0] >> 7);
        let s = s & !PARITY_BIT;
        Ok(Some(SignedPermit { deadline, v, r, s }))
    }
}

/// Where EIP-2098 keeps the parity.
const PARITY_BIT: FixedBytes<32> = {
    let mut bytes = [0u8; 32];
    bytes[0] = 0x80;
    FixedBytes(bytes)
};

struct SignedPermit {
    deadline: U256,
    v: u8,
    r: B256,
    s: B256,
}

fn split(signature: [u8; 64]) -> [B256; 2] {
    [B256::from_slice(&signature[..32]), B256::from_slice(&signature[32..])]
}
