//! Images on this machine, by digest: fetched into a private folder, checked, then renamed into place in one step.
//!
//! ```text
//! <root>/ready/<manifest hex>/image.json    what a PreparedImage says
//!                            /rootfs/       unpacked (embedded), or
//!                            /layout/       its blobs as an OCI layout (Docker)
//! <root>/lock/<manifest hex>                held while one process prepares that image
//! <root>/incoming/                          half-made folders; abandoned ones go when a cache is opened
//! ```
//!
//! A folder under `ready` is complete or not there. Several daemons may share a cache.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::fetch::{FetchedImage, Source, check, fetch, find, read_checked};
use super::manifest::{Descriptor, Document, OCI_MANIFEST, Platform, parse_document};
use super::pack::LayoutWriter;
use super::registry::RegistrySource;
use super::unpack::{UnpackLimits, Unpacker};
use super::{Digest, ImageConfig, ImageError, ImageReference, PreparedImage};

/// What a runtime starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A root file system.
    RootFolder,
    /// The blobs, as an OCI layout.
    Layout,
}

/// The images of one runtime.
#[derive(Debug, Clone)]
pub(crate) struct ImageCache {
    root: PathBuf,
    form: Form,
}

impl ImageCache {
    /// Opens or makes a cache.
    pub(crate) fn open(root: &Path, form: Form) -> Result<Self, ImageError> {
        for folder in ["ready", "lock", "incoming"] {
            let folder = root.join(folder);
            fs::create_dir_all(&folder).map_err(ImageError::io("create", folder))?;
        }
        remove_abandoned(&root.join("incoming"))?;
        Ok(Self {
            root: root.to_owned(),
            form,
        })
    }

    /// Resolves, fetches, checks and unpacks; answered from disk when the digest is known.
    pub(crate) async fn prepare(&self, image: &ImageReference) -> Result<PreparedImage, ImageError> {
        if let Some(digest) = image.digest()
            && let Some(ready) = self.ready(digest)?
        {
            return Ok(ready);
        }
        let work = WorkFolder::create(&self.root)?;
        let source = source_of(image, &work.path).await?;
        let (digest, manifest) = find(&source, image).await?;
        if let Some(ready) = self.ready(&digest)? {
            return Ok(ready);
        }
        let lock = self.root.join("lock").join(digest.hex());
        let _lock = blocking(move || lock_file(&lock)).await?;
        if let Some(ready) = self.ready(&digest)? {
            return Ok(ready);
        }
        let blobs = work.folder("layout/blobs/sha256")?;
        let fetched = fetch(&source, digest, &manifest, &blobs).await?;
        let this = self.clone();
        blocking(move || this.install(work, &fetched, manifest.len() as u64)).await
    }

    fn ready(&self, digest: &Digest) -> Result<Option<PreparedImage>, ImageError> {
        let folder = self.root.join("ready").join(digest.hex());
        let path = folder.join("image.json");
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ImageError::io("read", path)(error)),
        };
        let config: ImageConfig = serde_json::from_slice(&bytes).map_err(|error| ImageError::Malformed {
            reason: format!("{}: {error}", path.display()),
        })?;
        Ok(Some(PreparedImage {
            digest: digest.clone(),
            folder: folder.join(self.form.folder()),
            config,
        }))
    }

    fn install(&self, work: WorkFolder, image: &FetchedImage, manifest_size: u64) -> Result<PreparedImage, ImageError> {
        let target = work.folder("ready")?;
        let content = target.join(self.form.folder());
        let layout = work.path.join("layout");
        match self.form {
            Form::RootFolder => {
                fs::create_dir(&content).map_err(ImageError::io("create", &content))?;
                unpack(image, &layout.join("blobs/sha256"), &content)?;
            }
            Form::Layout => {
                complete_layout(image, &layout, manifest_size)?;
                fs::rename(&layout, &content).map_err(ImageError::io("rename", &content))?;
            }
        }
        let config = serde_json::to_vec(&image.config.image_config()).map_err(|error| ImageError::Malformed {
            reason: error.to_string(),
        })?;
        let path = target.join("image.json");
        fs::write(&path, config).map_err(ImageError::io("write", path))?;
        // All files of the image before the name that says it is complete: a power cut must not leave a torn image.
        let handle = File::open(&target).map_err(ImageError::io("open", &target))?;
        nix::unistd::syncfs(&handle).map_err(|error| ImageError::io("sync", &target)(error.into()))?;
        let ready = self.root.join("ready").join(image.digest.hex());
        fs::rename(&target, &ready).map_err(ImageError::io("rename", &ready))?;
        self.ready(&image.digest)?.ok_or_else(|| ImageError::Malformed {
            reason: "image vanished".to_owned(),
        })
    }
}

impl Form {
    fn folder(self) -> &'static str {
        match self {
            Self::RootFolder => "rootfs",
            Self::Layout => "layout",
        }
    }
}

/// The digest a reference means now, without fetching any layer: what a payer puts into the order.
///
/// # Errors
/// As [`Runtime::prepare_image`](crate::runtime::Runtime::prepare_image).
pub async fn resolve_image(image: &ImageReference) -> Result<Digest, ImageError> {
    let work = tempfile::tempdir().map_err(ImageError::io("create", std::env::temp_dir()))?;
    let source = source_of(image, work.path()).await?;
    Ok(find(&source, image).await?.0)
}

async fn source_of(image: &ImageReference, work: &Path) -> Result<Source, ImageError> {
    match image {
        ImageReference::Registry { name, .. } => Ok(Source::Registry(RegistrySource::new(name)?)),
        ImageReference::Layout { folder, .. } => Ok(Source::Layout(folder.clone())),
        ImageReference::Archive { file, .. } => {
            let layout = work.join("archive");
            let (file, target) = (file.clone(), layout.clone());
            blocking(move || super::archive::extract_layout(&file, &target)).await?;
            Ok(Source::Layout(layout))
        }
    }
}

