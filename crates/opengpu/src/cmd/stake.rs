//! `opengpu stake lock|extend|unlock|claim|show`.

use opengpu_chain::time::show_utc;
use opengpu_chain::transactions::StakeOnChain;
use opengpu_core::money::Amount;
use opengpu_core::stake::{LEAST_STAKE, WEEK_SECONDS};
use opengpu_core::tier::DAY_SECONDS;
use opengpu_core::{Address, U256};
use serde::Serialize;

use super::Context;
use super::wallet::enough_open;
use crate::args::{Claim, Extend, Lock, Stake, Unlock, Whose};
use crate::failure::{Failure, Outcome};
use crate::interrupts::sending;
use crate::output::{TokenName, ask, print_json, print_line, say, show_deadline, table};
use crate::session::{Session, chain_failure};

/// Weeks that the trailing yield looks back on (protocol, section 6).
const TRAILING_WEEKS: u64 = 4;
/// Weeks of a year, for the annualised yield.
const WEEKS_A_YEAR: u64 = 52;

/// What one token would pay.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Claimable {
    token: String,
    /// Base units.
    amount: Amount,
}

/// What `stake show` prints.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    account: Address,
    /// Base units of OPEN.
    amount: Amount,
    weight: Amount,
    total_weight: Amount,
    /// Unix second; 0 without a stake.
    end: u64,
    tier: u8,
    claimable: Vec<Claimable>,
    /// Hundredths of a percent a year: the trailing four weeks' part of this stake's weight ÷ its value, annualised; `null` without a stake, while no
    /// stake has weight, and while OPEN has no rate.
    trailing_apy_bps: Option<u128>,
    /// The same for an OPEN at weight 1; `null` while no stake has weight, and while OPEN has no rate.
    trailing_apy_bps_at_weight1: Option<u128>,
}

/// Does what the command says.
pub(crate) async fn stake(context: &Context, command: &Stake) -> Outcome {
    let session = Session::open(&context.home, &context.global).await?;
    sending(&session.chain, act(context, &session, command)).await
}

async fn act(context: &Context, session: &Session, command: &Stake) -> Outcome {
    match command {
        Stake::Lock(args) => lock(context, session, args).await,
        Stake::Extend(args) => extend(context, session, args).await,
        Stake::Unlock(args) => unlock(context, session, args).await,
        Stake::Claim(args) => claim(context, session, args).await,
        Stake::Show(args) => show(context, session, args).await,
    }
}

async fn lock(context: &Context, session: &Session, args: &Lock) -> Outcome {
    let (_, open) = session.token("OPEN")?;
    let amount = open.parse(&args.amount)?;
    if amount < LEAST_STAKE {
        return Err(
            Failure::usage(format_args!("AMOUNT is {}, below 1 OPEN", open.show(amount)))
                .hint("for example `opengpu stake lock 1000 --days 90`"),
        );
    }
    enough_open(session, amount).await?;
    let before = session.chain.stake_of(session.account()).await.map_err(chain_failure)?;
    if before.amount != Amount::ZERO {
        agree_on_end(context, session, &before, args.days).await?;
    }
    session.chain.stake(amount, args.days).await.map_err(chain_failure)?;
    told(context, session, &before, &format!("locked {}", open.show(amount))).await
}

/// Says what becomes of the end of a stake that more is added to. A later end, for all of it, is asked about where somebody can answer.
async fn agree_on_end(context: &Context, session: &Session, before: &StakeOnChain, days: u16) -> Outcome {
    let (_, open) = session.token("OPEN")?;
    let now = session.now().await?;
    let new_end = now + u64::from(days) * DAY_SECONDS;
    say(&end_text(before, new_end, now, &open));
    if new_end <= before.end || context.global.yes {
        return Ok(());
    }
    match ask("lock it? [Y/n]").await.as_deref() {
        None | Some("" | "y" | "yes") => Ok(()),
        Some(_) => Err(Failure::error("not accepted; nothing is locked").hint("--yes locks without asking")),
    }
}

