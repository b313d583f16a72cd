//! Verifies a receipt as a stranger would: another process, an empty home, and no network.

use std::io;
use std::path::Path;
use std::process::Stdio;

use nix::sched::{CloneFlags, unshare};
use tokio::process::Command;

use crate::failure::{Failure, OrFail, Outcome};
use crate::output::say;

/// Port 9 discards, and nobody listens there: what tries to reach a network through this proxy fails.
const NOWHERE: &str = "http://127.0.0.1:9";

/// What the verifier was kept from reaching the network by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Isolation {
    /// A network namespace of its own, in which there is nothing.
    Namespace,
    /// Proxies that lead nowhere: the kernel refused a namespace.
    Proxies,
}

/// Verifies the receipt in another process and tells what it printed.
pub(super) async fn verify(receipt: &Path) -> Outcome<Isolation> {
    let empty = tempfile::tempdir().or_fail("cannot make a temporary folder")?;
    let program = std::env::current_exe().or_fail("cannot find this program")?;
    let verifier = || {
        let mut command = Command::new(&program);
        command
            .args(["receipt", "verify"])
            .arg(receipt)
            .env_clear()
            .env("OPENGPU_HOME", empty.path());
        command.envs([
            ("HTTP_PROXY", NOWHERE),
            ("HTTPS_PROXY", NOWHERE),
            ("ALL_PROXY", NOWHERE),
        ]);
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    };
    let mut alone = verifier();
    without_network(&mut alone);
    let (output, isolation) = match alone.output().await {
        Ok(output) => (output, Isolation::Namespace),
        Err(refused) => {
            say(&format!(
                "note     no network namespace for the verifier ({refused}); its proxies lead nowhere instead"
            ));
            (
                verifier().output().await.or_fail("cannot start the verifier")?,
                Isolation::Proxies,
            )
        }
    };
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .for_each(|line| say(&format!("verify   {line}")));
    if output.status.success() {
        return Ok(isolation);
    }
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(
        Failure::error(format_args!("the receipt did not verify: {}", words.trim()))
            .hint(format_args!("opengpu receipt verify {}", receipt.display())),
    )
}

/// Gives the process a network namespace of its own, which has not even a loopback that is up. Starting it fails where the
/// kernel refuses.
fn without_network(command: &mut Command) {
    let leave = || {
        // Root may leave the network as it is; everybody else may inside a user namespace, where that is allowed.
        unshare(CloneFlags::CLONE_NEWNET)
            .or_else(|_| unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET))
            .map_err(io::Error::from)
    };
    // SAFETY: after the fork the child has one thread, and unshare is a bare system call: no allocation, no lock.
    unsafe { command.pre_exec(leave) };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names of the network interfaces a process sees, from `/proc/self/net/dev`; the error when it could not start.
    async fn interfaces(mut command: Command) -> io::Result<Vec<String>> {
        let output = command.arg("/proc/self/net/dev").output().await?;
        let text = String::from_utf8(output.stdout).unwrap();
        let names = text.lines().skip(2).filter_map(|line| line.split_once(':'));
        Ok(names.map(|(name, _)| name.trim().to_owned()).collect())
    }

    #[tokio::test]
    async fn a_process_without_network_has_no_way_to_this_machines_servers() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        let connect = format!("exec 3<>/dev/tcp/127.0.0.1/{port}");
        let bash = || {
            let mut command = Command::new("bash");
            command.args(["-c", &connect]).stderr(Stdio::null());
            command
        };
        assert!(
            bash().status().await.unwrap().success(),
            "with the network it must be reachable"
        );
        let mut alone = bash();
        without_network(&mut alone);
        match alone.status().await {
            Ok(status) => assert!(!status.success()),
            Err(refused) => return eprintln!("SKIPPED: the kernel gives no network namespace: {refused}"),
        }
        let mut alone = Command::new("cat");
        without_network(&mut alone);
        assert!(interfaces(alone).await.unwrap().iter().all(|name| name == "lo"));
    }
}
