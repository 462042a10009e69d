//! Damaged and missing files: either everything that was acknowledged is present, or opening is refused. Nothing is
//! lost silently.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::*;

/// A store's files as a killed process leaves them: copied while the store is open.
struct Killed {
    parent: TempDir,
    /// The acknowledged state.
    expected: BTreeMap<String, String>,
}

const FILES: [&str; 3] = ["state.db", "state.db-wal", "high-water-mark"];

impl Killed {
    /// A store with compacted rows in the database, history in the database, and more in the write-ahead log.
    async fn new() -> Killed {
        let parent = TempDir::new().unwrap();
        let mut expected = BTreeMap::new();
        let live = parent.path().join("live");
        let store = open(&live).await;
        for round in 0..60 {
            write(&store, &mut expected, round).await;
        }
        let revision = store.current_revision().await.unwrap();
        store.compact(revision).await.unwrap();
        store.grant_lease(Duration::from_secs(3600)).await.unwrap();
        for round in 60..70 {
            write(&store, &mut expected, round).await;
        }
        // A clean shutdown moves everything into the database.
        drop(store);
        let store = open(&live).await;
        for round in 70..90 {
            write(&store, &mut expected, round).await;
        }
        let killed = parent.path().join("killed");
        fs::create_dir(&killed).unwrap();
        for name in FILES {
            fs::copy(live.join(name), killed.join(name)).unwrap();
        }
        drop(store);
        Killed { parent, expected }
    }

    fn file(&self, name: &str) -> Vec<u8> {
        fs::read(self.parent.path().join("killed").join(name)).unwrap()
    }

    /// A copy of the files to damage.
    fn copy(&self) -> (TempDir, PathBuf) {
        let directory = TempDir::new_in(self.parent.path()).unwrap();
        for name in FILES {
            fs::write(directory.path().join(name), self.file(name)).unwrap();
        }
        let path = directory.path().to_owned();
        (directory, path)
    }

    /// Opens damaged files. They are either intact or refused; after a refusal nothing has changed, and accepting the
    /// loss opens the rest.
    async fn check(&self, directory: &Path, what: &str) -> Option<Damage> {
        let before = contents(directory);
        let options = |accept_loss| Options { accept_loss, ..options(directory) };
        let damage = match Embedded::open(options(None)).await {
            Ok(store) => {
                assert_eq!(all(&store).await, self.expected, "{what}: opened without what was acknowledged");
                return None;
            }
            Err(OpenError::Damaged { damage, .. }) => damage,
            Err(OpenError::Log { source: LogError::Newer(_), .. }) => return Some(Damage::default()),
            Err(error) => panic!("{what}: {error:?}"),
        };
        assert_eq!(contents(directory), before, "{what}: a refusal changes nothing: {damage}");
        assert!(!damage.to_string().is_empty());
        let wrong = Embedded::open(options(Some("1-writes-0".into()))).await.err();
        assert!(matches!(wrong, Some(OpenError::Damaged { .. })), "{what}: {wrong:?}");
        let store = match Embedded::open(options(Some(damage.token()))).await {
            Ok(store) => store,
            Err(error) => panic!("{what}: {damage}: {error:?}"),
        };
        let left = all(&store).await;
        for (key, value) in &left {
            // An older version may reappear, but nothing that was never written.
            assert!(value.starts_with(key.as_str()), "{what}: {key} has {value}");
        }
        let last = store.current_revision().await.unwrap();
        assert!(last.0 > 1_000_000 || before.is_empty(), "{what}: revisions may be given twice");
        put(&store, "/registry/pods/more", "x").await;
        drop(store);
        let store = Embedded::open(options(None)).await.unwrap();
        assert_eq!(all(&store).await.len(), left.len() + 1, "{what}: whole again");
        Some(*damage)
    }
}

fn options(directory: &Path) -> Options {
    Options { reserve_bytes: 1 << 16, ..Options::new(directory, Clock::system()) }
}

async fn write(store: &Embedded, expected: &mut BTreeMap<String, String>, round: usize) {
    let kind = if round.is_multiple_of(3) { "secrets" } else { "pods" };
    let key = format!("/registry/{kind}/{}", round % 25);
    if round.is_multiple_of(11) {
        store.write(Write::delete(key.clone(), Expect::Any)).await.unwrap();
        expected.remove(&key);
    } else {
        let value = format!("{key} {round} {}", "x".repeat(round * 97 % 6000));
        put(store, key.clone(), value.clone()).await;
        expected.insert(key, value);
    }
}

