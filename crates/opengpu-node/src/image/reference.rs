//! How an image is named: a registry reference, an OCI layout folder or an OCI archive file.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::ImageError;

/// A sha2-256 content digest, written `sha256:` and 64 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_hash(Sha256::digest(bytes).into())
    }

    /// The digest with this hash value.
    pub fn from_hash(hash: [u8; 32]) -> Self {
        use fmt::Write as _;
        let mut text = String::with_capacity(71);
        text.push_str("sha256:");
        for byte in hash {
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }

    /// `sha256:…` as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The 64 hex digits: the blob's file name in an OCI layout.
    pub fn hex(&self) -> &str {
        self.0.trim_start_matches("sha256:")
    }

    /// The 32 bytes of the hash.
    pub fn hash(&self) -> [u8; 32] {
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(self.hex().as_bytes().chunks(2)) {
            let nibble = |c: u8| (c as char).to_digit(16).unwrap_or(0) as u8;
            *byte = nibble(pair[0]) << 4 | nibble(pair[1]);
        }
        hash
    }
}

impl FromStr for Digest {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self, ImageError> {
        let hex = text.strip_prefix("sha256:").unwrap_or("");
        if hex.len() == 64 && hex.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f')) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ImageError::BadReference {
                text: text.to_owned(),
                reason: "a digest is sha256: and 64 lower-case hex digits".to_owned(),
            })
        }
    }
}

impl TryFrom<String> for Digest {
    type Error = ImageError;

    fn try_from(text: String) -> Result<Self, ImageError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which image a job wants. Text form: `NAME[:TAG][@DIGEST]`, `oci:DIR[@DIGEST]` or `oci-archive:FILE[@DIGEST]`.
///
/// With a digest only those exact bytes are accepted (of the manifest, or of an index that leads to it).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageReference {
    /// In a registry, by name, with a tag or a digest.
    Registry {
        /// `[host/]name[:tag]`, without digest.
        name: String,
        /// The exact image, when named.
        digest: Option<Digest>,
    },
    /// A folder in OCI image layout on this machine.
    Layout {
        /// The folder with `index.json`.
        folder: PathBuf,
        /// The exact image, when named.
        digest: Option<Digest>,
    },
    /// A tar file of such a folder on this machine.
    Archive {
        /// The tar file, not compressed.
        file: PathBuf,
        /// The exact image, when named.
        digest: Option<Digest>,
    },
}

impl ImageReference {
    /// The exact image, when the reference names it.
    pub fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Registry { digest, .. } | Self::Layout { digest, .. } | Self::Archive { digest, .. } => {
                digest.as_ref()
            }
        }
    }

    /// The same reference, held to this digest.
    pub fn pinned(&self, to: Digest) -> Self {
        let mut pinned = self.clone();
        match &mut pinned {
            Self::Registry { digest, .. } | Self::Layout { digest, .. } | Self::Archive { digest, .. } => {
                *digest = Some(to);
            }
        }
        pinned
    }
}

impl FromStr for ImageReference {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self, ImageError> {
        let (location, digest) = match text.rsplit_once("@sha256:") {
            Some((location, hex)) => (location, Some(format!("sha256:{hex}").parse()?)),
            None => (text, None),
        };
        let refuse = |reason: &str| ImageError::BadReference {
            text: text.to_owned(),
            reason: reason.to_owned(),
        };
        let reference = if let Some(folder) = location.strip_prefix("oci:") {
            Self::Layout {
                folder: folder.into(),
                digest,
            }
        } else if let Some(file) = location.strip_prefix("oci-archive:") {
            Self::Archive {
                file: file.into(),
                digest,
            }
        } else {
            location
                .parse::<oci_client::Reference>()
                .map_err(|error| refuse(&error.to_string()))?;
            Self::Registry {
                name: location.to_owned(),
                digest,
            }
        };
        match &reference {
            Self::Layout { folder: path, .. } | Self::Archive { file: path, .. } if path.as_os_str().is_empty() => {
                Err(refuse("the path is missing"))
            }
            _ => Ok(reference),
        }
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry { name, .. } => f.write_str(name)?,
            Self::Layout { folder, .. } => write!(f, "oci:{}", folder.display())?,
            Self::Archive { file, .. } => write!(f, "oci-archive:{}", file.display())?,
        }
        match self.digest() {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn every_form_is_read_and_written_back_the_same() {
        for text in [
            "localhost:5000/team/tool:1.2",
            "debian",
            "oci:/srv/images/tracer",
            "oci-archive:/srv/images/tracer.tar",
            &format!("localhost:5000/team/tool@{DIGEST}"),
            &format!("oci:/srv/images/tracer@{DIGEST}"),
        ] {
            let reference: ImageReference = text.parse().unwrap();
            assert_eq!(reference.to_string(), text);
            assert_eq!(reference.digest().is_some(), text.contains('@'));
        }
    }

    #[test]
    fn a_digest_is_that_of_the_bytes_and_gives_them_back() {
        let digest = Digest::of(b"abc");
        assert_eq!(digest.as_str(), DIGEST);
        assert_eq!(Digest::from_hash(digest.hash()), digest);
    }

    #[test]
    fn malformed_references_are_refused() {
        for text in ["", "oci:", "UPPER CASE", "a@sha256:12", "oci:/x@sha256:zz"] {
            assert!(text.parse::<ImageReference>().is_err(), "{text:?} was taken");
        }
    }
}
