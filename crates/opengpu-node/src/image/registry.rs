//! Pulling from an OCI registry, by digest, over HTTPS; plain HTTP only on loopback.
//!
//! Source: OCI distribution specification 1.1.

use std::io::Write;
use std::net::IpAddr;

use futures::StreamExt;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};

use super::fetch::{CheckedFile, MAX_DOCUMENT_BYTES, check};
use super::manifest::{DOCKER_LIST, DOCKER_MANIFEST, Descriptor, OCI_INDEX, OCI_MANIFEST};
use super::{Digest, ImageError};

const ACCEPTED: [&str; 4] = [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST];

/// One repository of one registry, without credentials: public images and the local network's registry.
pub(crate) struct RegistrySource {
    client: Client,
    reference: Reference,
}

impl RegistrySource {
    /// For `[host/]name[:tag]`.
    pub(crate) fn new(name: &str) -> Result<Self, ImageError> {
        let reference: Reference = name
            .parse()
            .map_err(|error: oci_client::ParseError| ImageError::BadReference {
                text: name.to_owned(),
                reason: error.to_string(),
            })?;
        let registry = reference.resolve_registry();
        let protocol = match is_loopback(registry) {
            true => ClientProtocol::HttpsExcept(vec![registry.to_owned()]),
            false => ClientProtocol::Https,
        };
        let client = Client::new(ClientConfig {
            protocol,
            ..ClientConfig::default()
        });
        Ok(Self { client, reference })
    }

    /// The manifest or index with this digest, or the one the tag names now, with its digest. Checked.
    pub(crate) async fn manifest(&self, digest: Option<&Digest>) -> Result<(Digest, Vec<u8>), ImageError> {
        let reference = match digest {
            Some(digest) => self.reference.clone_with_digest(digest.to_string()),
            None => self.reference.clone(),
        };
        let (bytes, _) = self
            .client
            .pull_manifest_raw(&reference, &RegistryAuth::Anonymous, &ACCEPTED)
            .await
            .map_err(|error| self.explain(error))?;
        if bytes.len() as u64 > MAX_DOCUMENT_BYTES {
            return Err(ImageError::TooLarge {
                what: "manifest bytes",
                limit: MAX_DOCUMENT_BYTES,
            });
        }
        let actual = Digest::of(&bytes);
        if let Some(expected) = digest {
            check(expected, &actual, expected)?;
        }
        Ok((actual, bytes.to_vec()))
    }

    /// Streams one blob; the file checks it.
    pub(crate) async fn blob(&self, blob: &Descriptor, file: &mut CheckedFile) -> Result<(), ImageError> {
        self.client
            .auth(&self.reference, &RegistryAuth::Anonymous, RegistryOperation::Pull)
            .await
            .map_err(|error| self.explain(error))?;
        let digest = blob.digest.to_string();
        let mut stream = self
            .client
            .pull_blob_stream(&self.reference, digest.as_str())
            .await
            .map_err(|error| self.explain(error))?
            .stream;
        let mut received = 0;
        while let Some(bytes) = stream.next().await {
            let bytes = bytes.map_err(|error| ImageError::Registry {
                reason: error.to_string(),
            })?;
            received += bytes.len() as u64;
            if received > blob.size {
                return Err(ImageError::Malformed {
                    reason: format!("{digest} is longer than {}", blob.size),
                });
            }
            file.write_all(&bytes)
                .map_err(ImageError::io("write", digest.clone()))?;
        }
        Ok(())
    }

    fn explain(&self, error: OciDistributionError) -> ImageError {
        let image = self.reference.to_string();
        let is_unknown = match &error {
            OciDistributionError::ImageManifestNotFoundError(_) => true,
            OciDistributionError::ServerError { code, .. } => *code == 404,
            OciDistributionError::RegistryError { envelope, .. } => {
                let text = envelope.to_string().to_ascii_lowercase();
                text.contains("unknown")
                    && (text.contains("manifest") || text.contains("name") || text.contains("blob"))
            }
            // Public registries answer 401 for repositories that do not exist.
            OciDistributionError::UnauthorizedError { .. } | OciDistributionError::AuthenticationFailure(_) => true,
            _ => false,
        };
        let reason = error.to_string();
        if is_unknown {
            ImageError::NotFound { image, reason }
        } else {
            ImageError::Registry { reason }
        }
    }
}

/// Whether a registry's `host[:port]` can only be this machine.
fn is_loopback(registry: &str) -> bool {
    let host = match registry.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => host,
        _ => registry,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn plain_http_is_for_loopback_alone() {
        for registry in ["localhost:5000", "localhost", "127.0.0.1:41234", "[::1]:5000"] {
            assert!(is_loopback(registry), "{registry}");
        }
        for registry in [
            "localhost.example:5000",
            "registry.example",
            "10.0.0.1:5000",
            "127.0.0.1.example",
        ] {
            assert!(!is_loopback(registry), "{registry}");
        }
    }
}