async fn all(store: &Embedded) -> BTreeMap<String, String> {
    let kvs = store.range(RangeRequest::prefix("/registry/")).await.unwrap().kvs;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    kvs.iter().map(|kv| (text(&kv.key), text(&kv.value.to_cow()))).collect()
}

/// The files that matter and are not empty, with their lengths and digests.
fn contents(directory: &Path) -> BTreeMap<&'static str, (usize, u64)> {
    let files = FILES.iter().filter_map(|name| Some((*name, fs::read(directory.join(name)).ok()?)));
    // SQLite may leave an empty log.
    let files = files.filter(|(_, bytes)| !bytes.is_empty());
    files.map(|(name, bytes)| (name, (bytes.len(), xxhash_rust::xxh3::xxh3_64(&bytes)))).collect()
}

#[tokio::test]
async fn flipped_bits_are_refused_or_harmless() {
    let killed = Killed::new().await;
    let clock = Clock::seeded(19, jiff::Timestamp::UNIX_EPOCH);
    let (mut refused, mut harmless) = (0, 0);
    for name in FILES {
        let whole = killed.file(name);
        for round in 0..48 {
            // The headers more often than their size would justify.
            let end = if round % 6 == 0 { 128 } else { whole.len() as u64 };
            let at = usize::try_from(clock.random_below(end)).unwrap();
            let bit = 1_u8 << clock.random_below(8);
            let mut flipped = whole.clone();
            flipped[at] ^= bit;
            let (_directory, path) = killed.copy();
            fs::write(path.join(name), flipped).unwrap();
            match killed.check(&path, &format!("{name}: bit {bit:#x} of byte {at} flipped")).await {
                Some(_) => refused += 1,
                None => harmless += 1,
            }
        }
    }
    assert!(refused > 48, "{refused} refused, {harmless} harmless");
}

#[tokio::test]
async fn zeroed_pages_are_refused_or_harmless() {
    let killed = Killed::new().await;
    let whole = killed.file("state.db");
    for page in 0..whole.len() / 4096 {
        let mut zeroed = whole.clone();
        zeroed[page * 4096..(page + 1) * 4096].fill(0);
        let (_directory, path) = killed.copy();
        fs::write(path.join("state.db"), zeroed).unwrap();
        killed.check(&path, &format!("page {page} zeroed")).await;
    }
}

#[tokio::test]
async fn cut_files_are_refused() {
    let killed = Killed::new().await;
    for name in FILES {
        let whole = killed.file(name);
        for part in 0..16 {
            let length = whole.len() * part / 16;
            let (_directory, path) = killed.copy();
            fs::write(path.join(name), &whole[..length]).unwrap();
            let damage = killed.check(&path, &format!("{name} cut to {length} bytes")).await;
            // The mark's second slot may be the older one.
            assert!(damage.is_some() || name == FILES[2], "{name} cut to {length} bytes");
        }
        // Just the last frame, the last write.
        let (_directory, path) = killed.copy();
        if name == "state.db-wal" {
            fs::write(path.join(name), &whole[..whole.len() - 1]).unwrap();
            let damage = killed.check(&path, "the last byte of the log cut").await.expect("it is refused");
            assert!(damage.tail.is_some(), "{damage}");
        }
        let (_directory, path) = killed.copy();
        fs::remove_file(path.join(name)).unwrap();
        assert!(killed.check(&path, &format!("{name} removed")).await.is_some(), "{name} removed");
    }
    let (_directory, path) = killed.copy();
    fs::remove_file(path.join("state.db")).unwrap();
    fs::remove_file(path.join("state.db-wal")).unwrap();
    let damage = killed.check(&path, "the database removed").await.expect("it is refused");
    assert!(damage.lost() > 80, "{damage}");
}

