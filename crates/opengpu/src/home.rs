//! The user's folder (`OPENGPU_HOME`, else `~/.opengpu`) and what its `config.toml` says.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, OrFail, Outcome};

/// Name of the network that `opengpu up` makes; it needs no configuration.
pub(crate) const LOCAL: &str = "local";

/// The user's folder.
#[derive(Debug, Clone)]
pub(crate) struct Home(PathBuf);

/// `config.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Config {
    /// Network used when none is named.
    pub(crate) default_network: Option<String>,
    /// Networks by name.
    #[serde(default)]
    pub(crate) network: BTreeMap<String, NetworkConfig>,
}

/// One `[network.NAME]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct NetworkConfig {
    /// JSON-RPC endpoint; replaces the one in the deployment file.
    pub(crate) rpc: Option<String>,
    /// Gateways, the preferred one first.
    pub(crate) gateways: Vec<String>,
    /// Deployment file (`deployments/<chain id>.json`); a relative path counts from the home folder.
    pub(crate) deployment: PathBuf,
    /// The payer's keystore (eth keystore v3).
    pub(crate) keystore: Option<PathBuf>,
    /// File with its password.
    pub(crate) password_file: Option<PathBuf>,
}

impl Home {
    /// The folder that the environment names.
    pub(crate) fn from_environment() -> Outcome<Self> {
        let named = std::env::var_os("OPENGPU_HOME").filter(|path| !path.is_empty());
        let path = named
            .map(PathBuf::from)
            .or_else(|| std::env::home_dir().map(|home| home.join(".opengpu")));
        let path = path.ok_or_else(|| {
            Failure::usage("no home folder is known").hint("set OPENGPU_HOME to a folder of your own")
        })?;
        let path = std::path::absolute(&path).or_fail(format_args!("cannot use {}", path.display()))?;
        Ok(Self(path))
    }

    /// Uses `path`.
    pub(crate) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// A path below the folder.
    pub(crate) fn join(&self, path: impl AsRef<Path>) -> PathBuf {
        self.0.join(path)
    }

    /// Reads `config.toml`; none is an empty one.
    pub(crate) fn config(&self) -> Outcome<Config> {
        let path = self.join("config.toml");
        match fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text).map_err(|error| {
                Failure::usage(format_args!("{}: {}", path.display(), error.message())).hint(format_args!(
                    "see {}, or move it away: the local network needs none",
                    path.display()
                ))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Config::default()),
            Err(error) => Err(Failure::error(format_args!("cannot read {}: {error}", path.display()))),
        }
    }
}

/// Reads a JSON file; `None` when it is not there.
pub(crate) fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Outcome<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .or_fail(format_args!("{} is damaged", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::error(format_args!("cannot read {}: {error}", path.display()))),
    }
}

/// Writes a JSON file whole or not at all, however the process ends.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Outcome {
    let mut bytes = serde_json::to_vec_pretty(value).or_fail(format_args!("cannot write {}", path.display()))?;
    bytes.push(b'\n');
    write_whole(path, &bytes)
}

/// Writes a file whole or not at all, making the folders above it.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Outcome {
    let write = || -> io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        io::Write::write_all(&mut file, bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().or_fail(format_args!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_key_in_the_config_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.toml"), "[network.a]\nrcp = \"x\"\n").unwrap();
        let failure = Home::at(folder.path().to_owned()).config().unwrap_err();
        assert!(failure.to_string().contains("rcp"), "{failure}");
        assert_eq!(failure.kind(), crate::failure::Kind::Usage);
    }

    #[test]
    fn no_config_is_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Home::at(folder.path().to_owned()).config().unwrap().network.is_empty());
    }
}
