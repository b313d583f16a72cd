//! The JSON documents of an image: index, manifest, configuration, and the choice of this machine's variant.
//!
//! Source: OCI image specification 1.1; Docker's image manifest v2, schema 2, has the same shape.

use serde::{Deserialize, Serialize};

use super::{Digest, ImageConfig, ImageError};

/// Names a blob: its digest and size, and what kind of document it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<Platform>,
}

/// System and processor an image variant is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Platform {
    pub(crate) architecture: String,
    pub(crate) os: String,
}

/// A list of variants, or of the images in a layout folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    pub(crate) schema_version: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    pub(crate) manifests: Vec<Descriptor>,
}

/// One image: its configuration and its layers, lowest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

/// The image's configuration document, as far as it is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ConfigDocument {
    pub(crate) architecture: String,
    pub(crate) os: String,
    #[serde(default)]
    pub(crate) config: Option<RunConfig>,
    pub(crate) rootfs: RootFileSystem,
}

/// How to run the image. Docker writes `null` where it means empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RunConfig {
    #[serde(default)]
    pub(crate) user: Option<String>,
    #[serde(default)]
    pub(crate) env: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) entrypoint: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) cmd: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) working_dir: Option<String>,
}

/// The digests of the uncompressed layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RootFileSystem {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) diff_ids: Vec<Digest>,
}

pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// What a manifest's bytes turned out to be.
pub(crate) enum Document {
    /// Variants to choose from.
    Index(Index),
    /// One image.
    Manifest(Manifest),
}

/// Reads an index or a manifest by what it contains, since a layout's descriptor may be missing its type.
pub(crate) fn parse_document(bytes: &[u8]) -> Result<Document, ImageError> {
    #[derive(Deserialize)]
    struct Shape {
        manifests: Option<serde::de::IgnoredAny>,
    }
    let malformed = |error: serde_json::Error| ImageError::Malformed {
        reason: format!("manifest: {error}"),
    };
    let shape: Shape = serde_json::from_slice(bytes).map_err(malformed)?;
    if shape.manifests.is_some() {
        serde_json::from_slice(bytes).map(Document::Index).map_err(malformed)
    } else {
        serde_json::from_slice(bytes).map(Document::Manifest).map_err(malformed)
    }
}

/// This machine's platform, in the words images use (Go's `GOOS/GOARCH`). Containers are Linux also where Docker
/// Desktop runs them.
pub(crate) fn this_platform() -> Platform {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    Platform {
        architecture: architecture.to_owned(),
        os: "linux".to_owned(),
    }
}

impl Index {
    /// The variant for this machine; an entry that names no platform fits when it is the only one.
    pub(crate) fn choose(&self, image: &str) -> Result<&Descriptor, ImageError> {
        let wanted = this_platform();
        let only = || match self.manifests.as_slice() {
            [only] if only.platform.is_none() => Some(only),
            _ => None,
        };
        self.manifests
            .iter()
            .find(|entry| entry.platform.as_ref() == Some(&wanted))
            .or_else(only)
            .ok_or_else(|| ImageError::WrongPlatform {
                image: image.to_owned(),
                platform: format!("{}/{}", wanted.os, wanted.architecture),
            })
    }
}

impl ConfigDocument {
    /// The parts a start uses.
    pub(crate) fn image_config(&self) -> ImageConfig {
        let run = self.config.clone().unwrap_or_default();
        let env = run.env.unwrap_or_default();
        ImageConfig {
            entrypoint: run.entrypoint.unwrap_or_default(),
            command: run.cmd.unwrap_or_default(),
            env: env
                .iter()
                .filter_map(|pair| pair.split_once('='))
                .map(own_pair)
                .collect(),
            working_folder: run.working_dir.unwrap_or_default(),
            user: run.user.unwrap_or_default(),
        }
    }
}

fn own_pair((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}