/// The remains of an unacknowledged write after a power failure: any of its sectors, in any order.
#[tokio::test]
async fn an_unfinished_write_is_no_damage() {
    let killed = Killed::new().await;
    let (_directory, path) = killed.copy();
    let clock = Clock::seeded(20, jiff::Timestamp::UNIX_EPOCH);
    let store = open(&path).await;
    let (mut finished, mut unfinished) = (0, 0);
    let mut expected = killed.expected.clone();
    for round in 0..24 {
        let value = format!("/registry/pods/0 {round} {}", "y".repeat(9000));
        let read = |name: &str| fs::read(path.join(name)).unwrap();
        let before = FILES.map(read);
        put(&store, "/registry/pods/0", value.clone()).await;
        let mut wal = read("state.db-wal");
        let mut old = before[1].clone();
        old.resize(wal.len(), 0);
        let mut is_whole = true;
        for (sector, old) in wal.chunks_mut(512).zip(old.chunks(512)) {
            if sector != old && clock.random_below(12) == 0 {
                sector.copy_from_slice(old);
                is_whole = false;
            }
        }
        let torn = TempDir::new_in(killed.parent.path()).unwrap();
        for (name, content) in FILES.iter().zip([&before[0], &wal, &before[2]]) {
            fs::write(torn.path().join(name), content).unwrap();
        }
        let opened = Embedded::open(options(torn.path())).await;
        let opened = opened.unwrap_or_else(|error| panic!("round {round}: {error}"));
        if is_whole {
            expected.insert("/registry/pods/0".into(), value.clone());
            finished += 1;
        } else {
            unfinished += 1;
        }
        assert_eq!(all(&opened).await, expected, "round {round}");
        expected.insert("/registry/pods/0".into(), value);
    }
    assert!(unfinished > 0 && finished > 0, "{unfinished} unfinished, {finished} finished");
}

#[tokio::test]
async fn older_copies_and_other_clusters_files_are_refused() {
    let killed = Killed::new().await;
    // An older copy of the database, as it was before the last writes.
    let (_directory, path) = killed.copy();
    let store = open(&path).await;
    drop(store);
    let older = fs::read(path.join("state.db")).unwrap();
    let store = open(&path).await;
    put(&store, "/registry/pods/newer", "acknowledged").await;
    drop(store);
    fs::write(path.join("state.db"), older).unwrap();
    let damage = killed.check(&path, "an older copy").await.expect("it is refused");
    assert_eq!(damage.lost(), 1, "{damage}");

    let other = Killed::new().await;
    for names in [&FILES[..2], &FILES[2..]] {
        let (_directory, path) = killed.copy();
        for name in names {
            fs::write(path.join(name), other.file(name)).unwrap();
        }
        let damage = killed.check(&path, &format!("another cluster's {names:?}")).await.expect("refused");
        assert!(damage.to_string().contains("of different clusters"), "{damage}");
    }
    // A mark elsewhere reveals that the whole directory is an older copy.
    let (_directory, path) = killed.copy();
    let options = || Options { mark: Some(killed.parent.path().join("mark")), ..options(&path.join("db")) };
    let store = Embedded::open(options()).await.unwrap();
    put(&store, "/registry/pods/a", "x").await;
    drop(store);
    fs::create_dir(path.join("older")).unwrap();
    fs::copy(path.join("db/state.db"), path.join("older/state.db")).unwrap();
    let store = Embedded::open(options()).await.unwrap();
    put(&store, "/registry/pods/a", "y").await;
    drop(store);
    fs::remove_dir_all(path.join("db")).unwrap();
    fs::rename(path.join("older"), path.join("db")).unwrap();
    let error = Embedded::open(options()).await.err().expect("it is refused");
    assert!(error.to_string().contains("the 1 newest acknowledged writes are missing"), "{error}");
}

#[tokio::test]
async fn a_store_that_must_exist_is_not_made() {
    let directory = TempDir::new().unwrap();
    let must = || Options {
        must_exist: Some("there are keys of a cluster in /k".into()),
        ..options(directory.path())
    };
    let error = Embedded::open(must()).await.err().expect("it is refused").to_string();
    assert!(error.contains("missing or empty, but there are keys of a cluster in /k"), "{error}");
    assert!(!directory.path().join("state.db").exists());
    fs::write(directory.path().join("state.db"), "").unwrap();
    let Some(OpenError::Damaged { damage, .. }) = Embedded::open(must()).await.err() else {
        panic!("an empty file is no database");
    };
    let accepted = Options { accept_loss: Some(damage.token()), ..must() };
    let store = Embedded::open(accepted).await.unwrap();
    put(&store, "/registry/a", "x").await;
    drop(store);
    Embedded::open(must()).await.unwrap();
}

