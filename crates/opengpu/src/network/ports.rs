//! Loopback ports of the local network: taken as asked for, or any free one.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use tokio::time::{Instant, interval};

use crate::failure::{Failure, Outcome};

/// How long a port that was ours may stay taken: a chain keeper that was killed takes its chain node with it a moment later.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);
/// How often such a port is tried.
const TRY_EVERY: Duration = Duration::from_millis(50);

/// Makes sure that `port` can be listened on; 0 takes a free one. The port is released again, so somebody else may take it
/// before it is used: then the process that wanted it says so.
pub(crate) fn claim(port: u16, what: &str, flag: &str) -> Outcome<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|error| {
        let message = match error.kind() {
            std::io::ErrorKind::AddrInUse => format!("port {port} for the {what} is in use by another program"),
            _ => format!("cannot listen on port {port} for the {what}: {error}"),
        };
        Failure::error(message).hint(format_args!("`opengpu up {flag} 0` takes a free port"))
    })?;
    let address = listener
        .local_addr()
        .map_err(|error| Failure::error(format_args!("no port for the {what}: {error}")))?;
    Ok(address.port())
}

/// The same for a port that a process of ours listened on until just now.
pub(crate) async fn claim_again(port: u16, what: &str, flag: &str) -> Outcome<u16> {
    let deadline = Instant::now() + LEAVE_WITHIN;
    let mut tries = interval(TRY_EVERY);
    loop {
        tries.tick().await;
        match claim(port, what, flag) {
            Err(_) if Instant::now() < deadline => {}
            claimed => return claimed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_named_with_the_flag_that_helps() {
        let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = holder.local_addr().unwrap().port();
        let failure = claim(port, "gateway", "--gateway-port").unwrap_err();
        assert!(
            failure
                .to_string()
                .contains(&format!("port {port} for the gateway is in use")),
            "{failure}"
        );
        assert!(failure.to_string().contains("--gateway-port 0"), "{failure}");
    }

    #[tokio::test]
    async fn a_port_that_was_ours_is_waited_for() {
        let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = holder.local_addr().unwrap().port();
        let waiting = tokio::spawn(claim_again(port, "chain", "--chain-port"));
        tokio::task::yield_now().await;
        drop(holder);
        assert_eq!(waiting.await.unwrap().unwrap(), port);
    }

    #[test]
    fn zero_takes_a_free_port() {
        assert_ne!(claim(0, "chain", "--chain-port").unwrap(), 0);
    }
}
