//! Packs a program into an OCI layout folder, without any container engine: how the demo's image is made.
//!
//! The same inputs give the same digest on every machine: times are zero, owners are root, order is by path.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::manifest::{
    ConfigDocument, Descriptor, Index, Manifest, OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, Platform,
    RootFileSystem, RunConfig, this_platform,
};
use super::{Digest, ImageError};

/// What goes into a packed image.
#[derive(Debug, Clone)]
pub struct PackedImage {
    /// The program on this machine: a static binary, since the image has no libraries.
    pub binary: PathBuf,
    /// Where the program lies in the image, and its fixed arguments: `["/bin/tracer"]`.
    pub entrypoint: Vec<String>,
    /// More files: path in the image → file on this machine. Executable bits are kept.
    pub files: BTreeMap<String, PathBuf>,
    /// Symbolic links: path in the image → target.
    pub links: BTreeMap<String, String>,
    /// Variables for the program.
    pub env: Vec<(String, String)>,
}

/// Writes the image as an OCI layout into `folder` (made when missing, replaced blobs are equal ones) and returns the
/// manifest's digest.
///
/// # Errors
/// [`ImageError::BadReference`] when the entrypoint is empty or not absolute, [`ImageError::Io`] from the disk.
pub fn pack_binary(image: &PackedImage, folder: &Path) -> Result<Digest, ImageError> {
    let program = image
        .entrypoint
        .first()
        .filter(|path| path.starts_with('/'))
        .ok_or(ImageError::BadReference {
            text: image.entrypoint.join(" "),
            reason: "the entrypoint must start with an absolute path".to_owned(),
        })?;
    let layer = layer(image, program)?;
    let layout = LayoutWriter::create(folder)?;
    let platform = this_platform();
    let config = ConfigDocument {
        architecture: platform.architecture.clone(),
        os: platform.os.clone(),
        config: Some(RunConfig {
            env: Some(
                image
                    .env
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect(),
            ),
            entrypoint: Some(image.entrypoint.clone()),
            ..RunConfig::default()
        }),
        rootfs: RootFileSystem {
            kind: "layers".to_owned(),
            diff_ids: vec![Digest::of(&layer)],
        },
    };
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(OCI_MANIFEST.to_owned()),
        config: layout.json(OCI_CONFIG, &config)?,
        layers: vec![layout.blob(OCI_LAYER, &layer)?],
    };
    layout.finish(layout.json(OCI_MANIFEST, &manifest)?, platform)
}

/// The one layer: an uncompressed tar with the program, the files, the links and the folders they need.
fn layer(image: &PackedImage, program: &str) -> Result<Vec<u8>, ImageError> {
    let mut files = image.files.clone();
    files.insert(program.to_owned(), image.binary.clone());
    let mut tar = tar::Builder::new(Vec::new());
    for folder in folders(files.keys().chain(image.links.keys())) {
        // Docker gives a tmpfs over /tmp the mode of the folder below it.
        let mode = if folder == "tmp/" { 0o1777 } else { 0o755 };
        let mut header = header(tar::EntryType::Directory, mode, 0);
        append(&mut tar, &mut header, &folder, &[])?;
    }
    for (path, source) in &files {
        let bytes = fs::read(source).map_err(ImageError::io("read", source))?;
        let mode = if path == program || is_executable(source) {
            0o755
        } else {
            0o644
        };
        let mut header = header(tar::EntryType::Regular, mode, bytes.len() as u64);
        append(&mut tar, &mut header, path.trim_start_matches('/'), &bytes)?;
    }
    for (path, target) in &image.links {
        let mut header = header(tar::EntryType::Symlink, 0o777, 0);
        header
            .set_link_name_literal(target)
            .map_err(ImageError::io("pack", target))?;
        append(&mut tar, &mut header, path.trim_start_matches('/'), &[])?;
    }
    tar.into_inner().map_err(ImageError::io("pack", &image.binary))
}

fn folders<'a>(paths: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut folders: Vec<String> = paths
        .flat_map(|path| {
            Path::new(path.trim_start_matches('/'))
                .ancestors()
                .skip(1)
                .map(Path::to_owned)
        })
        .map(|folder| format!("{}/", folder.display()))
        .filter(|folder| folder != "/")
        .collect();
    folders.push("tmp/".to_owned());
    folders.sort();
    folders.dedup();
    folders
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header
}

fn append(
    tar: &mut tar::Builder<Vec<u8>>,
    header: &mut tar::Header,
    path: &str,
    bytes: &[u8],
) -> Result<(), ImageError> {
    tar.append_data(header, path, bytes)
        .map_err(ImageError::io("pack", path))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o111 != 0)
}

/// Writes blobs and the index of an OCI layout folder.
pub(crate) struct LayoutWriter {
    folder: PathBuf,
}

impl LayoutWriter {
    pub(crate) fn create(folder: &Path) -> Result<Self, ImageError> {
        let blobs = folder.join("blobs/sha256");
        fs::create_dir_all(&blobs).map_err(ImageError::io("create", blobs))?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    fn json(&self, media_type: &str, document: &impl serde::Serialize) -> Result<Descriptor, ImageError> {
        let bytes = serde_json::to_vec(document).map_err(|error| ImageError::Malformed {
            reason: format!("{media_type}: {error}"),
        })?;
        self.blob(media_type, &bytes)
    }

    fn blob(&self, media_type: &str, bytes: &[u8]) -> Result<Descriptor, ImageError> {
        let digest = Digest::of(bytes);
        let path = self.folder.join("blobs/sha256").join(digest.hex());
        fs::write(&path, bytes).map_err(ImageError::io("write", path))?;
        Ok(Descriptor {
            media_type: media_type.to_owned(),
            digest,
            size: bytes.len() as u64,
            platform: None,
        })
    }

    /// Writes `oci-layout` and an `index.json` with this one image.
    pub(crate) fn finish(&self, mut manifest: Descriptor, platform: Platform) -> Result<Digest, ImageError> {
        let digest = manifest.digest.clone();
        manifest.platform = Some(platform);
        let index = Index {
            schema_version: 2,
            media_type: Some(OCI_INDEX.to_owned()),
            manifests: vec![manifest],
        };
        let index = serde_json::to_vec(&index).map_err(|error| ImageError::Malformed {
            reason: format!("index: {error}"),
        })?;
        for (name, bytes) in [
            ("oci-layout", &br#"{"imageLayoutVersion":"1.0.0"}"#[..]),
            ("index.json", &index),
        ] {
            let path = self.folder.join(name);
            fs::write(&path, bytes).map_err(ImageError::io("write", path))?;
        }
        Ok(digest)
    }
}
