//! What can be wrong with an image, sorted by who has to act.

use std::path::PathBuf;

/// Why an image could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The reference is not one of the three forms. User must fix.
    #[error("image reference {text:?} is not NAME[:TAG][@sha256:…], oci:DIR or oci-archive:FILE: {reason}")]
    BadReference {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The registry or the file says there is no such image. User must fix.
    #[error("image {image} does not exist: {reason}")]
    NotFound {
        /// Which one.
        image: String,
        /// What the registry or file system said.
        reason: String,
    },
    /// The image exists, but not for this machine's system and processor. User must fix, or another node.
    #[error("image {image} has no variant for {platform}")]
    WrongPlatform {
        /// Which one.
        image: String,
        /// What was looked for, e.g. `linux/amd64`.
        platform: String,
    },
    /// Bytes did not match the digest that names them. Never use; retry from another source.
    #[error("{what} has digest {actual}, expected {expected}")]
    DigestMismatch {
        /// Which blob.
        what: String,
        /// The digest that was asked for.
        expected: String,
        /// The digest of what came.
        actual: String,
    },
    /// The image breaks the OCI rules, or tries to write outside its own folder. User must fix.
    #[error("image is malformed: {reason}")]
    Malformed {
        /// What was found.
        reason: String,
    },
    /// The image is larger than this node takes. User must fix.
    #[error("image is too large: {what} above {limit}")]
    TooLarge {
        /// What was counted.
        what: &'static str,
        /// The limit, in that unit.
        limit: u64,
    },
    /// The registry could not be reached or answered with an error. Retry.
    #[error("registry: {reason}")]
    Registry {
        /// What happened.
        reason: String,
    },
    /// The local disk failed or is full. Retry after fixing the machine.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl ImageError {
    /// Whether the job's author has to fix it, rather than this machine or the registry.
    pub fn is_users_fault(&self) -> bool {
        !matches!(
            self,
            Self::Registry { .. } | Self::Io { .. } | Self::DigestMismatch { .. }
        )
    }

    /// An [`ImageError::Io`] for `path`, to be used with `map_err`.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
