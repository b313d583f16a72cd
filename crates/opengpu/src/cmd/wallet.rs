//! `opengpu wallet`: credits of the Cloud Wallet.

use opengpu_core::money::Amount;
use serde::Serialize;

use super::Context;
use super::budget::budget;
use crate::args::{Transfer, Wallet};
use crate::failure::{Failure, Kind, Outcome};
use crate::interrupts::sending;
use crate::output::{TokenName, print_json, print_line, table};
use crate::session::{Session, chain_failure};

/// One token of the payer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    token: String,
    decimals: u8,
    /// Spendable by jobs, base units.
    credits: Amount,
    /// Outside the wallet, base units.
    tokens: Amount,
}

/// Shows or moves credits.
pub(crate) async fn wallet(context: &Context, command: &Wallet) -> Outcome {
    let session = Session::open(&context.home, &context.global).await?;
    sending(&session.chain, act(context, &session, command)).await
}

async fn act(context: &Context, session: &Session, command: &Wallet) -> Outcome {
    match command {
        Wallet::Show => show(context, session).await,
        Wallet::Deposit(transfer) => deposit(context, session, transfer).await,
        Wallet::Withdraw(transfer) => withdraw(context, session, transfer).await,
        Wallet::Budget(command) => budget(context, session, command).await,
    }
}

async fn show(context: &Context, session: &Session) -> Outcome {
    let mut rows = Vec::new();
    for info in &session.profile.network.contracts.tokens {
        rows.push(Row {
            token: info.symbol.clone(),
            decimals: info.decimals,
            credits: session.credits(info.address).await?,
            tokens: session.tokens(info.address).await?,
        });
    }
    if context.global.json {
        return print_json(&serde_json::json!({ "account": session.account(), "balances": rows }));
    }
    print_line(&format!("account {} on {}", session.account(), session.profile.name))?;
    let lines = rows.iter().map(|row| {
        let [credits, tokens] = [row.credits, row.tokens].map(|amount| amount.format_units(row.decimals));
        [row.token.clone(), credits, tokens]
    });
    print_line(&table(["TOKEN", "CREDITS", "OUTSIDE"], lines.collect()))
}

async fn deposit(context: &Context, session: &Session, transfer: &Transfer) -> Outcome {
    let (token, name) = session.token(&transfer.token)?;
    let amount = positive(&name, &transfer.amount)?;
    let tokens = session.tokens(token).await?;
    enough(
        &name,
        amount,
        tokens,
        "outside the wallet",
        "send that account some first",
    )?;
    session.chain.deposit(token, amount).await.map_err(chain_failure)?;
    moved(context, session, transfer, "deposited").await
}

async fn withdraw(context: &Context, session: &Session, transfer: &Transfer) -> Outcome {
    let (token, name) = session.token(&transfer.token)?;
    let amount = positive(&name, &transfer.amount)?;
    let credits = session.credits(token).await?;
    enough(
        &name,
        amount,
        credits,
        "in credits that no job has locked",
        "`opengpu wallet show` shows what there is",
    )?;
    session
        .chain
        .withdraw(token, amount, session.account())
        .await
        .map_err(chain_failure)?;
    moved(context, session, transfer, "withdrew").await
}

fn positive(name: &TokenName, text: &str) -> Outcome<Amount> {
    match name.parse(text)? {
        Amount::ZERO => Err(Failure::usage("the amount is 0").hint("for example `opengpu wallet deposit 5`")),
        amount => Ok(amount),
    }
}

/// Refuses to stake or bond more OPEN than the account has outside the wallet.
pub(super) async fn enough_open(session: &Session, wanted: Amount) -> Outcome {
    let (token, open) = session.token("OPEN")?;
    let hint = "`opengpu wallet withdraw … --token OPEN` takes credits out";
    enough(&open, wanted, session.tokens(token).await?, "outside the wallet", hint)
}

/// Refuses what is more than there is.
fn enough(name: &TokenName, wanted: Amount, there: Amount, place: &str, hint: &str) -> Outcome {
    if wanted <= there {
        return Ok(());
    }
    let message = format!("you have {} {place}, not {}", name.show(there), name.show(wanted));
    Err(Failure::new(Kind::Budget, message).hint(hint))
}

async fn moved(context: &Context, session: &Session, transfer: &Transfer, what: &str) -> Outcome {
    let (token, name) = session.token(&transfer.token)?;
    let credits = session.credits(token).await?;
    if context.global.json {
        return print_json(&serde_json::json!({ "token": name.symbol, "credits": credits }));
    }
    print_line(&format!(
        "{what} {} {}; credits are now {}",
        transfer.amount,
        name.symbol,
        name.show(credits)
    ))
}
