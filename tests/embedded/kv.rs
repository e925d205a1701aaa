//! The key-value store, as a plugin sees it through the API.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use plugin_conformance::api::AppError;
use plugin_conformance::embedded::{Clock, Embedded};
use plugin_proto::v1;

use super::{Api, fresh};

async fn set(api: &Api, key: &str, value: &str) {
    let request = v1::KvSetRequest { key: key.into(), value: value.to_owned().into() };
    api.kv_set(request).await.unwrap();
}

async fn get(api: &Api, key: &str) -> String {
    let answer = api.kv_get(v1::KvGetRequest { key: key.into() }).await.unwrap();
    String::from_utf8(answer.value.to_vec()).unwrap()
}

async fn compare_and_set(api: &Api, key: &str, old: &str, new: &str) -> bool {
    let request = v1::KvCompareAndSetRequest {
        key: key.into(),
        old_value: old.to_owned().into(),
        new_value: new.to_owned().into(),
    };
    api.kv_compare_and_set(request).await.unwrap().success
}

async fn compare_and_delete(api: &Api, key: &str, old: &str) -> bool {
    let old_value = old.to_owned().into();
    let request = v1::KvCompareAndDeleteRequest { key: key.into(), old_value };
    api.kv_compare_and_delete(request).await.unwrap().success
}

async fn set_with(
    api: &Api,
    key: &str,
    value: &str,
    (atomic, old_value, expire_in_seconds): (bool, &str, i64),
) -> Result<bool, AppError> {
    let old_value = old_value.to_owned().into();
    let options = Some(v1::PluginKvSetOptions { atomic, old_value, expire_in_seconds });
    let value = value.to_owned().into();
    let request = v1::KvSetWithOptionsRequest { key: key.into(), value, options };
    api.kv_set_with_options(request).await.map(|answer| answer.success)
}

async fn list(api: &Api, page: i32, per_page: i32) -> Vec<String> {
    api.kv_list(v1::KvListRequest { page, per_page }).await.unwrap().keys
}

#[tokio::test]
async fn what_is_set_is_got_by_its_plugin_alone() {
    let server = fresh();
    let (a, b) = (server.api_of("com.example.a"), server.api_of("com.example.b"));
    set(&a, "key", "value").await;
    assert_eq!(get(&a, "key").await, "value");
    assert_eq!(get(&b, "key").await, "");
    b.kv_delete_all(v1::KvDeleteAllRequest {}).await.unwrap();
    assert_eq!(get(&a, "key").await, "value", "another plugin's keys were deleted");
    // Another instance, as after a restart.
    assert_eq!(get(&server.api_of("com.example.a"), "key").await, "value");
    a.kv_delete(v1::KvDeleteRequest { key: "key".into() }).await.unwrap();
    assert_eq!(get(&a, "key").await, "");
    // Deleting what is not there is no error.
    a.kv_delete(v1::KvDeleteRequest { key: "key".into() }).await.unwrap();
}

#[tokio::test]
async fn an_empty_value_removes_the_key() {
    let a = fresh().api_of("com.example.a");
    set(&a, "key", "value").await;
    set(&a, "key", "").await;
    assert!(list(&a, 0, 100).await.is_empty());
}

#[tokio::test]
async fn keys_are_listed_in_order_and_in_pages() {
    let a = fresh().api_of("com.example.a");
    for at in (0..25).rev() {
        set(&a, &format!("key{at:02}"), "value").await;
    }
    assert_eq!(list(&a, 0, 3).await, ["key00", "key01", "key02"]);
    assert_eq!(list(&a, 2, 10).await, ["key20", "key21", "key22", "key23", "key24"]);
    assert!(list(&a, 3, 10).await.is_empty());
    // Without a size, every page is the first one of ten.
    for (page, per_page) in [(0, 0), (2, 0), (1, -3)] {
        let keys = list(&a, page, per_page).await;
        assert_eq!((keys.len(), keys[0].as_str()), (10, "key00"), "{page}, {per_page}");
    }
    assert_eq!(list(&a, -2, 3).await, ["key00", "key01", "key02"]);
    assert!(list(&a, i32::MAX, i32::MAX).await.is_empty());
    a.kv_delete_all(v1::KvDeleteAllRequest {}).await.unwrap();
    assert!(list(&a, 0, 100).await.is_empty());
}

