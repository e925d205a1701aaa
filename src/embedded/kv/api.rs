//! The nine `KV…` RPCs of one plugin.

use std::sync::Arc;

use plugin_proto::v1;

use super::{KvOptions, KvStore};
use crate::api::{Overlay, PluginApi};

/// Answers the `KV…` RPCs from a [`KvStore`], in the namespace of one plugin; all others go to the
/// implementation below.
///
/// `KVGet` of a missing key is no error: the value is empty.
#[derive(Debug)]
pub struct KvApi;

impl KvApi {
    /// The KV calls of `plugin_id` in front of `below`.
    pub fn over(store: &KvStore, plugin_id: &str, below: Arc<dyn PluginApi>) -> Overlay {
        let id: Arc<str> = plugin_id.into();
        // Every handler owns the store and the id.
        macro_rules! answer {
            ($overlay:expr, |$store:ident, $id:ident, $request:ident: $type:ident| $answer:expr) => {
                $overlay.answer({
                    let ($store, $id) = (store.clone(), Arc::clone(&id));
                    move |$request: v1::$type| {
                        let answer = $answer;
                        async move { answer }
                    }
                })
            };
        }

        let api = Overlay::over(below);
        let api = answer!(api, |store, id, it: KvGetRequest| {
            Ok(v1::KvGetResponse { value: store.get(&id, &it.key), error: None })
        });
        let api = answer!(api, |store, id, it: KvSetRequest| {
            let set = store.set(&id, &it.key, it.value, &KvOptions::default());
            set.map(|_| v1::KvSetResponse::default())
        });
        let api = answer!(api, |store, id, it: KvSetWithExpiryRequest| {
            let options = KvOptions::expiring(it.expire_in_seconds);
            let set = store.set(&id, &it.key, it.value, &options);
            set.map(|_| v1::KvSetWithExpiryResponse::default())
        });
        let api = answer!(api, |store, id, it: KvSetWithOptionsRequest| {
            let options = it.options.unwrap_or_default().into();
            let set = store.set(&id, &it.key, it.value, &options);
            set.map(|success| v1::KvSetWithOptionsResponse { success, error: None })
        });
        let api = answer!(api, |store, id, it: KvCompareAndSetRequest| {
            let options = KvOptions::in_place_of(it.old_value);
            let set = store.set(&id, &it.key, it.new_value, &options);
            set.map(|success| v1::KvCompareAndSetResponse { success, error: None })
        });
        let api = answer!(api, |store, id, it: KvCompareAndDeleteRequest| {
            let deleted = store.compare_and_delete(&id, &it.key, it.old_value);
            deleted.map(|success| v1::KvCompareAndDeleteResponse { success, error: None })
        });
        let api = answer!(api, |store, id, it: KvDeleteRequest| {
            store.delete(&id, &it.key);
            Ok(v1::KvDeleteResponse::default())
        });
        let api = answer!(api, |store, id, _request: KvDeleteAllRequest| {
            store.delete_all(&id);
            Ok(v1::KvDeleteAllResponse::default())
        });
        answer!(api, |store, id, it: KvListRequest| {
            let keys = store.list(&id, it.page, it.per_page);
            Ok(v1::KvListResponse { keys, error: None })
        })
    }
}
