//! Whether a budget allows an escrow: what the contract would say, but before anything is signed, and with what to do about it.

use opengpu_chain::Budget;
use opengpu_core::Address;
use opengpu_core::ids::BudgetId;
use opengpu_core::money::Amount;

use crate::failure::{Failure, Kind, Outcome};
use crate::output::TokenName;
use crate::session::{Session, chain_failure};

/// What is to be spent.
#[derive(Debug, Clone, Copy)]
struct Spending<'a> {
    /// Who asks.
    account: Address,
    /// With what.
    token: Address,
    /// How to write it.
    name: &'a TokenName,
    /// How much is locked.
    amount: Amount,
    /// Unix second on the chain's clock.
    now: u64,
}

/// Makes sure that this account may lock `amount` from a budget; whose credits it spends then.
pub(crate) async fn allowed_by(session: &Session, id: BudgetId, token: Address, amount: Amount) -> Outcome<Address> {
    let line = line_of(session, "--budget", id).await?;
    let spending = Spending {
        account: session.account(),
        token,
        name: &session.token_name(token),
        amount,
        now: session.now().await?,
    };
    check(&line, &spending, |address| session.token_name(address).symbol)?;
    Ok(line.first().map_or_else(|| session.account(), |budget| budget.payer))
}

/// The budget an option names and all above it, itself first.
pub(crate) async fn line_of(session: &Session, option: &str, id: BudgetId) -> Outcome<Vec<Budget>> {
    session.chain.budget_line(id).await.map_err(|error| {
        if error.is_revert("CloudWallet_BudgetUnknown") {
            Failure::usage(format_args!("{option} {id}: there is no such budget"))
                .hint("`opengpu wallet budget ls` lists those you may use")
        } else {
            chain_failure(error)
        }
    })
}

/// Why spending from a line of budgets is over, if it is: the first that was revoked, or has expired.
pub(crate) fn check_open(line: &[Budget], now: u64) -> Outcome {
    for budget in line {
        let id = budget.id;
        if budget.is_revoked {
            let message = format!("budget {id} was revoked{}", above(line, id));
            return Err(Failure::new(Kind::Budget, message).hint("ask the payer for another budget"));
        }
        if now >= budget.expires_at {
            let message = format!("budget {id} has expired{}", above(line, id));
            return Err(Failure::new(Kind::Budget, message)
                .hint("ask the payer for another budget, good for longer (--expires)"));
        }
    }
    Ok(())
}

/// The most that may still be spent from a line of budgets: no level may be overdrawn.
pub(crate) fn spendable(line: &[Budget]) -> Amount {
    line.iter().map(|budget| budget.left).min().unwrap_or(Amount::ZERO)
}

fn check(line: &[Budget], spending: &Spending<'_>, symbol: impl Fn(Address) -> String) -> Outcome {
    let Some(budget) = line.first() else { return Ok(()) };
    let (id, name, amount) = (budget.id, spending.name, spending.amount);
    if ![budget.key, budget.payer].contains(&spending.account) {
        let message = format!("budget {id} is for key {}, not for {}", budget.key, spending.account);
        return Err(Failure::usage(message).hint("OPENGPU_KEY_FILE and OPENGPU_PASSWORD_FILE choose the key"));
    }
    if budget.token != spending.token {
        let its = symbol(budget.token);
        let message = format!("budget {id} is in {its}, --token is {}", name.symbol);
        return Err(Failure::usage(message).hint(format_args!("--token {its}")));
    }
    check_open(line, spending.now)?;
    if amount > budget.per_job {
        let message = format!(
            "the job locks {}, budget {id} allows {} for one job",
            name.show(amount),
            name.show(budget.per_job)
        );
        let most = budget.per_job.min(spendable(line));
        return Err(Failure::new(Kind::Budget, message).hint(lower_to(most, name)));
    }
    match line.iter().find(|level| amount > level.left) {
        None => Ok(()),
        Some(level) => {
            let message = format!(
                "the job locks {}, budget {} has {} of {} left{}",
                name.show(amount),
                level.id,
                name.show(level.left),
                name.show(level.cap),
                above(line, level.id)
            );
            Err(Failure::new(Kind::Budget, message).hint(lower_to(spendable(line).min(budget.per_job), name)))
        }
    }
}