fn end_text(before: &StakeOnChain, new_end: u64, now: u64, open: &TokenName) -> String {
    if new_end <= before.end {
        return format!(
            "what is added is locked as long as your stake is: until {}",
            show_deadline(before.end, now)
        );
    }
    format!(
        "this moves the end of your whole stake, {} so far: from {} to {}",
        open.show(before.amount),
        show_utc(before.end),
        show_deadline(new_end, now)
    )
}

async fn extend(context: &Context, session: &Session, args: &Extend) -> Outcome {
    let (_, open) = session.token("OPEN")?;
    let stake = own(session).await?;
    session.chain.extend_stake(args.days).await.map_err(chain_failure)?;
    told(
        context,
        session,
        &stake,
        &format!("extended the lock of {}", open.show(stake.amount)),
    )
    .await
}

async fn unlock(context: &Context, session: &Session, args: &Unlock) -> Outcome {
    let (_, open) = session.token("OPEN")?;
    let stake = own(session).await?;
    let amount = match &args.amount {
        Some(text) => open.parse(text)?,
        None => stake.amount,
    };
    if amount == Amount::ZERO || amount > stake.amount {
        return Err(Failure::usage(format_args!(
            "AMOUNT is {}; {} are staked",
            open.show(amount),
            open.show(stake.amount)
        ))
        .hint("without AMOUNT all of it comes back"));
    }
    let now = session.now().await?;
    if now < stake.end {
        return Err(
            Failure::error(format_args!("the lock ends at {}", show_deadline(stake.end, now)))
                .hint("run the same command then; a lock cannot be cut short"),
        );
    }
    session
        .chain
        .unstake(amount, session.account())
        .await
        .map_err(chain_failure)?;
    told(context, session, &stake, &format!("took back {}", open.show(amount))).await
}

/// The sender's stake, which must exist.
async fn own(session: &Session) -> Outcome<StakeOnChain> {
    let stake = session.chain.stake_of(session.account()).await.map_err(chain_failure)?;
    if stake.amount == Amount::ZERO {
        return Err(Failure::error("you have no stake").hint("`opengpu stake lock 1000 --days 90` makes one"));
    }
    Ok(stake)
}

async fn claim(context: &Context, session: &Session, args: &Claim) -> Outcome {
    let tokens: Vec<(Address, TokenName)> = if args.token.is_empty() {
        let all = &session.profile.network.contracts.tokens;
        all.iter()
            .map(|info| session.token(&info.symbol))
            .collect::<Outcome<_>>()?
    } else {
        args.token
            .iter()
            .map(|symbol| session.token(symbol))
            .collect::<Outcome<_>>()?
    };
    let addresses: Vec<Address> = tokens.iter().map(|(address, _)| *address).collect();
    let (_, paid) = session
        .chain
        .claim_stake(&addresses, session.account())
        .await
        .map_err(chain_failure)?;
    if context.global.json {
        let rows = tokens.iter().zip(&paid).map(|((_, name), amount)| Claimable {
            token: name.symbol.clone(),
            amount: *amount,
        });
        return print_json(&serde_json::json!({ "claimed": rows.collect::<Vec<_>>() }));
    }
    let rows = tokens.iter().zip(&paid).map(|((_, name), amount)| name.show(*amount));
    print_line(&format!("claimed {}", rows.collect::<Vec<_>>().join(", ")))
}

