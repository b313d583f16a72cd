//! Keys by keystore file (Ethereum keystore v3, the format of geth, Foundry and MetaMask's export), never by flag.
//!
//! A key is read from the file that `OPENGPU_KEY_FILE` names, decrypted with the first line of the file that `OPENGPU_PASSWORD_FILE`
//! names. Files are written readable by their owner only.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use alloy::signers::k256::elliptic_curve::rand_core::OsRng;
use alloy::signers::local::{LocalSignerError, PrivateKeySigner};
use opengpu_core::Address;
use opengpu_core::sign::{SecretKey, SignError};

/// Names the keystore file.
pub const KEY_FILE_VARIABLE: &str = "OPENGPU_KEY_FILE";
/// Names the file whose first line is the keystore's password.
pub const PASSWORD_FILE_VARIABLE: &str = "OPENGPU_PASSWORD_FILE";

/// Why a key could not be read or written. No variant carries a secret.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// An environment variable that names a key is not set.
    #[error("{0} is not set")]
    VariableMissing(&'static str),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Other users can read the key: somebody else may have it.
    #[error("{path} can be read by other users (mode {mode:o}); its mode must be 600")]
    TooOpen {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The password is wrong, or the file is no keystore.
    #[error("{path} cannot be decrypted with that password: {reason}")]
    Undecryptable {
        /// Which file.
        path: PathBuf,
        /// What the keystore's reader said.
        reason: String,
    },
    /// There is a file already, and a key is never overwritten.
    #[error("{path} exists already")]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// What was decrypted is no secp256k1 key.
    #[error(transparent)]
    BadKey(#[from] SignError),
}

/// Where a key is: a keystore file and the file with its password.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyFiles {
    /// Keystore (JSON).
    pub key: PathBuf,
    /// File whose first line is the password.
    pub password: PathBuf,
}

impl KeyFiles {
    /// The files the environment names.
    ///
    /// # Errors
    /// [`KeyError::VariableMissing`].
    pub fn from_environment() -> Result<Self, KeyError> {
        let path = |name| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .ok_or(KeyError::VariableMissing(name))
        };
        Ok(Self {
            key: path(KEY_FILE_VARIABLE)?,
            password: path(PASSWORD_FILE_VARIABLE)?,
        })
    }

    /// Reads and decrypts the key. Blocks for some 50 ms (scrypt); from async code call it by `spawn_blocking` or at start-up.
    ///
    /// # Errors
    /// [`KeyError`]: missing, readable by others, or not to be decrypted.
    pub fn load(&self) -> Result<SecretKey, KeyError> {
        refuse_open_file(&self.key)?;
        refuse_open_file(&self.password)?;
        let text = fs::read_to_string(&self.password).map_err(io_error(&self.password))?;
        load(&self.key, text.lines().next().unwrap_or_default())
    }
}

/// Decrypts the keystore at `path`.
///
/// # Errors
/// [`KeyError::Io`] when it is not there, [`KeyError::Undecryptable`] for a wrong password or another format.
pub fn load(path: &Path, password: &str) -> Result<SecretKey, KeyError> {
    let signer = PrivateKeySigner::decrypt_keystore(path, password).map_err(|error| match error {
        LocalSignerError::IoError(source) => KeyError::Io {
            path: path.to_owned(),
            source,
        },
        other => KeyError::Undecryptable {
            path: path.to_owned(),
            reason: other.to_string(),
        },
    })?;
    Ok(SecretKey::from_bytes(signer.to_bytes().0)?)
}

/// Encrypts `key` into a new keystore at `path`, mode 0600 (scrypt with n = 2^13: light, for machines that start often; the files are
/// meant to stay on the machine).
///
/// # Errors
/// [`KeyError::Exists`] rather than overwriting; [`KeyError::Io`].
pub fn save(path: &Path, key: &SecretKey, password: &str) -> Result<Address, KeyError> {
    if path.exists() {
        return Err(KeyError::Exists { path: path.to_owned() });
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("key.json");
    let scratch = format!(".{name}.new");
    // The keystore's writer takes no mode, so the file is made private first and then filled and renamed.
    let scratch_path = folder.join(&scratch);
    write_private(&scratch_path, b"")?;
    let signer = PrivateKeySigner::from_slice(&key.expose_bytes()).map_err(|_| SignError::BadSecretKey)?;
    PrivateKeySigner::encrypt_keystore(folder, &mut OsRng, key.expose_bytes(), password, Some(&scratch)).map_err(
        |error| KeyError::Undecryptable {
            path: path.to_owned(),
            reason: error.to_string(),
        },
    )?;
    fs::rename(&scratch_path, path).map_err(io_error(path))?;
    Ok(signer.address())
}

/// Makes a key from the system's randomness.
#[must_use]
pub fn generate() -> SecretKey {
    loop {
        // A random signer's bytes are always a key; the loop is there because the types do not say so.
        if let Ok(key) = SecretKey::from_bytes(PrivateKeySigner::random().to_bytes().0) {
            return key;
        }
    }
}

/// Writes a new file that only its owner can read, e.g. a password; replaces one of the same name.
///
/// # Errors
/// [`KeyError::Io`].
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), KeyError> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(path).map_err(io_error(path))?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(io_error(path))
}

#[cfg(unix)]
fn refuse_open_file(path: &Path) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(path).map_err(io_error(path))?.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(KeyError::TooOpen {
        path: path.to_owned(),
        mode,
    })
}

#[cfg(not(unix))]
fn refuse_open_file(_: &Path) -> Result<(), KeyError> {
    Ok(())
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> KeyError + '_ {
    move |source| KeyError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved() -> (tempfile::TempDir, KeyFiles, SecretKey) {
        let folder = tempfile::tempdir().unwrap();
        let key = generate();
        let files = KeyFiles {
            key: folder.path().join("agent.json"),
            password: folder.path().join("agent.password"),
        };
        assert_eq!(save(&files.key, &key, "open sesame").unwrap(), key.address());
        write_private(&files.password, b"open sesame\n").unwrap();
        (folder, files, key)
    }

    #[test]
    fn a_saved_key_is_read_back_and_nothing_else_is_left() {
        let (folder, files, key) = saved();
        assert_eq!(files.load().unwrap().expose_bytes(), key.expose_bytes());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_wrong_password_is_refused_without_showing_it() {
        let (_folder, files, _) = saved();
        let error = load(&files.key, "open barley").unwrap_err();
        assert!(matches!(error, KeyError::Undecryptable { .. }), "{error}");
        assert!(!format!("{error:?}").contains("barley"));
    }

    #[test]
    fn a_key_is_never_overwritten() {
        let (_folder, files, _) = saved();
        assert!(matches!(
            save(&files.key, &generate(), "x"),
            Err(KeyError::Exists { .. })
        ));
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let (_folder, files, _) = saved();
        assert_eq!(fs::metadata(&files.key).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&files.key, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(files.load(), Err(KeyError::TooOpen { mode: 0o644, .. })));
    }

    #[test]
    fn a_missing_key_names_its_file() {
        let error = load(Path::new("/nowhere/key.json"), "x").unwrap_err();
        assert!(error.to_string().contains("/nowhere/key.json"), "{error}");
    }
}
