//! `opengpu wallet budget ls`.

use std::collections::BTreeMap;

use opengpu_chain::Budget;
use opengpu_core::Address;
use opengpu_core::ids::BudgetId;
use opengpu_core::money::Amount;
use serde::Serialize;
use serde_json::json;

use crate::cmd::Context;
use crate::failure::Outcome;
use crate::job::allowance::spendable;
use crate::output::{TokenName, print_json, print_line, say, show_deadline, table};
use crate::session::{Session, chain_failure};

/// One budget, for scripts.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    budget: BudgetId,
    parent: BudgetId,
    payer: Address,
    key: Address,
    token: String,
    decimals: u8,
    /// Base units, as all amounts here.
    cap: Amount,
    left: Amount,
    /// What can be spent now: what every level above allows too, and the payer has credits for.
    spendable: Amount,
    per_job: Amount,
    expires_at: u64,
    state: &'static str,
}

/// Lists what concerns this account, children after their parents.
pub(super) async fn list(context: &Context, session: &Session) -> Outcome {
    let now = session.now().await?;
    let found = session
        .chain
        .budgets_of(session.account())
        .await
        .map_err(chain_failure)?;
    let mut rows = BTreeMap::new();
    for budget in found {
        let line = session.chain.budget_line(budget.id).await.map_err(chain_failure)?;
        let name = session.token_name(budget.token);
        let credits = session.credits_of(budget.payer, budget.token).await?;
        rows.insert(budget.id, row(budget, &line, credits, name, now));
    }
    let tree = tree(&rows);
    if context.global.json {
        let rows: Vec<&Row> = tree.iter().map(|(_, row)| *row).collect();
        return print_json(&json!({ "account": session.account(), "budgets": rows }));
    }
    if tree.is_empty() {
        say(&format!("{} has no budgets", session.account()));
        say("`opengpu wallet budget open --key ADDRESS --cap AMOUNT` lets another key spend some of your credits");
        return Ok(());
    }
    let lines = tree.into_iter().map(|(level, row)| cells(level, row, now));
    print_line(&table(
        [
            "BUDGET",
            "PARENT",
            "PAYER",
            "KEY",
            "CAP",
            "LEFT",
            "SPENDABLE",
            "PER JOB",
            "EXPIRES",
            "STATE",
        ],
        lines.collect(),
    ))
}

/// `credits` are the payer's that no job has locked.
fn row(budget: Budget, line: &[Budget], credits: Amount, name: TokenName, now: u64) -> Row {
    let allowed = spendable(line);
    let (state, spendable) = if line.iter().any(|level| level.is_revoked) {
        ("revoked", Amount::ZERO)
    } else if line.iter().any(|level| now >= level.expires_at) {
        ("expired", Amount::ZERO)
    } else if allowed == Amount::ZERO {
        ("used up", Amount::ZERO)
    } else if credits == Amount::ZERO {
        ("no credits", Amount::ZERO)
    } else {
        ("open", allowed.min(credits))
    };
    Row {
        budget: budget.id,
        parent: budget.parent,
        payer: budget.payer,
        key: budget.key,
        token: name.symbol,
        decimals: name.decimals,
        cap: budget.cap,
        left: budget.left,
        spendable,
        per_job: budget.per_job,
        expires_at: budget.expires_at,
        state,
    }
}

fn cells(level: usize, row: &Row, now: u64) -> [String; 10] {
    let name = TokenName {
        symbol: row.token.clone(),
        decimals: row.decimals,
    };
    let parent = if row.parent.0.is_zero() {
        "-".to_owned()
    } else {
        row.parent.to_string()
    };
    [
        format!("{}{}", "  ".repeat(level), row.budget),
        parent,
        row.payer.to_string(),
        row.key.to_string(),
        name.show(row.cap),
        name.show(row.left),
        name.show(row.spendable),
        name.show(row.per_job),
        show_deadline(row.expires_at, now),
        row.state.to_owned(),
    ]
}

