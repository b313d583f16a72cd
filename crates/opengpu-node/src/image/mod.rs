//! Container images: where they come from, checked against their digests, unpacked once per digest.
//!
//! [`ImageReference`] says which image; [`PreparedImage`] is one that lies on this machine, verified.

mod archive;
mod cache;
mod error;
mod fetch;
mod manifest;
mod pack;
mod reference;
mod registry;
mod rooted;
#[cfg(test)]
mod tests;
mod unpack;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use archive::extract_layout;
pub use cache::resolve_image;
pub(crate) use cache::{Form, ImageCache, layers_of};
pub use error::ImageError;
pub use pack::{PackedImage, pack_binary};
pub use reference::{Digest, ImageReference};
pub(crate) use rooted::RootedFolder;

/// An image on this machine whose every blob matched its digest. Only the runtime that made it can start from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreparedImage {
    /// sha2-256 of the image's manifest for this platform: what the receipt names.
    pub digest: Digest,
    /// The unpacked root file system (embedded), or the OCI layout it was loaded from (Docker). Never written to.
    pub folder: PathBuf,
    /// What the image says about how to run it.
    pub config: ImageConfig,
}

/// The parts of an image's configuration that a container start uses.
///
/// Source: OCI image specification 1.1, `config.md`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ImageConfig {
    /// The program and its fixed arguments; may be empty.
    pub entrypoint: Vec<String>,
    /// Default arguments, or the whole command when there is no entrypoint.
    pub command: Vec<String>,
    /// Variables for the program inside: (name, value). They reach nothing on the host.
    pub env: Vec<(String, String)>,
    /// Working folder; empty means `/`.
    pub working_folder: String,
    /// `uid`, `uid:gid`, a name or `name:group` from the image's `/etc/passwd`; empty means root of its own range.
    pub user: String,
}

impl ImageConfig {
    /// The command a job gets that names none of its own.
    pub fn default_argv(&self) -> Vec<String> {
        self.entrypoint.iter().chain(&self.command).cloned().collect()
    }
}
