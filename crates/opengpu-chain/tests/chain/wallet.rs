//! Deployment, deposits, withdrawals and what refusals look like.

use opengpu_chain::keys;
use opengpu_chain::{ChainClient, ChainError, DeployConfig, Network, Remedy, deploy};
use opengpu_core::Address;
use opengpu_core::ids::ChainId;
use opengpu_core::job::UsdRate;
use opengpu_core::money::Amount;

use crate::support::{USDC, World, key};

#[tokio::test]
async fn a_deployment_reads_back_with_its_tokens_listed() {
    let world = World::start().await;
    let usdc = world.payer.token(world.usdc).await.unwrap();
    assert_eq!(
        (usdc.info.symbol.as_str(), usdc.info.decimals, usdc.t0_cap),
        ("USDC", 6, Amount(5 * USDC))
    );
    assert_eq!(usdc.usd_rate, UsdRate(10u128.pow(24)));
    let shares = world.payer.shares_now().await.unwrap();
    assert_eq!((shares.stakers_bps, shares.treasury_bps), (1_200, 500));
    let node = world.payer.node(world.node).await.unwrap();
    assert_eq!(
        (node.owner, node.operator, node.payee),
        (key(2).address(), key(3).address(), key(2).address())
    );
    assert_eq!(
        (node.list_price, node.tier, node.gpu_model.as_str()),
        (10_000_000, 0, "CPU only")
    );
    assert_eq!(
        world.payer.node_of_operator(key(3).address()).await.unwrap(),
        Some(world.node)
    );
    assert_eq!(world.payer.node_of_operator(key(9).address()).await.unwrap(), None);
    assert_eq!(world.payer.response_window_seconds().await.unwrap(), 15);
}

#[tokio::test]
async fn a_deposit_by_permit_is_one_transaction_and_a_plain_one_two() {
    let world = World::start().await;
    let account = key(1).address();
    let nonce = || async { world.payer.transactions_of(account).await.unwrap() };
    let before = nonce().await;
    world.payer.deposit(world.usdc, Amount(3 * USDC)).await.unwrap();
    assert_eq!(nonce().await - before, 1);
    world
        .payer
        .deposit_with_allowance(world.usdc, Amount(4 * USDC))
        .await
        .unwrap();
    assert_eq!(nonce().await - before, 3);
    world
        .payer
        .deposit_for(key(9).address(), world.usdc, Amount(USDC))
        .await
        .unwrap();
    assert_eq!((world.credits(1).await, world.credits(9).await), (7 * USDC, USDC));
    let held = world.payer.token_balance(account, world.usdc).await.unwrap();
    assert_eq!(held, Amount(992 * USDC));
    world
        .payer
        .withdraw(world.usdc, Amount(2 * USDC), key(8).address())
        .await
        .unwrap();
    assert_eq!(world.credits(1).await, 5 * USDC);
    assert_eq!(
        world.payer.token_balance(key(8).address(), world.usdc).await.unwrap(),
        Amount(2 * USDC)
    );
}

