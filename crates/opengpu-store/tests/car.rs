//! CARs: what goes out comes in again, and nothing else does.
#![allow(clippy::unwrap_used)]

mod tree;

use std::path::Path;

use bytes::Bytes;
use opengpu_store::address::CODEC_DAG_PB;
use opengpu_store::car::ImportedCar;
use opengpu_store::dag::{self, Scope};
use opengpu_store::{
    BlockStore, CarError, CarFrames, Cid, LimitError, Limits, StoreError, cid_of_path, export, import_car, import_path,
    raw_cid,
};
use tree::Entry;

fn store(dir: &Path, name: &str) -> BlockStore {
    BlockStore::open(dir.join(name)).unwrap()
}

/// A tree with every kind of node: long and repeated files, directories, links, shards.
fn sample(dir: &Path, store: &BlockStore) -> Cid {
    let path = dir.join("sample");
    let long_name = format!("{}-#", "l".repeat(200));
    tree::lay_out(
        &path,
        &[
            Entry::file("long", (2 << 20) + 17, 1),
            Entry::file("same/long", (2 << 20) + 17, 1),
            Entry::empty_directory("empty"),
            Entry::link("link", "long"),
            Entry {
                count: Some(1100),
                ..Entry::file(format!("many/{long_name}"), 1, 1)
            },
        ],
    );
    import_path(store, &path, &Limits::default()).unwrap().cid
}

/// The frames of a CAR: the header, then one a block.
fn frames(store: &BlockStore, root: &Cid, scope: Scope) -> Vec<Bytes> {
    let frames = CarFrames::new(store, root, scope).unwrap();
    let total = frames.total_bytes();
    let frames: Vec<Bytes> = frames.map(Result::unwrap).collect();
    assert_eq!(frames.iter().map(|frame| frame.len() as u64).sum::<u64>(), total);
    frames
}

async fn import(store: &BlockStore, car: &[u8], root: Option<&Cid>) -> Result<ImportedCar, CarError> {
    import_car(store, car, root, &Limits::default()).await
}

#[tokio::test]
async fn a_dag_survives_the_journey_and_is_the_same_to_the_byte() {
    let dir = tempfile::tempdir().unwrap();
    let (here, there) = (store(dir.path(), "here"), store(dir.path(), "there"));
    let root = sample(dir.path(), &here);
    let sent = frames(&here, &root, Scope::All);
    let car = sent.concat();
    let taken = import(&there, &car, Some(&root)).await.unwrap();
    assert_eq!(taken.root, root);
    assert_eq!(taken.blocks, sent.len() as u64 - 1);
    assert_eq!(frames(&there, &root, Scope::All).concat(), car);

    let back = dir.path().join("back");
    export(&there, &root, &back, &Limits::default()).unwrap();
    assert_eq!(cid_of_path(&back, &Limits::default()).unwrap().cid, root);
    let names: std::collections::HashSet<Cid> = dag::blocks(&here, &root, Scope::All)
        .unwrap()
        .iter()
        .map(|block| block.cid)
        .collect();
    assert_eq!(names.len() as u64, taken.blocks, "a block came twice");
}

#[tokio::test]
async fn streaming_gives_the_same_bytes() {
    use futures::TryStreamExt;
    let dir = tempfile::tempdir().unwrap();
    let here = store(dir.path(), "here");
    let root = sample(dir.path(), &here);
    let stream = CarFrames::new(&here, &root, Scope::All).unwrap().into_stream();
    let parts: Vec<Bytes> = stream.try_collect().await.unwrap();
    assert_eq!(parts.concat(), frames(&here, &root, Scope::All).concat());
}

#[tokio::test]
async fn a_car_cut_anywhere_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (here, there) = (store(dir.path(), "here"), store(dir.path(), "there"));
    let path = dir.path().join("tree");
    tree::lay_out(&path, &[Entry::file("a", 30, 1), Entry::file("b/c", 40, 2)]);
    let root = import_path(&here, &path, &Limits::default()).unwrap().cid;
    let car = frames(&here, &root, Scope::All).concat();
    for length in 0..car.len() {
        let refused = import(&there, &car[..length], Some(&root)).await;
        assert!(
            matches!(refused, Err(CarError::Malformed(_) | CarError::Incomplete { .. })),
            "{length} of {} bytes: {refused:?}",
            car.len()
        );
        // Start again with nothing, or the rest would be found in the store.
        for block in dag::blocks(&here, &root, Scope::All).unwrap() {
            let hex: String = block
                .cid
                .hash()
                .digest()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            let _ = std::fs::remove_file(there.dir().join("blocks").join(&hex[..2]).join(&hex));
        }
    }
    import(&there, &car, Some(&root)).await.unwrap();
}

/// The header may be written in more ways than one, and is only a hint; the blocks may not.
#[tokio::test]
async fn a_flipped_bit_in_any_block_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (here, there) = (store(dir.path(), "here"), store(dir.path(), "there"));
    let path = dir.path().join("tree");
    tree::lay_out(&path, &[Entry::file("a", 10, 1)]);
    let root = import_path(&here, &path, &Limits::default()).unwrap().cid;
    let sent = frames(&here, &root, Scope::All);
    let (header, car) = (sent[0].len() * 8, sent.concat());
    for bit in 0..car.len() * 8 {
        let mut bad = car.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        match import(&there, &bad, Some(&root)).await {
            Ok(taken) => assert!(bit < header && taken.root == root, "bit {bit} made no difference"),
            Err(CarError::Store(error)) => panic!("bit {bit} harmed the store: {error}"),
            Err(_) => {}
        }
    }
}

