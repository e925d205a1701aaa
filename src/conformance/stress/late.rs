//! A caller that comes too late: when the stop has begun, nothing of it may reach the plugin.

use bytes::Bytes;
use fake_interpreters::sample;
use http_body_util::Empty;
use plugin_proto::{Method, Service, v1};
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

use super::super::invariants::{Fact, LifeTrace};
use crate::hooks::{BoxHookService, Hooks, ServeHttpError};
use crate::supervisor::{EventKind, EventLog};

/// What every plugin of a stress run that becomes active implements, and what some do.
const ASKED: [&str; 2] = ["OnActivate", "MessageWillBePosted"];

tokio::task_local! {
    /// The call that is made is the late caller's.
    static LATE: ();
}

/// Sees what is let through to the plugin, of a late caller.
pub(super) fn layer(trace: &LifeTrace, inner: BoxHookService) -> BoxHookService {
    let trace = trace.clone();
    let seen = inner.map_request(move |call| {
        if LATE.try_with(|()| ()).is_ok() {
            trace.add(Fact::HookCalled);
        }
        call
    });
    BoxHookService::new(seen)
}

/// As soon as the log says that the stop has begun, asks for hooks and for a page.
pub(super) fn caller(hooks: Hooks, log: &EventLog, trace: &LifeTrace) -> JoinHandle<()> {
    let (log, trace) = (log.clone(), trace.clone());
    tokio::spawn(LATE.scope((), async move {
        log.wait_for(|kind| matches!(kind, EventKind::Stopping { .. })).await;
        let known = ASKED.iter().filter_map(|name| Method::by_name(Service::PluginHooks, name));
        for hook in known {
            let _ = hooks.fire(hook, sample::request(hook)).await;
        }
        let init = v1::ServeHttpRequestInit {
            method: "GET".to_owned(),
            url: "/late".to_owned(),
            ..Default::default()
        };
        let refused = matches!(
            hooks.serve_http(init, Empty::<Bytes>::new()).await,
            Err(ServeHttpError::NotImplemented | ServeHttpError::Stopping)
        );
        if !refused {
            trace.add(Fact::HookCalled);
        }
    }))
}
