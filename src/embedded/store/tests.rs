#![allow(clippy::unwrap_used)]

use super::*;

const FAILING: &str = "app.test.app_error";

fn source() -> Source {
    Source { clock: Clock::ticking(1000), ids: Ids::seeded(1) }
}

fn in_memory() -> Store {
    Store::open(None, source()).unwrap()
}

async fn put(store: &Store, name: &'static str) -> Result<(), AppError> {
    store
        .write(FAILING, move |tx| {
            tx.execute("INSERT INTO systems (name, value) VALUES (?1, 'x')", [name]).map(drop)
        })
        .await
}

async fn has(store: &Store, name: &'static str) -> bool {
    let read =
        store.read(FAILING, move |tx| tx.exists("SELECT 1 FROM systems WHERE name = ?1", [name]));
    read.await.unwrap()
}

#[tokio::test]
async fn what_is_written_is_read() {
    let store = in_memory();
    put(&store, "a").await.unwrap();
    assert!(has(&store, "a").await);
    assert!(!has(&in_memory(), "a").await, "two databases are one");
}

#[tokio::test]
async fn a_failure_leaves_nothing_behind() {
    let store = in_memory();
    let failed = store.write(FAILING, |tx| {
        tx.execute("INSERT INTO systems (name, value) VALUES ('a', 'x')", [])?;
        Err::<(), _>(AppError::new("no", 418).into())
    });
    assert_eq!(failed.await.unwrap_err(), AppError::new("no", 418));
    assert!(!has(&store, "a").await);
}

#[tokio::test]
async fn a_panic_is_the_callers_and_leaves_nothing_behind() {
    let store = Arc::new(in_memory());
    let panicking = Arc::clone(&store);
    let task = tokio::spawn(async move {
        let write = panicking.write::<(), _>(FAILING, |tx| {
            tx.execute("INSERT INTO systems (name, value) VALUES ('a', 'x')", [])?;
            panic!("as planned")
        });
        let _ = write.await;
    });
    assert!(task.await.unwrap_err().is_panic());
    assert!(!has(&store, "a").await);
    put(&store, "a").await.unwrap();
}

#[tokio::test]
async fn reads_wait_neither_for_each_other_nor_for_a_write() {
    let store = Arc::new(in_memory());
    let (first, second) = (std::sync::mpsc::channel::<()>(), std::sync::mpsc::channel::<()>());
    let (writing, begun) = tokio::sync::oneshot::channel();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let writer = Arc::clone(&store);
    let writer = tokio::spawn(async move {
        let write = writer.write(FAILING, move |tx| {
            tx.execute("INSERT INTO systems (name, value) VALUES ('a', 'x')", [])?;
            writing.send(()).unwrap();
            ended.recv().unwrap();
            Ok(())
        });
        write.await
    });
    begun.await.unwrap();
    // Each of the two reads ends only if the other one runs, while a write is under way.
    let ((to_first, from_second), (to_second, from_first)) = (first, second);
    let one = store.read(FAILING, move |tx| {
        to_second.send(()).unwrap();
        from_second.recv().unwrap();
        tx.exists("SELECT 1 FROM systems WHERE name = 'a'", [])
    });
    let other = store.read(FAILING, move |_| {
        to_first.send(()).unwrap();
        from_first.recv().unwrap();
        Ok(())
    });
    let (seen, other) = tokio::join!(one, other);
    other.unwrap();
    assert!(!seen.unwrap(), "a read saw what was not committed");
    end.send(()).unwrap();
    writer.await.unwrap().unwrap();
    assert!(has(&store, "a").await);
}

#[tokio::test]
async fn a_file_keeps_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("data?mode=memory.db");
    let store = Store::open(Some(file.clone()), source()).unwrap();
    put(&store, "a").await.unwrap();
    store.close().await;
    assert_eq!(put(&store, "b").await.unwrap_err().id, FAILING);
    let store = Store::open(Some(file.clone()), source()).unwrap();
    assert!(has(&store, "a").await);
    // While it is open, it is nobody else's.
    let name = file.display().to_string();
    assert_eq!(Store::open(Some(file), source()).unwrap_err(), StoreError::Locked { file: name });
}

#[tokio::test]
async fn a_full_disk_is_said_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(Some(folder.path().join("data")), source()).unwrap();
    put(&store, "a").await.unwrap();
    let limited = store.write(FAILING, |tx| {
        let pages: i64 = tx.value("PRAGMA page_count", [])?.unwrap();
        tx.value::<i64>(&format!("PRAGMA max_page_count = {}", pages + 2), [])
    });
    limited.await.unwrap();
    let big = store.write(FAILING, |tx| {
        tx.execute("INSERT INTO systems (name, value) VALUES ('b', hex(zeroblob(100000)))", [])
    });
    let error = big.await.unwrap_err();
    assert_eq!((error.id.as_str(), error.status_code), (FAILING, 500));
    assert!(error.detailed_error.contains("the disk is full"), "{}", error.detailed_error);
    assert!(has(&store, "a").await);
    put(&store, "c").await.unwrap();
}

fn refusal(file: &std::path::Path) -> StoreError {
    Store::open(Some(file.to_owned()), source()).unwrap_err()
}

#[tokio::test]
async fn files_that_are_not_ours_are_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("data");
    let name = file.display().to_string();

    let text = "no database, but long enough for the header of one. ".repeat(100);
    std::fs::write(&file, &text).unwrap();
    assert_eq!(refusal(&file), StoreError::Foreign { file: name.clone() });
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    std::fs::remove_file(&file).unwrap();

    rusqlite::Connection::open(&file).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    assert_eq!(refusal(&file), StoreError::Foreign { file: name.clone() });
    std::fs::remove_file(&file).unwrap();

    Store::open(Some(file.clone()), source()).unwrap().close().await;
    let other = rusqlite::Connection::open(&file).unwrap();
    other.pragma_update(None, "user_version", 99).unwrap();
    drop(other);
    let newer = refusal(&file);
    let known = schema::VERSION;
    assert_eq!(newer, StoreError::Newer { file: name, found: 99, known });
    assert!(newer.to_string().contains("use a newer plugin-conformance"), "{newer}");
}

#[tokio::test]
async fn a_damaged_file_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("data");
    Store::open(Some(file.clone()), source()).unwrap().close().await;
    // The header is whole, all else is not.
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[100..].fill(0xff);
    std::fs::write(&file, bytes).unwrap();
    assert!(matches!(refusal(&file), StoreError::Corrupt { .. }));
}

#[tokio::test]
async fn a_folder_that_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = refusal(&folder.path().join("missing/data"));
    assert!(matches!(&error, StoreError::Io { file, .. } if file.ends_with("missing/data")));
}
