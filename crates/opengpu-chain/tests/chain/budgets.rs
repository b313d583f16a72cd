//! Budgets: opened, spent by their keys alone, bounded by every level, revoked.

use opengpu_chain::{BudgetWish, ChainClient};
use opengpu_core::Address;
use opengpu_core::ids::BudgetId;
use opengpu_core::money::Amount;
use opengpu_core::order::{Order, Signable as _};

use crate::support::{USDC, World, key};

/// The budget's key; it has gas, but no credits.
const TEAM: usize = 7;
/// The key of a budget below it.
const PERSON: usize = 8;

impl World {
    fn by(&self, index: usize) -> ChainClient {
        self.governance.with_key(Some(key(index))).unwrap()
    }

    async fn wish(&self, index: usize, cap: u128) -> BudgetWish {
        BudgetWish {
            parent: BudgetId::default(),
            key: key(index).address(),
            token: self.usdc,
            cap: Amount(cap),
            per_job: Amount(cap),
            expires_at: self.payer.now().await.unwrap() + 86_400,
        }
    }

    async fn order_of(&self, budget: BudgetId, salt: u64) -> Order {
        Order {
            budget,
            ..self.order(salt).await
        }
    }
}

#[tokio::test]
async fn a_key_alone_spends_the_payers_credits_up_to_its_cap() {
    let world = World::start().await;
    world.payer.deposit(world.usdc, Amount(5 * USDC)).await.unwrap();
    let wish = world.wish(TEAM, USDC * 3 / 2).await;
    let (id, _) = world.payer.open_budget(&wish).await.unwrap();
    let budget = world.payer.budget(id).await.unwrap();
    assert_eq!((budget.payer, budget.key), (key(1).address(), key(TEAM).address()));
    assert_eq!(
        (budget.cap, budget.left, budget.per_job),
        (wish.cap, wish.cap, wish.cap)
    );
    assert_eq!(
        (budget.expires_at, budget.depth, budget.is_revoked),
        (wish.expires_at, 1, false)
    );

    let team = world.by(TEAM);
    let order = world.order_of(id, 1).await;
    let bid = world.bid(&order, world.node, &key(3)).await;
    team.match_order(&order, &[], &bid).await.unwrap();
    assert_eq!((world.credits(1).await, world.credits(TEAM).await), (4 * USDC, 0));
    assert_eq!(team.budget(id).await.unwrap().left, Amount(USDC / 2));

    let order = world.order_of(id, 2).await;
    let bid = world.bid(&order, world.node, &key(3)).await;
    let error = team.match_order(&order, &[], &bid).await.unwrap_err();
    assert!(error.is_revert("CloudWallet_BudgetTooLow"), "{error}");
    assert_eq!(error.revert().unwrap().value("left"), Some("500000"));
    assert_eq!(world.credits(1).await, 4 * USDC);
}

#[tokio::test]
async fn a_budgets_key_speaks_for_that_payer_and_that_budget_only() {
    let world = World::start().await;
    let (id, _) = world.payer.open_budget(&world.wish(TEAM, USDC).await).await.unwrap();
    let (of_owner, _) = world.owner.open_budget(&world.wish(TEAM, USDC).await).await.unwrap();
    let payer = key(1).address();
    let named = |budget: BudgetId, payer: Address| {
        let client = world.payer.clone();
        async move { client.budget_key(budget, payer).await.unwrap() }
    };
    assert_eq!(named(id, payer).await, Some(key(TEAM).address()));
    assert_eq!(named(of_owner, payer).await, None, "of another payer");
    assert_eq!(named(BudgetId::default(), payer).await, None);
    assert_eq!(named("99".parse().unwrap(), payer).await, None, "of nobody");

    let domain = world.network.domain();
    for (budget, signer, is_valid) in [
        (id, TEAM, true),
        (id, 1, true),
        (id, PERSON, false),
        (of_owner, TEAM, false),
        (BudgetId::default(), TEAM, false),
    ] {
        let order = world.order_of(budget, 1).await;
        let signature = order.sign(domain, &key(signer)).0;
        let found = world.payer.is_order_signature_valid(&order, &signature).await.unwrap();
        assert_eq!(found, is_valid, "budget {budget}, signed by {signer}");
    }
}

#[tokio::test]
async fn a_family_of_budgets_is_found_by_all_whom_it_concerns_and_ends_with_its_head() {
    let world = World::start().await;
    world.payer.deposit(world.usdc, Amount(5 * USDC)).await.unwrap();
    let (head, _) = world
        .payer
        .open_budget(&world.wish(TEAM, 2 * USDC).await)
        .await
        .unwrap();
    let (other, _) = world.payer.open_budget(&world.wish(9, USDC).await).await.unwrap();
    let team = world.by(TEAM);
    let mut wish = world.wish(PERSON, 2 * USDC).await;
    wish.parent = head;
    wish.expires_at -= 1_000;
    let (child, _) = team.open_budget(&wish).await.unwrap();
    let ids = |account: usize| {
        let client = world.payer.clone();
        async move {
            let found = client.budgets_of(key(account).address()).await.unwrap();
            found.iter().map(|budget| budget.id).collect::<Vec<_>>()
        }
    };
    assert_eq!(ids(1).await, [head, other, child]);
    assert_eq!(ids(TEAM).await, [head, child]);
    assert_eq!(ids(PERSON).await, [child]);
    assert!(ids(5).await.is_empty());
    let line = world.payer.budget_line(child).await.unwrap();
    assert_eq!(line.iter().map(|budget| budget.id).collect::<Vec<_>>(), [child, head]);
    assert_eq!(line[0].depth, 2);

    let wish = BudgetWish {
        cap: Amount(2 * USDC + 1),
        ..wish
    };
    let error = team.open_budget(&wish).await.unwrap_err();
    assert!(error.is_revert("CloudWallet_BudgetTooLow"), "{error}");
    let error = world.by(9).revoke_budget(head).await.unwrap_err();
    assert!(error.is_revert("CloudWallet_NotAllowed"), "{error}");
    world.payer.revoke_budget(head).await.unwrap();
    let line = world.payer.budget_line(child).await.unwrap();
    assert_eq!(
        line.iter().map(|budget| budget.is_revoked).collect::<Vec<_>>(),
        [false, true]
    );

    let order = world.order_of(child, 1).await;
    let bid = world.bid(&order, world.node, &key(3)).await;
    let error = world.by(PERSON).match_order(&order, &[], &bid).await.unwrap_err();
    assert!(error.is_revert("CloudWallet_BudgetIsRevoked"), "{error}");
    assert_eq!(error.revert().unwrap().value("budget"), Some(head.to_string().as_str()));
}