#[tokio::test]
async fn refusals_say_in_words_what_is_missing() {
    let world = World::start().await;
    let error = world
        .payer
        .withdraw(world.usdc, Amount(5), key(1).address())
        .await
        .unwrap_err();
    assert!(error.is_revert("CloudWallet_CreditsTooLow"), "{error}");
    let text = error.to_string();
    assert!(
        text.ends_with(" has 0 USDC in credits, 0.000005 USDC were asked"),
        "{text}"
    );
    assert_eq!(
        (error.remedy(), error.revert().unwrap().value("asked")),
        (Remedy::GiveUp, Some("5"))
    );

    // A token's own refusal names no token: the call does.
    let (payer, too_much) = (&world.payer, Amount(1_000_500_000));
    let open = Amount(1_500_000_000_000_000_000);
    let refused = [
        payer.deposit(world.usdc, too_much).await,
        payer.deposit_with_allowance(world.usdc, too_much).await,
        payer.deposit_for(key(9).address(), world.usdc, too_much).await,
        payer.transfer_token(world.usdc, key(9).address(), too_much).await,
        payer.stake(open, 14).await,
        payer.bond(world.node, open).await,
    ];
    let texts = refused.map(|sent| sent.unwrap_err().to_string());
    let (usdc_ends, open_ends) = (
        "has 1000 USDC, 1000.5 USDC are needed",
        "has 0 OPEN, 1.5 OPEN are needed",
    );
    let ends = [usdc_ends, usdc_ends, usdc_ends, usdc_ends, open_ends, open_ends];
    for (text, end) in texts.iter().zip(ends) {
        assert!(text.ends_with(end), "{text}");
    }

    let unlisted = world.network.contracts.cloudverse;
    let error = world.payer.deposit(unlisted, Amount(5)).await.unwrap_err();
    assert!(!error.is_retryable(), "{error}");

    let stranger = world.governance.with_key(Some(keys::generate())).unwrap();
    let error = stranger
        .mint_test_stablecoin(world.usdc, key(1).address(), Amount(1))
        .await
        .unwrap_err();
    assert!(matches!(error, ChainError::InsufficientGas { .. }), "{error:?}");
    assert_eq!(error.remedy(), Remedy::AskUser);

    let nobody = world.governance.with_key(None).unwrap();
    let error = nobody.deposit(world.usdc, Amount(5)).await.unwrap_err();
    assert!(matches!(error, ChainError::NoKey), "{error:?}");
}

#[tokio::test]
async fn a_network_file_of_another_chain_is_refused() {
    let world = World::start().await;
    let mut elsewhere = world.network.clone();
    elsewhere.chain_id = ChainId(10);
    let error = ChainClient::connect(&elsewhere, None).await.unwrap_err();
    assert!(
        matches!(
            error,
            ChainError::WrongChain {
                found: ChainId::LOCAL,
                ..
            }
        ),
        "{error:?}"
    );

    let nowhere = Address::repeat_byte(7);
    for missing in CONTRACTS {
        let error = ChainClient::connect(&with(&world.network, missing, nowhere), None)
            .await
            .unwrap_err();
        assert!(
            matches!(error, ChainError::NoContract { contract, address } if contract == missing && address == nowhere),
            "{missing}: {error:?}"
        );
    }

    let mut down = world.network.clone();
    down.rpc_url = "http://user:secret@127.0.0.1:1/path-with-key".to_owned();
    let error = ChainClient::connect(&down, None).await.unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
    let shown = format!("{error} {error:?} {:?}", error.hint());
    assert!(
        shown.contains("127.0.0.1:1") && !shown.contains("secret") && !shown.contains("path-with-key"),
        "{shown}"
    );
}

const CONTRACTS: [&str; 5] = ["Cloudverse", "NodeRegistry", "OpenToken", "Staking", "Incentives"];

/// The network with another address for one of its contracts.
fn with(network: &Network, contract: &str, address: Address) -> Network {
    let mut changed = network.clone();
    let contracts = &mut changed.contracts;
    match contract {
        "Cloudverse" => contracts.cloudverse = address,
        "NodeRegistry" => contracts.node_registry = address,
        "OpenToken" => contracts.open_token = address,
        "Staking" => contracts.staking = Some(address),
        _ => contracts.incentives = Some(address),
    }
    changed
}

#[tokio::test]
async fn a_network_file_that_names_one_contract_for_another_is_refused() {
    let world = World::start().await;
    let contracts = &world.network.contracts;
    let others = [
        contracts.cloudverse,
        contracts.node_registry,
        contracts.open_token,
        contracts.staking.unwrap(),
        contracts.incentives.unwrap(),
        world.usdc,
    ];
    for (index, wrong) in CONTRACTS.into_iter().enumerate() {
        for (_, other) in others.iter().enumerate().filter(|(at, _)| *at != index) {
            let error = ChainClient::connect(&with(&world.network, wrong, *other), None)
                .await
                .unwrap_err();
            assert!(matches!(error, ChainError::WrongContract { .. }), "{wrong}: {error:?}");
            assert_eq!(error.remedy(), Remedy::AskUser);
            assert!(
                error.to_string().contains(&other.to_string()),
                "the error names the address the file has: {error}"
            );
        }
    }
}