/// Children after their parents, with how deep each is among what is shown.
fn tree(rows: &BTreeMap<BudgetId, Row>) -> Vec<(usize, &Row)> {
    let mut shown = Vec::with_capacity(rows.len());
    for row in rows.values().filter(|row| !rows.contains_key(&row.parent)) {
        add_branch(rows, row, 0, &mut shown);
    }
    shown
}

/// The contract makes no tree deeper than four levels, and every parent older than its children: this ends.
fn add_branch<'a>(rows: &'a BTreeMap<BudgetId, Row>, row: &'a Row, level: usize, shown: &mut Vec<(usize, &'a Row)>) {
    shown.push((level, row));
    for child in rows.values().filter(|child| child.parent == row.budget) {
        add_branch(rows, child, level + 1, shown);
    }
}

#[cfg(test)]
mod tests {
    use opengpu_core::U256;

    use super::*;

    const NOW: u64 = 1_000;

    fn usdc() -> TokenName {
        TokenName {
            symbol: "USDC".to_owned(),
            decimals: 6,
        }
    }

    fn id(number: u64) -> BudgetId {
        BudgetId(U256::from(number))
    }

    fn parent() -> Budget {
        Budget {
            id: id(4),
            parent: BudgetId::default(),
            payer: Address::repeat_byte(1),
            key: Address::repeat_byte(3),
            token: Address::repeat_byte(9),
            cap: Amount(5_000_000),
            left: Amount(1),
            per_job: Amount(2_000_000),
            expires_at: NOW + 100,
            is_revoked: false,
            depth: 1,
        }
    }

    #[test]
    fn children_follow_their_parents_and_a_line_is_as_open_as_its_weakest_level() {
        let head = parent();
        let below = Budget {
            id: id(6),
            parent: id(4),
            left: Amount(7),
            ..parent()
        };
        let other = Budget { id: id(5), ..parent() };
        let revoked = Budget {
            is_revoked: true,
            ..parent()
        };
        let rows: BTreeMap<BudgetId, Row> = [&head, &below, &other]
            .map(|budget| {
                (
                    budget.id,
                    row(
                        budget.clone(),
                        &[budget.clone(), head.clone()],
                        Amount(100),
                        usdc(),
                        NOW,
                    ),
                )
            })
            .into_iter()
            .collect();
        let shown: Vec<(usize, BudgetId)> = tree(&rows).iter().map(|(level, row)| (*level, row.budget)).collect();
        assert_eq!(shown, [(0, id(4)), (1, id(6)), (0, id(5))]);
        assert_eq!((rows[&id(6)].spendable, rows[&id(6)].state), (Amount(1), "open"));
        assert_eq!(cells(1, &rows[&id(6)], NOW)[0], "  6");
        let state = |line: &[Budget], now| row(below.clone(), line, Amount(100), usdc(), now).state;
        assert_eq!(state(&[below.clone(), revoked], NOW), "revoked");
        assert_eq!(state(&[below.clone(), head.clone()], NOW + 100), "expired");
        assert_eq!(
            state(
                &[
                    below.clone(),
                    Budget {
                        left: Amount(0),
                        ..head
                    }
                ],
                NOW
            ),
            "used up"
        );
    }

    #[test]
    fn the_payers_credits_bound_what_can_be_spent_now() {
        let budget = Budget {
            left: Amount(7),
            ..parent()
        };
        let spendable = |credits, now| {
            let row = row(
                budget.clone(),
                std::slice::from_ref(&budget),
                Amount(credits),
                usdc(),
                now,
            );
            (row.state, row.spendable)
        };
        assert_eq!(spendable(9, NOW), ("open", Amount(7)));
        assert_eq!(spendable(3, NOW), ("open", Amount(3)));
        assert_eq!(spendable(0, NOW), ("no credits", Amount(0)));
        assert_eq!(spendable(9, NOW + 100), ("expired", Amount(0)));
    }
}