#[tokio::test]
async fn compare_and_set_changes_only_what_it_expects() {
    let a = fresh().api_of("com.example.a");
    // Empty: only if the key is missing.
    assert!(compare_and_set(&a, "key", "", "one").await);
    assert!(!compare_and_set(&a, "key", "", "two").await);
    assert!(!compare_and_set(&a, "key", "other", "two").await);
    assert_eq!(get(&a, "key").await, "one");
    assert!(compare_and_set(&a, "key", "one", "two").await);
    assert!(compare_and_set(&a, "key", "two", "two").await);
    assert!(!compare_and_set(&a, "missing", "one", "two").await);
    assert_eq!(list(&a, 0, 10).await, ["key"]);
    // To nothing: deletes.
    assert!(!compare_and_set(&a, "key", "one", "").await);
    assert!(compare_and_set(&a, "key", "two", "").await);
    assert!(list(&a, 0, 10).await.is_empty());
}

#[tokio::test]
async fn compare_and_delete_deletes_only_what_it_expects() {
    let a = fresh().api_of("com.example.a");
    set(&a, "key", "one").await;
    assert!(!compare_and_delete(&a, "key", "two").await);
    assert!(!compare_and_delete(&a, "key", "").await);
    assert_eq!(get(&a, "key").await, "one");
    assert!(compare_and_delete(&a, "key", "one").await);
    assert!(!compare_and_delete(&a, "key", "one").await);
    assert!(!compare_and_delete(&a, "missing", "").await);
}

#[tokio::test]
async fn set_with_options() {
    let a = fresh().api_of("com.example.a");
    assert!(set_with(&a, "key", "one", (false, "", 0)).await.unwrap());
    assert!(!set_with(&a, "key", "two", (true, "other", 0)).await.unwrap());
    assert!(!set_with(&a, "key", "two", (true, "", 0)).await.unwrap());
    assert!(set_with(&a, "key", "two", (true, "one", 0)).await.unwrap());
    // An old value means nothing without `atomic`.
    let error = set_with(&a, "key", "three", (false, "two", 0)).await.unwrap_err();
    assert_eq!(error.status_code, 400);
    assert!(error.id.contains("old_value"), "{error}");
    assert_eq!(get(&a, "key").await, "two");
    // No options are options too.
    let request =
        v1::KvSetWithOptionsRequest { key: "key".into(), value: "4".into(), options: None };
    assert!(a.kv_set_with_options(request).await.unwrap().success);
    assert_eq!(get(&a, "key").await, "4");
}