#[tokio::test]
async fn blocks_nobody_links_to_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (here, there) = (store(dir.path(), "here"), store(dir.path(), "there"));
    let root = sample(dir.path(), &here);
    let mut sent = frames(&here, &root, Scope::All);
    let spam = raw_cid(b"spam");
    here.put(&spam, b"spam").unwrap();
    sent.insert(2, frames(&here, &spam, Scope::Block)[1].clone());
    let refused = import(&there, &sent.concat(), None).await;
    assert!(matches!(refused, Err(CarError::Unexpected { cid }) if *cid == spam));
    assert!(!there.has(&spam).unwrap());

    let mut child_first = frames(&here, &root, Scope::All);
    child_first.swap(1, 2);
    let refused = import(&there, &child_first.concat(), None).await;
    assert!(matches!(refused, Err(CarError::Unexpected { .. })));
}

#[tokio::test]
async fn another_root_is_refused_before_a_block_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let (here, there) = (store(dir.path(), "here"), store(dir.path(), "there"));
    let (asked, given) = (raw_cid(b"asked"), raw_cid(b"given"));
    here.put(&given, b"given").unwrap();
    let car = frames(&here, &given, Scope::All).concat();
    let refused = import(&there, &car, Some(&asked)).await;
    assert!(matches!(refused, Err(CarError::WrongRoot { .. })));
    assert!(!there.has(&given).unwrap());
}

#[tokio::test]
async fn what_is_stored_already_may_be_left_out_and_repeats_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let (here, there) = (store(dir.path(), "here"), store(dir.path(), "there"));
    let root = sample(dir.path(), &here);
    let all = frames(&here, &root, Scope::All);
    let top = frames(&here, &root, Scope::Block).concat();
    let refused = import(&there, &top, Some(&root)).await;
    assert!(matches!(refused, Err(CarError::Incomplete { .. })));

    let twice = [all.concat(), all[1..].concat()].concat();
    import(&there, &twice, Some(&root)).await.unwrap();
    assert_eq!(import(&there, &top, Some(&root)).await.unwrap().blocks, 1);
}

#[tokio::test]
async fn limits_hold_at_their_exact_value() {
    let dir = tempfile::tempdir().unwrap();
    let here = store(dir.path(), "here");
    let root = sample(dir.path(), &here);
    let sent = frames(&here, &root, Scope::All);
    let blocks = dag::blocks(&here, &root, Scope::All).unwrap();
    let bytes = blocks
        .iter()
        .map(|block| block.bytes + block.cid.encoded_len() as u64)
        .sum();
    let exact = Limits {
        bytes,
        entries: sent.len() as u64 - 1,
        depth: 1,
    };
    let car = sent.concat();
    import_car(&store(dir.path(), "a"), &car[..], None, &exact)
        .await
        .unwrap();
    let less = Limits {
        bytes: bytes - 1,
        ..exact
    };
    let refused = import_car(&store(dir.path(), "b"), &car[..], None, &less).await;
    assert!(matches!(refused, Err(CarError::Limit(LimitError::Bytes { .. }))));
    let less = Limits {
        entries: exact.entries - 1,
        ..exact
    };
    let refused = import_car(&store(dir.path(), "c"), &car[..], None, &less).await;
    assert!(matches!(refused, Err(CarError::Limit(LimitError::Entries { .. }))));
}

#[test]
fn an_incomplete_dag_is_not_sent_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let (here, there) = (store(dir.path(), "here"), store(dir.path(), "there"));
    let root = sample(dir.path(), &here);
    assert_eq!(root.codec(), CODEC_DAG_PB);
    there.put(&root, &here.get(&root).unwrap()).unwrap();
    let refused = CarFrames::new(&there, &root, Scope::All);
    assert!(matches!(refused, Err(CarError::Store(StoreError::Missing { .. }))));
    assert_eq!(dag::missing(&there, &root).unwrap().len(), 5);
    assert!(CarFrames::new(&there, &root, Scope::Block).is_ok());
}

#[test]
fn scopes_narrow_what_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let here = store(dir.path(), "here");
    let root = sample(dir.path(), &here);
    let count = |cid: &Cid, scope| dag::blocks(&here, cid, scope).unwrap().len();
    let find = |name: &str| {
        let names = opengpu_store::read_directory(&here, &root, &Limits::default()).unwrap();
        names.into_iter().find(|entry| entry.name == name).unwrap().cid
    };
    assert_eq!(count(&root, Scope::Block), 1);
    assert_eq!(count(&root, Scope::Entity), 1, "a directory without what it lists");
    assert_eq!(count(&find("long"), Scope::Entity), 4, "a file with its chunks");
    let (many, shards) = (find("many"), count(&find("many"), Scope::Entity));
    assert!(shards > 1 && shards < count(&many, Scope::All));
}