async fn show(context: &Context, session: &Session, args: &Whose) -> Outcome {
    let account = args.account.unwrap_or_else(|| session.account());
    let shown = read(session, account).await?;
    if context.global.json {
        return print_json(&shown);
    }
    let (_, open) = session.token("OPEN")?;
    if shown.amount == Amount::ZERO {
        print_line(&format!(
            "{account} has no stake; `opengpu stake lock 1000 --days 90` makes one"
        ))?;
        let text = yield_text(shown.trailing_apy_bps_at_weight1, shown.total_weight);
        return print_line(&format!("trailing {TRAILING_WEEKS} weeks, a year, at weight 1: {text}"));
    }
    let now = session.now().await?;
    let lock = if now < shown.end {
        format!("until {}", show_deadline(shown.end, now))
    } else {
        format!(
            "over since {}: it earns nothing; `opengpu stake unlock` takes it back, `extend` locks it again",
            show_utc(shown.end)
        )
    };
    let mut rows = vec![
        ["staked".to_owned(), open.show(shown.amount)],
        ["locked".to_owned(), lock],
        [
            "weight".to_owned(),
            format!(
                "{} of {}",
                shown.weight.format_units(18),
                shown.total_weight.format_units(18)
            ),
        ],
        ["payer tier".to_owned(), format!("{} of 4", shown.tier)],
        [
            format!("trailing {TRAILING_WEEKS} weeks, a year"),
            yield_text(shown.trailing_apy_bps, shown.total_weight),
        ],
    ];
    for claimable in &shown.claimable {
        let name = session.token_name_of(&claimable.token);
        rows.push(["to claim".to_owned(), name.show(claimable.amount)]);
    }
    print_line(&format!("stake of {account} on {}", session.profile.name))?;
    print_line(&table(["", ""], rows))
}

fn yield_text(bps: Option<u128>, total_weight: Amount) -> String {
    match bps {
        Some(bps) => format!("{} %", Amount(bps).format_units(2)),
        None if total_weight == Amount::ZERO => "none: no stake has weight".to_owned(),
        None => "unknown while OPEN has no rate".to_owned(),
    }
}

async fn read(session: &Session, account: Address) -> Outcome<Shown> {
    let stake = session.chain.stake_of(account).await.map_err(chain_failure)?;
    let mut claimable = Vec::new();
    for info in &session.profile.network.contracts.tokens {
        let amount = session
            .chain
            .claimable(account, info.address)
            .await
            .map_err(chain_failure)?;
        claimable.push(Claimable {
            token: info.symbol.clone(),
            amount,
        });
    }
    let (revenue, open_rate) = trailing(session).await?;
    let yields = |weight: Amount, amount: Amount| {
        let value = U256::from(amount.0) * U256::from(open_rate) * U256::from(stake.total_weight.0);
        let part = revenue * U256::from(weight.0) * U256::from(WEEKS_A_YEAR * 10_000 / TRAILING_WEEKS);
        (!value.is_zero()).then(|| u128::try_from(part / value).unwrap_or(u128::MAX))
    };
    Ok(Shown {
        account,
        amount: stake.amount,
        weight: stake.weight,
        total_weight: stake.total_weight,
        end: stake.end,
        tier: stake.tier,
        claimable,
        trailing_apy_bps: yields(stake.weight, stake.amount),
        trailing_apy_bps_at_weight1: yields(LEAST_STAKE, LEAST_STAKE),
    })
}

/// The stakers' part of the last complete weeks, base units × USD rate summed over the tokens, and OPEN's rate.
async fn trailing(session: &Session) -> Outcome<(U256, u128)> {
    let week = session.now().await? / WEEK_SECONDS;
    let mut sum = U256::ZERO;
    let mut open_rate = 0;
    for info in &session.profile.network.contracts.tokens {
        let rate = session
            .chain
            .token(info.address)
            .await
            .map_err(chain_failure)?
            .usd_rate
            .0;
        if info.address == session.profile.network.contracts.open_token {
            open_rate = rate;
        }
        for back in 1..=TRAILING_WEEKS {
            let part = session.chain.stakers_revenue(week - back, info.address).await;
            sum += U256::from(part.map_err(chain_failure)?.0) * U256::from(rate);
        }
    }
    Ok((sum, open_rate))
}

