//! The follower across reorganisations, a chain that comes back younger, and an endpoint that is down.

use std::time::Duration;

use alloy::providers::ProviderBuilder;
use alloy::providers::ext::AnvilApi as _;
use alloy::rpc::types::anvil::ReorgOptions;
use opengpu_chain::devnet::{Devnet, DevnetConfig};
use opengpu_chain::{ChainClient, Follower};
use opengpu_core::money::Amount;

use crate::support::{Ledger, USDC, World, key};

fn follower(client: &ChainClient) -> Follower {
    Follower::new(client.clone(), None).every(Duration::from_millis(20))
}

/// Follows until the newest block is handed out; how high that is.
async fn catch_up(follower: &mut Follower, ledger: &mut Ledger) -> u64 {
    loop {
        let batch = follower.next().await.unwrap();
        let (at, head) = (batch.cursor.block, batch.head.number);
        ledger.apply(batch);
        if at == head {
            return at;
        }
    }
}

#[tokio::test]
async fn every_event_is_handed_out_once_and_in_order() {
    let world = World::start().await;
    let mut follower = follower(&world.payer);
    let mut ledger = Ledger::default();
    catch_up(&mut follower, &mut ledger).await;
    let (_, job) = world.matched(1).await;
    let record = world.record(job).await;
    world.payer.advance_time(100).await.unwrap();
    world
        .agent
        .settle(&record.terms, &record.progress, &world.approved(job, 50_000))
        .await
        .unwrap();
    let at = catch_up(&mut follower, &mut ledger).await;
    ledger.assert_equals_a_fresh_read(&world.payer, at).await;
    let names = ledger.names();
    assert_eq!(names[names.len() - 3..], ["Deposited", "Matched", "Settled"]);
    assert!(ledger.rollbacks.is_empty());
}

#[tokio::test]
async fn a_reorg_takes_back_what_it_undid_at_any_depth_to_64() {
    let world = World::start().await;
    let mut follower = follower(&world.payer);
    let mut ledger = Ledger::default();
    let provider = ProviderBuilder::new().connect_http(world.network.rpc_url.parse().unwrap());
    for depth in [1, 2, 7, 64] {
        catch_up(&mut follower, &mut ledger).await;
        provider.anvil_mine(Some(depth), None).await.unwrap();
        catch_up(&mut follower, &mut ledger).await;
        world.payer.deposit(world.usdc, Amount(USDC)).await.unwrap();
        catch_up(&mut follower, &mut ledger).await;
        let deposits = ledger.names().iter().filter(|name| **name == "Deposited").count();
        assert_eq!(deposits, 1, "depth {depth}");

        let before = ledger.rollbacks.len();
        provider
            .anvil_reorg(ReorgOptions {
                depth,
                tx_block_pairs: Vec::new(),
            })
            .await
            .unwrap();
        let at = catch_up(&mut follower, &mut ledger).await;
        assert!(ledger.rollbacks.len() > before, "depth {depth}");
        assert_eq!(
            ledger.names().iter().filter(|name| **name == "Deposited").count(),
            0,
            "depth {depth}"
        );
        ledger.assert_equals_a_fresh_read(&world.payer, at).await;
        assert_eq!(world.credits(1).await, 0);
    }
}

#[tokio::test]
async fn a_follower_that_slept_through_a_reorg_notices_it_from_its_cursor() {
    let world = World::start().await;
    let mut follower = follower(&world.payer);
    let mut ledger = Ledger::default();
    world.payer.deposit(world.usdc, Amount(USDC)).await.unwrap();
    catch_up(&mut follower, &mut ledger).await;
    let cursor = follower.cursor();
    drop(follower);
    let provider = ProviderBuilder::new().connect_http(world.network.rpc_url.parse().unwrap());
    provider
        .anvil_reorg(ReorgOptions {
            depth: 3,
            tx_block_pairs: Vec::new(),
        })
        .await
        .unwrap();
    let mut follower = Follower::new(world.payer.clone(), cursor).every(Duration::from_millis(20));
    let at = catch_up(&mut follower, &mut ledger).await;
    assert_eq!(ledger.rollbacks.len(), 1);
    ledger.assert_equals_a_fresh_read(&world.payer, at).await;
}