/// A second deployment on the same chain: its contracts answer, but belong to others.
#[tokio::test]
async fn a_network_file_that_mixes_two_deployments_is_refused() {
    let world = World::start().await;
    let again = DeployConfig {
        salt: "second".to_owned(),
        ..DeployConfig::local(&world.network.rpc_url)
    };
    let second = deploy(&again, key(0)).await.unwrap();
    for mixed in CONTRACTS.into_iter().filter(|contract| *contract != "Incentives") {
        let of_second = match mixed {
            "Cloudverse" => second.contracts.cloudverse,
            "NodeRegistry" => second.contracts.node_registry,
            "OpenToken" => second.contracts.open_token,
            _ => second.contracts.staking.unwrap(),
        };
        let error = ChainClient::connect(&with(&world.network, mixed, of_second), None)
            .await
            .unwrap_err();
        assert!(matches!(error, ChainError::WrongContract { .. }), "{mixed}: {error:?}");
    }
}

#[tokio::test]
async fn clones_of_one_client_send_at_the_same_time_without_losing_a_nonce() {
    let world = World::start().await;
    let sends = (0..8).map(|_| {
        let client = world.payer.clone();
        let usdc = world.usdc;
        tokio::spawn(async move { client.mint_test_stablecoin(usdc, key(7).address(), Amount(1)).await })
    });
    for send in sends.collect::<Vec<_>>() {
        send.await.unwrap().unwrap();
    }
    assert_eq!(
        world.payer.token_balance(key(7).address(), world.usdc).await.unwrap(),
        Amount(8)
    );
}

#[tokio::test]
async fn a_draining_node_takes_no_match_until_its_owner_resumes_it() {
    let world = World::start().await;
    world.payer.deposit(world.usdc, Amount(USDC)).await.unwrap();
    let order = world.order(9).await;
    let bid = world.bid(&order, world.node, &key(3)).await;
    let error = world.operator.drain(world.node).await.unwrap_err();
    assert!(
        error.is_revert("NodeRegistry_NotAllowed"),
        "only the owner drains: {error}"
    );
    world.owner.drain(world.node).await.unwrap();
    assert!(world.owner.node(world.node).await.unwrap().is_draining);
    let error = world.payer.match_order(&order, &[], &bid).await.unwrap_err();
    assert!(
        error.is_revert("NodeRegistry_NotMatchable") && error.to_string().contains("draining: yes"),
        "{error}"
    );
    world.owner.resume(world.node).await.unwrap();
    world.payer.match_order(&order, &[], &bid).await.unwrap();
    assert_eq!(world.owner.node_record(world.node).await.unwrap().opened, 1);
}

#[tokio::test]
async fn a_bond_is_allowed_put_behind_the_node_and_asked_back() {
    let world = World::start().await;
    let open = world.network.contracts.open_token;
    let amount = Amount(5_000 * 10u128.pow(18));
    world
        .governance
        .transfer_token(open, key(2).address(), amount)
        .await
        .unwrap();
    world.owner.bond(world.node, amount).await.unwrap();
    assert_eq!(world.owner.node(world.node).await.unwrap().bond, amount);
    let error = world
        .owner
        .request_unbond(world.node, Amount(amount.0 + 1))
        .await
        .unwrap_err();
    assert!(error.is_revert("NodeRegistry_BondTooLow"), "{error}");
    world.owner.request_unbond(world.node, Amount(1)).await.unwrap();
    let error = world
        .owner
        .withdraw_unbonded(world.node, key(2).address())
        .await
        .unwrap_err();
    assert!(error.is_revert("NodeRegistry_UnbondNotMature"), "{error}");
    world.owner.advance_time(21 * 86_400).await.unwrap();
    world
        .owner
        .withdraw_unbonded(world.node, key(2).address())
        .await
        .unwrap();
    assert_eq!(
        world.owner.token_balance(key(2).address(), open).await.unwrap(),
        Amount(1)
    );
}
