//! Brings an image's blobs into a folder, every one checked against its digest: the same walk for all sources.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::manifest::{ConfigDocument, Descriptor, Document, Index, Manifest, parse_document};
use super::registry::RegistrySource;
use super::{Digest, ImageError, ImageReference};

/// Largest index, manifest or configuration read: registries themselves refuse manifests above 4 MiB.
pub(crate) const MAX_DOCUMENT_BYTES: u64 = 4 << 20;
/// Largest single layer as it travels, in bytes: above every published GPU image's layers.
const MAX_BLOB_BYTES: u64 = 32 << 30;
/// Most layers of an image: overlay file systems stop at 128.
const MAX_LAYERS: usize = 128;

/// Where blobs come from.
pub(crate) enum Source {
    /// An OCI layout folder on this machine.
    Layout(PathBuf),
    /// A registry.
    Registry(RegistrySource),
}

/// An image whose blobs lie in a folder, each named by its digest's hex.
pub(crate) struct FetchedImage {
    pub(crate) digest: Digest,
    pub(crate) manifest: Manifest,
    pub(crate) config: ConfigDocument,
}

/// Finds the manifest for this machine. Nothing but documents is read, so it is cheap.
pub(crate) async fn find(source: &Source, image: &ImageReference) -> Result<(Digest, Vec<u8>), ImageError> {
    let name = image.to_string();
    let (mut digest, mut bytes) = match source {
        Source::Registry(registry) => registry.manifest(image.digest()).await?,
        Source::Layout(folder) => top_of_layout(folder, image)?,
    };
    for _depth in 0..2 {
        let Document::Index(index) = parse_document(&bytes)? else {
            return Ok((digest, bytes));
        };
        let chosen = index.choose(&name)?.digest.clone();
        bytes = match source {
            Source::Registry(registry) => registry.manifest(Some(&chosen)).await?.1,
            Source::Layout(folder) => read_document(folder, &chosen, &name)?,
        };
        digest = chosen;
    }
    match parse_document(&bytes)? {
        Document::Manifest(_) => Ok((digest, bytes)),
        Document::Index(_) => Err(ImageError::Malformed {
            reason: "an index of indexes of indexes".to_owned(),
        }),
    }
}

/// Brings the manifest's configuration and layers into `blobs` (an existing folder).
pub(crate) async fn fetch(
    source: &Source,
    digest: Digest,
    manifest: &[u8],
    blobs: &Path,
) -> Result<FetchedImage, ImageError> {
    let path = blobs.join(digest.hex());
    std::fs::write(&path, manifest).map_err(ImageError::io("write", path))?;
    let Document::Manifest(manifest) = parse_document(manifest)? else {
        return Err(ImageError::Malformed {
            reason: "the manifest is an index".to_owned(),
        });
    };
    if manifest.layers.len() > MAX_LAYERS {
        return Err(ImageError::TooLarge {
            what: "number of layers",
            limit: MAX_LAYERS as u64,
        });
    }
    for blob in manifest.layers.iter().chain([&manifest.config]) {
        bring(source, blob, &blobs.join(blob.digest.hex())).await?;
    }
    let config = read_checked(&blobs.join(manifest.config.digest.hex()), &manifest.config.digest)?;
    let config: ConfigDocument = serde_json::from_slice(&config).map_err(|error| ImageError::Malformed {
        reason: format!("configuration: {error}"),
    })?;
    if config.rootfs.diff_ids.len() != manifest.layers.len() {
        return Err(ImageError::Malformed {
            reason: "layers and diff_ids differ in number".to_owned(),
        });
    }
    Ok(FetchedImage {
        digest,
        manifest,
        config,
    })
}