/// What was done to a stake, and how it stands now.
async fn told(context: &Context, session: &Session, before: &StakeOnChain, what: &str) -> Outcome {
    let stake = session.chain.stake_of(session.account()).await.map_err(chain_failure)?;
    if context.global.json {
        return print_json(&serde_json::json!({
            "amount": stake.amount, "weight": stake.weight, "oldEnd": before.end, "end": stake.end, "tier": stake.tier,
        }));
    }
    let (_, open) = session.token("OPEN")?;
    let now = session.now().await?;
    print_line(&format!("{what}; {}", standing_text(before, &stake, now, &open)))
}

fn standing_text(before: &StakeOnChain, stake: &StakeOnChain, now: u64, open: &TokenName) -> String {
    let staked = open.show(stake.amount);
    if stake.amount == Amount::ZERO {
        return "nothing is staked now".to_owned();
    }
    if now >= stake.end {
        let remedy = if stake.amount < LEAST_STAKE {
            "`opengpu stake lock` with more"
        } else {
            "`opengpu stake extend --days 90`"
        };
        return format!("the {staked} left have no weight and earn nothing: {remedy} locks them again");
    }
    let until = show_deadline(stake.end, now);
    let was = if before.amount != Amount::ZERO && before.end != stake.end {
        format!(", not {} as before", show_utc(before.end))
    } else {
        String::new()
    };
    let weight = stake.weight.format_units(18);
    format!("staked are now {staked}, weight {weight}, until {until}{was}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_701_900;

    fn open() -> TokenName {
        TokenName {
            symbol: "OPEN".to_owned(),
            decimals: 18,
        }
    }

    fn stake(opens: u128, end: u64) -> StakeOnChain {
        let amount = Amount(opens * LEAST_STAKE.0);
        let weight = if NOW < end { amount } else { Amount::ZERO };
        StakeOnChain {
            amount,
            weight,
            end,
            tier: 0,
            total_weight: weight,
        }
    }

    #[test]
    fn a_later_end_is_said_to_be_that_of_the_whole_stake() {
        let before = stake(5, NOW + DAY_SECONDS);
        assert_eq!(
            end_text(&before, NOW + 14 * DAY_SECONDS, NOW, &open()),
            "this moves the end of your whole stake, 5 OPEN so far: from 2026-11-27 14:05 UTC to 2026-12-10 14:05 UTC (in 14 d 0 h)"
        );
        assert_eq!(
            end_text(&stake(5, NOW + 15 * DAY_SECONDS), NOW + 14 * DAY_SECONDS, NOW, &open()),
            "what is added is locked as long as your stake is: until 2026-12-11 14:05 UTC (in 15 d 0 h)"
        );
        let after = stake(6, NOW + 14 * DAY_SECONDS);
        assert_eq!(
            standing_text(&before, &after, NOW, &open()),
            "staked are now 6 OPEN, weight 6, until 2026-12-10 14:05 UTC (in 14 d 0 h), not 2026-11-27 14:05 UTC as before"
        );
    }

    #[test]
    fn what_is_left_of_a_stake_after_its_end_earns_nothing_and_says_what_to_do() {
        let text = |left: StakeOnChain| standing_text(&stake(9, NOW), &left, NOW, &open());
        assert_eq!(
            text(stake(5, NOW)),
            "the 5 OPEN left have no weight and earn nothing: `opengpu stake extend --days 90` locks them again"
        );
        let dust = StakeOnChain {
            amount: Amount(1),
            ..stake(5, NOW)
        };
        assert!(text(dust).contains("`opengpu stake lock` with more"));
        assert_eq!(text(stake(0, NOW)), "nothing is staked now");
    }

    #[test]
    fn no_yield_has_its_reason() {
        assert_eq!(yield_text(Some(123), Amount(1)), "1.23 %");
        assert_eq!(yield_text(None, Amount::ZERO), "none: no stake has weight");
        assert_eq!(yield_text(None, Amount(1)), "unknown while OPEN has no rate");
    }
}
