//! The contracts of a deployment, in the order they are made.

use alloy::primitives::Bytes;
use alloy::sol_types::SolConstructor as _;
use opengpu_core::ids::ChainId;
use opengpu_core::{Address, U256};

use super::DeployConfig;
use crate::bindings::{Cloudverse, Incentives, JobRecovery, NodeRegistry, OpenToken, Staking, TestStablecoin};

/// One contract that the Deployer makes.
pub(super) struct Row {
    /// Its name in `contracts/src`.
    pub(super) name: &'static str,
    /// Whether this deployment has it.
    pub(super) is_wanted: fn(&DeployConfig) -> bool,
    /// Creation code.
    pub(super) bytecode: &'static Bytes,
    /// What the chain has afterwards, with zeros for immutable values.
    pub(super) runtime: &'static Bytes,
    /// The constructor's arguments, encoded.
    pub(super) arguments: fn(&DeployConfig, &Places) -> Vec<u8>,
}

/// All there are. A contract's address follows from its place among those wanted, so the order never changes and new ones come last:
///
/// OpenToken, [TestStablecoin on 31337], NodeRegistry, Staking, JobRecovery, Cloudverse, Incentives
pub(super) static ROWS: [Row; 7] = [
    Row {
        name: "OpenToken",
        is_wanted: |_| true,
        bytecode: &OpenToken::BYTECODE,
        runtime: &OpenToken::DEPLOYED_BYTECODE,
        arguments: |config, _| open_token(config),
    },
    Row {
        name: "TestStablecoin",
        is_wanted: |config| config.chain_id == ChainId::LOCAL,
        bytecode: &TestStablecoin::BYTECODE,
        runtime: &TestStablecoin::DEPLOYED_BYTECODE,
        arguments: |_, _| Vec::new(),
    },
    Row {
        name: "NodeRegistry",
        is_wanted: |_| true,
        bytecode: &NodeRegistry::BYTECODE,
        runtime: &NodeRegistry::DEPLOYED_BYTECODE,
        arguments: |config, places| {
            let call = NodeRegistry::constructorCall {
                openToken_: places.of("OpenToken"),
                cloudverse_: places.of("Cloudverse"),
                governance_: config.governance,
            };
            call.abi_encode()
        },
    },
    Row {
        name: "Staking",
        is_wanted: |_| true,
        bytecode: &Staking::BYTECODE,
        runtime: &Staking::DEPLOYED_BYTECODE,
        arguments: |_, places| {
            let call = Staking::constructorCall {
                openToken_: places.of("OpenToken"),
                cloudverse_: places.of("Cloudverse"),
            };
            call.abi_encode()
        },
    },
    Row {
        name: "JobRecovery",
        is_wanted: |_| true,
        bytecode: &JobRecovery::BYTECODE,
        runtime: &JobRecovery::DEPLOYED_BYTECODE,
        arguments: |config, places| {
            let call = JobRecovery::constructorCall {
                openToken_: places.of("OpenToken"),
                nodeRegistry_: places.of("NodeRegistry"),
                governance_: config.governance,
                staking_: places.of("Staking"),
                disputes_: Address::ZERO,
                responseWindowSeconds_: U256::from(config.response_window_seconds),
            };
            call.abi_encode()
        },
    },
    Row {
        name: "Cloudverse",
        is_wanted: |_| true,
        bytecode: &Cloudverse::BYTECODE,
        runtime: &Cloudverse::DEPLOYED_BYTECODE,
        arguments: |config, places| {
            let call = Cloudverse::constructorCall {
                openToken_: places.of("OpenToken"),
                nodeRegistry_: places.of("NodeRegistry"),
                governance_: config.governance,
                staking_: places.of("Staking"),
                disputes_: Address::ZERO,
                responseWindowSeconds_: U256::from(config.response_window_seconds),
                recovery_: places.of("JobRecovery"),
            };
            call.abi_encode()
        },
    },
    Row {
        name: "Incentives",
        is_wanted: |_| true,
        bytecode: &Incentives::BYTECODE,
        runtime: &Incentives::DEPLOYED_BYTECODE,
        arguments: |config, places| {
            let call = Incentives::constructorCall {
                openToken_: places.of("OpenToken"),
                cloudverse_: places.of("Cloudverse"),
                governance_: config.governance,
            };
            call.abi_encode()
        },
    },
];

