//! `opengpu wallet budget`: letting other keys spend some of a payer's credits.

mod list;

use opengpu_chain::client::MAX_BUDGET_DEPTH;
use opengpu_chain::{Budget, BudgetWish};
use opengpu_core::Address;
use opengpu_core::money::Amount;
use opengpu_core::tier::DAY_SECONDS;
use serde_json::json;

use super::Context;
use crate::args::{self, BudgetOpen, BudgetRevoke};
use crate::failure::{Failure, Kind, Outcome};
use crate::job::allowance::{check_open, line_of};
use crate::output::{TokenName, print_json, print_line, say, show_deadline};
use crate::session::{Session, chain_failure};

/// How long a budget of the payer's own is good when nobody says: 30 days.
const USUAL_SECONDS: u64 = 30 * DAY_SECONDS;

/// Opens, lists or revokes budgets.
pub(super) async fn budget(context: &Context, session: &Session, command: &args::Budget) -> Outcome {
    match command {
        args::Budget::Open(args) => open(context, session, args).await,
        args::Budget::Ls => list::list(context, session).await,
        args::Budget::Revoke(args) => revoke(context, session, args).await,
    }
}

async fn open(context: &Context, session: &Session, args: &BudgetOpen) -> Outcome {
    let now = session.now().await?;
    let line = match args.parent {
        Some(id) => line_of(session, "--parent", id).await?,
        None => Vec::new(),
    };
    let parent = line.first();
    let (token, name) = token_of(session, args, parent)?;
    let wish = wish(args, parent, token, &name, now)?;
    check_open(&line, now)?;
    if let Some(parent) = parent {
        check_within(parent, session.account(), &wish, &name)?;
    }
    let (id, sent) = session.chain.open_budget(&wish).await.map_err(chain_failure)?;
    let gas = session.chain.gas_balance(wish.key).await.map_err(chain_failure)?;
    if gas.is_zero() {
        say(&format!(
            "{} has no coin for gas yet: send it some before it runs jobs",
            wish.key
        ));
    }
    if context.global.json {
        return print_json(&json!({
            "budget": id,
            "parent": wish.parent,
            "payer": parent.map_or_else(|| session.account(), |parent| parent.payer),
            "key": wish.key,
            "token": name.symbol,
            "decimals": name.decimals,
            "cap": wish.cap,
            "perJob": wish.per_job,
            "expiresAt": wish.expires_at,
            "gasUsed": sent.gas_used,
        }));
    }
    print_line(&format!(
        "opened budget {id}: {} may spend {}, at most {} a job, until {}; `opengpu run --budget {id} …` with that key uses it",
        wish.key,
        name.show(wish.cap),
        name.show(wish.per_job),
        show_deadline(wish.expires_at, now)
    ))
}

/// The token of a new budget: the parent's, where there is one.
fn token_of(session: &Session, args: &BudgetOpen, parent: Option<&Budget>) -> Outcome<(Address, TokenName)> {
    let Some(parent) = parent else {
        return session.token(args.token.as_deref().unwrap_or("USDC"));
    };
    let name = session.token_name(parent.token);
    let given = args.token.as_deref().map(|symbol| session.token(symbol)).transpose()?;
    match given {
        Some((address, given)) if address != parent.token => {
            let message = format!("--token {} differs from the parent's, {}", given.symbol, name.symbol);
            Err(Failure::usage(message).hint(format_args!(
                "leave --token out: budget {} is in {}",
                parent.id, name.symbol
            )))
        }
        _ => Ok((parent.token, name)),
    }
}

/// What the options ask for, checked by itself.
fn wish(args: &BudgetOpen, parent: Option<&Budget>, token: Address, name: &TokenName, now: u64) -> Outcome<BudgetWish> {
    if args.key == Address::ZERO {
        return Err(Failure::usage("--key is the zero address, which nobody has the key of")
            .hint("give the address of the key that may spend"));
    }
    let cap = amount("--cap", name, &args.cap)?;
    let per_job = match &args.per_job {
        Some(text) => amount("--per-job", name, text)?,
        None => parent.map_or(cap, |parent| cap.min(parent.per_job)),
    };
    if per_job > cap {
        let message = format!("--per-job {} is above --cap {}", name.show(per_job), name.show(cap));
        return Err(Failure::usage(message).hint("a job can never lock more than the cap"));
    }
    let usual = parent.map_or(now + USUAL_SECONDS, |parent| parent.expires_at);
    Ok(BudgetWish {
        parent: args.parent.unwrap_or_default(),
        key: args.key,
        token,
        cap,
        per_job,
        expires_at: args.expires.map_or(usual, |span| now + u64::from(span.0)),
    })
}

fn amount(option: &str, name: &TokenName, text: &str) -> Outcome<Amount> {
    match Amount::parse_units(text, name.decimals) {
        Ok(Amount::ZERO) => {
            Err(Failure::usage(format_args!("{option} is 0")).hint(format_args!("for example {option} 5")))
        }
        Ok(amount) => Ok(amount),
        Err(error) => Err(
            Failure::usage(format_args!("{option} {text}: {error}")).hint(format_args!(
                "a number with at most {} digits after the point",
                name.decimals
            )),
        ),
    }
}

