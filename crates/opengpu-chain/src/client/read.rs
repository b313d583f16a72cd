//! What can be asked of the chain. Everything is read at the newest block.

use alloy::eips::BlockNumberOrTag;
use alloy::primitives::Bytes;
use alloy::providers::Provider as _;
use alloy::providers::ext::AnvilApi as _;
use opengpu_core::ids::{ChainId, JobId, NodeId, Sha256Digest};
use opengpu_core::job::{JobHash, JobState, UsdRate};
use opengpu_core::money::{Amount, Shares};
use opengpu_core::order::Order;
use opengpu_core::sign::Signature;
use opengpu_core::{Address, B256, U256};

use super::ChainClient;
use crate::bindings::ContractWallet;
use crate::convert::{self, amount, malformed, small};
use crate::error::ChainError;
use crate::network::TokenInfo;

/// `isValidSignature`'s answer for a valid one (ERC-1271).
const ERC1271_VALID: [u8; 4] = [0x16, 0x26, 0xba, 0x7e];
/// Gas an ERC-1271 wallet gets to answer: what `Signatures.sol` gives it, less the call's own cost, so that nothing passes here that a match
/// would refuse.
const ERC1271_GAS: u64 = 250_000;

/// A block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockRef {
    /// Its height.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// Its parent's hash.
    pub parent: B256,
    /// Unix second on the chain's clock.
    pub timestamp: u64,
}

/// What a job's storage slot says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobOnChain {
    /// Where it stands.
    pub state: JobState,
    /// 0 before the first match, then 1..4.
    pub attempt: u8,
    /// Unix second at which the state was entered.
    pub entered_at: u64,
    /// Of its terms and progress; once closed, of those it ended with. See [`opengpu_core::job::Terms::hash_with`].
    pub hash: JobHash,
}

/// A token as new matches see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenOnChain {
    /// Symbol, address, decimals.
    pub info: TokenInfo,
    /// USD rate; 0 when the token is not listed.
    pub usd_rate: UsdRate,
    /// Highest escrow on a node of tier T0, base units.
    pub t0_cap: Amount,
}

/// A node as `NodeRegistry` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeOnChain {
    /// Who is paid and configures.
    pub owner: Address,
    /// The hot key it signs with; zero when there is none.
    pub operator: Address,
    /// Where its part goes.
    pub payee: Address,
    /// Highest bid, millionths of a USD per hour; 0: none allowed.
    pub list_price: u64,
    /// Takes effect at `list_price_from`.
    pub pending_list_price: u64,
    /// Unix second, 0 when none is pending.
    pub list_price_from: u64,
    /// 0..4.
    pub tier: u8,
    /// The owner wants no new match.
    pub is_draining: bool,
    /// Three unanswered faults within 24 hours.
    pub is_suspended: bool,
    /// Base units of OPEN.
    pub bond: Amount,
    /// Part of the bond that open work holds.
    pub reserved: Amount,
    /// Asked back.
    pub unbonding: Amount,
    /// Unix second at which what was asked back matures.
    pub unbonds_at: u64,
    /// sha2-256 of the hardware report.
    pub hardware_digest: Sha256Digest,
    /// 1..31 printable characters.
    pub gpu_model: String,
}

/// A node's record, which tiers are computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeRecord {
    /// Attempts matched since the node changed hands.
    pub opened: u32,
    /// Attempts closed since then.
    pub closed: u32,
    /// Ended well.
    pub successes: u32,
    /// The node's fault.
    pub fails: u32,
    /// Nobody's provable fault.
    pub neutrals: u32,
    /// Co-signed and worth at least a USD.
    pub counted: u32,
    /// Value of the counted ones, millionths of a USD.
    pub earned_usd_micros: u64,
    /// Unix second of registration or last transfer.
    pub since: u32,
}

impl ChainClient {
    /// The newest block.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`], as of every read.
    pub async fn head(&self) -> Result<BlockRef, ChainError> {
        self.block(BlockNumberOrTag::Latest)
            .await?
            .ok_or_else(|| malformed("there is no newest block"))
    }

    /// The block at a height, `None` above the head.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`].
    pub async fn block_at(&self, number: u64) -> Result<Option<BlockRef>, ChainError> {
        self.block(BlockNumberOrTag::Number(number)).await
    }

    /// Gas that an included transaction used.
    ///
    /// # Errors
    /// [`ChainError::Lost`] when the chain has no receipt of it: never included, or a reorganisation took it back;
    /// [`ChainError::Unreachable`].
    pub async fn gas_used(&self, transaction: B256) -> Result<u64, ChainError> {
        let receipt = self.provider().get_transaction_receipt(transaction).await;
        match receipt.map_err(|error| self.transport(error))? {
            Some(receipt) => Ok(receipt.gas_used),
            None => Err(ChainError::Lost { transaction }),
        }
    }