fn open_token(config: &DeployConfig) -> Vec<u8> {
    let allocations = config.allocations.iter().map(|allocation| OpenToken::Allocation {
        to: allocation.to,
        amount: U256::from(allocation.amount.0),
    });
    OpenToken::constructorCall {
        allocations: allocations.collect(),
    }
    .abi_encode()
}

/// Where each contract is or will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Places(Vec<(&'static str, Address)>);

impl Places {
    /// The Deployer's children: the first has nonce 1.
    pub(super) fn below(deployer: Address, config: &DeployConfig) -> Self {
        let wanted = ROWS.iter().filter(|row| (row.is_wanted)(config));
        Self(
            wanted
                .zip(1..)
                .map(|(row, nonce)| (row.name, deployer.create(nonce)))
                .collect(),
        )
    }

    /// A contract's address; zero when this deployment has none.
    pub(super) fn of(&self, name: &str) -> Address {
        self.find(name).unwrap_or(Address::ZERO)
    }

    /// A contract's address.
    pub(super) fn find(&self, name: &str) -> Option<Address> {
        self.0
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, address)| *address)
    }

    /// All, in order.
    pub(super) fn all(&self) -> &[(&'static str, Address)] {
        &self.0
    }
}

/// Whether code on a chain is what the compiler made, whatever the constructor put into the places of immutable values. Those are
/// operands of `PUSH32` that the compiler leaves zero.
pub(super) fn is_same_code(found: &[u8], compiled: &[u8]) -> bool {
    const PUSH1: u8 = 0x60;
    const PUSH32: u8 = 0x7f;
    if found.len() != compiled.len() {
        return false;
    }
    let mut at = 0;
    while at < compiled.len() {
        if found[at] != compiled[at] {
            return false;
        }
        let operand = match compiled[at] {
            code @ PUSH1..=PUSH32 => usize::from(code - PUSH1) + 1,
            _ => 0,
        };
        let end = (at + 1 + operand).min(compiled.len());
        let is_immutable = operand == 32 && compiled[at + 1..end].iter().all(|byte| *byte == 0);
        if !is_immutable && found[at + 1..end] != compiled[at + 1..end] {
            return false;
        }
        at = end;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// EIP-170.
    const LARGEST: usize = 24_576;

    #[test]
    fn every_contract_fits_on_a_chain() {
        for row in &ROWS {
            assert!(!row.runtime.is_empty() && row.runtime.len() < LARGEST, "{}", row.name);
        }
    }

    #[test]
    fn only_immutable_values_may_differ() {
        let compiled = [&[0x7f][..], &[0; 32], &[0x60, 0x00, 0x55]].concat();
        let mut found = compiled.clone();
        found[5] = 9;
        assert!(is_same_code(&found, &compiled));
        found[34] = 1;
        assert!(!is_same_code(&found, &compiled), "a PUSH1 is no immutable value");
        assert!(!is_same_code(&compiled[1..], &compiled));
        assert!(!is_same_code(&[], &compiled));
    }

    #[test]
    fn the_order_never_changes() {
        let config = DeployConfig::local("http://127.0.0.1:1");
        let names = |config: &DeployConfig| {
            let places = Places::below(Address::repeat_byte(1), config);
            places.all().iter().map(|(name, _)| *name).collect::<Vec<_>>()
        };
        let first = [
            "OpenToken",
            "TestStablecoin",
            "NodeRegistry",
            "Staking",
            "JobRecovery",
            "Cloudverse",
            "Incentives",
        ];
        assert_eq!(names(&config), first);
        let elsewhere = DeployConfig {
            chain_id: ChainId(1),
            ..config
        };
        assert_eq!(
            names(&elsewhere),
            [
                "OpenToken",
                "NodeRegistry",
                "Staking",
                "JobRecovery",
                "Cloudverse",
                "Incentives"
            ]
        );
    }
}