async fn bring(source: &Source, blob: &Descriptor, to: &Path) -> Result<(), ImageError> {
    if blob.size > MAX_BLOB_BYTES {
        return Err(ImageError::TooLarge {
            what: "layer bytes",
            limit: MAX_BLOB_BYTES,
        });
    }
    if to.exists() {
        return Ok(()); // one image may name a layer twice; what lies here was checked when it came
    }
    let mut file = CheckedFile::create(to)?;
    match source {
        Source::Registry(registry) => registry.blob(blob, &mut file).await?,
        Source::Layout(folder) => {
            let path = blob_path(folder, &blob.digest);
            let mut from = File::open(&path).map_err(|error| missing(&path.display().to_string(), &error))?;
            io::copy(&mut from, &mut file).map_err(ImageError::io("copy", to))?;
        }
    }
    file.finish(&blob.digest, blob.size)
}

/// The layout's one image, the one for this machine, or the one the reference names by digest.
fn top_of_layout(folder: &Path, image: &ImageReference) -> Result<(Digest, Vec<u8>), ImageError> {
    let name = image.to_string();
    if let Some(digest) = image.digest() {
        return Ok((digest.clone(), read_document(folder, digest, &name)?));
    }
    let path = folder.join("index.json");
    let bytes = read_limited(&path).map_err(|error| missing(&name, &error))?;
    let index: Index = serde_json::from_slice(&bytes).map_err(|error| ImageError::Malformed {
        reason: format!("index.json: {error}"),
    })?;
    let chosen = match index.manifests.as_slice() {
        [only] => only,
        _ => index.choose(&name)?,
    };
    let digest = chosen.digest.clone();
    let bytes = read_document(folder, &digest, &name)?;
    Ok((digest, bytes))
}

fn read_document(folder: &Path, digest: &Digest, name: &str) -> Result<Vec<u8>, ImageError> {
    let path = blob_path(folder, digest);
    if !path.exists() {
        return Err(missing(
            name,
            &io::Error::new(io::ErrorKind::NotFound, format!("no blob {digest}")),
        ));
    }
    read_checked(&path, digest)
}

/// Reads a small document and checks its digest.
pub(crate) fn read_checked(path: &Path, digest: &Digest) -> Result<Vec<u8>, ImageError> {
    let bytes = read_limited(path).map_err(ImageError::io("read", path))?;
    check(digest, &Digest::of(&bytes), digest)?;
    Ok(bytes)
}

pub(crate) fn check(what: &Digest, actual: &Digest, expected: &Digest) -> Result<(), ImageError> {
    if actual == expected {
        return Ok(());
    }
    Err(ImageError::DigestMismatch {
        what: format!("blob {}", what.hex().get(..12).unwrap_or_default()),
        expected: expected.to_string(),
        actual: actual.to_string(),
    })
}

fn read_limited(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_DOCUMENT_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_DOCUMENT_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "document above 4 MiB"));
    }
    Ok(bytes)
}

fn blob_path(layout: &Path, digest: &Digest) -> PathBuf {
    layout.join("blobs/sha256").join(digest.hex())
}

fn missing(image: &str, error: &io::Error) -> ImageError {
    ImageError::NotFound {
        image: image.to_owned(),
        reason: error.to_string(),
    }
}

/// A file that hashes what is written to it.
pub(crate) struct CheckedFile {
    file: File,
    path: PathBuf,
    hash: Sha256,
    written: u64,
}

impl CheckedFile {
    fn create(path: &Path) -> Result<Self, ImageError> {
        let file = File::create_new(path).map_err(ImageError::io("create", path))?;
        Ok(Self {
            file,
            path: path.to_owned(),
            hash: Sha256::new(),
            written: 0,
        })
    }

    /// Keeps the file when it is what it should be, deletes it otherwise.
    fn finish(self, digest: &Digest, size: u64) -> Result<(), ImageError> {
        let actual = Digest::from_hash(self.hash.finalize().into());
        let right_size = self.written == size;
        check(digest, &actual, digest)
            .and_then(|()| match right_size {
                true => Ok(()),
                false => Err(ImageError::Malformed {
                    reason: format!("{digest} is not {size} bytes"),
                }),
            })
            .inspect_err(|_| drop(std::fs::remove_file(&self.path)))
    }
}

impl Write for CheckedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.written += count as u64;
        if self.written > MAX_BLOB_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.hash.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