    async fn block(&self, which: BlockNumberOrTag) -> Result<Option<BlockRef>, ChainError> {
        let block = self
            .provider()
            .get_block_by_number(which)
            .await
            .map_err(|error| self.transport(error))?;
        Ok(block.map(|block| BlockRef {
            number: block.header.number,
            hash: block.header.hash,
            parent: block.header.inner.parent_hash,
            timestamp: block.header.inner.timestamp,
        }))
    }

    /// The chain's clock: the newest block's unix second.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`].
    pub async fn now(&self) -> Result<u64, ChainError> {
        Ok(self.head().await?.timestamp)
    }

    /// Moves a local chain's clock forward by some seconds and mines a block there; returns the new time.
    ///
    /// # Errors
    /// [`ChainError::WrongChain`] anywhere but on a local chain.
    pub async fn advance_time(&self, seconds: u64) -> Result<u64, ChainError> {
        let found = self.network().chain_id;
        if found != ChainId::LOCAL {
            return Err(ChainError::WrongChain {
                expected: ChainId::LOCAL,
                found,
            });
        }
        self.provider()
            .anvil_increase_time(seconds)
            .await
            .map_err(|error| self.transport(error))?;
        self.provider()
            .anvil_mine(Some(1), None)
            .await
            .map_err(|error| self.transport(error))?;
        self.now().await
    }

    /// Where a job stands.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`].
    pub async fn job(&self, job: JobId) -> Result<JobOnChain, ChainError> {
        let slot = self
            .cloudverse()
            .jobOf(job.0)
            .call()
            .await
            .map_err(|error| self.call_error(error))?;
        Ok(JobOnChain {
            state: convert::state(slot.state)?,
            attempt: slot.attempt,
            entered_at: small(slot.time),
            hash: JobHash(slot.hash.0),
        })
    }

    /// Credits of an account that are not locked.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`].
    pub async fn credits(&self, account: Address, token: Address) -> Result<Amount, ChainError> {
        let credits = self.cloudverse().credits(account, token).call().await;
        credits.map(amount).map_err(|error| self.call_error(error))
    }

    /// Tokens an account holds outside the wallet.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`].
    pub async fn token_balance(&self, account: Address, token: Address) -> Result<Amount, ChainError> {
        let balance = self.erc20(token).balanceOf(account).call().await;
        balance.map(amount).map_err(|error| self.call_error(error))
    }

    /// Tokens `spender` may take from `owner`.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`].
    pub async fn allowance(&self, owner: Address, spender: Address, token: Address) -> Result<Amount, ChainError> {
        let allowance = self.erc20(token).allowance(owner, spender).call().await;
        allowance.map(amount).map_err(|error| self.call_error(error))
    }

    /// A token's symbol, decimals and listing.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`], [`ChainError::Malformed`] when there is no ERC-20 at the address.
    pub async fn token(&self, address: Address) -> Result<TokenOnChain, ChainError> {
        let token = self.erc20(address);
        let symbol = token.symbol().call().await.map_err(|error| self.call_error(error))?;
        let decimals = token.decimals().call().await.map_err(|error| self.call_error(error))?;
        let listing = self
            .cloudverse()
            .listingOf(address)
            .call()
            .await
            .map_err(|error| self.call_error(error))?;
        Ok(TokenOnChain {
            info: TokenInfo {
                symbol,
                address,
                decimals,
            },
            usd_rate: UsdRate(listing.usdRate.saturating_to()),
            t0_cap: Amount(listing.t0Cap),
        })
    }

    /// A node.
    ///
    /// # Errors
    /// [`ChainError::Reverted`] with `ERC721NonexistentToken` when there is none.
    pub async fn node(&self, node: NodeId) -> Result<NodeOnChain, ChainError> {
        let found = self
            .registry()
            .nodeOf(node.0)
            .call()
            .await
            .map_err(|error| self.call_error(error))?;
        Ok(NodeOnChain {
            owner: found.owner,
            operator: found.operator,
            payee: found.payee,
            list_price: found.listPrice,
            pending_list_price: found.pendingListPrice,
            list_price_from: found.listPriceFrom,
            tier: found.tier,
            is_draining: found.isDraining,
            is_suspended: found.isSuspended,
            bond: Amount(found.bond),
            reserved: Amount(found.reserved),
            unbonding: Amount(found.unbonding),
            unbonds_at: found.unbondsAt,
            hardware_digest: Sha256Digest(found.hardwareDigest),
            gpu_model: found.gpuModel,
        })
    }

