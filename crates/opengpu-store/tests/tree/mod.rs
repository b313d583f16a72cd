//! Described trees, the same for Rust and for the reference importer: laid out on disk here, imported there.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

/// One or `count` entries of a tree; in `path` a `#` stands for the index. A link, a file (of `size` bytes from `seed`
/// plus index, or of zeros), or an empty directory. The path "" is a tree that is a file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    pub path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zeros: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<usize>,
    pub seed: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
}

/// A tree and, once the reference importer has seen it, its CID.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Tree {
    pub name: String,
    pub cid: String,
    pub tree: Vec<Entry>,
}

impl Entry {
    pub fn file(path: impl Into<String>, size: usize, seed: u32) -> Self {
        Self {
            path: path.into(),
            size: Some(size),
            seed,
            ..Self::default()
        }
    }

    pub fn link(path: impl Into<String>, target: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            link: Some(target.into()),
            ..Self::default()
        }
    }

    pub fn empty_directory(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            ..Self::default()
        }
    }
}

/// `size` bytes that look random: the top byte of a linear congruential generator.
pub fn content(size: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..size).map(|_| next()).collect()
}

/// Makes the tree at `root`, which must not exist.
pub fn lay_out(root: &Path, tree: &[Entry]) {
    if !tree.iter().any(|entry| entry.path.is_empty()) {
        fs::create_dir_all(root).unwrap();
    }
    for entry in tree {
        let first = entry.first.unwrap_or(0);
        for index in first..first + entry.count.unwrap_or(1) {
            lay_out_one(root, entry, index);
        }
    }
}

fn lay_out_one(root: &Path, entry: &Entry, index: u32) {
    let name = entry.path.replacen('#', &index.to_string(), 1);
    let path = if name.is_empty() {
        root.to_path_buf()
    } else {
        root.join(name)
    };
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    if let Some(target) = &entry.link {
        symlink(target, path).unwrap();
    } else if let Some(zeros) = entry.zeros {
        fs::File::create(path).unwrap().set_len(zeros).unwrap();
    } else if let Some(size) = entry.size {
        fs::write(path, content(size, entry.seed.wrapping_add(index))).unwrap();
    } else {
        fs::create_dir_all(path).unwrap();
    }
}

/// What the reference importer calls the trees, all in one process; `None`, with a loud line, where it is not installed.
pub fn ask_the_reference(trees: &[Tree]) -> Option<Vec<Tree>> {
    let peer = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peer/import.mjs");
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../node_modules/ipfs-unixfs-importer");
    let spawned = Command::new("node")
        .arg(peer)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let (true, Ok(mut node)) = (installed.exists(), spawned) else {
        eprintln!("SKIPPED: node or the npm package ipfs-unixfs-importer is not installed (npm ci)");
        return None;
    };
    let input = serde_json::to_vec(trees).unwrap();
    node.stdin.take().unwrap().write_all(&input).unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success(), "the reference importer failed");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}
