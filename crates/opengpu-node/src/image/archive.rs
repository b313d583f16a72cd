//! OCI archives: a tar file of an OCI layout. Only the files a layout has are taken out of it, whatever else it holds.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use super::ImageError;

/// Files taken out of an archive at most: blobs of an image with all its variants.
const MAX_FILES: usize = 10_000;
/// Bytes taken out of an archive at most.
const MAX_BYTES: u64 = 64 << 30;

/// Takes `oci-layout`, `index.json` and `blobs/sha256/<hex>` out of the archive `file` into `folder`, which must not exist: at most
/// 10,000 files and 64 GiB. What else the archive holds is left out. Blocks; the blobs' digests are not checked yet.
///
/// # Errors
/// [`ImageError::NotFound`] without the file, [`ImageError::Malformed`] when it is no tar or a layout's file is not a plain one,
/// [`ImageError::TooLarge`] above the limits, [`ImageError::Io`] from the disk; `folder` is then to be thrown away.
pub fn extract_layout(file: &Path, folder: &Path) -> Result<(), ImageError> {
    let archive = File::open(file).map_err(|error| ImageError::NotFound {
        image: file.display().to_string(),
        reason: error.to_string(),
    })?;
    let malformed = |error: io::Error| ImageError::Malformed {
        reason: format!("archive: {error}"),
    };
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).map_err(ImageError::io("create", &blobs))?;
    let mut left = MAX_BYTES;
    let mut archive = tar::Archive::new(archive);
    for (count, entry) in archive.entries().map_err(malformed)?.enumerate() {
        let mut entry = entry.map_err(malformed)?;
        if count >= MAX_FILES {
            return Err(ImageError::TooLarge {
                what: "files in the archive",
                limit: MAX_FILES as u64,
            });
        }
        let path = entry.path_bytes().into_owned();
        let path = path.strip_prefix(b"./").unwrap_or(&path);
        let Some(name) = std::str::from_utf8(path).ok().filter(|name| is_layout_file(name)) else {
            continue;
        };
        if entry.header().entry_type() != tar::EntryType::Regular {
            return Err(ImageError::Malformed {
                reason: format!("archive: {name} is not a file"),
            });
        }
        let target = folder.join(name);
        let mut output = File::create_new(&target).map_err(ImageError::io("create", &target))?;
        let copied = io::copy(&mut entry.by_ref().take(left + 1), &mut output).map_err(malformed)?;
        left = left.checked_sub(copied).ok_or(ImageError::TooLarge {
            what: "archive bytes",
            limit: MAX_BYTES,
        })?;
    }
    Ok(())
}

fn is_layout_file(name: &str) -> bool {
    let is_blob = |hex: &str| hex.len() == 64 && hex.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    name == "oci-layout" || name == "index.json" || name.strip_prefix("blobs/sha256/").is_some_and(is_blob)
}
