//! Where anvil is.

use std::env;
use std::path::{Path, PathBuf};

use super::DevnetError;

/// Names the program when it is nowhere we look.
pub const ANVIL_VARIABLE: &str = "OPENGPU_ANVIL";

/// Finds anvil: `OPENGPU_ANVIL`, beside this program, in the `node_modules` of the current folder, of this program's folder or of any
/// folder above either, then `PATH`.
///
/// # Errors
/// [`DevnetError::AnvilMissing`]; also when `OPENGPU_ANVIL` names no file, rather than taking another one.
pub fn find_anvil() -> Result<PathBuf, DevnetError> {
    let missing = |looked_in: &str| DevnetError::AnvilMissing {
        looked_in: looked_in.to_owned(),
    };
    if let Some(named) = env::var_os(ANVIL_VARIABLE) {
        let path = PathBuf::from(named);
        return if path.is_file() {
            Ok(path)
        } else {
            Err(missing(&format!("{ANVIL_VARIABLE}={}", path.display())))
        };
    }
    let executable_folder = env::current_exe()
        .ok()
        .and_then(|path| path.parent().map(Path::to_owned));
    let current_folder = env::current_dir().ok();
    let mut places: Vec<PathBuf> = executable_folder.iter().map(|folder| folder.join("anvil")).collect();
    for start in [&current_folder, &executable_folder].into_iter().flatten() {
        for folder in start.ancestors() {
            places.push(folder.join("node_modules/.bin/anvil"));
            places.push(folder.join("node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"));
        }
    }
    let search_path = env::var_os("PATH").unwrap_or_default();
    places.extend(env::split_paths(&search_path).map(|folder| folder.join("anvil")));
    places
        .into_iter()
        .find(|path| path.is_file())
        .ok_or_else(|| missing("the program's folder, node_modules and PATH"))
}
