//! Who the program runs as inside: the image's `User`, looked up in the image's own files.

use std::io::Read;
use std::path::Path;

use crate::image::RootedFolder;
use crate::runtime::RuntimeError;

/// Largest passwd or group file read, in bytes; real ones have a few kilobytes.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Ids of a container's range; a user above it cannot exist inside.
pub(crate) const RANGE: u32 = 65_536;

/// User and group id inside the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct InsideUser {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Resolves `uid`, `uid:gid`, `name` or `name:group`. Empty is root of the container's own range, without rights.
pub(crate) fn resolve(user: &str, root: &RootedFolder) -> Result<InsideUser, RuntimeError> {
    if user.is_empty() {
        return Ok(InsideUser::default());
    }
    let (user, group) = match user.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (user, None),
    };
    let passwd = read(root, "etc/passwd");
    let entry = passwd
        .lines()
        .find(|line| field(line, 0) == Some(user) || field(line, 2) == Some(user));
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<u32>().ok()).filter(|id| *id < RANGE);
    let unknown = |what: &str, name: &str| RuntimeError::BadCommand {
        reason: format!("the image has no {what} {name:?}"),
    };
    let uid = number(Some(user)).or_else(|| number(entry.and_then(|line| field(line, 2))));
    let uid = uid.ok_or_else(|| unknown("user", user))?;
    let gid = match group {
        None => number(entry.and_then(|line| field(line, 3))).unwrap_or(0),
        Some(group) => number(Some(group))
            .or_else(|| {
                let groups = read(root, "etc/group");
                let line = groups.lines().find(|line| field(line, 0) == Some(group));
                number(line.and_then(|line| field(line, 2)))
            })
            .ok_or_else(|| unknown("group", group))?,
    };
    Ok(InsideUser { uid, gid })
}

fn field(line: &str, position: usize) -> Option<&str> {
    line.split(':').nth(position)
}

/// A file of the image as text; empty when it has none or it is no plain text.
fn read(root: &RootedFolder, path: &str) -> String {
    let mut text = String::new();
    let result = root
        .read(Path::new(path))
        .and_then(|file| file.take(MAX_FILE_BYTES).read_to_string(&mut text));
    if result.is_ok() { text } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> (tempfile::TempDir, RootedFolder) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("etc")).unwrap();
        std::fs::write(
            folder.path().join("etc/passwd"),
            "root:x:0:0::/:/bin/sh\nworker:x:1000:1001::/w:/bin/sh\n",
        )
        .unwrap();
        std::fs::write(folder.path().join("etc/group"), "root:x:0:\nvideo:x:44:\n").unwrap();
        let root = RootedFolder::open(folder.path()).unwrap();
        (folder, root)
    }

    #[test]
    fn every_form_of_user_is_resolved() {
        let (_folder, root) = image();
        for (text, uid, gid) in [
            ("", 0, 0),
            ("worker", 1000, 1001),
            ("1000", 1000, 1001),
            ("7", 7, 0),
            ("7:8", 7, 8),
            ("worker:video", 1000, 44),
        ] {
            assert_eq!(resolve(text, &root).unwrap(), InsideUser { uid, gid }, "{text:?}");
        }
    }

    #[test]
    fn unknown_and_too_high_users_are_the_jobs_fault() {
        let (_folder, root) = image();
        for text in ["nobody-here", "worker:nothing", "70000", "4294967295"] {
            assert!(resolve(text, &root).unwrap_err().is_users_fault(), "{text:?}");
        }
    }

    #[test]
    fn a_passwd_that_links_out_of_the_image_is_not_followed_out() {
        let folder = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("passwd"), "evil:x:1:1::/:/\n").unwrap();
        std::fs::create_dir(folder.path().join("etc")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("passwd"), folder.path().join("etc/passwd")).unwrap();
        let root = RootedFolder::open(folder.path()).unwrap();
        assert!(resolve("evil", &root).is_err());
    }
}