    /// A node's record.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`].
    pub async fn node_record(&self, node: NodeId) -> Result<NodeRecord, ChainError> {
        let stats = self
            .registry()
            .statsOf(node.0)
            .call()
            .await
            .map_err(|error| self.call_error(error))?;
        Ok(NodeRecord {
            opened: stats.opened,
            closed: stats.closed,
            successes: stats.successes,
            fails: stats.fails,
            neutrals: stats.neutrals,
            counted: stats.counted,
            earned_usd_micros: stats.earnedUsdMicros,
            since: stats.since,
        })
    }

    /// Base units of OPEN that one unit of a node's bond is at its list price; 0 while OPEN has no rate.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`].
    pub async fn bond_unit(&self, node: NodeId) -> Result<Amount, ChainError> {
        let unit = self.registry().bondUnitOf(node.0).call().await;
        unit.map(amount).map_err(|error| self.call_error(error))
    }

    /// How many nodes were registered; their ids are 1 to this.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`].
    pub async fn node_count(&self) -> Result<u64, ChainError> {
        let count = self.registry().nodeCount().call().await;
        count.map(small).map_err(|error| self.call_error(error))
    }

    /// The newest node whose operator is `operator` now.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`].
    pub async fn node_of_operator(&self, operator: Address) -> Result<Option<NodeId>, ChainError> {
        for id in (1..=self.node_count().await?).rev() {
            let node = NodeId(U256::from(id));
            if self.node(node).await?.operator == operator {
                return Ok(Some(node));
            }
        }
        Ok(None)
    }

    /// The fee shares a match made now would fix, without the payer's discount and the node's bonus: those follow tiers that nobody has
    /// before the staking contract exists.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`].
    pub async fn shares_now(&self) -> Result<Shares, ChainError> {
        let fees = self
            .cloudverse()
            .fees()
            .call()
            .await
            .map_err(|error| self.call_error(error))?;
        Ok(Shares {
            stakers_bps: fees.stakersBps,
            treasury_bps: fees.treasuryBps,
            discount_bps: 0,
            bonus_bps: 0,
        })
    }

    /// How long a fault report may be answered, seconds.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`].
    pub async fn response_window_seconds(&self) -> Result<u64, ChainError> {
        let window = self.cloudverse().responseWindowSeconds().call().await;
        window.map(small).map_err(|error| self.call_error(error))
    }

    /// The chain's native coin an account has, wei: what pays for gas.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`].
    pub async fn gas_balance(&self, account: Address) -> Result<U256, ChainError> {
        self.provider()
            .get_balance(account)
            .await
            .map_err(|error| self.transport(error))
    }

    /// How many transactions of an account are in blocks.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`].
    pub async fn transactions_of(&self, account: Address) -> Result<u64, ChainError> {
        self.provider()
            .get_transaction_count(account)
            .await
            .map_err(|error| self.transport(error))
    }

    /// Whether a match would accept this signature of the order: by the payer's key, by its ERC-1271 wallet, or by its budget's key.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`].
    pub async fn is_order_signature_valid(&self, order: &Order, signature: &[u8]) -> Result<bool, ChainError> {
        let job = order.job_id(self.domain());
        if self.is_by_account(order.payer, job.0, signature).await? {
            return Ok(true);
        }
        match self.budget_key(order.budget, order.payer).await? {
            Some(key) => self.is_by_account(key, job.0, signature).await,
            None => Ok(false),
        }
    }

    async fn is_by_account(&self, account: Address, digest: B256, signature: &[u8]) -> Result<bool, ChainError> {
        let as_key = alloy::hex::encode_prefixed(signature).parse::<Signature>();
        if as_key.is_ok_and(|signature| signature.is_by(account, digest)) {
            return Ok(true);
        }
        let code = self
            .provider()
            .get_code_at(account)
            .await
            .map_err(|error| self.transport(error))?;
        if code.is_empty() {
            return Ok(false);
        }
        let wallet = ContractWallet::new(account, self.provider().clone());
        let answer = wallet
            .isValidSignature(digest, Bytes::copy_from_slice(signature))
            .gas(ERC1271_GAS)
            .call()
            .await;
        match answer.map_err(|error| self.call_error(error)) {
            Ok(answer) => Ok(answer.0 == ERC1271_VALID),
            Err(error) if error.is_retryable() => Err(error),
            Err(_) => Ok(false),
        }
    }
}