/// A child stays within its parent in everything. Its cap is compared with the parent's cap, not with what is left of it: spending is
/// debited from both.
fn check_within(parent: &Budget, account: Address, wish: &BudgetWish, name: &TokenName) -> Outcome {
    let id = parent.id;
    if ![parent.payer, parent.key].contains(&account) {
        let message = format!(
            "--parent {id}: only its payer {} or its key {} may open one under it",
            parent.payer, parent.key
        );
        return Err(Failure::usage(message).hint("OPENGPU_KEY_FILE and OPENGPU_PASSWORD_FILE choose the key"));
    }
    if parent.depth >= MAX_BUDGET_DEPTH {
        let message = format!("--parent {id}: it is at level {MAX_BUDGET_DEPTH}, the deepest");
        return Err(Failure::usage(message).hint("open it under one that is higher up"));
    }
    let limits = [
        ("--cap", wish.cap, parent.cap),
        ("--per-job", wish.per_job, parent.per_job),
    ];
    if let Some((option, asked, most)) = limits.iter().find(|(_, asked, most)| asked > most) {
        let message = format!(
            "{option} {} is above the {} of budget {id}",
            name.show(*asked),
            name.show(*most)
        );
        return Err(
            Failure::new(Kind::Budget, message).hint(format_args!("{option} {}", most.format_units(name.decimals)))
        );
    }
    if wish.expires_at > parent.expires_at {
        let message = format!("--expires is later than budget {id} expires");
        return Err(
            Failure::new(Kind::Budget, message).hint("leave --expires out: it is good as long as its parent then")
        );
    }
    Ok(())
}

async fn revoke(context: &Context, session: &Session, args: &BudgetRevoke) -> Outcome {
    let id = args.budget;
    let line = line_of(session, "revoke", id).await?;
    let account = session.account();
    if line.first().is_some_and(|budget| budget.is_revoked) {
        return Err(Failure::error(format_args!("budget {id} is revoked already"))
            .hint("`opengpu wallet budget ls` shows what is open"));
    }
    let is_payer = line.iter().any(|level| level.payer == account);
    let is_above = line.iter().skip(1).any(|level| level.key == account);
    if !is_payer && !is_above {
        return Err(Failure::usage(format_args!(
            "budget {id} is revoked by its payer or a key above it, not by {account}"
        ))
        .hint("OPENGPU_KEY_FILE and OPENGPU_PASSWORD_FILE choose the key"));
    }
    session.chain.revoke_budget(id).await.map_err(chain_failure)?;
    if context.global.json {
        return print_json(&json!({ "budget": id, "isRevoked": true }));
    }
    print_line(&format!("revoked budget {id} and all below it"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use opengpu_core::U256;
    use opengpu_core::ids::BudgetId;

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

    fn parsed(options: &[&str]) -> BudgetOpen {
        let key = Address::repeat_byte(2).to_string();
        let line = ["opengpu", "wallet", "budget", "open", "--key", &key].into_iter();
        match args::Cli::try_parse_from(line.chain(options.iter().copied()))
            .unwrap()
            .command
        {
            args::Command::Wallet(args::Wallet::Budget(args::Budget::Open(open))) => open,
            other => panic!("parsed {other:?}"),
        }
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

    fn wished(options: &[&str], parent: Option<&Budget>) -> Outcome<BudgetWish> {
        wish(&parsed(options), parent, Address::repeat_byte(9), &usdc(), NOW)
    }

    /// What a child opened by `by` meets.
    fn child(by: u8, options: &[&str], parent: &Budget) -> Outcome {
        let wish = wished(options, Some(parent))?;
        check_within(parent, Address::repeat_byte(by), &wish, &usdc())
    }

    #[test]
    fn what_is_not_said_is_the_cap_and_a_month_or_what_the_parent_allows() {
        let alone = wished(&["--cap", "5"], None).unwrap();
        assert_eq!((alone.cap, alone.per_job), (Amount(5_000_000), Amount(5_000_000)));
        assert_eq!(alone.expires_at, NOW + 30 * 86_400);
        let below = wished(&["--cap", "5"], Some(&parent())).unwrap();
        assert_eq!((below.per_job, below.expires_at), (Amount(2_000_000), NOW + 100));
    }

    #[test]
    fn a_wrong_amount_names_its_option() {
        for (options, expected) in [
            (&["--cap", "0"][..], "error: --cap is 0\n"),
            (&["--cap", "x"], "error: --cap x: "),
            (&["--cap", "5", "--per-job", "0"], "error: --per-job is 0\n"),
            (
                &["--cap", "5", "--per-job", "6"],
                "error: --per-job 6 USDC is above --cap 5 USDC\n",
            ),
        ] {
            let failure = wished(options, None).unwrap_err();
            assert_eq!(failure.kind(), Kind::Usage);
            assert!(failure.to_string().starts_with(expected), "{failure}");
        }
    }

    #[test]
    fn a_child_exceeds_its_parent_in_nothing() {
        let parent = parent();
        for by in [1, 3] {
            assert_eq!(
                child(by, &["--cap", "5", "--per-job", "2", "--expires", "100s"], &parent),
                Ok(())
            );
        }
        for (options, expected) in [
            (
                &["--cap", "5.000001"][..],
                "--cap 5.000001 USDC is above the 5 USDC of budget 4",
            ),
            (
                &["--cap", "5", "--per-job", "3"],
                "--per-job 3 USDC is above the 2 USDC of budget 4",
            ),
            (
                &["--cap", "1", "--expires", "101s"],
                "--expires is later than budget 4 expires",
            ),
        ] {
            let failure = child(1, options, &parent).unwrap_err();
            assert_eq!(failure.kind(), Kind::Budget);
            assert!(failure.to_string().contains(expected), "{failure}");
        }
        assert!(
            child(7, &["--cap", "1"], &parent)
                .unwrap_err()
                .to_string()
                .contains("only its payer")
        );
        let deepest = Budget { depth: 4, ..parent };
        assert!(
            child(1, &["--cap", "1"], &deepest)
                .unwrap_err()
                .to_string()
                .contains("the deepest")
        );
    }
}