#[tokio::test]
async fn damage_in_the_middle_is_named() {
    let killed = Killed::new().await;
    let (_directory, path) = killed.copy();
    // After a clean shutdown everything is in the database, so that rows can be changed there.
    drop(open(&path).await);
    let change = |path: &Path, sql: &str| {
        rusqlite::Connection::open(path.join("state.db")).unwrap().execute_batch(sql).unwrap();
    };
    let whole = fs::read(path.join("state.db")).unwrap();
    let cases = [
        ("UPDATE log SET value = x'00' WHERE revision = 80", "/registry/pods/", "revision 80"),
        ("UPDATE log SET lease = 1 WHERE revision = 40", "1 records are damaged", "revision 40"),
        ("DELETE FROM log WHERE revision = 80", "1 records are missing", "revision 80"),
        ("DELETE FROM log WHERE revision BETWEEN 80 AND 83", "4 records are missing", "revisions 80 to 83"),
        ("DELETE FROM log WHERE revision = (SELECT min(revision) FROM log)", "1 records are missing", ""),
        ("DELETE FROM lease", "1 leases are missing", ""),
        ("UPDATE lease SET ttl_seconds = 1", "1 leases are damaged", ""),
        ("DELETE FROM state", "the summary record is damaged", ""),
        ("UPDATE state SET compacted = 5", "the summary record is damaged", ""),
    ];
    for (sql, what, which) in cases {
        for name in ["state.db-wal", "state.db-shm"] {
            let _ = fs::remove_file(path.join(name));
        }
        fs::write(path.join("state.db"), &whole).unwrap();
        change(&path, sql);
        let error = Embedded::open(options(&path)).await.err().expect(sql).to_string();
        assert!(error.contains(what) && error.contains(which), "{sql}: {error}");
    }
}

#[tokio::test]
async fn a_database_of_the_first_form_is_carried_over_and_kept() {
    let directory = TempDir::new().unwrap();
    let path = directory.path();
    let make = |rows: u64| {
        let connection = rusqlite::Connection::open(path.join("state.db")).unwrap();
        connection
            .execute_batch(
                "PRAGMA application_id = 1232236398; PRAGMA user_version = 1;
                 CREATE TABLE log (revision INTEGER PRIMARY KEY, create_revision INTEGER NOT NULL,
                     version INTEGER NOT NULL, lease INTEGER NOT NULL, key BLOB NOT NULL, value BLOB);
                 CREATE TABLE lease (id INTEGER PRIMARY KEY, ttl_seconds INTEGER NOT NULL);
                 CREATE TABLE compacted (one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL);
                 INSERT INTO compacted VALUES (1, 4); INSERT INTO lease VALUES (7, 3600);",
            )
            .unwrap();
        for revision in (3..3 + rows).filter(|revision| *revision != 4) {
            let (key, lease) = (format!("/registry/{}", revision % 2), if revision == 6 { 7 } else { 0 });
            let value = (revision != 7).then(|| revision.to_string().into_bytes());
            connection
                .execute(
                    "INSERT INTO log VALUES (?1, 3, 1, ?2, ?3, ?4)",
                    rusqlite::params![revision.cast_signed(), lease, key.into_bytes(), value],
                )
                .unwrap();
        }
    };
    make(6);
    let store = open(path).await;
    assert_eq!(store.current_revision().await.unwrap(), Revision(8));
    assert_eq!(values(&store, RangeRequest::prefix("/registry/")).await, ["8"]);
    assert_eq!(values(&store, RangeRequest::prefix("/registry/").at(Revision(6))).await, ["6", "5"]);
    put(&store, "/registry/new", "x").await;
    drop(store);
    assert_eq!(open(path).await.current_revision().await.unwrap(), Revision(9));

    // The downgrade: the old file is restored as the old program wrote it; the current program notices that it lacks a
    // write.
    let kept = path.join("state.db.version-1");
    let rows: i64 = rusqlite::Connection::open(&kept)
        .unwrap()
        .query_row("SELECT count(*) FROM log", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 5);
    fs::copy(&kept, path.join("state.db")).unwrap();
    let error = Embedded::open(options(path)).await.err().expect("it lacks a write").to_string();
    assert!(error.contains("the 1 newest acknowledged writes are missing (revision 9)"), "{error}");

    // One that lacks a row stays as it is.
    for name in ["state.db", "high-water-mark"] {
        fs::remove_file(path.join(name)).unwrap();
    }
    make(6);
    rusqlite::Connection::open(path.join("state.db"))
        .unwrap()
        .execute("DELETE FROM log WHERE revision = 6", [])
        .unwrap();
    let error = Embedded::open(options(path)).await.err().expect("a row is missing").to_string();
    assert!(error.contains("revision 6"), "{error}");
}