#[tokio::test]
async fn values_expire() {
    let now = Arc::new(AtomicI64::new(1_000_000));
    let clock = Clock::set_by(Arc::clone(&now));
    let server = Embedded::builder().clock(clock).start().unwrap();
    let a = server.api_of("com.example.a");
    let expiring = |key: &str, expire_in_seconds| v1::KvSetWithExpiryRequest {
        key: key.into(),
        value: "value".into(),
        expire_in_seconds,
    };
    a.kv_set_with_expiry(expiring("ten", 10)).await.unwrap();
    a.kv_set_with_expiry(expiring("never", 0)).await.unwrap();
    a.kv_set_with_expiry(expiring("for ever", i64::MAX)).await.unwrap();
    // A time in the past: stored, and expired at once.
    a.kv_set_with_expiry(expiring("past", -1)).await.unwrap();
    assert_eq!(get(&a, "past").await, "");
    assert!(compare_and_set(&a, "past", "", "present").await);
    a.kv_set_with_expiry(expiring("past", -1)).await.unwrap();

    now.fetch_add(9_999, Ordering::SeqCst);
    assert_eq!(get(&a, "ten").await, "value");
    assert_eq!(list(&a, 0, 10).await, ["for ever", "never", "ten"]);
    now.fetch_add(1, Ordering::SeqCst);
    assert_eq!(get(&a, "ten").await, "");
    // What has expired is missing.
    assert!(!compare_and_delete(&a, "ten", "value").await);
    assert!(!compare_and_set(&a, "ten", "value", "other").await);
    assert_eq!(list(&a, 0, 10).await, ["for ever", "never"]);
    assert!(compare_and_set(&a, "ten", "", "again").await);
    // Set anew without an expiry, it stays.
    a.kv_set_with_expiry(expiring("never", 10)).await.unwrap();
    set(&a, "never", "value").await;
    now.fetch_add(1_000_000_000, Ordering::SeqCst);
    assert_eq!(list(&a, 0, 10).await, ["for ever", "never", "ten"]);
}

#[tokio::test]
async fn keys_have_1_to_150_characters() {
    let a = fresh().api_of("com.example.a");
    // Characters, not bytes.
    set(&a, &"ä".repeat(150), "value").await;
    for key in [String::new(), "ä".repeat(151)] {
        let value = || "value".into();
        let set = a.kv_set(v1::KvSetRequest { key: key.clone(), value: value() }).await;
        let expiring = v1::KvSetWithExpiryRequest { key: key.clone(), ..Default::default() };
        let expiring = a.kv_set_with_expiry(expiring).await;
        let swap = v1::KvCompareAndSetRequest { key: key.clone(), ..Default::default() };
        let swap = a.kv_compare_and_set(swap).await;
        let delete = v1::KvCompareAndDeleteRequest { key: key.clone(), ..Default::default() };
        let delete = a.kv_compare_and_delete(delete).await;
        let errors = [
            set.unwrap_err(),
            expiring.unwrap_err(),
            swap.unwrap_err(),
            delete.unwrap_err(),
            set_with(&a, &key, "value", (false, "", 0)).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.id, "model.plugin_key_value.is_valid.key.app_error");
            assert_eq!(error.status_code, 400);
        }
        // To look for it is no error.
        assert_eq!(get(&a, &key).await, "");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compare_and_set_is_atomic() {
    const EACH: usize = 500;
    let server = fresh();
    let count = |api: Api| async move {
        for _ in 0..EACH {
            loop {
                let old = get(&api, "count").await;
                let next = old.parse::<usize>().unwrap_or(0) + 1;
                if compare_and_set(&api, "count", &old, &next.to_string()).await {
                    break;
                }
            }
        }
    };
    let tasks = [(); 2].map(|()| tokio::spawn(count(server.api_of("com.example.a"))));
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(get(&server.api_of("com.example.a"), "count").await, (2 * EACH).to_string());
}

#[tokio::test]
async fn a_value_under_the_hash_of_its_key_is_found_until_the_key_is_set() {
    // base64(sha256("key")): where servers before 5.6 kept it.
    const HASHED_OF_KEY: &str = "LHDhK3oGRvkiefQnx7OOczTY5Tic/xZ6HcMOc/gmtoM=";
    let a = fresh().api_of("com.example.a");
    set(&a, HASHED_OF_KEY, "old").await;
    assert_eq!(get(&a, "key").await, "old");
    // It is no present value for those who compare.
    assert!(!compare_and_set(&a, "key", "old", "new").await);
    assert_eq!(get(&a, "key").await, "");
    set(&a, HASHED_OF_KEY, "old").await;
    set(&a, "key", "new").await;
    assert_eq!(get(&a, "key").await, "new");
    assert_eq!(list(&a, 0, 10).await, ["key"]);
}