#[tokio::test]
async fn a_chain_killed_right_after_a_match_forgets_it_and_takes_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::kept_in(folder.path()).await;
    let mut follower = follower(&world.payer);
    let mut ledger = Ledger::default();
    world.payer.deposit(world.usdc, Amount(10 * USDC)).await.unwrap();
    catch_up(&mut follower, &mut ledger).await;
    let kept_at = wait_for_copy(folder.path(), &world.payer).await;

    let order = world.order(1).await;
    let bid = world.bid(&order, world.node, &key(3)).await;
    let sent = world.payer.match_order(&order, &[], &bid).await.unwrap();
    assert!(sent.block > kept_at);
    // Take in the match before the chain dies, so that there is something to take back.
    while !ledger.names().contains(&"Matched") {
        ledger.apply(follower.next().await.unwrap());
    }
    let config = config_of(&world.network.rpc_url, folder.path());
    drop(world.devnet.take());
    let error = loop {
        match follower.next().await {
            Ok(batch) => ledger.apply(batch),
            Err(error) => break error,
        }
    };
    assert!(error.is_retryable(), "{error:?}");

    let devnet = start_again(&config).await;
    assert_eq!(devnet.rpc_url(), world.network.rpc_url);
    let at = catch_up(&mut follower, &mut ledger).await;
    assert!(!ledger.rollbacks.is_empty());
    ledger.assert_equals_a_fresh_read(&world.payer, at).await;
    if !ledger.names().contains(&"Matched") {
        world.payer.ensure_matched(&order, &[], &bid).await.unwrap();
    }
    catch_up(&mut follower, &mut ledger).await;
    assert_eq!(ledger.names().iter().filter(|name| **name == "Matched").count(), 1);
    assert_eq!(world.credits(1).await, 9 * USDC);
}

#[tokio::test]
async fn an_endpoint_that_is_down_for_a_while_loses_no_event() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::kept_in(folder.path()).await;
    let mut follower = follower(&world.payer);
    let mut ledger = Ledger::default();
    catch_up(&mut follower, &mut ledger).await;
    world.payer.deposit(world.usdc, Amount(USDC)).await.unwrap();
    let config = config_of(&world.network.rpc_url, folder.path());
    world.devnet.take().unwrap().stop().await.unwrap();
    for _ in 0..3 {
        let error = follower.next().await.unwrap_err();
        assert!(error.is_retryable(), "{error:?}");
    }
    let _devnet = start_again(&config).await;
    let at = catch_up(&mut follower, &mut ledger).await;
    ledger.assert_equals_a_fresh_read(&world.payer, at).await;
    assert!(ledger.names().contains(&"Deposited"), "a clean stop keeps everything");
}

/// Waits until a copy on disk contains the newest block with a transaction; its height.
async fn wait_for_copy(folder: &std::path::Path, client: &ChainClient) -> u64 {
    let wanted = client.head().await.unwrap().number;
    loop {
        let text = std::fs::read_to_string(folder.join("state.json")).unwrap_or_default();
        let state: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let copied = state["best_block_number"].as_u64().unwrap_or_default();
        if copied >= wanted {
            return copied;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn config_of(rpc_url: &str, folder: &std::path::Path) -> DevnetConfig {
    let port = rpc_url.rsplit(':').next().unwrap().parse().unwrap();
    DevnetConfig {
        port,
        state: Some(folder.to_owned()),
        ..DevnetConfig::ephemeral().unwrap()
    }
}

/// The port of a killed process is free within milliseconds, but not at once.
async fn start_again(config: &DevnetConfig) -> Devnet {
    loop {
        match Devnet::start(config).await {
            Err(opengpu_chain::devnet::DevnetError::PortInUse { .. }) => {
                tokio::time::sleep(Duration::from_millis(10)).await
            }
            outcome => return outcome.unwrap(),
        }
    }
}
