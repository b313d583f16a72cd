//! Loopback ports of the local network: taken as asked for, or any free one.

use std::net::{Ipv4Addr, TcpListener};

use crate::failure::{Failure, Outcome};

/// Makes sure that `port` can be listened on; 0 takes a free one. The port is released again, so somebody else may take it
/// before it is used: then the process that wanted it says so.
pub(crate) fn claim(port: u16, what: &str, flag: &str) -> Outcome<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => Failure::error(format!("port {port} for the {what} is in use by another program"))
            .hint(format!("`opengpu up {flag} 0` takes a free port")),
        _ => Failure::error(format!("cannot listen on port {port} for the {what}: {error}"))
            .hint(format!("`opengpu up {flag} 0` takes a free port")),
    })?;
    let address = listener.local_addr().map_err(|error| Failure::error(format!("no port for the {what}: {error}")))?;
    Ok(address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_named_with_the_flag_that_helps() {
        let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = holder.local_addr().unwrap().port();
        let failure = claim(port, "gateway", "--gateway-port").unwrap_err();
        assert!(failure.to_string().contains(&format!("port {port} for the gateway is in use")), "{failure}");
        assert!(failure.to_string().contains("--gateway-port 0"), "{failure}");
    }

    #[test]
    fn zero_takes_a_free_port() {
        assert_ne!(claim(0, "chain", "--chain-port").unwrap(), 0);
    }
}
