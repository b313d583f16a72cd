//! The one binary. The node's hidden helpers come first: they must run before any thread exists.

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = opengpu_node::shim::helper_main(std::env::args_os()) {
        return ExitCode::from(code);
    }
    ExitCode::SUCCESS
}