fn lower_to(most: Amount, name: &TokenName) -> String {
    if most == Amount::ZERO {
        return "ask the payer for another budget, or wait for refunds of running jobs".to_owned();
    }
    format!(
        "--max-cost {}, or ask the payer for another budget",
        most.format_units(name.decimals)
    )
}

/// Tells which budget a remark is about, when it is not the one that was named.
fn above(line: &[Budget], id: BudgetId) -> String {
    match line.first() {
        Some(named) if named.id != id => format!(", which is above budget {}", named.id),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use opengpu_core::U256;

    use super::*;

    const USDC: u128 = 1_000_000;
    const NOW: u64 = 1_000;

    fn account(byte: u8) -> Address {
        Address::repeat_byte(byte)
    }

    fn budget(id: u64, parent: u64, left: u128) -> Budget {
        Budget {
            id: BudgetId(U256::from(id)),
            parent: BudgetId(U256::from(parent)),
            payer: account(1),
            key: account(2),
            token: account(9),
            cap: Amount(10 * USDC),
            left: Amount(left),
            per_job: Amount(2 * USDC),
            expires_at: NOW + 1,
            is_revoked: false,
            depth: if parent == 0 { 1 } else { 2 },
        }
    }

    fn line() -> Vec<Budget> {
        vec![budget(5, 4, 3 * USDC), budget(4, 0, 3 * USDC)]
    }

    /// What a spending of `amount` by `by` in token `token` meets.
    fn spend(line: &[Budget], by: u8, token: u8, amount: u128) -> Outcome {
        let spending = Spending {
            account: account(by),
            token: account(token),
            name: &TokenName {
                symbol: "USDC".to_owned(),
                decimals: 6,
            },
            amount: Amount(amount),
            now: NOW,
        };
        check(line, &spending, |_| "OPEN".to_owned())
    }

    fn refusal(line: &[Budget], amount: u128) -> String {
        let failure = spend(line, 2, 9, amount).unwrap_err();
        assert_eq!(failure.kind(), Kind::Budget, "{failure}");
        failure.to_string()
    }

    #[test]
    fn key_and_payer_spend_up_to_the_limits_and_others_nothing() {
        for by in [1, 2] {
            assert_eq!(spend(&line(), by, 9, 2 * USDC), Ok(()));
        }
        let failure = spend(&line(), 3, 9, 1).unwrap_err();
        assert_eq!(failure.kind(), Kind::Usage);
        assert!(failure.to_string().contains("budget 5 is for key"), "{failure}");
    }

    #[test]
    fn another_token_is_named() {
        let failure = spend(&line(), 2, 8, 1).unwrap_err();
        assert_eq!(failure.kind(), Kind::Usage);
        assert_eq!(
            failure.to_string(),
            "error: budget 5 is in OPEN, --token is USDC\nhint: --token OPEN"
        );
    }

    #[test]
    fn what_one_job_may_lock_is_bounded() {
        assert_eq!(
            refusal(&line(), 2 * USDC + 1),
            "error: the job locks 2.000001 USDC, budget 5 allows 2 USDC for one job\n\
             hint: --max-cost 2, or ask the payer for another budget"
        );
    }

    #[test]
    fn no_level_is_overdrawn() {
        let mut line = line();
        line[0].left = Amount(USDC);
        assert_eq!(
            refusal(&line, 2 * USDC),
            "error: the job locks 2 USDC, budget 5 has 1 USDC of 10 USDC left\n\
             hint: --max-cost 1, or ask the payer for another budget"
        );
        line[1].left = Amount(0);
        let said = refusal(&line, USDC);
        assert!(
            said.contains("budget 4 has 0 USDC of 10 USDC left, which is above budget 5"),
            "{said}"
        );
        assert!(
            said.ends_with("another budget, or wait for refunds of running jobs"),
            "{said}"
        );
    }

    #[test]
    fn revoked_or_expired_at_any_level_is_over() {
        for level in 0..2 {
            let mut line = line();
            line[level].is_revoked = true;
            assert!(refusal(&line, 1).contains("was revoked"), "{level}");
            line[level].is_revoked = false;
            line[level].expires_at = NOW;
            let said = refusal(&line, 1);
            assert!(said.contains(&format!("budget {} has expired", 5 - level)), "{said}");
        }
    }
}