fn unpack(image: &FetchedImage, blobs: &Path, root: &Path) -> Result<(), ImageError> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(root, fs::Permissions::from_mode(0o755)).map_err(ImageError::io("open", root))?;
    let mut unpacker = Unpacker::new(root, UnpackLimits::default())?;
    for (layer, diff_id) in image.manifest.layers.iter().zip(&image.config.rootfs.diff_ids) {
        let mut reader = HashingReader {
            inner: decompress(layer, blobs)?,
            hash: Sha256::new(),
        };
        unpacker.apply(&mut reader)?;
        check(
            &layer.digest,
            &Digest::from_hash(reader.hash.finalize().into()),
            diff_id,
        )?;
    }
    Ok(())
}

/// One checked layer of a layout, opened when needed.
pub(crate) struct StoredLayer {
    descriptor: Descriptor,
    blobs: PathBuf,
}

impl StoredLayer {
    /// The layer as uncompressed tar.
    pub(crate) fn open(&self) -> Result<Box<dyn Read>, ImageError> {
        decompress(&self.descriptor, &self.blobs)
    }
}

/// The configuration's digest and the layers, lowest first, of an image in a layout of this cache.
pub(crate) fn layers_of(layout: &Path, image: &Digest) -> Result<(Digest, Vec<StoredLayer>), ImageError> {
    let blobs = layout.join("blobs/sha256");
    let bytes = read_checked(&blobs.join(image.hex()), image)?;
    let Document::Manifest(manifest) = parse_document(&bytes)? else {
        return Err(ImageError::Malformed {
            reason: "the manifest is an index".to_owned(),
        });
    };
    let layers = manifest.layers.into_iter().map(|descriptor| StoredLayer {
        descriptor,
        blobs: blobs.clone(),
    });
    Ok((manifest.config.digest, layers.collect()))
}

/// Opens a layer as plain tar, by what its first bytes are: media types are often wrong.
fn decompress(layer: &Descriptor, blobs: &Path) -> Result<Box<dyn Read>, ImageError> {
    let path = blobs.join(layer.digest.hex());
    let mut start = [0; 4];
    let mut file = File::open(&path).map_err(ImageError::io("open", &path))?;
    let known = file.read(&mut start).map_err(ImageError::io("read", &path))?;
    let file = BufReader::new(File::open(&path).map_err(ImageError::io("open", &path))?);
    match &start[..known] {
        [0x1f, 0x8b, ..] => Ok(Box::new(flate2::bufread::MultiGzDecoder::new(file))),
        [0x28, 0xb5, 0x2f, 0xfd] => {
            let decoder = zstd::Decoder::with_buffer(file).map_err(ImageError::io("read", &path))?;
            Ok(Box::new(decoder))
        }
        _ => Ok(Box::new(file)),
    }
}

fn complete_layout(image: &FetchedImage, layout: &Path, size: u64) -> Result<(), ImageError> {
    let media_type = image
        .manifest
        .media_type
        .clone()
        .unwrap_or_else(|| OCI_MANIFEST.to_owned());
    let manifest = Descriptor {
        media_type,
        digest: image.digest.clone(),
        size,
        platform: None,
    };
    let platform = Platform {
        architecture: image.config.architecture.clone(),
        os: image.config.os.clone(),
    };
    LayoutWriter::create(layout)?.finish(manifest, platform).map(drop)
}

struct HashingReader {
    inner: Box<dyn Read>,
    hash: Sha256,
}

impl Read for HashingReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hash.update(&buffer[..count]);
        Ok(count)
    }
}

/// A folder under `incoming` that goes away with its maker, whatever happens.
struct WorkFolder {
    path: PathBuf,
    _folder: tempfile::TempDir,
    /// Held while its maker lives, so that nobody takes the folder for abandoned.
    _lock: File,
}

impl WorkFolder {
    fn create(root: &Path) -> Result<Self, ImageError> {
        let incoming = root.join("incoming");
        let folder = tempfile::Builder::new()
            .prefix("image-")
            .tempdir_in(&incoming)
            .map_err(ImageError::io("create", &incoming))?;
        let lock = lock_file(&folder.path().join("lock"))?;
        Ok(Self {
            path: folder.path().to_owned(),
            _folder: folder,
            _lock: lock,
        })
    }

    fn folder(&self, name: &str) -> Result<PathBuf, ImageError> {
        let path = self.path.join(name);
        fs::create_dir_all(&path).map_err(ImageError::io("create", &path))?;
        Ok(path)
    }
}

/// Removes folders whose maker was killed: those with a lock that nobody holds. One without a lock is being made.
fn remove_abandoned(incoming: &Path) -> Result<(), ImageError> {
    for entry in fs::read_dir(incoming).map_err(ImageError::io("read", incoming))? {
        let path = entry.map_err(ImageError::io("read", incoming))?.path();
        let Ok(lock) = File::open(path.join("lock")) else {
            continue;
        };
        if lock.try_lock().is_ok() {
            fs::remove_dir_all(&path).map_err(ImageError::io("remove", &path))?;
        }
    }
    Ok(())
}

fn lock_file(path: &Path) -> Result<File, ImageError> {
    let file = File::create(path).map_err(ImageError::io("create", path))?;
    file.lock().map_err(ImageError::io("lock", path))?;
    Ok(file)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ImageError> + Send + 'static,
) -> Result<T, ImageError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(ImageError::Malformed {
            reason: format!("unpacking stopped: {error}"),
        })
    })
}
