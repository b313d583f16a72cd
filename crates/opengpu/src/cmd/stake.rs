//! `opengpu stake lock|extend|unlock|claim|show`.

use opengpu_chain::transactions::StakeOnChain;
use opengpu_core::money::Amount;
use opengpu_core::stake::{LEAST_STAKE, WEEK_SECONDS};
use opengpu_core::{Address, U256};
use serde::Serialize;

use super::Context;
use super::wallet::enough_open;
use crate::args::{Claim, Extend, Lock, Stake, Unlock, Whose};
use crate::failure::{Failure, Outcome};
use crate::output::{TokenName, print_json, print_line, table};
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
    /// Hundredths of a percent a year: the trailing four weeks' part of this stake's weight ÷ its value, annualised; `null` without a stake.
    trailing_apy_bps: Option<u128>,
    /// The same for an OPEN at weight 1; `null` while nobody stakes.
    trailing_apy_bps_at_weight1: Option<u128>,
}

/// Does what the command says.
pub(crate) async fn stake(context: &Context, command: &Stake) -> Outcome {
    let session = Session::open(&context.home, &context.global).await?;
    match command {
        Stake::Lock(args) => lock(context, &session, args).await,
        Stake::Extend(args) => extend(context, &session, args).await,
        Stake::Unlock(args) => unlock(context, &session, args).await,
        Stake::Claim(args) => claim(context, &session, args).await,
        Stake::Show(args) => show(context, &session, args).await,
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
    session.chain.stake(amount, args.days).await.map_err(chain_failure)?;
    told(context, session, &open, &format!("locked {}", open.show(amount))).await
}

async fn extend(context: &Context, session: &Session, args: &Extend) -> Outcome {
    let (_, open) = session.token("OPEN")?;
    let stake = own(session).await?;
    session.chain.extend_stake(args.days).await.map_err(chain_failure)?;
    told(
        context,
        session,
        &open,
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
        return Err(Failure::error(format_args!(
            "the lock ends at unix second {}, in {}",
            stake.end,
            days(stake.end - now)
        ))
        .hint("run the same command then; a lock cannot be cut short"));
    }
    session
        .chain
        .unstake(amount, session.account())
        .await
        .map_err(chain_failure)?;
    told(context, session, &open, &format!("took back {}", open.show(amount))).await
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
    let apy = |bps: Option<u128>| {
        bps.map_or("nobody stakes yet".to_owned(), |bps| {
            format!("{} %", Amount(bps).format_units(2))
        })
    };
    if shown.amount == Amount::ZERO {
        print_line(&format!(
            "{account} has no stake; `opengpu stake lock 1000 --days 90` makes one"
        ))?;
        let text = apy(shown.trailing_apy_bps_at_weight1);
        return print_line(&format!("trailing {TRAILING_WEEKS} weeks, a year, at weight 1: {text}"));
    }
    let now = session.now().await?;
    let lock = if now < shown.end {
        format!("until unix second {}, {} from now", shown.end, days(shown.end - now))
    } else {
        "over: `opengpu stake unlock` takes it back, `extend` locks it again".to_owned()
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
            apy(shown.trailing_apy_bps),
        ],
    ];
    for claimable in &shown.claimable {
        let name = session.token_name_of(&claimable.token);
        rows.push(["to claim".to_owned(), name.show(claimable.amount)]);
    }
    print_line(&format!("stake of {account} on {}", session.profile.name))?;
    print_line(&table(["", ""], rows))
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

fn days(seconds: u64) -> String {
    format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600)
}

async fn told(context: &Context, session: &Session, open: &TokenName, what: &str) -> Outcome {
    let stake = session.chain.stake_of(session.account()).await.map_err(chain_failure)?;
    if context.global.json {
        return print_json(&serde_json::json!({
            "amount": stake.amount, "weight": stake.weight, "end": stake.end, "tier": stake.tier,
        }));
    }
    print_line(&format!(
        "{what}; staked are now {}, weight {}, until unix second {}",
        open.show(stake.amount),
        stake.weight.format_units(18),
        stake.end
    ))
}
